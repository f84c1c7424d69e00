"""Two entries that look alike are found, once, with their best score; one entry's own shots are not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from watchlists_for_tests import unit_rows

from appliance.errors import InvariantError
from appliance.model.frames import Floats
from appliance.watchlist import look_alikes
from appliance.watchlist.duplicates import PAIRS_MAX


def alone(count: int) -> NDArray[np.int32]:
    return np.arange(count, dtype=np.int32)


def near(row: Floats, towards: Floats, weight: float) -> Floats:
    mixed = row + np.float32(weight) * towards
    return np.asarray(mixed / np.linalg.norm(mixed), np.float32)


def test_nobody_looks_like_anybody_on_a_list_of_strangers() -> None:
    assert look_alikes(unit_rows(1_500, 256), alone(1_500), threshold=0.5) == []


def test_one_person_entered_twice_is_found_across_blocks() -> None:
    rows = unit_rows(1_500, 256)
    rows[1_400] = near(rows[3], rows[9], 0.1)
    (pair,) = look_alikes(rows, alone(1_500), threshold=0.5)
    assert (pair.first, pair.second) == (3, 1_400)
    assert pair.score == pytest.approx(float(rows[3] @ rows[1_400]))


def test_the_shots_of_one_entry_are_no_look_alikes() -> None:
    rows = np.repeat(unit_rows(1), 5, axis=0)
    assert look_alikes(rows, np.zeros(5, np.int32), threshold=0.5) == []


def test_a_pair_with_several_shots_is_reported_once_with_its_best_score() -> None:
    base, other = unit_rows(2, 256)
    rows = np.stack([base, near(base, other, 0.5), near(base, other, 0.4), near(base, other, 0.3)])
    (pair,) = look_alikes(rows, np.array([0, 0, 1, 1], np.int32), threshold=0.5)
    assert (pair.first, pair.second) == (0, 1)
    assert pair.score == pytest.approx(float((rows[:2] @ rows[2:].T).max()), abs=1e-6)


def test_the_most_alike_come_first() -> None:
    rows = unit_rows(6, 256)
    rows[1], rows[5] = near(rows[0], rows[2], 0.4), near(rows[4], rows[2], 0.1)
    found = look_alikes(rows, alone(6), threshold=0.5)
    assert [(pair.first, pair.second) for pair in found] == [(4, 5), (0, 1)]


def test_a_list_of_one_face_gives_a_bounded_answer() -> None:
    rows = np.repeat(unit_rows(1), 700, axis=0)
    assert len(look_alikes(rows, alone(700), threshold=0.5)) == PAIRS_MAX


def test_owners_that_decrease_or_do_not_fit_are_a_bug_of_ours() -> None:
    for owners in (np.array([1, 0], np.int32), alone(3)):
        with pytest.raises(InvariantError):
            look_alikes(unit_rows(2), owners, threshold=0.5)


@settings(max_examples=60, deadline=None)
@given(counts=st.lists(st.integers(1, 4), min_size=1, max_size=40), seed=st.integers(0, 99))
def test_it_finds_what_comparing_everybody_with_everybody_finds(counts: list[int], seed: int) -> None:
    owners = np.repeat(alone(len(counts)), counts).astype(np.int32)
    rows = unit_rows(len(owners), 64, seed=seed)
    expected = {}
    for first in range(len(rows)):
        for second in range(len(rows)):
            pair, score = (int(owners[first]), int(owners[second])), float(rows[first] @ rows[second])
            if pair[0] < pair[1] and score >= 0.15:
                expected[pair] = max(score, expected.get(pair, -2.0))
    found = {(pair.first, pair.second): pair.score for pair in look_alikes(rows, owners, threshold=0.15)}
    assert found == pytest.approx(expected, abs=1e-5)
