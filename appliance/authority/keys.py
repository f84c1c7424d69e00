"""Public keys as the roster lists them, read strictly.

Rules of this module:
    1. A key's name is the SHA-256 over its 32 raw bytes, so that no second spelling of a key is a second key.
    2. Base64 is canonical: what is decoded and encoded again is the same text (RFC 4648 §3.5).
    3. Keys with a non-canonical y coordinate and keys of small order are refused (RFC 8032 §5.1.3; for the latter
       anybody can make signatures that verify).
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from dataclasses import dataclass

from appliance.authority.trusted_time import TrustedTime
from appliance.errors import TrustError
from appliance.model.units import KeyId, UnixMs
from appliance.wire.envelope import thumbprint
from appliance.wire.statements import PublicKey

_P = 2**255 - 19
Y_OF_ORDER_8 = (
    0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826,
    0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7,
)
_Y_OF_SMALL_ORDER = frozenset((0, 1, _P - 1, *Y_OF_ORDER_8))
_SIGN_BIT = 1 << 255


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustedKey:
    """An Ed25519 public key out of a verified roster."""

    key_id: KeyId
    raw: bytes
    not_after_ms: UnixMs


def read_key(key: PublicKey) -> TrustedKey:
    """Return ``key`` with its raw bytes and thumbprint.

    Raises:
        TrustError: ``roster-key-malformed`` (rule 2) or ``roster-key-weak`` (rule 3).
    """
    try:
        raw = base64.b64decode(key.public, validate=True)
    except (binascii.Error, ValueError):
        raise TrustError("roster-key-malformed", "a key is not canonical base64 of 32 bytes") from None
    if len(raw) != 32 or base64.b64encode(raw).decode("ascii") != key.public:
        raise TrustError("roster-key-malformed", "a key is not canonical base64 of 32 bytes")
    y = int.from_bytes(raw, "little") & ~_SIGN_BIT
    if y >= _P or y in _Y_OF_SMALL_ORDER:
        raise TrustError("roster-key-weak", "a key is of small order or not canonically encoded")
    return TrustedKey(key_id=thumbprint(raw), raw=raw, not_after_ms=UnixMs(key.not_after_ms))


def usable(keys: Iterable[TrustedKey], *, now: TrustedTime) -> dict[KeyId, bytes]:
    """Return those of ``keys`` that have not expired, as the envelope wants them: key id -> raw bytes."""
    return {key.key_id: key.raw for key in keys if now.latest_ms <= key.not_after_ms}
