"""The table of rules is what the code raises: no rule without a sentence, no sentence without a rule."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import appliance
from appliance.authority.rules import RULES, UNKNOWN_RULE, explain

FOLDER = Path(appliance.__file__).parent
SOURCES = (*FOLDER.glob("authority/*.py"), *FOLDER.glob("wire/**/*.py"))
OTHERS = {"machine.py", "rules.py"}  # the machine has a table of its own
NAME = re.compile(r"[a-z]+(-[a-z0-9]+)+")


def names_raised() -> set[str]:
    """Every rule name in the sources: the first argument of TrustError, and the second column of tables of rules."""
    found: set[str] = set()
    for path in SOURCES:
        if path.name in OTHERS:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            found |= _of_error(node) | _of_rule_table(node)
    return found


def _of_error(node: ast.AST) -> set[str]:
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "TrustError"):
        return set()
    first = node.args[0]
    return {first.value} if isinstance(first, ast.Constant) and isinstance(first.value, str) else set()


def _of_rule_table(node: ast.AST) -> set[str]:
    if not (isinstance(node, ast.Tuple) and len(node.elts) == 2 and isinstance(node.elts[1], ast.Constant)):
        return set()
    value = node.elts[1].value
    return {value} if isinstance(value, str) and value.startswith(("authority-", "payload-")) else set()


def test_the_table_names_exactly_the_rules_that_are_raised() -> None:
    assert names_raised() == set(RULES)


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_has_a_name_that_fits_an_acknowledgement_and_a_sentence_that_says_what_to_do(rule: str) -> None:
    assert NAME.fullmatch(rule)
    assert len(rule) <= 64
    assert RULES[rule].endswith(".")
    assert RULES[rule][0].isupper()
    assert 20 < len(RULES[rule]) <= 200


def test_a_rule_without_a_sentence_is_explained_all_the_same() -> None:
    assert explain("no-such-rule") == UNKNOWN_RULE
    assert explain("order-expired") == RULES["order-expired"]
