"""The written authority: where, when, why, which list, how strict. Two people sign it; nobody may widen it."""

from __future__ import annotations

from typing import Annotated

import msgspec

from appliance.wire.statements.base import (
    Base64Sealed,
    Identifier,
    InstantMs,
    LeaseSeconds,
    Sha256Hex,
    Statement,
    Text,
    ThresholdE4,
)
from appliance.wire.statements.watchlist import ENTRIES_MAX


class ShareForDevice(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Key share B for one device: HPKE to the device's sealing key."""

    device_id: Identifier
    sealed: Base64Sealed


class RetentionProfile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long the control room keeps what an alert carries."""

    profile: Identifier
    rejected_hours: Annotated[int, msgspec.Meta(ge=0, le=24)]
    accepted_hours: Annotated[int, msgspec.Meta(ge=1, le=744)]
    unadjudicated_minutes: Annotated[int, msgspec.Meta(ge=1, le=1_440)]


class Authority(Statement, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One deployment, as two people allowed it.

    Attributes:
        operators: Person ids; each must be an operator in the roster.
        watchlist_digest: SHA-256 over the manifest's *payload bytes*.
        size_max: Entries that the list may hold.
        threshold_floor_e4: The device may be stricter, never laxer.
        margin_e4: Least distance between the best reference and the next.
        shots_needed: Of ``shots_max`` shots, so many must agree on the same reference.
        calibration_digest: SHA-256 over the calibration that covers this model, list size and threshold.
        lease_seconds_max: The longest time an activation or a renewal may last.
        shares: Names the devices: one that is not here is not authorised.
    """

    authority_id: Identifier
    drafted_at_ms: InstantMs
    drafted_by: Identifier
    site_id: Identifier
    place: Text
    purpose: Text
    legal_basis: Text
    not_before_ms: InstantMs
    not_after_ms: InstantMs
    operators: Annotated[tuple[Identifier, ...], msgspec.Meta(min_length=1, max_length=64)]
    control_room: Identifier
    watchlist_id: Identifier
    watchlist_digest: Sha256Hex
    allowed_categories: Annotated[tuple[Identifier, ...], msgspec.Meta(min_length=1, max_length=64)]
    size_max: Annotated[int, msgspec.Meta(ge=1, le=ENTRIES_MAX)]
    model_digest: Sha256Hex
    calibration_digest: Sha256Hex
    threshold_floor_e4: ThresholdE4
    margin_e4: ThresholdE4
    shots_needed: Annotated[int, msgspec.Meta(ge=1, le=8)]
    shots_max: Annotated[int, msgspec.Meta(ge=1, le=16)]
    cooldown_seconds: Annotated[int, msgspec.Meta(ge=0, le=3_600)]
    alert_validity_seconds: Annotated[int, msgspec.Meta(ge=10, le=86_400)]
    lease_seconds_max: LeaseSeconds
    retention: RetentionProfile
    shares: Annotated[tuple[ShareForDevice, ...], msgspec.Meta(min_length=1, max_length=1_000)]
