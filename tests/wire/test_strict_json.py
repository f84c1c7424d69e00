"""Strict JSON: what is refused, by which rule, and that nothing but a TrustError comes out."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.errors import InvariantError, TrustError
from appliance.wire import strict_json
from appliance.wire.statements import (
    STATEMENTS,
    Acknowledgement,
    DeviceStatus,
    Order,
    Roster,
    SealedAlert,
    WatchlistEntry,
)
from appliance.wire.strict_json import MIB, PAYLOAD_BYTES_MAX, decode, decode_list, encode
from tools import example_statements as told

ORDER = told.activate_order()
PAYLOAD = encode(ORDER)


def changed(old: bytes, new: bytes) -> bytes:
    assert PAYLOAD.count(old) == 1
    return PAYLOAD.replace(old, new)


REFUSED = {
    "nothing": (b"", "payload-not-json"),
    "white space only": (b"  \n", "payload-not-json"),
    "byte order mark": (b"\xef\xbb\xbf" + PAYLOAD, "payload-not-json"),
    "UTF-16": (PAYLOAD.decode().encode("utf-16"), "payload-not-json"),
    "bytes that are not UTF-8": (changed(b"p-dan", b"p-\xff"), "payload-not-json"),
    "an overlong UTF-8 slash": (changed(b"p-dan", b"p-\xc0\xaf"), "payload-not-json"),
    "a surrogate in UTF-8": (changed(b"Officers", b"\xed\xa0\x80"), "payload-not-json"),
    "an escaped lone surrogate": (changed(b"Officers", b"\\ud800"), "payload-not-json"),
    "an escaped lone surrogate as a key": (changed(b'"reason"', b'"\\udfff":1,"reason"'), "payload-not-json"),
    "a control character in a string": (changed(b"Officers", b"\x00"), "payload-not-json"),
    "two documents": (PAYLOAD + PAYLOAD, "payload-not-json"),
    "something after the end": (PAYLOAD + b"x", "payload-not-json"),
    "a comment": (PAYLOAD + b"// yes", "payload-not-json"),
    "a trailing comma": (PAYLOAD[:-1] + b",}", "payload-not-json"),
    "single quotes": (PAYLOAD.replace(b'"', b"'"), "payload-not-json"),
    "duplicate key": (PAYLOAD[:-1] + b',"counter":101}', "payload-duplicate-key"),
    "duplicate key, spelled with an escape": (PAYLOAD[:-1] + b',"\\u0063ounter":101}', "payload-duplicate-key"),
    "duplicate unknown key": (PAYLOAD[:-1] + b',"x":1,"x":1}', "payload-duplicate-key"),
    "NaN": (changed(b'"counter":101', b'"counter":NaN'), "payload-not-a-number"),
    "Infinity": (changed(b'"counter":101', b'"counter":Infinity'), "payload-not-a-number"),
    "minus Infinity": (changed(b'"counter":101', b'"counter":-Infinity'), "payload-not-a-number"),
    "a fraction": (changed(b'"counter":101', b'"counter":101.5'), "payload-not-an-integer"),
    "a whole number written as a fraction": (changed(b'"counter":101', b'"counter":101.0'), "payload-not-an-integer"),
    "an exponent": (changed(b'"counter":101', b'"counter":1e2'), "payload-not-an-integer"),
    "an exponent beyond all floats": (changed(b'"counter":101', b'"counter":1e999'), "payload-not-an-integer"),
    "an integer of twenty digits": (changed(b'"counter":101', b'"counter":' + b"9" * 20), "payload-not-an-integer"),
    "an integer of five thousand": (changed(b'"counter":101', b'"counter":' + b"9" * 5_000), "payload-not-an-integer"),
    "a leading zero": (changed(b'"counter":101', b'"counter":0101'), "payload-not-json"),
    "a plus sign": (changed(b'"counter":101', b'"counter":+101'), "payload-not-json"),
    "a number as text": (changed(b'"counter":101', b'"counter":"101"'), "payload-wrong-type"),
    "a number as truth": (changed(b'"counter":101', b'"counter":true'), "payload-wrong-type"),
    "null": (changed(b'"counter":101', b'"counter":null'), "payload-wrong-type"),
    "a list for a text": (changed(b'"p-dan"', b'["p-dan"]'), "payload-wrong-type"),
    "below the range": (changed(b'"counter":101', b'"counter":-1'), "payload-wrong-type"),
    "above the range": (changed(b'"lease_seconds":900', b'"lease_seconds":3601'), "payload-wrong-type"),
    "an unknown verb": (changed(b'"activate"', b'"open"'), "payload-wrong-type"),
    "a verb in capitals": (changed(b'"activate"', b'"ACTIVATE"'), "payload-wrong-type"),
    "an id with a slash": (changed(b'"p-dan"', b'"p/dan"'), "payload-wrong-type"),
    "an id with a newline at its end": (changed(b'"p-dan"', b'"p-dan\\n"'), "payload-wrong-type"),
    "an empty id": (changed(b'"p-dan"', b'""'), "payload-wrong-type"),
    "an id of 65 characters": (changed(b'"p-dan"', b'"' + b"a" * 65 + b'"'), "payload-wrong-type"),
    "unknown field": (PAYLOAD[:-1] + b',"note":"x"}', "payload-unknown-field"),
    "a known field in capitals": (changed(b'"counter"', b'"COUNTER"'), "payload-unknown-field"),
    "missing field": (changed(b'"counter":101,', b""), "payload-missing-field"),
    "no fields": (b"{}", "payload-missing-field"),
    "a list": (b"[" + PAYLOAD + b"]", "payload-wrong-type"),
    "a text": (b'"activate"', "payload-wrong-type"),
    "null alone": (b"null", "payload-wrong-type"),
    "nine levels": (b"[" * 9 + b"]" * 9, "payload-too-deep"),
    "eight thousand open brackets": (b"[" * 8_000, "payload-too-deep"),
    "objects all the way down": (b'{"a":' * 1_000 + b"1" + b"}" * 1_000, "payload-too-deep"),
    "brackets after an escaped quote": (b'["\\"",' + b"[" * 100 + b"]" * 101, "payload-too-deep"),
    "brackets after a stray backslash": (b'\\"' + b"[" * 100 + b'"', "payload-too-deep"),
    "brackets in a string that never ends": (b'["' + b"[" * 100, "payload-not-json"),
    "a backslash at the end": (b'["\\', "payload-not-json"),
    "brackets after an escaped backslash": (b'["\\\\",' + b"[" * 100 + b"]" * 101, "payload-too-deep"),
    "nothing but closing brackets": (b"]" * 8_000, "payload-not-json"),
    "a byte too many": (b" " * (PAYLOAD_BYTES_MAX[Order] + 1), "payload-too-large"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_payload_that_is_not_strict_is_refused_by_its_own_rule(name: str) -> None:
    payload, rule = REFUSED[name]
    with pytest.raises(TrustError) as caught:
        decode(payload, Order)
    assert caught.value.rule == rule


def test_the_size_is_looked_at_before_anything_else() -> None:
    with pytest.raises(TrustError, match="payload-too-large"):
        decode(b"[" * (PAYLOAD_BYTES_MAX[Order] + 1), Order)


def test_a_payload_of_the_greatest_size_is_read() -> None:
    padding = PAYLOAD_BYTES_MAX[Order] - len(PAYLOAD)
    assert decode(PAYLOAD + b" " * padding, Order) == ORDER


def test_brackets_inside_strings_count_for_nothing() -> None:
    payload = changed(b"Officers and signs are in place", b'[[[[[[[[[[{{{{{{{{ \\" [[[[')
    assert decode(payload, Order).reason.startswith("[[[[")


def test_more_brackets_than_any_statement_needs_are_refused_before_parsing() -> None:
    with pytest.raises(TrustError, match="payload-too-large"):
        strict_json.document(b"[" + b"[]," * 10 + b"[]]", bytes_max=1_000, openings_max=11)
    assert len(strict_json.document(b"[" + b"[]," * 10 + b"[]]", bytes_max=1_000, openings_max=12)) == 11


@pytest.mark.parametrize("unit", [b'\\"', b'"', b'"\\', b"\\", b"]", b"[", b"[]", b"[],", b'"",', b"0,", b'{"":0},'])
def test_megabytes_of_nonsense_are_refused_in_no_time(unit: bytes) -> None:
    """What nobody has signed must not cost much: a quadratic step would take hours here, not a second."""
    nonsense = unit * (4 * MIB // len(unit))
    for start in (b"", b"[", b'["', b'{"":'):
        with pytest.raises(TrustError):
            strict_json.document(start + nonsense, bytes_max=8 * MIB, openings_max=18)


def test_more_strings_and_commas_than_any_statement_needs_are_refused_before_parsing() -> None:
    for members, allowed in ((33, True), (34, False)):
        payload = b"[" + b",".join([b'""'] * members) + b"]"  # two quotes each, and the commas between
        if allowed:
            assert len(strict_json.document(payload, bytes_max=1_000, openings_max=1)) == members
        else:
            with pytest.raises(TrustError, match="payload-too-large"):
                strict_json.document(payload, bytes_max=1_000, openings_max=1)


def test_white_space_order_and_escapes_are_the_writers_business() -> None:
    respelled = json.dumps(dict(reversed(json.loads(PAYLOAD).items())), indent=3).replace("p-dan", "\\u0070-dan")
    assert decode(respelled.encode(), Order) == ORDER


def test_an_escaped_pair_of_surrogates_is_one_character() -> None:
    assert decode(changed(b"Officers", b"\\ud83d\\ude00"), Order).reason.startswith("\N{GRINNING FACE}")


@pytest.mark.parametrize("name", ["an unknown verb", "unknown field", "duplicate key", "a list for a text"])
def test_a_message_never_quotes_what_the_sender_wrote(name: str) -> None:
    payload = REFUSED[name][0].replace(b"p-dan", b"p-SECRET").replace(b'"open"', b'"SECRET"')
    payload = payload.replace(b'"note"', b'"SECRET"')
    with pytest.raises(TrustError) as caught:
        decode(payload, Order)
    assert "SECRET" not in str(caught.value)


def test_a_message_names_the_place() -> None:
    payload = encode(told.roster()).replace(b'"operator"', b'"emperor"')
    with pytest.raises(TrustError, match=r"people\[3\]\.roles\[0\]"):
        decode(payload, Roster)


def test_a_message_does_not_quote_a_key_of_a_table_either() -> None:
    status = next(e.statement for e in told.examples() if isinstance(e.statement, DeviceStatus))
    for old, new in ((b'"too-small":1322', b'"SECRET":true'), (b'"too-small"', b'"SECRET !"')):
        with pytest.raises(TrustError, match="payload-wrong-type") as caught:
            decode(encode(status).replace(old, new), DeviceStatus)
        assert "SECRET" not in str(caught.value)


def test_every_statement_has_a_greatest_size() -> None:
    assert set(PAYLOAD_BYTES_MAX) == {*STATEMENTS, SealedAlert, WatchlistEntry}


def test_a_type_without_a_greatest_size_is_a_bug_of_ours() -> None:
    with pytest.raises(InvariantError):
        decode(b"{}", told.EyeCounts)


@pytest.mark.parametrize("example", told.examples(), ids=lambda example: type(example.statement).__name__)
def test_what_is_written_is_read_again(example: told.Example) -> None:
    payload = encode(example.statement)
    assert decode(payload, type(example.statement)) == example.statement
    assert (
        payload == json.dumps(json.loads(payload), sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    )


def test_a_list_is_read_element_by_element() -> None:
    entry = told.watchlist_entry()
    payload = b"[" + encode(entry) + b"," + encode(entry) + b"]"
    assert decode_list(payload, WatchlistEntry, bytes_max=10_000, elements_max=2) == (entry, entry)


@pytest.mark.parametrize(
    ("payload", "rule"),
    [
        (b"{}", "payload-wrong-type"),
        (b"[{}]", "payload-missing-field"),
        (b"[1,1,1]", "payload-too-large"),
        (b" " * 101, "payload-too-large"),
        (b'[{"a":1,"a":1}]', "payload-duplicate-key"),
    ],
)
def test_a_list_is_as_strict_as_a_statement(payload: bytes, rule: str) -> None:
    with pytest.raises(TrustError) as caught:
        decode_list(payload, WatchlistEntry, bytes_max=100, elements_max=2)
    assert caught.value.rule == rule


@given(st.binary(max_size=200))
def test_no_bytes_bring_out_anything_but_a_trust_error(payload: bytes) -> None:
    with pytest.raises(TrustError):
        decode(payload, Order)


@given(st.text(alphabet='{}[]",:\\0123456789.eE+-NaInfity tru"ud8', max_size=200))
def test_no_text_that_looks_like_json_brings_out_anything_but_a_trust_error(text: str) -> None:
    with pytest.raises(TrustError):
        decode(text.encode(), Acknowledgement)


def trees() -> st.SearchStrategy[object]:
    leaves = st.none() | st.booleans() | st.integers(-(10**19) + 1, 10**19 - 1) | st.text(max_size=5)
    return st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
        max_leaves=30,
    )


@given(trees())
def test_the_tree_is_the_one_that_the_standard_library_reads(tree: object) -> None:
    assert strict_json.document(json.dumps(tree).encode(), bytes_max=100_000, depth_max=100) == tree
