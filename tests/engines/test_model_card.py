from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.errors import ConfigError
from appliance.model.model_card import CARD_BYTES_MAX, CARD_VERSION, encode_card, parse_card

FILE = {"file": "own.onnx", "sha256": "b" * 64}
EMBEDDER: dict[str, Any] = {
    "version": CARD_VERSION,
    "name": "own",
    "role": "embedder",
    "convention": "feature",
    "source_sha256": "a" * 64,
    "prepared_from": "c" * 64,
    "clean": FILE,
    "cpu": FILE,
    "size": {"width": 112, "height": 112, "multiple_of": 1},
    "outputs": ["feature"],
    "dimension": 128,
    "landmark_template": [[38.0, 51.0], [73.0, 51.0], [56.0, 71.0], [41.0, 92.0], [70.0, 92.0]],
    "licence": "MIT",
    "licence_note": "ours",
}
DETECTOR = {k: v for k, v in EMBEDDER.items() if k not in {"dimension", "landmark_template"}} | {
    "role": "detector",
    "convention": "yunet",
    "size": {"width": 0, "height": 0, "multiple_of": 32},
}


def parse(card: dict[str, Any]) -> Any:
    return parse_card(msgspec.json.encode(card))


def test_a_card_survives_being_written() -> None:
    for fields in (EMBEDDER, DETECTOR):
        card = parse(fields)
        assert parse_card(encode_card(card)) == card
        assert card.digest == "a" * 64
    assert parse(EMBEDDER).template().shape == (5, 2)


def test_a_detector_has_no_template() -> None:
    with pytest.raises(ConfigError, match="name an embedder"):
        parse(DETECTOR).template()


REFUSED = {
    "an unknown field": EMBEDDER | {"threshold": 0.3},
    "another version": EMBEDDER | {"version": CARD_VERSION + 1},
    "a boolean version": EMBEDDER | {"version": True},
    "a file in another folder": EMBEDDER | {"cpu": {"file": "../own.onnx", "sha256": "b" * 64}},
    "an absolute file": EMBEDDER | {"cpu": {"file": "/own.onnx", "sha256": "b" * 64}},
    "a short digest": EMBEDDER | {"source_sha256": "a" * 63},
    "an unknown role": EMBEDDER | {"role": "judge"},
    "no outputs": EMBEDDER | {"outputs": []},
    "two outputs of an embedder": EMBEDDER | {"outputs": ["a", "b"]},
    "no dimension": EMBEDDER | {"dimension": 0},
    "a negative dimension": EMBEDDER | {"dimension": -1},
    "four landmarks": EMBEDDER | {"landmark_template": EMBEDDER["landmark_template"][:4]},
    "a landmark outside": EMBEDDER | {"landmark_template": [[380.0, 51.0], *EMBEDDER["landmark_template"][1:]]},
    "a landmark of three numbers": EMBEDDER | {"landmark_template": [[1.0, 2.0, 3.0]] * 5},
    "an embedder of any size": EMBEDDER | {"size": {"width": 0, "height": 0}},
    "half a size": DETECTOR | {"size": {"width": 640, "height": 0}},
    "a multiple of nothing": DETECTOR | {"size": {"width": 0, "height": 0, "multiple_of": 0}},
    "a detector of features": DETECTOR | {"convention": "feature"},
    "a detector with a dimension": DETECTOR | {"dimension": 4},
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_card_is_refused_with_the_remedy(case: str) -> None:
    with pytest.raises(ConfigError, match="lamppost engines prepare"):
        parse(REFUSED[case])


@given(st.binary(max_size=300))
def test_nonsense_is_a_config_error_and_nothing_else(data: bytes) -> None:
    with pytest.raises(ConfigError):
        parse_card(data)


def test_a_huge_card_is_not_parsed() -> None:
    with pytest.raises(ConfigError, match="at most"):
        parse_card(b" " * (CARD_BYTES_MAX + 1))
