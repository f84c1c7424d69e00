"""What a device says about itself: counts, not people."""

from __future__ import annotations

from enum import Enum
from typing import Annotated

import msgspec

from appliance.wire.statements.base import (
    Count,
    Identifier,
    InstantMs,
    Sha256Hex,
    Statement,
    Text,
    ThresholdE4,
)
from appliance.wire.statements.orders import OrderAction


class State(str, Enum):
    """The four states; the camera is open in ``active`` only."""

    DORMANT = "dormant"
    AUTHORISED = "authorised"
    ACTIVE = "active"
    SUSPENDED = "suspended"


class EyeCounts(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Totals of one deployment so far.

    Attributes:
        refused: Quality reason -> shots refused for it.
        frames_per_second_e2: Hundredths of a frame per second over the last second or so.
    """

    frames: Count
    frames_dropped: Count
    faces_detected: Count
    tracks: Count
    probes_compared: Count
    non_matches_discarded: Count
    alerts: Count
    frames_per_second_e2: Count
    refused: Annotated[dict[Identifier, Count], msgspec.Meta(max_length=32)]


class DeviceStatus(Statement, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Retained presence and state of one device.

    Attributes:
        sequence: Grows by one with each status of this boot.
        boot_nonce: 16 random bytes of this boot, hex: an ``activate`` must quote it.
        counter: The highest order counter stored: the next order needs a higher one.
        authority_id: Empty when there is none.
        state_since_ms: When the state was entered.
        until_ms: When the lease (active) or the window (authorised) ends; 0 when nothing runs.
        last_alert_sequence: So that the control room sees a gap at the end, too.
        degraded: Constant names of what is not as it should be, for example ``no-secret-memory``.
    """

    device_id: Identifier
    boot_id: Identifier
    sequence: Count
    at_ms: InstantMs
    boot_nonce: Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{32}\Z")]
    counter: Count
    state: State
    state_since_ms: InstantMs
    until_ms: InstantMs
    camera_open: bool
    authority_id: Annotated[str, msgspec.Meta(max_length=64)]
    watchlist_digest: Annotated[str, msgspec.Meta(max_length=64)]
    model_digest: Annotated[str, msgspec.Meta(max_length=64)]
    roster_version: Count
    threshold_e4: ThresholdE4
    last_alert_sequence: Count
    refused_statements: Count
    degraded: Annotated[tuple[Identifier, ...], msgspec.Meta(max_length=32)]
    counts: EyeCounts


class Acknowledgement(Statement, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the device did with a statement that it was sent, and why not.

    Attributes:
        about: Name of the statement answered: ``order``, ``authority``, ``roster`` or ``watchlist-manifest``.
        subject: Its id when it could be read, else empty.
        subject_digest: SHA-256 over the envelope's bytes as received.
        action: For orders, the verb; empty otherwise.
        accepted: Whether the device acted.
        rule: Constant name of the rule that refused it; empty when accepted.
        explanation: One plain sentence; never a name or a reference id.
        state: The device's state afterwards.
    """

    device_id: Identifier
    boot_id: Identifier
    at_ms: InstantMs
    about: Identifier
    subject: Annotated[str, msgspec.Meta(max_length=64)]
    subject_digest: Sha256Hex
    action: OrderAction | None
    accepted: bool
    rule: Annotated[str, msgspec.Meta(max_length=64)]
    explanation: Text
    state: State
    counter: Count


class DestructionReceipt(Statement, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The list of an authority cannot be opened on this device any more."""

    device_id: Identifier
    boot_id: Identifier
    at_ms: InstantMs
    authority_id: Identifier
    watchlist_id: Identifier
    watchlist_digest: Sha256Hex
    reason: Identifier
    gallery_unmapped: bool
    share_destroyed: bool
    bundle_deleted: bool
