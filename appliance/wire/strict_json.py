"""One way to read JSON that somebody else wrote, and one way to write ours.

Rules of this module, in the order in which they are applied:
    1. No more bytes than the table allows for what is expected; nothing is parsed before that is known.
    2. UTF-8 without a byte order mark (RFC 8259 §8.1), and no lone surrogates.
    3. Brackets, strings and commas no deeper and no more than the limits, counted on the bytes before any parser is
       let near them: none recurses, and none makes a million objects of what nobody has signed.
    4. A key stands once in an object; NaN, Infinity, fractions, exponents and huge integers are refused.
    5. Exactly the fields of the expected type, each of its type and in its range.

One parser does all of it: the typed object is made from the same tree in which the duplicates were looked for.
Messages name the place (``$.people[0].keys``) and the type that was expected, never a value that was found.
"""

from __future__ import annotations

import json
from typing import Any, NoReturn, TypeVar

import msgspec

from appliance.errors import InvariantError, TrustError
from appliance.wire.statements import (
    Acknowledgement,
    Adjudication,
    Alert,
    Authority,
    DestructionReceipt,
    DeviceStatus,
    Order,
    Receipt,
    Roster,
    SealedAlert,
    WatchlistEntry,
    WatchlistManifest,
)

S = TypeVar("S", bound=msgspec.Struct)

KIB = 1024
MIB = 1024 * KIB

PAYLOAD_BYTES_MAX: dict[type[msgspec.Struct], int] = {
    Roster: 16 * MIB,  # 20,000 devices at about 330 bytes, 2,000 people, 20,000 revoked thumbprints
    WatchlistManifest: 16 * MIB,  # 20,000 shares at about 260 bytes
    Authority: 1 * MIB,  # 1,000 shares at about 180 bytes
    Order: 8 * KIB,
    Acknowledgement: 8 * KIB,
    Alert: 128 * KIB,  # a crop of 64 KiB in base64, sealed, in base64 again; its envelope fits a local datagram
    Receipt: 4 * KIB,
    Adjudication: 8 * KIB,
    DeviceStatus: 16 * KIB,
    DestructionReceipt: 4 * KIB,
    SealedAlert: 96 * KIB,
    WatchlistEntry: 8 * KIB,
}
"""Greatest payload in bytes, for each type that may be read."""

DEPTH_MAX = 8
OPENINGS_MAX = 400_000
"""Objects and arrays in one document; the fullest roster or list of entries stays below."""

TOKENS_PER_OPENING_MAX = 100
"""Quotes and commas, times the openings that are allowed: bounds the memory that a parser takes before any signature
is known to be good. An envelope with 16 signatures needs about 170 of its 6,400."""

DIGITS_MAX = 19  # 2**63 - 1 has nineteen

_NOT_BRACKETS = bytes(sorted(set(range(256)) - set(b"[]{}")))
_OPENING = frozenset(b"[{")


def decode(payload: bytes, expected: type[S]) -> S:
    """Return the statement that ``payload`` is, or refuse it.

    Args:
        payload: UTF-8 JSON, at most ``PAYLOAD_BYTES_MAX[expected]`` bytes.
        expected: A type of that table.

    Raises:
        TrustError: ``payload-too-large``, ``payload-not-json``, ``payload-too-deep``, ``payload-duplicate-key``,
            ``payload-not-a-number``, ``payload-not-an-integer``, ``payload-unknown-field``,
            ``payload-missing-field`` or ``payload-wrong-type``.
    """
    return convert(document(payload, bytes_max=payload_bytes_max(expected)), expected)


def decode_list(payload: bytes, element: type[S], *, bytes_max: int, elements_max: int) -> tuple[S, ...]:
    """Return the elements of a JSON array that lies inside something already opened, such as a watchlist's entries.

    Raises:
        TrustError: As :func:`decode`.
    """
    tree = document(payload, bytes_max=bytes_max)
    if not isinstance(tree, list):
        raise TrustError("payload-wrong-type", "expected an array")
    if len(tree) > elements_max:
        raise TrustError("payload-too-large", f"expected at most {elements_max} elements, found {len(tree)}")
    return tuple(convert(member, element) for member in tree)


def encode(statement: msgspec.Struct) -> bytes:
    """Return ``statement`` as JSON: UTF-8, keys sorted, no white space; the same bytes for the same content."""
    return msgspec.json.encode(statement, order="sorted")


def payload_bytes_max(expected: type[msgspec.Struct]) -> int:
    """Return the greatest payload of ``expected`` in bytes.

    Raises:
        InvariantError: The type is not in the table.
    """
    try:
        return PAYLOAD_BYTES_MAX[expected]
    except KeyError:
        raise InvariantError(f"{expected.__name__} has no greatest size in strict_json.PAYLOAD_BYTES_MAX") from None


def document(payload: bytes, *, bytes_max: int, depth_max: int = DEPTH_MAX, openings_max: int = OPENINGS_MAX) -> Any:  # noqa: ANN401  -- a JSON tree has no better type
    """Return the JSON tree, rules 1 to 4 applied: dicts, lists, strings, integers, booleans and None.

    Raises:
        TrustError: As :func:`decode`, without the rules about fields.
    """
    if len(payload) > bytes_max:
        raise TrustError("payload-too-large", f"expected at most {bytes_max} bytes, found {len(payload)}")
    text = _text(payload)
    _check_structure(payload, depth_max=depth_max, openings_max=openings_max)
    try:
        tree = json.loads(
            text,
            object_pairs_hook=_object_without_duplicates,
            parse_constant=_refuse_constant,
            parse_float=_refuse_float,
            parse_int=_bounded_integer,
        )
    except ValueError as error:
        raise TrustError("payload-not-json", f"expected JSON: {_position(error)}") from None
    if "\\u" in text:
        _refuse_lone_surrogates(tree)
    return tree


def convert(tree: Any, expected: type[S]) -> S:  # noqa: ANN401
    """Return the tree as the expected type (rule 5).

    Raises:
        TrustError: ``payload-unknown-field``, ``payload-missing-field`` or ``payload-wrong-type``.
    """
    try:
        return msgspec.convert(tree, expected, strict=True)
    except msgspec.ValidationError as error:
        raise _shape_error(str(error)) from None


def _text(payload: bytes) -> str:
    if payload.startswith(b"\xef\xbb\xbf"):
        raise TrustError("payload-not-json", "expected no byte order mark")
    try:
        return payload.decode("utf-8")
    except UnicodeDecodeError as error:
        raise TrustError("payload-not-json", f"expected UTF-8: byte {error.start} is not") from None


def _check_structure(payload: bytes, *, depth_max: int, openings_max: int) -> None:
    """Count what a parser would recurse into or make objects of, in time and space linear in the payload.

    Up to its first error a parser sees the same strings as this: backslashes pair off from the left, and what remains
    of them before a quote escapes it. A regular expression for strings would be quadratic on quotes never closed.
    """
    if payload.count(b'"') + payload.count(b",") > TOKENS_PER_OPENING_MAX * openings_max:
        raise TrustError("payload-too-large", "expected far fewer strings and commas")
    unescaped = payload.replace(b"\\\\", b"").replace(b'\\"', b"")
    outside_strings = b"".join(unescaped.split(b'"')[::2])
    brackets = outside_strings.translate(None, _NOT_BRACKETS)
    openings = brackets.count(b"[") + brackets.count(b"{")
    if openings > openings_max:
        raise TrustError("payload-too-large", f"expected at most {openings_max} objects and arrays, found {openings}")
    depth = 0
    for bracket in brackets[: 2 * openings + 1]:  # beyond it lies an unmatched closing bracket: no JSON
        depth += 1 if bracket in _OPENING else -1
        if depth > depth_max:
            raise TrustError("payload-too-deep", f"expected at most {depth_max} levels of objects and arrays")


def _object_without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise TrustError("payload-duplicate-key", "expected each key once in an object")
    return members


def _refuse_constant(_constant: str) -> NoReturn:
    raise TrustError("payload-not-a-number", "expected no NaN and no Infinity")


def _refuse_float(_number: str) -> NoReturn:
    raise TrustError("payload-not-an-integer", "expected whole numbers without fraction or exponent")


def _bounded_integer(number: str) -> int:
    if len(number.lstrip("-")) > DIGITS_MAX:
        raise TrustError("payload-not-an-integer", f"expected at most {DIGITS_MAX} digits")
    return int(number)


def _refuse_lone_surrogates(tree: Any) -> None:  # noqa: ANN401
    try:
        json.dumps(tree, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        raise TrustError("payload-not-json", "expected no lone surrogates") from None


def _position(error: ValueError) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} at character {error.pos}"
    return "unreadable"


_SHAPE_RULES = (
    ("Object contains unknown field", "payload-unknown-field"),
    ("Object missing required field", "payload-missing-field"),
)


def _shape_error(found: str) -> TrustError:
    """Turn msgspec's message into ours: the place and what was expected, but nothing that the sender wrote."""
    reason, _, place = found.partition(" - at ")
    place = place or "`$`"
    for start, rule in _SHAPE_RULES:
        if reason.startswith(start):
            detail = reason if rule == "payload-missing-field" else "Object contains an unknown field"
            return TrustError(rule, f"{detail} at {place}")
    detail = reason if reason.startswith("Expected ") else "Expected one of the values that the schema lists"
    return TrustError("payload-wrong-type", f"{detail} at {place}")
