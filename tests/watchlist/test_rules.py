"""Every rule of the bundle has a sentence, and every sentence a rule."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import appliance.watchlist
from appliance.authority.rules import RULES
from appliance.watchlist.rules import BUNDLE_RULES

FOLDER = Path(appliance.watchlist.__file__).parent


def names_raised() -> set[str]:
    found = set()
    for path in FOLDER.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "TrustError":
                assert isinstance(node.args[0], ast.Constant), path
                found.add(node.args[0].value)
    return found


def test_every_rule_that_is_raised_is_explained_in_one_of_the_two_tables() -> None:
    assert names_raised() - RULES.keys() == set(BUNDLE_RULES)


@pytest.mark.parametrize("rule", BUNDLE_RULES)
def test_a_rule_has_a_sentence_that_says_what_to_do(rule: str) -> None:
    assert len(rule) <= 64
    assert BUNDLE_RULES[rule].endswith(".")
    assert 20 < len(BUNDLE_RULES[rule]) <= 200
