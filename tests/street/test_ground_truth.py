"""Ground truth that is not whole is not used."""

from __future__ import annotations

import json

import pytest

from appliance.errors import ConfigError
from appliance.model.ground_truth import GROUND_TRUTH_BYTES_MAX, FaceSeen, parse_ground_truth


def passage(**changes):
    base = {
        "passage": "P-01",
        "identity": "a",
        "reference": "W-0001",
        "source": "photograph",
        "conditions": ["dark"],
        "first_frame": 2,
        "last_frame": 4,
        "faces": [[2, 10, 20.5, 30, 40, 1], [4, -5, 20, 30, 40, 0.25]],
    }
    return {**base, **changes}


def document(**changes):
    base = {
        "version": 1,
        "scene": "street",
        "seed": 1,
        "frames_per_second": 25.0,
        "width": 1280,
        "height": 720,
        "frames": 10,
        "references": ["W-0001", "W-0002"],
        "passages": [passage(), passage(passage="P-02", identity="b", reference=None)],
    }
    return {**base, **changes}


def encoded(**changes):
    return json.dumps(document(**changes)).encode()


def without(field):
    whole = document()
    del whole[field]
    return json.dumps(whole).encode()


REFUSED = {
    "empty": (b"", "not what tools/street.py writes"),
    "not json": (b"street", "not what tools/street.py writes"),
    "not utf-8": (b'{"version": "\xff"}', "not what tools/street.py writes"),
    "truncated": (encoded()[:-20], "not what tools/street.py writes"),
    "nested without end": (b"[" * 100_000, "not what tools/street.py writes"),
    "unknown field": (encoded(note="x"), "unknown field"),
    "missing field": (without("references"), "missing required field"),
    "wrong type": (encoded(width="1280"), "Expected `int`"),
    "no faces": (encoded(passages=[passage(faces=[])]), "length >= 1"),
    "a face without size": (encoded(passages=[passage(faces=[[2, 0, 0, 0, 4, 1]])]), "Expected `float` > 0"),
    "more than visible": (encoded(passages=[passage(faces=[[2, 0, 0, 3, 4, 1.5]])]), "<= 1"),
    "seven values": (encoded(passages=[passage(faces=[[2, 0, 0, 3, 4, 1, 1]])]), "length"),
    "another version": (encoded(version=2), "version 2 where 1 was expected"),
    "a reference twice": (encoded(references=["W-0001", "W-0001"]), "reference is named twice"),
    "a passage twice": (encoded(passages=[passage(), passage()]), "passage is named twice"),
    "listed under nothing": (encoded(references=["W-0002"]), "not on the watchlist"),
    "listed and not listed": (
        encoded(passages=[passage(), passage(passage="P-02", reference=None)]),
        "one person is listed under two references",
    ),
    "out of order": (
        encoded(passages=[passage(faces=[[4, 0, 0, 3, 4, 1], [2, 0, 0, 3, 4, 1]])]),
        "not in order",
    ),
    "begins elsewhere": (encoded(passages=[passage(first_frame=1)]), "begins or ends in another frame"),
    "after the end": (encoded(frames=4), "after the end of the clip"),
}


@pytest.mark.parametrize("case", sorted(REFUSED))
def test_ground_truth_that_is_not_whole_is_refused_in_a_sentence(case):
    data, reason = REFUSED[case]
    with pytest.raises(ConfigError, match="compose it anew") as refused:
        parse_ground_truth(data)
    assert reason in str(refused.value)


def test_ground_truth_that_is_too_large_is_not_even_read():
    with pytest.raises(ConfigError, match="are read"):
        parse_ground_truth(b" " * (GROUND_TRUTH_BYTES_MAX + 1))


def test_whole_ground_truth_says_who_is_expected_and_when():
    truth = parse_ground_truth(encoded())
    assert truth.expected_references() == {"W-0001"}
    assert [p.passage for p in truth.listed()] == ["P-01"]
    assert truth.span_s(truth.passages[0]) == (0.08, 0.16)
    assert truth.passages[0].faces[1] == FaceSeen(4, -5, 20, 30, 40, 0.25)


def test_somebody_on_the_list_who_does_not_pass_is_not_expected():
    truth = parse_ground_truth(encoded(passages=[passage(reference=None)]))
    assert truth.expected_references() == frozenset()
    assert truth.references == ("W-0001", "W-0002")
