"""A few thousand altered orders and authorities; and the fuzzer itself, which must be able to find something."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.errors import TrustError
from tools.fuzz import Fuzzer, Subject, main, subjects

TRIALS = 4_000
SUBJECTS = subjects()


def believes_anything(_envelope: bytes) -> object:
    return object()


def falls_over(_envelope: bytes) -> object:
    raise RecursionError


def believes_nothing(_envelope: bytes) -> object:
    raise TrustError("order-expired", "always")


def test_no_altered_order_or_authority_is_accepted_and_none_crashes() -> None:
    fuzzer = Fuzzer(20_261_124, SUBJECTS)
    assert not fuzzer.controls()
    trials = [fuzzer.trial(number) for number in range(TRIALS)]
    assert not [trial for trial in trials if trial.outcome != "refused"]
    assert len(Counter(trial.detail for trial in trials)) >= 40, "the mutations no longer reach the rules"
    assert len(Counter(trial.subject for trial in trials)) == len(SUBJECTS)


def test_the_same_trial_is_made_again_from_its_number() -> None:
    assert Fuzzer(3, subjects()).trial(77) == Fuzzer(3, SUBJECTS).trial(77)
    assert Fuzzer(3, SUBJECTS).trial(77) != Fuzzer(4, SUBJECTS).trial(77)


@pytest.mark.parametrize(("opener", "outcome"), [(believes_anything, "accepted"), (falls_over, "crashed")])
def test_the_fuzzer_finds_an_opener_that_is_at_fault(opener: object, outcome: str) -> None:
    faulty: list[Subject] = [replace(subject, open=opener) for subject in SUBJECTS]
    found = [Fuzzer(1, faulty).trial(number).outcome for number in range(20)]
    assert outcome in found


def test_a_control_that_is_refused_is_told() -> None:
    deaf = [replace(subject, open=believes_nothing) for subject in SUBJECTS]
    assert len(Fuzzer(1, deaf).controls()) == len(SUBJECTS)


def test_a_run_ends_with_the_count_and_is_resumed_where_it_was(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = tmp_path / "state.json"
    assert main(["40", "9", "--state", str(state)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "tried=40 accepted=0 crashed=0"
    assert json.loads(state.read_text()) == {"seed": 9, "tried": 40, "accepted": 0, "crashed": 0}
    assert main(["60", "9", "--state", str(state)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "tried=60 accepted=0 crashed=0"


def test_the_state_of_another_seed_is_not_taken_over(tmp_path: Path) -> None:
    state = tmp_path / "state.json"
    main(["5", "9", "--state", str(state)])
    with pytest.raises(SystemExit, match="another seed"):
        main(["5", "10", "--state", str(state)])
