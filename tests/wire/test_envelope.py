"""Envelopes: who may say what, and every way in which an envelope is not one."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest
from envelopes_for_tests import resigned, signed_payload, with_payload, with_wrapper
from keys_for_tests import MemorySigningKey, signing_key, trusted

from appliance.errors import InvariantError, TrustError
from appliance.model.units import KeyId
from appliance.wire.envelope import (
    SIGNATURES_MAX,
    WRAPPER_BYTES_MAX,
    countersign,
    envelope_bytes_max,
    open_envelope,
    pae,
    read_untrusted,
    sha256_hex,
    sign,
    thumbprint,
)
from appliance.wire.local import ENVELOPE_BYTES_MAX_LOCAL
from appliance.wire.statements import (
    STATEMENTS,
    Acknowledgement,
    Alert,
    Authority,
    Order,
    Receipt,
    Statement,
    statement_type,
)
from appliance.wire.strict_json import encode
from tools import example_statements as told

ORDER = told.activate_order()
ORDER_TYPE = statement_type(Order)
ALICE = signing_key("alice")
BOB = signing_key("bob")
MALLORY = signing_key("mallory")
TRUSTED = trusted(ALICE, BOB)
GOOD = sign(ORDER, ALICE)
TWICE = sign(ORDER, ALICE, BOB)

ED25519_ORDER = 2**252 + 27742317777372353535851937790883648493


def opens(
    envelope: bytes, *, expected: type[Statement] = Order, needed: int = 1, keys: dict[KeyId, bytes] | None = None
) -> None:
    open_envelope(envelope, expected=expected, trusted=TRUSTED if keys is None else keys, needed=needed)


def wrapper(change: Callable[[dict[str, Any]], object], envelope: bytes = GOOD) -> bytes:
    return with_wrapper(envelope, change)


def first_signature(**fields: Any) -> bytes:
    return wrapper(lambda wire: wire["signatures"][0].update(fields))


def more_signatures(*extra: dict[str, str]) -> bytes:
    return wrapper(lambda wire: wire["signatures"].extend(extra))


def signature_of(envelope: bytes, index: int = 0) -> dict[str, str]:
    entry: dict[str, str] = json.loads(envelope)["signatures"][index]
    return entry


def with_s_plus_order(envelope: bytes) -> bytes:
    """Return the envelope with the other spelling of the same Ed25519 equation (RFC 8032 §5.1.7 forbids it)."""
    raw = base64.b64decode(signature_of(envelope)["sig"])
    s = int.from_bytes(raw[32:], "little") + ED25519_ORDER
    return first_signature(sig=base64.b64encode(raw[:32] + s.to_bytes(32, "little")).decode())


SIG = signature_of(GOOD)["sig"]
OTHER = sign(told.watchlist_manifest(), ALICE)

REFUSED: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "envelope-malformed"),
    "no JSON": (b"\x00\x01", "envelope-malformed"),
    "a list": (b"[]", "envelope-malformed"),
    "an empty object": (b"{}", "envelope-malformed"),
    "the bare payload": (encode(ORDER), "envelope-malformed"),
    "a byte order mark": (b"\xef\xbb\xbf" + GOOD, "envelope-malformed"),
    "two envelopes in a row": (GOOD + GOOD, "envelope-malformed"),
    "an envelope in a list": (b"[" + GOOD + b"]", "envelope-malformed"),
    "a duplicate payload": (GOOD[:-1] + b',"payload":""}', "envelope-malformed"),
    "a duplicate payload type": (GOOD[:-1] + b',"payloadType":"x"}', "envelope-malformed"),
    "duplicate signatures field": (GOOD[:-1] + b',"signatures":[]}', "envelope-malformed"),
    "a duplicate key id inside a signature": (GOOD.replace(b'"sig"', b'"keyid":"00","sig"'), "envelope-malformed"),
    "an unknown field": (GOOD[:-1] + b',"note":"x"}', "envelope-malformed"),
    "an unknown field in a signature": (first_signature(note="x"), "envelope-malformed"),
    "NaN": (GOOD[:-1] + b',"x":NaN}', "envelope-malformed"),
    "deep nesting": (b'{"payload":' + b"[" * 9_000, "envelope-malformed"),
    "a field that is deeply nested": (wrapper(lambda wire: wire.update(payload=[[[[]]]])), "envelope-malformed"),
    "many brackets side by side": (b"[" + b"{}," * 3_000 + b"{}]", "envelope-malformed"),
    "no payload": (wrapper(lambda wire: wire.pop("payload")), "envelope-malformed"),
    "no payload type": (wrapper(lambda wire: wire.pop("payloadType")), "envelope-malformed"),
    "no signatures field": (wrapper(lambda wire: wire.pop("signatures")), "envelope-malformed"),
    "signatures as an object": (wrapper(lambda wire: wire.update(signatures={})), "envelope-malformed"),
    "a signature as text": (wrapper(lambda wire: wire.update(signatures=["x"])), "envelope-malformed"),
    "payload as an object": (wrapper(lambda wire: wire.update(payload={})), "envelope-malformed"),
    "payload null": (wrapper(lambda wire: wire.update(payload=None)), "envelope-malformed"),
    "no signatures": (wrapper(lambda wire: wire.update(signatures=[])), "signature-missing"),
    "a signature without a key id": (wrapper(lambda wire: wire["signatures"][0].pop("keyid")), "envelope-malformed"),
    "an empty key id": (first_signature(keyid=""), "envelope-malformed"),
    "a key id that is a name": (first_signature(keyid="alice"), "envelope-malformed"),
    "a key id in capitals": (first_signature(keyid=ALICE.key_id.upper()), "envelope-malformed"),
    "a key id with a newline": (first_signature(keyid=ALICE.key_id + "\n"), "envelope-malformed"),
    "a signature without a signature": (wrapper(lambda w: w["signatures"][0].pop("sig")), "envelope-malformed"),
    "an empty signature": (first_signature(sig=""), "envelope-malformed"),
    "a signature of 63 bytes": (first_signature(sig=base64.b64encode(bytes(63)).decode()), "envelope-malformed"),
    "a signature of 65 bytes": (first_signature(sig=base64.b64encode(bytes(65)).decode()), "signature-invalid"),
    "a signature of zeros": (first_signature(sig=base64.b64encode(bytes(64)).decode()), "signature-invalid"),
    "a signature in URL-safe base64": (first_signature(sig="-_" + SIG[2:]), "envelope-malformed"),
    "a signature with stray bits": (first_signature(sig=SIG[:85] + chr(ord(SIG[85]) + 1) + "=="), "envelope-malformed"),
    "a signature in hex": (first_signature(sig=base64.b64decode(SIG).hex()), "envelope-malformed"),
    "the other half of a malleable signature": (with_s_plus_order(GOOD), "signature-invalid"),
    "a payload with white space": (wrapper(lambda w: w.update(payload=w["payload"] + "\n")), "envelope-malformed"),
    "a payload without padding": (wrapper(lambda w: w.update(payload=w["payload"].rstrip("="))), "envelope-malformed"),
    "a payload beyond ASCII": (wrapper(lambda w: w.update(payload="é" + w["payload"][1:])), "envelope-malformed"),
    "another payload": (with_payload(GOOD, encode(ORDER).replace(b":900", b":901")), "signature-invalid"),
    "the payload with a space": (with_payload(GOOD, encode(ORDER) + b" "), "signature-invalid"),
    "an empty payload": (with_payload(GOOD, b""), "signature-invalid"),
    "another statement's signature": (first_signature(sig=signature_of(OTHER)["sig"]), "signature-invalid"),
    "the signature without the encoding": (
        first_signature(sig=base64.b64encode(ALICE.sign(encode(ORDER))).decode()),
        "signature-invalid",
    ),
    "a signature by another under this key id": (
        first_signature(sig=signature_of(sign(ORDER, BOB))["sig"]),
        "signature-invalid",
    ),
    "a stranger": (sign(ORDER, MALLORY), "signer-not-trusted"),
    "a stranger beside a good signer": (sign(ORDER, ALICE, MALLORY), "signer-not-trusted"),
    "a stranger's bad signature beside a good one": (
        more_signatures({"keyid": "00" * 32, "sig": SIG}),
        "signer-not-trusted",
    ),
    "a damaged signature beside a good one": (more_signatures({"keyid": BOB.key_id, "sig": SIG}), "signature-invalid"),
    "the same signature twice": (more_signatures(signature_of(GOOD)), "signature-duplicate"),
    "seventeen signatures": (more_signatures(*[signature_of(GOOD)] * SIGNATURES_MAX), "too-many-signatures"),
    "another statement": (OTHER, "envelope-wrong-type"),
    "the type swapped": (wrapper(lambda w: w.update(payloadType=statement_type(Receipt))), "envelope-wrong-type"),
    "another version of the type": (
        wrapper(lambda w: w.update(payloadType=ORDER_TYPE.replace("v1", "v2"))),
        "envelope-wrong-type",
    ),
    "the type in capitals": (wrapper(lambda w: w.update(payloadType=ORDER_TYPE.upper())), "envelope-wrong-type"),
    "an empty type": (wrapper(lambda w: w.update(payloadType="")), "envelope-wrong-type"),
    "a long type": (wrapper(lambda w: w.update(payloadType="x" * 201)), "envelope-malformed"),
    "an envelope in an envelope": (signed_payload(GOOD, ORDER_TYPE, ALICE), "payload-unknown-field"),
    "a signed payload of another type": (
        signed_payload(encode(told.watchlist_manifest()), ORDER_TYPE, ALICE),
        "payload-unknown-field",
    ),
    "a signed duplicate key": (
        resigned(GOOD, lambda payload: payload[:-1] + b',"counter":1}', ALICE),
        "payload-duplicate-key",
    ),
    "a signed NaN": (resigned(GOOD, lambda p: p.replace(b":101", b":NaN"), ALICE), "payload-not-a-number"),
    "a signed depth": (signed_payload(b"[" * 8_000, ORDER_TYPE, ALICE), "payload-too-deep"),
    "a signed giant": (signed_payload(b" " * 8_193, ORDER_TYPE, ALICE), "payload-too-large"),
    "signed nothing": (signed_payload(b"", ORDER_TYPE, ALICE), "payload-not-json"),
    "too large": (GOOD + b" " * envelope_bytes_max(Order), "envelope-too-large"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_an_envelope_that_is_not_right_is_refused_by_its_own_rule(name: str) -> None:
    envelope, rule = REFUSED[name]
    with pytest.raises(TrustError) as caught:
        opens(envelope)
    assert caught.value.rule == rule


def test_a_good_envelope_tells_its_statement_its_signers_and_its_digests() -> None:
    opened = open_envelope(TWICE, expected=Order, trusted=TRUSTED, needed=2)
    assert opened.statement == ORDER
    assert opened.signers == {ALICE.key_id, BOB.key_id}
    assert opened.payload_digest == hashlib.sha256(encode(ORDER)).hexdigest()
    assert opened.envelope_digest == hashlib.sha256(TWICE).hexdigest()


def test_an_opened_envelope_does_not_print_its_statement() -> None:
    assert "p-dan" not in repr(open_envelope(GOOD, expected=Order, trusted=TRUSTED))


def test_a_view_of_memory_is_opened_like_bytes() -> None:
    view = memoryview(b"xx" + GOOD)[2:]
    assert open_envelope(view, expected=Order, trusted=TRUSTED).envelope_digest == sha256_hex(GOOD)


def test_one_signer_is_not_two() -> None:
    with pytest.raises(TrustError, match="too-few-signers"):
        opens(GOOD, needed=2)


def test_two_signers_are_not_three() -> None:
    with pytest.raises(TrustError, match="too-few-signers"):
        opens(TWICE, needed=3)


def test_one_key_trusted_under_two_ids_cannot_sign_twice() -> None:
    alias = KeyId("ab" * 32)
    envelope = more_signatures({"keyid": alias, "sig": SIG})
    with pytest.raises(TrustError, match="key-id-not-thumbprint"):
        opens(envelope, needed=2, keys={ALICE.key_id: ALICE.public, alias: ALICE.public})


def test_a_key_of_the_wrong_length_is_refused_whoever_trusts_it() -> None:
    with pytest.raises(TrustError, match="key-malformed"):
        opens(GOOD, keys={ALICE.key_id: ALICE.public[:31]})


def test_nobody_is_trusted_when_nobody_is_named() -> None:
    with pytest.raises(TrustError, match="signer-not-trusted"):
        opens(GOOD, keys={})


def test_bytes_that_are_no_point_on_the_curve_verify_nothing() -> None:
    public = b"\xff" * 32
    keyid = thumbprint(public)
    with pytest.raises(TrustError, match="signature-invalid"):
        opens(first_signature(keyid=keyid), keys={keyid: public})


def test_no_signers_needed_is_a_bug_of_ours() -> None:
    with pytest.raises(InvariantError):
        opens(GOOD, needed=0)


def test_strangers_are_looked_past_only_when_asked() -> None:
    envelope = sign(ORDER, MALLORY, ALICE)
    opened = open_envelope(envelope, expected=Order, trusted=TRUSTED, allow_others=True)
    assert opened.signers == {ALICE.key_id}


def test_strangers_alone_are_too_few_even_when_they_are_looked_past() -> None:
    with pytest.raises(TrustError, match="too-few-signers"):
        open_envelope(sign(ORDER, MALLORY), expected=Order, trusted=TRUSTED, allow_others=True)


def test_a_bad_signature_under_a_trusted_key_is_never_looked_past() -> None:
    envelope = more_signatures({"keyid": BOB.key_id, "sig": SIG})
    with pytest.raises(TrustError, match="signature-invalid"):
        open_envelope(envelope, expected=Order, trusted=TRUSTED, allow_others=True)


def test_the_payload_is_not_parsed_before_the_signature_is_good() -> None:
    """A payload that would be refused by a payload rule is refused for its signature first."""
    with pytest.raises(TrustError, match="signature-invalid"):
        opens(with_payload(GOOD, b'{"counter":1,"counter":1}'))


@pytest.mark.parametrize("kind", STATEMENTS, ids=lambda kind: kind.__name__)
def test_no_statement_opens_as_another(kind: type[Statement]) -> None:
    for example in told.examples():
        keys = trusted(*example.signers)
        if type(example.statement) is kind:
            assert open_envelope(example.envelope(), expected=kind, trusted=keys).statement == example.statement
        else:
            with pytest.raises(TrustError, match=r"envelope-wrong-type|envelope-too-large"):
                opens(example.envelope(), expected=kind, keys=keys)


def test_truncated_anywhere_it_is_refused() -> None:
    for length in range(len(TWICE)):
        with pytest.raises(TrustError):
            opens(TWICE[:length])


def test_with_any_one_bit_flipped_it_is_refused() -> None:
    for position in range(len(GOOD)):
        for bit in range(8):
            flipped = bytearray(GOOD)
            flipped[position] ^= 1 << bit
            with pytest.raises(TrustError):
                opens(bytes(flipped))


def test_countersigning_elsewhere_gives_the_same_bytes_as_signing_together() -> None:
    assert countersign(GOOD, BOB, expected=Order) == TWICE


def test_countersigning_keeps_a_payload_that_we_would_have_spelled_otherwise() -> None:
    spelled = json.dumps(json.loads(encode(ORDER)), indent=1).encode()
    envelope = countersign(signed_payload(spelled, ORDER_TYPE, ALICE), BOB, expected=Order)
    opened = open_envelope(envelope, expected=Order, trusted=TRUSTED, needed=2)
    assert opened.payload_digest == hashlib.sha256(spelled).hexdigest()


def test_nobody_countersigns_twice() -> None:
    with pytest.raises(TrustError, match="signature-duplicate"):
        countersign(TWICE, ALICE, expected=Order)


def test_nobody_signs_twice() -> None:
    with pytest.raises(TrustError, match="signature-duplicate"):
        sign(ORDER, ALICE, ALICE)


@pytest.mark.parametrize(
    ("envelope", "expected", "rule"),
    [
        (GOOD, Authority, "envelope-wrong-type"),
        (GOOD + b" " * envelope_bytes_max(Order), Order, "envelope-too-large"),
        (GOOD[:-1], Order, "envelope-malformed"),
        (signed_payload(b"{}", ORDER_TYPE, ALICE), Order, "payload-missing-field"),
        (signed_payload(b'{"a":1,"a":1}', ORDER_TYPE, ALICE), Order, "payload-duplicate-key"),
    ],
)
def test_nobody_countersigns_or_is_shown_what_a_device_would_refuse(
    envelope: bytes, expected: type[Statement], rule: str
) -> None:
    with pytest.raises(TrustError, match=rule):
        countersign(envelope, BOB, expected=expected)
    with pytest.raises(TrustError, match=rule):
        read_untrusted(envelope, expected)


def test_sixteen_may_sign_and_a_seventeenth_may_not() -> None:
    keys = [signing_key(f"signer {number}") for number in range(SIGNATURES_MAX)]
    full = sign(ORDER, *keys)
    assert len(open_envelope(full, expected=Order, trusted=trusted(*keys), needed=SIGNATURES_MAX).signers) == 16
    with pytest.raises(TrustError, match="too-many-signatures"):
        countersign(full, ALICE, expected=Order)


def test_sixteen_signatures_and_white_space_fit_the_wrapper() -> None:
    keys = [signing_key(f"signer {number}") for number in range(SIGNATURES_MAX)]
    acknowledgement = next(e.statement for e in told.examples() if isinstance(e.statement, Acknowledgement))
    payload_chars = 4 * ((len(encode(acknowledgement)) + 2) // 3)
    assert len(sign(acknowledgement, *keys)) - payload_chars < WRAPPER_BYTES_MAX - 500


def test_what_breaks_its_own_schema_is_not_signed() -> None:
    order = told.activate_order()
    wrong = type(order)(**{name: getattr(order, name) for name in order.__struct_fields__} | {"lease_seconds": 9_999})
    with pytest.raises(TrustError, match="payload-wrong-type"):
        sign(wrong, ALICE)


def test_nothing_is_signed_by_nobody() -> None:
    with pytest.raises(InvariantError):
        sign(ORDER)


def test_a_key_that_makes_something_else_than_a_signature_is_a_bug_of_ours() -> None:
    class Short(MemorySigningKey):
        def sign(self, data: bytes) -> bytes:
            return super().sign(data)[:63]

    with pytest.raises(InvariantError):
        sign(ORDER, Short(bytes(32)))


def test_reading_untrusted_reads_what_nobody_signed() -> None:
    assert read_untrusted(wrapper(lambda wire: wire.update(signatures=[])), Order) == ORDER


def test_the_greatest_alert_fits_a_local_datagram() -> None:
    assert envelope_bytes_max(Alert) <= ENVELOPE_BYTES_MAX_LOCAL


def test_a_thumbprint_is_the_digest_of_the_raw_key() -> None:
    assert thumbprint(ALICE.public) == hashlib.sha256(ALICE.public).hexdigest() == ALICE.key_id
    for length in (0, 31, 33, 64):
        with pytest.raises(TrustError, match="key-malformed"):
            thumbprint(bytes(length))


@pytest.mark.parametrize(
    ("payload_type", "payload", "encoded"),
    [
        # DSSE v1.0 protocol.md, test vector
        ("http://example.com/HelloWorld", b"hello world", b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"),
        ("", b"", b"DSSEv1 0  0 "),
        ("é", b"\x00 \xff", b"DSSEv1 2 \xc3\xa9 3 \x00 \xff"),
    ],
)
def test_what_is_signed_is_the_pre_authentication_encoding(payload_type: str, payload: bytes, encoded: bytes) -> None:
    assert pae(payload_type, payload) == encoded
