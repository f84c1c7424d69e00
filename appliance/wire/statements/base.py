"""The field types that statements are made of, and their common ancestor."""

from __future__ import annotations

import re
from typing import Annotated, ClassVar

import msgspec

PAYLOAD_TYPE_PREFIX = "application/vnd.lamppost."

IDENTIFIER_CHARS_MAX = 64
TEXT_CHARS_MAX = 500
INSTANT_MS_MAX = 253_402_300_799_999  # 9999-12-31, the last instant that RFC 3339 can write

Identifier = Annotated[str, msgspec.Meta(pattern=r"\A[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")]
"""Name of a device, person, site, reference, list or alert: it may stand in an MQTT topic and in a file name."""

Text = Annotated[str, msgspec.Meta(min_length=1, max_length=TEXT_CHARS_MAX)]
Sha256Hex = Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{64}\Z")]
Thumbprint = Sha256Hex
Base64Key = Annotated[str, msgspec.Meta(pattern=r"\A[A-Za-z0-9+/]{43}=\Z")]
"""32 bytes in standard base64."""

Base64Sealed = Annotated[str, msgspec.Meta(min_length=4, max_length=262_144)]
"""An HPKE ciphertext in standard base64."""

InstantMs = Annotated[int, msgspec.Meta(ge=0, le=INSTANT_MS_MAX)]
ThresholdE4 = Annotated[int, msgspec.Meta(ge=0, le=10_000)]
MeasuredE4 = Annotated[int, msgspec.Meta(ge=-10_000, le=10_000)]
Count = Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)]
Version = Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)]
LeaseSeconds = Annotated[int, msgspec.Meta(ge=5, le=3_600)]


class Statement(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
):
    """Ancestor of everything that may be signed. A subclass sets nothing but its fields."""

    __lamppost_version__: ClassVar[int] = 1


def statement_name(statement: type[Statement]) -> str:
    """Return the kebab-case name of a statement type, for example ``device-status``."""
    return re.sub(r"(?<!^)(?=[A-Z])", "-", statement.__name__).lower()


def statement_type(statement: type[Statement]) -> str:
    """Return the DSSE payload type, for example ``application/vnd.lamppost.device-status.v1+json``."""
    return f"{PAYLOAD_TYPE_PREFIX}{statement_name(statement)}.v{statement.__lamppost_version__}+json"
