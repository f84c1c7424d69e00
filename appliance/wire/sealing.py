"""What only one recipient may read: one HPKE ciphertext (RFC 9180, base mode, single shot), bound to what it is.

Rules of this module:
    1. A sealed text is standard base64 of one suite byte, then ``enc || ct``. Suite 1 is X25519, HKDF-SHA256,
       AES-256-GCM (KEM 0x0020, KDF 0x0001, AEAD 0x0002); every other byte is refused, and never guessed at.
    2. ``info`` says what the plaintext is and whose, so that a seal lifted into another statement does not open. The
       builders below are the only ones; their fields are length-prefixed, so no two contexts share a spelling.
    3. Base mode says nothing about the sender. Who said it is in the envelope around it.

``cryptography`` 47 and later also has the hybrid KEM MLKEM768_X25519 (tried with 50: it works, and costs 1,120 bytes
of ``enc`` instead of 32). It is not suite 2 yet, because a roster's sealing keys are 32 bytes and those of the hybrid
are 1,216; the suite byte is here so that it can become so without a flag day.

Randomness of the ephemeral key comes from ``cryptography`` (the operating system), the one thing here that no test
can replay: HPKE with a chosen ephemeral key is an invitation to reuse one.
"""

from __future__ import annotations

import base64
import binascii

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from appliance.errors import InvariantError, TrustError
from appliance.model.units import AlertId, AuthorityId, DeviceId, Digest
from appliance.ports.keys import UnsealingKey

SUITE_X25519 = 1
SEALED_CHARS_MAX = 262_144
"""As the statements' ``Base64Sealed`` allows."""

SEAL_BYTES_MIN = 32 + 16  # enc and the tag of an empty plaintext
INFO_DOMAIN = "lamppost-seal-v1"
INFO_FIELD_BYTES_MAX = 65_535

_SUITE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)


def seal(plaintext: bytes, *, recipient: bytes, info: bytes) -> str:
    """Return ``plaintext`` sealed to one recipient, as base64 text for a field of a statement.

    Args:
        plaintext: At most so long that the text stays within ``SEALED_CHARS_MAX``.
        recipient: The 32 raw bytes of the recipient's X25519 public key.
        info: From one of the builders below.

    Raises:
        TrustError: ``sealed-recipient-malformed``: not a usable X25519 key.
        InvariantError: The plaintext is too long to be sealed.
    """
    text = base64.b64encode(bytes([SUITE_X25519]) + raw_seal(plaintext, recipient=recipient, info=info)).decode("ascii")
    if len(text) > SEALED_CHARS_MAX:
        raise InvariantError(f"a seal of {len(text)} characters is over the limit of {SEALED_CHARS_MAX}")
    return text


def unseal(sealed: str, *, key: UnsealingKey, info: bytes) -> bytes:
    """Return the plaintext of a sealed text.

    Raises:
        TrustError: ``sealed-malformed`` (size, base64), ``sealed-unknown-suite``, or ``sealed-not-for-us`` (another
            recipient, another ``info``, or altered: HPKE does not say which, and neither can we).
    """
    if len(sealed) > SEALED_CHARS_MAX:
        raise TrustError("sealed-malformed", f"expected at most {SEALED_CHARS_MAX} characters, found {len(sealed)}")
    data = _from_base64(sealed)
    if not data or data[0] != SUITE_X25519:
        raise TrustError("sealed-unknown-suite", f"expected suite byte {SUITE_X25519}, found another")
    return key.open(data[1:], info=info)


def raw_seal(plaintext: bytes, *, recipient: bytes, info: bytes) -> bytes:
    """Return ``enc || ct`` of suite 1 (RFC 9180 §6.1), without suite byte or base64.

    Raises:
        TrustError: ``sealed-recipient-malformed``.
    """
    try:
        return _SUITE.encrypt(plaintext, X25519PublicKey.from_public_bytes(recipient), info=info)
    except ValueError:  # not 32 bytes, or a point of small order
        raise TrustError("sealed-recipient-malformed", "expected a usable X25519 public key of 32 bytes") from None


def raw_open(private: X25519PrivateKey, ciphertext: bytes, info: bytes) -> bytes:
    """Return the plaintext of ``enc || ct`` of suite 1: what an :class:`UnsealingKey` in memory or a file calls.

    Raises:
        TrustError: ``sealed-not-for-us``.
    """
    try:
        if len(ciphertext) < SEAL_BYTES_MIN:
            raise InvalidTag
        return _SUITE.decrypt(ciphertext, private, info=info)
    except (InvalidTag, ValueError):
        raise TrustError("sealed-not-for-us", "expected a seal for this key and purpose, found another") from None


def alert_info(device_id: DeviceId, alert_id: AlertId) -> bytes:
    """Return the ``info`` of an alert's sealed part (:class:`SealedAlert`), sealed to the control room."""
    return _info("alert", device_id, alert_id)


def share_a_info(device_id: DeviceId, watchlist_id: str, version: int) -> bytes:
    """Return the ``info`` of key share A, in a watchlist's manifest, sealed to one device."""
    return _info("share-a", device_id, watchlist_id, str(version))


def share_b_info(device_id: DeviceId, authority_id: AuthorityId, watchlist_digest: Digest) -> bytes:
    """Return the ``info`` of key share B, in an authority, sealed to one device."""
    return _info("share-b", device_id, authority_id, watchlist_digest)


def _info(*fields: str) -> bytes:
    """Join the domain and the fields, each after its length in bytes as two bytes, big-endian."""
    parts = [part.encode("utf-8") for part in (INFO_DOMAIN, *fields)]
    if any(len(part) > INFO_FIELD_BYTES_MAX for part in parts):
        raise InvariantError("an id in a seal's info is longer than any id may be")
    return b"".join(len(part).to_bytes(2, "big") + part for part in parts)


def _from_base64(text: str) -> bytes:
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise TrustError("sealed-malformed", "expected standard base64 (RFC 4648 §4)") from None
    if base64.b64encode(data).decode("ascii") != text:
        raise TrustError("sealed-malformed", "expected canonical base64: no stray bits, full padding")
    return data
