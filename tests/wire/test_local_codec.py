"""Local messages: each direction reads its own, in one spelling, within one datagram."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.errors import InvariantError, TrustError
from appliance.wire import local
from appliance.wire.local import DATAGRAM_BYTES_MAX, ENVELOPE_BYTES_MAX_LOCAL, LOCAL_VERSION
from appliance.wire.local_codec import (
    decode_from_courier,
    decode_from_eye,
    decode_to_courier,
    decode_to_eye,
    encode_local,
)
from appliance.wire.statements.alerts import CROP_BYTES_MAX
from appliance.wire.statements.device import EyeCounts

Decode = Callable[[bytes], Any]

COUNTS = EyeCounts(
    frames=9,
    frames_dropped=0,
    faces_detected=3,
    tracks=2,
    probes_compared=2,
    non_matches_discarded=2,
    alerts=0,
    frames_per_second_e2=2_500,
    refused={"blurred": 1, "too-small": 70_000},
)
LOOK = local.Look(
    deadline=2**63 - 1,
    generation=1,
    templates=15_000,
    dimension=128,
    model_digest="ab" * 32,
    threshold_e4=4_500,
    margin_e4=300,
    shots_needed=2,
    shots_max=4,
    cooldown_seconds=60,
)
MATCH = local.Match(
    generation=1,
    entry=7,
    track=311,
    score_e4=-1,
    margin_e4=0,
    threshold_e4=4_500,
    shots=4,
    shots_agreeing=3,
    captured_at=5,
    decided_at=6,
    media_time_ms=7,
    image_jpeg=b"\xff" * CROP_BYTES_MAX,
)
EXTEND = local.Extend(deadline=300, generation=1, threshold_e4=5_000)

MESSAGES: list[tuple[Decode, Any]] = [
    (decode_to_eye, LOOK),
    (decode_to_eye, EXTEND),
    (decode_to_eye, local.Close(reason="ordered")),
    (decode_from_eye, local.EyeReady(model_digest="ab" * 32, dimension=128)),
    (decode_from_eye, local.CameraOpened(generation=1, width=1_280, height=720)),
    (decode_from_eye, local.CameraClosed(generation=1, reason="deadline", explanation="é" * 500, at=1)),
    (decode_from_eye, local.Counts(generation=1, counts=COUNTS)),
    (decode_from_eye, MATCH),
    (
        decode_to_courier,
        local.Publish(kind="alert", message_id="alert-1", expires_at_ms=1, envelope=b"\x00" * ENVELOPE_BYTES_MAX_LOCAL),
    ),
    (decode_to_courier, local.Settled(message_id="alert-1")),
    (decode_to_courier, local.Handled(number=2**53 - 1)),
    (decode_from_courier, local.CourierReady(waiting=0)),
    (
        decode_from_courier,
        local.Arrived(number=1, kind="order", retained=False, envelope=b"{}" * (ENVELOPE_BYTES_MAX_LOCAL // 2)),
    ),
    (decode_from_courier, local.Link(connected=True, waiting=0, shed=0, explanation="")),
]
DECODERS: tuple[Decode, ...] = (decode_to_eye, decode_from_eye, decode_to_courier, decode_from_courier)
EXTEND_DATAGRAM = encode_local(EXTEND)


def names(case: object) -> str | None:
    return type(case).__name__ if isinstance(case, msgspec.Struct) else None


@pytest.mark.parametrize(("decode", "message"), MESSAGES, ids=names)
def test_a_message_is_read_in_its_direction_and_in_no_other(decode: Decode, message: msgspec.Struct) -> None:
    datagram = encode_local(message)  # type: ignore[arg-type]
    assert datagram[0] == LOCAL_VERSION
    assert len(datagram) <= DATAGRAM_BYTES_MAX
    assert decode(datagram) == message
    for other in DECODERS:
        if other is not decode:
            with pytest.raises(TrustError, match="local-malformed"):
                other(datagram)


@pytest.mark.parametrize(("decode", "message"), MESSAGES, ids=names)
def test_cut_short_or_followed_by_more_it_is_refused(decode: Decode, message: msgspec.Struct) -> None:
    datagram = encode_local(message)  # type: ignore[arg-type]
    for length in (*range(min(len(datagram), 200)), len(datagram) - 1):
        with pytest.raises(TrustError, match="local-malformed"):
            decode(datagram[:length])
    with pytest.raises(TrustError, match="local-malformed"):
        decode(datagram + b"\xc0")


def packed(**fields: object) -> bytes:
    """One Extend with fields altered; a field given as ``None`` is left out."""
    tree = {"type": "Extend", "deadline": 300, "generation": 1, "threshold_e4": 5_000, **fields}
    kept = {name: value for name, value in tree.items() if value is not None}
    return bytes([LOCAL_VERSION]) + msgspec.msgpack.encode(kept)


def test_the_hand_packed_message_is_the_message() -> None:
    assert packed() == EXTEND_DATAGRAM


DEEP = b"\x91" * 100_000
REFUSED = {
    "nothing": b"",
    "a version alone": EXTEND_DATAGRAM[:1],
    "an unknown field": packed(note=1),
    "an unknown field, deeply nested": packed(note=msgspec.Raw(DEEP + b"\xc0")),
    "a known field, deeply nested": packed(deadline=msgspec.Raw(DEEP + b"\xc0")),
    "lists all the way down": EXTEND_DATAGRAM[:1] + DEEP,
    "a missing field": packed(deadline=None),
    "an unknown tag": packed(type="Open"),
    "no tag": packed(type=None),
    "a tag of another direction": packed(type="Handled"),
    "an ancestor's tag": packed(type="_Message"),
    "a number as text": packed(deadline="300"),
    "a fraction": packed(deadline=300.5),
    "a whole fraction": packed(deadline=300.0),
    "NaN": packed(deadline=float("nan")),
    "truth for a number": packed(deadline=True),
    "below the range": packed(deadline=-1),
    "above the range": packed(deadline=2**63),
    "a threshold above one": packed(threshold_e4=10_001),
    "a list": EXTEND_DATAGRAM[:1] + msgspec.msgpack.encode(["Extend", 300, 1, 5_000]),
    "a map in another order": EXTEND_DATAGRAM[:1]
    + msgspec.msgpack.encode({"deadline": 300, "generation": 1, "threshold_e4": 5_000, "type": "Extend"}),
    "a duplicate key": EXTEND_DATAGRAM[:1]
    + b"\x85"
    + EXTEND_DATAGRAM[2:]
    + msgspec.msgpack.encode("deadline")
    + b"\x05",
    "a padded integer": EXTEND_DATAGRAM.replace(b"\xcd\x01\x2c", b"\xce\x00\x00\x01\x2c"),
    "text that is not UTF-8": encode_local(local.Close(reason="ordered")).replace(b"ordered", b"order\xff\xfe"),
    "too long": EXTEND_DATAGRAM + bytes(DATAGRAM_BYTES_MAX),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_malformed_datagram_is_refused(name: str) -> None:
    with pytest.raises(TrustError) as caught:
        decode_to_eye(REFUSED[name])
    assert caught.value.rule == "local-malformed"


@pytest.mark.parametrize("version", [0, 2, 0x84, 255])
def test_another_version_is_refused_by_its_own_rule(version: int) -> None:
    with pytest.raises(TrustError) as caught:
        decode_to_eye(bytes([version]) + EXTEND_DATAGRAM[1:])
    assert caught.value.rule == "local-version"


def test_a_message_that_grew_over_the_datagram_is_a_bug_of_ours() -> None:
    grown = local.Publish(kind="alert", message_id="a", expires_at_ms=0, envelope=bytes(DATAGRAM_BYTES_MAX))
    with pytest.raises(InvariantError):
        encode_local(grown)


@settings(max_examples=500)
@given(st.sampled_from(DECODERS), st.binary(max_size=200).map(lambda tail: bytes([LOCAL_VERSION]) + tail))
def test_bytes_by_chance_bring_out_nothing_but_a_trust_error(decode: Decode, datagram: bytes) -> None:
    with pytest.raises(TrustError):
        decode(datagram)


@settings(max_examples=1_000)
@given(st.integers(0, 3), st.integers(0, 400), st.binary(max_size=4), st.integers(0, 4))
def test_an_altered_datagram_is_refused_or_has_one_spelling(which: int, start: int, put: bytes, cut: int) -> None:
    decode, message = [MESSAGES[index] for index in (0, 1, 6, 13)][which]
    datagram = bytearray(encode_local(message))
    datagram[start : start + cut] = put
    try:
        read = decode(bytes(datagram))
    except TrustError:
        return
    assert encode_local(read) == bytes(datagram)
