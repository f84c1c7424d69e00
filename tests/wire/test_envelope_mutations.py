"""Envelopes altered by chance: never accepted as something else, and nothing but a TrustError comes out."""

from __future__ import annotations

import base64
import json
from typing import Any

from envelopes_for_tests import signed_payload
from hypothesis import given, settings
from hypothesis import strategies as st
from keys_for_tests import signing_key, trusted

from appliance.errors import TrustError
from appliance.wire.envelope import Opened, open_envelope, sign
from appliance.wire.statements import Order, statement_type
from appliance.wire.strict_json import encode
from tools import example_statements as told

ORDER = told.activate_order()
ALICE, BOB = signing_key("alice"), signing_key("bob")
GOOD = sign(ORDER, ALICE, BOB)
ORIGINAL = open_envelope(GOOD, expected=Order, trusted=trusted(ALICE, BOB), needed=2)


def _objects(values: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    names = st.sampled_from(["payload", "payloadType", "signatures", "keyid", "sig", "note"])
    return st.dictionaries(names, values, max_size=3)


JSON_LEAVES = st.none() | st.booleans() | st.integers() | st.text(max_size=20) | st.just(ALICE.key_id)
JSON_VALUES = st.recursive(JSON_LEAVES, lambda inner: st.lists(inner, max_size=3) | _objects(inner), max_leaves=8)


def opened(envelope: bytes) -> Opened[Order] | None:
    try:
        return open_envelope(envelope, expected=Order, trusted=trusted(ALICE, BOB), needed=2)
    except TrustError:
        return None


def assert_refused_or_unchanged(envelope: bytes) -> None:
    """Another spelling of the wrapper says the same; anything that says something else is refused."""
    answer = opened(envelope)
    if answer is not None:
        assert answer.statement == ORDER
        assert answer.payload_digest == ORIGINAL.payload_digest
        assert answer.signers == ORIGINAL.signers


@st.composite
def edited(draw: st.DrawFn) -> bytes:
    """A few splices: bytes cut out, put in, or copied from elsewhere in the envelope."""
    data = bytearray(GOOD)
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(data)))
        end = min(len(data), start + draw(st.integers(0, 12)))
        copied_from = draw(st.integers(0, len(GOOD)))
        copy = GOOD[copied_from : copied_from + draw(st.integers(0, 200))]
        data[start:end] = draw(
            st.binary(max_size=8) | st.just(copy) | st.sampled_from([b" ", b'"', b"\\", b"{}", b"\n"])
        )
    return bytes(data)


@settings(max_examples=1_000)
@given(edited())
def test_an_envelope_with_bytes_altered_is_refused(envelope: bytes) -> None:
    assert_refused_or_unchanged(envelope)


@settings(max_examples=500)
@given(st.sampled_from(["payload", "payloadType", "signatures"]), JSON_VALUES)
def test_an_envelope_with_a_field_replaced_is_refused(name: str, value: object) -> None:
    wire = json.loads(GOOD)
    wire[name] = value
    assert opened(json.dumps(wire).encode()) is None or wire == json.loads(GOOD)


@settings(max_examples=500)
@given(st.integers(0, 1), st.sampled_from(["keyid", "sig"]), JSON_VALUES)
def test_an_envelope_with_a_signature_altered_is_refused(index: int, name: str, value: object) -> None:
    wire = json.loads(GOOD)
    wire["signatures"][index][name] = value
    assert opened(json.dumps(wire).encode()) is None or wire == json.loads(GOOD)


@settings(max_examples=500)
@given(st.binary(min_size=64, max_size=64))
def test_no_signature_by_chance_is_good(signature: bytes) -> None:
    wire = json.loads(GOOD)
    wire["signatures"][1]["sig"] = base64.b64encode(signature).decode()
    assert opened(json.dumps(wire).encode()) is None


@settings(max_examples=500)
@given(st.binary(max_size=300) | st.text(alphabet='{}[]",:0123456789eE.-ntfu\\', max_size=300).map(str.encode))
def test_signed_nonsense_is_refused_by_a_rule(payload: bytes) -> None:
    assert opened(signed_payload(payload, statement_type(Order), ALICE, BOB)) is None


@settings(max_examples=500)
@given(st.sampled_from(list(json.loads(encode(ORDER)))), JSON_VALUES)
def test_a_signed_order_with_a_field_of_chance_is_read_as_it_stands_or_refused(name: str, value: object) -> None:
    tree = json.loads(encode(ORDER)) | {name: value}
    answer = opened(signed_payload(json.dumps(tree).encode(), statement_type(Order), ALICE, BOB))
    assert answer is None or json.loads(encode(answer.statement)) == tree
