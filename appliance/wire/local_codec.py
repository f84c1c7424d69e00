"""The local messages as datagrams: one version byte, then MessagePack of one tagged struct.

Rules of this module:
    1. At most ``DATAGRAM_BYTES_MAX``, looked at before anything is parsed.
    2. Each direction has its own decoder: the eye cannot be told what only the courier is told.
    3. A datagram has one spelling: what does not encode back to the same bytes (duplicate keys, padded integers)
       is refused.

A malformed datagram is a :class:`TrustError`, though both ends are ours: the point of three processes is that one of
them may have been taken over.
"""

from __future__ import annotations

from typing import TypeVar

import msgspec

from appliance.errors import InvariantError, TrustError
from appliance.wire.local import (
    DATAGRAM_BYTES_MAX,
    LOCAL_VERSION,
    FromCourier,
    FromEye,
    ToCourier,
    ToEye,
)

M = TypeVar("M")

_VERSION_BYTE = bytes([LOCAL_VERSION])
_ENCODER = msgspec.msgpack.Encoder()
_TO_EYE: msgspec.msgpack.Decoder[ToEye] = msgspec.msgpack.Decoder(ToEye)
_FROM_EYE: msgspec.msgpack.Decoder[FromEye] = msgspec.msgpack.Decoder(FromEye)
_TO_COURIER: msgspec.msgpack.Decoder[ToCourier] = msgspec.msgpack.Decoder(ToCourier)
_FROM_COURIER: msgspec.msgpack.Decoder[FromCourier] = msgspec.msgpack.Decoder(FromCourier)


def encode_local(message: ToEye | FromEye | ToCourier | FromCourier) -> bytes:
    """Return ``message`` as one datagram.

    Raises:
        InvariantError: It is longer than a datagram may be; the sender let something grow.
    """
    datagram = _VERSION_BYTE + _ENCODER.encode(message)
    if len(datagram) > DATAGRAM_BYTES_MAX:
        name = type(message).__name__
        raise InvariantError(f"{name} of {len(datagram)} bytes is over the datagram limit of {DATAGRAM_BYTES_MAX}")
    return datagram


def decode_to_eye(datagram: bytes) -> ToEye:
    """Return what the warden told the eye.

    Raises:
        TrustError: ``local-malformed`` or ``local-version``.
    """
    return _decode(datagram, _TO_EYE)


def decode_from_eye(datagram: bytes) -> FromEye:
    """Return what the eye told the warden.

    Raises:
        TrustError: ``local-malformed`` or ``local-version``.
    """
    return _decode(datagram, _FROM_EYE)


def decode_to_courier(datagram: bytes) -> ToCourier:
    """Return what the warden told the courier.

    Raises:
        TrustError: ``local-malformed`` or ``local-version``.
    """
    return _decode(datagram, _TO_COURIER)


def decode_from_courier(datagram: bytes) -> FromCourier:
    """Return what the courier told the warden.

    Raises:
        TrustError: ``local-malformed`` or ``local-version``.
    """
    return _decode(datagram, _FROM_COURIER)


def _decode(datagram: bytes, decoder: msgspec.msgpack.Decoder[M]) -> M:
    if not 1 < len(datagram) <= DATAGRAM_BYTES_MAX:
        raise TrustError("local-malformed", f"expected 2 to {DATAGRAM_BYTES_MAX} bytes, found {len(datagram)}")
    if datagram[:1] != _VERSION_BYTE:
        raise TrustError("local-version", f"expected version {LOCAL_VERSION}, found {datagram[0]}")
    try:
        message = decoder.decode(memoryview(datagram)[1:])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise TrustError("local-malformed", "expected a message of this direction, found something else") from None
    if _ENCODER.encode(message) != memoryview(datagram)[1:]:
        raise TrustError("local-malformed", "expected the one spelling of this message, found another")
    return message
