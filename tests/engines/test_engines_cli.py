from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from trt_engines.cli import app
from trt_engines.prepare import ModelPaths

pytestmark = pytest.mark.usefixtures("models")


def engines(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments), catch_exceptions=False)


def test_the_list_says_what_is_prepared_and_under_which_licence(cache: Path, tmp_path: Path) -> None:
    told = engines("list", "--cache", str(cache))
    assert told.exit_code == 0
    for word in ("yunet-2023mar", "Apache-2.0", "prepared", "For demonstration only"):
        assert word in told.output
    assert "not prepared" in engines("list", "--cache", str(tmp_path)).output


def test_preparing_again_changes_nothing(models: ModelPaths, cache: Path) -> None:
    before = models.detector.stat().st_mtime_ns
    told = engines("prepare", "--cache", str(cache))
    assert told.exit_code == 0
    assert told.output.count("up to date") == 2
    assert models.detector.stat().st_mtime_ns == before
    assert engines("prepare", "yunet-2023mar", "--cache", str(cache)).output.count("up to date") == 1


def test_fetching_checks_the_digests(cache: Path) -> None:
    told = engines("fetch", "--cache", str(cache))
    assert told.exit_code == 0
    assert told.output.count("SHA-256 as pinned") == 2


def test_verifying_prints_a_row_a_photograph(cache: Path) -> None:
    told = engines("verify", "--cache", str(cache), "--photograph", "astronaut")
    assert told.exit_code == 0
    assert "astronaut" in told.output
    assert "Verified on 1 face in 1 photograph." in told.output


FAILURES = {
    "an unknown model": (("prepare", "nobody"), "has no model nobody"),
    "a missing manifest": (("list", "--manifest", "none.toml"), "none.toml cannot be read"),
    "an unknown photograph": (("verify", "--photograph", "nobody"), "no photograph called nobody"),
}


@pytest.mark.parametrize("case", FAILURES)
def test_a_failure_is_one_sentence_and_the_status_for_a_wrong_setting(case: str) -> None:
    arguments, sentence = FAILURES[case]
    told = engines(*arguments)
    assert told.exit_code == 78
    assert sentence in told.output
    assert "Traceback" not in told.output
