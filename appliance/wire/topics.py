"""MQTT topics: one table. A topic routes; it is never authority, and neither is the retained flag.

Every topic is ``lamppost/v1/{device_id}/{kind}``. What arrives under any other name is refused, and what arrives
under the right one is still opened and verified: the topic only says which statement to expect.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import msgspec

from appliance.errors import InvariantError, TrustError
from appliance.model.units import DeviceId
from appliance.wire.envelope import envelope_bytes_max
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
    Statement,
)
from appliance.wire.statements.base import Identifier

ROOT = "lamppost/v1"
TOPIC_CHARS_MAX = 128
PRESENCE_BYTES_MAX = 256
WATCHLIST_BYTES_MAX = 250_000_000
"""A bundle: manifest envelope and encrypted body. MQTT itself ends at 268,435,455 bytes a packet (v5 §2.1.4)."""

MINUTE_S = 60
DAY_S = 86_400


class Kind(str, Enum):
    """The last part of a topic."""

    ALERT = "alert"
    STATUS = "status"
    ACKNOWLEDGEMENT = "acknowledgement"
    DESTRUCTION_RECEIPT = "destruction-receipt"
    PRESENCE = "presence"
    ORDER = "order"
    AUTHORITY = "authority"
    ROSTER = "roster"
    WATCHLIST = "watchlist"
    RECEIPT = "receipt"
    ADJUDICATION = "adjudication"


class Direction(str, Enum):
    """Who publishes."""

    FROM_DEVICE = "from-device"
    TO_DEVICE = "to-device"


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """How one kind of message travels.

    Attributes:
        statement: What the envelope holds; None where the payload is not an envelope (presence, a bundle).
        bytes_max: Greatest MQTT payload; anything longer is refused unread.
        retained: Published with the retain flag. An order never is.
        expiry_s: MessageExpiryInterval where the statement itself sets no shorter one; None: never.
        qos: MQTT quality of service. 1 everywhere: duplicates are told apart by id, delivery is proved by receipts.
    """

    direction: Direction
    statement: type[Statement] | None
    bytes_max: int
    retained: bool
    expiry_s: int | None
    qos: int = 1


def _from_device(statement: type[Statement], *, retained: bool = False, expiry_s: int | None = None) -> Channel:
    return Channel(
        direction=Direction.FROM_DEVICE,
        statement=statement,
        bytes_max=envelope_bytes_max(statement),
        retained=retained,
        expiry_s=expiry_s,
    )


def _to_device(statement: type[Statement], *, retained: bool = False, expiry_s: int | None = None) -> Channel:
    return Channel(
        direction=Direction.TO_DEVICE,
        statement=statement,
        bytes_max=envelope_bytes_max(statement),
        retained=retained,
        expiry_s=expiry_s,
    )


CHANNELS: dict[Kind, Channel] = {
    Kind.ALERT: _from_device(Alert, expiry_s=5 * MINUTE_S),  # the authority's alert_validity_seconds goes first
    Kind.STATUS: _from_device(DeviceStatus, retained=True),
    Kind.ACKNOWLEDGEMENT: _from_device(Acknowledgement, expiry_s=DAY_S),
    Kind.DESTRUCTION_RECEIPT: _from_device(DestructionReceipt),
    # The Will: the broker sends it for a device that is gone, so nobody can have signed it. A hint, never evidence.
    Kind.PRESENCE: Channel(
        direction=Direction.FROM_DEVICE, statement=None, bytes_max=PRESENCE_BYTES_MAX, retained=True, expiry_s=None
    ),
    Kind.ORDER: _to_device(Order, expiry_s=5 * MINUTE_S),
    Kind.AUTHORITY: _to_device(Authority, expiry_s=7 * DAY_S),
    Kind.ROSTER: _to_device(Roster, retained=True),  # a box that was off for a month finds the newest one waiting
    Kind.WATCHLIST: Channel(
        direction=Direction.TO_DEVICE, statement=None, bytes_max=WATCHLIST_BYTES_MAX, retained=False, expiry_s=DAY_S
    ),
    Kind.RECEIPT: _to_device(Receipt, expiry_s=DAY_S),
    Kind.ADJUDICATION: _to_device(Adjudication, expiry_s=DAY_S),
}

FROM_DEVICE: frozenset[Kind] = frozenset(k for k, c in CHANNELS.items() if c.direction is Direction.FROM_DEVICE)
TO_DEVICE: frozenset[Kind] = frozenset(k for k, c in CHANNELS.items() if c.direction is Direction.TO_DEVICE)


def topic(device_id: DeviceId, kind: Kind) -> str:
    """Return the topic of one kind of message of one device.

    Raises:
        InvariantError: The device id could not stand in a topic; ids are checked where they enter.
    """
    if not _is_identifier(device_id):
        raise InvariantError("a device id that is no identifier reached the topics")
    return f"{ROOT}/{device_id}/{kind.value}"


def parse_topic(text: str) -> tuple[DeviceId, Kind]:
    """Return which device and which kind of message a topic names.

    Raises:
        TrustError: ``topic-unknown``: not one of ours.
    """
    head, _, kind = text.rpartition("/") if len(text) <= TOPIC_CHARS_MAX else ("", "", "")
    root, _, device_id = head.rpartition("/")
    if root != ROOT or kind not in _KINDS or not _is_identifier(device_id):
        raise TrustError("topic-unknown", f"expected {ROOT}/DEVICE/KIND, found another topic")
    return DeviceId(device_id), _KINDS[kind]


def to_device_filters(device_id: DeviceId) -> tuple[str, ...]:
    """Return what a device subscribes to: exactly its six topics, none of its own messages among them."""
    return tuple(topic(device_id, kind) for kind in CHANNELS if kind in TO_DEVICE)


def from_device_filters() -> tuple[str, ...]:
    """Return what a control room subscribes to: everything that devices say, nothing that they are told."""
    return tuple(f"{ROOT}/+/{kind.value}" for kind in CHANNELS if kind in FROM_DEVICE)


def alerts_filter() -> str:
    """Return the filter for the alerts of every device; a fleet puts ``$share/GROUP/`` before it."""
    return f"{ROOT}/+/{Kind.ALERT.value}"


def to_device_filter(device_id: DeviceId) -> str:
    """Return one filter over all topics of a device, its own included (set No Local), for access rules and tools."""
    return f"{topic(device_id, Kind.ORDER).rpartition('/')[0]}/+"


def from_device_filter() -> str:
    """Return one filter over all topics of all devices, for tools; a control room wants the exact ones above."""
    return f"{ROOT}/+/+"


_KINDS = {kind.value: kind for kind in Kind}


def _is_identifier(text: str) -> bool:
    try:
        msgspec.convert(text, Identifier)
    except msgspec.ValidationError:
        return False
    return True
