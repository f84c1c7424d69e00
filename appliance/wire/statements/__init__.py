"""Every statement that may be signed, one frozen type each, and the table that names them.

Rules of this package:
    1. A statement is one JSON object. Unknown fields, missing fields, wrong types, duplicate keys and NaN are refused.
    2. No floats: scores are ten-thousandths (``_e4``), instants are integer milliseconds since 1970 UTC (``_ms``).
    3. Every string has a greatest length, every list a greatest number, every integer a range.
    4. The payload type in the envelope names the schema and is signed with it.
"""

from __future__ import annotations

from appliance.wire.statements.alerts import Adjudication, Alert, Receipt, SealedAlert
from appliance.wire.statements.authority import Authority, ShareForDevice
from appliance.wire.statements.base import Statement, statement_name, statement_type
from appliance.wire.statements.device import Acknowledgement, DestructionReceipt, DeviceStatus
from appliance.wire.statements.orders import Order, OrderAction
from appliance.wire.statements.roster import Device, Person, PublicKey, Role, RootKeys, Roster, Service, ServiceRole
from appliance.wire.statements.watchlist import WatchlistEntry, WatchlistManifest

STATEMENTS: tuple[type[Statement], ...] = (
    Roster,
    WatchlistManifest,
    Authority,
    Order,
    Acknowledgement,
    Alert,
    Receipt,
    Adjudication,
    DeviceStatus,
    DestructionReceipt,
)
"""Every type that may stand in an envelope. ``SealedAlert`` and ``WatchlistEntry`` travel inside seals, unsigned."""

__all__ = [
    "STATEMENTS",
    "Acknowledgement",
    "Adjudication",
    "Alert",
    "Authority",
    "DestructionReceipt",
    "Device",
    "DeviceStatus",
    "Order",
    "OrderAction",
    "Person",
    "PublicKey",
    "Receipt",
    "Role",
    "RootKeys",
    "Roster",
    "SealedAlert",
    "Service",
    "ServiceRole",
    "ShareForDevice",
    "Statement",
    "WatchlistEntry",
    "WatchlistManifest",
    "statement_name",
    "statement_type",
]
