"""Who said it, and what kind of thing it is: DSSE v1.0 envelopes with Ed25519 (RFC 8032).

Rules of this module:
    1. Signatures are verified over the bytes that arrived, before the payload is parsed.
    2. The payload type is signed with the payload and must be that of the expected statement.
    3. A signer is a thumbprint: SHA-256 over the raw public key, computed here. The envelope's ``keyid`` only says
       which trusted key to try and must equal that thumbprint, so one key under two names counts once.
    4. Every signature must be good. An extra one by a stranger or a damaged one refuses the whole envelope: somebody
       added it, we do not know why, and doubt ends in dormant. It also keeps an envelope from growing on its way.
       The one caller who must look past strangers is roster rotation (``allow_others``): the new root's keys are
       named inside the payload that the old root has yet to vouch for.
    5. A payload is never serialised again: countersigning signs the bytes that are there.

We write DSSE that any reader of DSSE accepts; we read less than DSSE permits: ``keyid`` is required, base64 is the
standard alphabet in its one canonical form, unknown fields and duplicate keys are refused, at most 16 signatures.

This module does not know who holds a key or until when: the caller brings the keys that count (see the roster).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Generic, TypeVar

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from securesystemslib.dsse import Envelope as DsseEnvelope

from appliance.errors import InvariantError, TrustError
from appliance.model.units import Digest, KeyId
from appliance.ports.keys import SigningKey
from appliance.wire import strict_json
from appliance.wire.statements import Statement, statement_type
from appliance.wire.statements.base import Thumbprint

S = TypeVar("S", bound=Statement)

SIGNATURES_MAX = 16
PUBLIC_KEY_BYTES = 32
SIGNATURE_BYTES = 64
WRAPPER_BYTES_MAX = 4_096
"""What an envelope holds besides its payload: 16 signatures of about 180 bytes, the type, white space."""

ENVELOPE_DEPTH_MAX = 3
ENVELOPE_OPENINGS_MAX = 4 * SIGNATURES_MAX
"""Bounds what is parsed of strangers' bytes; wide enough that a seventeenth signature is refused by its own rule."""


class _Signature(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    keyid: Thumbprint
    sig: Annotated[str, msgspec.Meta(min_length=88, max_length=88)]


class _Wire(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The envelope as JSON (DSSE v1.0, envelope.md)."""

    payload: str
    payloadType: Annotated[str, msgspec.Meta(max_length=200)]  # noqa: N815  -- the name that DSSE gives it
    signatures: tuple[_Signature, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened(Generic[S]):
    """A statement whose signers are known.

    Attributes:
        statement: What was said.
        signers: Thumbprints of the distinct trusted keys whose signatures verified.
        payload_digest: SHA-256 over the payload's bytes: names the statement, whoever signed it.
        envelope_digest: SHA-256 over the whole envelope as it arrived: what receipts and acknowledgements quote.
    """

    statement: S = field(repr=False)
    signers: frozenset[KeyId]
    payload_digest: Digest
    envelope_digest: Digest


def open_envelope(
    envelope: bytes | memoryview,
    *,
    expected: type[S],
    trusted: Mapping[KeyId, bytes],
    needed: int = 1,
    allow_others: bool = False,
) -> Opened[S]:
    """Return the statement inside ``envelope``, once it is known who said it and what kind of thing it is.

    There is no ``is_valid()``: a caller who forgets to look at an answer must not get the payload. Two signatures
    are two *keys*; that they are two *persons* is for the caller to see in the roster.

    Args:
        envelope: A DSSE envelope, at most ``envelope_bytes_max(expected)`` long.
        expected: The statement that the caller is prepared for; any other payload type is refused.
        trusted: Key id -> 32 raw bytes of the Ed25519 public key, for every key that may sign this.
        needed: Distinct keys that must have signed, at least 1.
        allow_others: Look past signatures by keys that are not trusted. For roster rotation only (rule 4).

    Raises:
        TrustError: ``envelope-too-large``, ``envelope-malformed``, ``envelope-wrong-type``, ``signature-missing``,
            ``too-many-signatures``, ``signature-duplicate``, ``signer-not-trusted``, ``key-id-not-thumbprint``,
            ``signature-invalid``, ``too-few-signers``, or a ``payload-...`` rule of :mod:`strict_json`.
    """
    if needed < 1:
        raise InvariantError(f"an envelope needs at least one signer, not {needed}")
    arrived = bytes(envelope) if len(envelope) <= envelope_bytes_max(expected) else _refuse_size(envelope, expected)
    wire, payload = _read(arrived, expected)
    signers = _verified_signers(wire, payload, trusted, allow_others=allow_others)
    if len(signers) < needed:
        raise TrustError("too-few-signers", f"expected {needed} distinct keys, found {len(signers)}")
    return Opened(
        statement=strict_json.decode(payload, expected),
        signers=signers,
        payload_digest=sha256_hex(payload),
        envelope_digest=sha256_hex(arrived),
    )


def sign(statement: Statement, *keys: SigningKey) -> bytes:
    """Return an envelope around ``statement`` with one signature of each key.

    Raises:
        TrustError: The statement breaks its own schema (``payload-...``), since what we would refuse we do not
            sign; or ``signature-duplicate``: a key was given twice.
    """
    if not keys:
        raise InvariantError("an envelope needs at least one key to sign it")
    kind = type(statement)
    payload = strict_json.encode(statement)
    strict_json.decode(payload, kind)
    wire = _Wire(payload=base64.b64encode(payload).decode("ascii"), payloadType=statement_type(kind), signatures=())
    for key in keys:
        wire = _with_signature(wire, payload, key)
    return msgspec.json.encode(wire)


def countersign(envelope: bytes, key: SigningKey, *, expected: type[S]) -> bytes:
    """Return ``envelope`` with one more signature, over the payload bytes that are in it.

    It does not verify the signatures that are there: it holds no keys to do so. Show the person what they sign
    (:func:`read_untrusted`); the device counts the signatures.

    Raises:
        TrustError: Not an envelope with an ``expected`` statement; ``signature-duplicate``: this key has signed;
            ``too-many-signatures``.
    """
    if len(envelope) > envelope_bytes_max(expected):
        _refuse_size(envelope, expected)
    wire, payload = _read(envelope, expected)
    strict_json.decode(payload, expected)
    return msgspec.json.encode(_with_signature(wire, payload, key))


def read_untrusted(envelope: bytes, expected: type[S]) -> S:
    """Return what ``envelope`` *claims*, for a person to read before they sign it. Nobody has vouched for it.

    No signature is looked at: anybody could have written every word. Nothing may act on the answer; whatever acts
    calls :func:`open_envelope`.

    Raises:
        TrustError: Not an envelope with an ``expected`` statement.
    """
    if len(envelope) > envelope_bytes_max(expected):
        _refuse_size(envelope, expected)
    _, payload = _read(envelope, expected)
    return strict_json.decode(payload, expected)


def envelope_bytes_max(expected: type[Statement]) -> int:
    """Return the greatest envelope around ``expected`` in bytes: its payload in base64, and the wrapper."""
    return 4 * ((strict_json.payload_bytes_max(expected) + 2) // 3) + WRAPPER_BYTES_MAX


def thumbprint(public: bytes) -> KeyId:
    """Return the key id of a raw Ed25519 or X25519 public key: SHA-256 over its 32 bytes, hex.

    Raises:
        TrustError: ``key-malformed``: not 32 bytes.
    """
    if len(public) != PUBLIC_KEY_BYTES:
        raise TrustError("key-malformed", f"expected {PUBLIC_KEY_BYTES} bytes of public key, found {len(public)}")
    return KeyId(hashlib.sha256(public).hexdigest())


def sha256_hex(data: bytes | memoryview) -> Digest:
    """Return SHA-256 over ``data`` as 64 lower-case hex digits."""
    return Digest(hashlib.sha256(data).hexdigest())


def pae(payload_type: str, payload: bytes) -> bytes:
    """Return the bytes that are signed: DSSE's pre-authentication encoding (DSSE v1.0, protocol.md)."""
    encoded: bytes = DsseEnvelope(payload, payload_type, {}).pae()
    return encoded


def _refuse_size(envelope: bytes | memoryview, expected: type[Statement]) -> bytes:
    most = envelope_bytes_max(expected)
    raise TrustError("envelope-too-large", f"expected at most {most} bytes, found {len(envelope)}")


def _read(envelope: bytes, expected: type[Statement]) -> tuple[_Wire, bytes]:
    """Take the wrapper apart. The payload is bytes still: nobody has looked into it."""
    try:
        tree = strict_json.document(
            envelope,
            bytes_max=envelope_bytes_max(expected),
            depth_max=ENVELOPE_DEPTH_MAX,
            openings_max=ENVELOPE_OPENINGS_MAX,
        )
        wire = strict_json.convert(tree, _Wire)
    except TrustError as error:
        raise TrustError("envelope-malformed", error.message) from None
    wanted = statement_type(expected)
    if wire.payloadType != wanted:
        raise TrustError("envelope-wrong-type", f"expected payload type {wanted}, found another")
    if len(wire.signatures) > SIGNATURES_MAX:
        raise TrustError("too-many-signatures", f"expected at most {SIGNATURES_MAX}, found {len(wire.signatures)}")
    return wire, _from_base64(wire.payload)


def _verified_signers(
    wire: _Wire, payload: bytes, trusted: Mapping[KeyId, bytes], *, allow_others: bool
) -> frozenset[KeyId]:
    if not wire.signatures:
        raise TrustError("signature-missing", "expected at least one signature, found none")
    signed = pae(wire.payloadType, payload)
    signers: set[KeyId] = set()
    for signature in wire.signatures:
        claimed = KeyId(signature.keyid)
        public = trusted.get(claimed)
        if public is None and allow_others:
            continue
        if public is None:
            raise TrustError("signer-not-trusted", "expected signatures by keys that may sign this, found another")
        if thumbprint(public) != claimed:
            raise TrustError("key-id-not-thumbprint", "expected a key id that is the key's SHA-256, found another")
        if claimed in signers:
            raise TrustError("signature-duplicate", "expected one signature of each key, found two")
        _verify(public, _from_base64(signature.sig), signed)
        signers.add(claimed)
    return frozenset(signers)


def _verify(public: bytes, signature: bytes, signed: bytes) -> None:
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, signed)
    except InvalidSignature:
        raise TrustError("signature-invalid", "expected a signature over these bytes, found one that is not") from None


def _with_signature(wire: _Wire, payload: bytes, key: SigningKey) -> _Wire:
    keyid = thumbprint(key.public)
    if any(signature.keyid == keyid for signature in wire.signatures):
        raise TrustError("signature-duplicate", "this key has signed this envelope already; another person's must")
    if len(wire.signatures) >= SIGNATURES_MAX:
        raise TrustError("too-many-signatures", f"expected at most {SIGNATURES_MAX} signatures")
    signature = key.sign(pae(wire.payloadType, payload))
    if len(signature) != SIGNATURE_BYTES:
        raise InvariantError(f"a key made a signature of {len(signature)} bytes instead of {SIGNATURE_BYTES}")
    added = _Signature(keyid=keyid, sig=base64.b64encode(signature).decode("ascii"))
    return msgspec.structs.replace(wire, signatures=(*wire.signatures, added))


def _from_base64(text: str) -> bytes:
    """Decode standard base64 in its one canonical form: one envelope has one spelling of its payload."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise TrustError("envelope-malformed", "expected standard base64 (RFC 4648 §4)") from None
    if base64.b64encode(data).decode("ascii") != text:
        raise TrustError("envelope-malformed", "expected canonical base64: no stray bits, full padding")
    return data
