"""Alerts, and what the control room answers. The outer shape follows CloudEvents 1.0 (JSON event format)."""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Final, Literal

import msgspec

from appliance.wire.statements.base import (
    Base64Sealed,
    Count,
    Identifier,
    InstantMs,
    MeasuredE4,
    Sha256Hex,
    Statement,
    Text,
    ThresholdE4,
)

ALERT_EVENT_TYPE: Final = "org.lamppost.alert.v1"
CROP_BYTES_MAX = 65_536


class AlertData(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the broker may see: ids, sizes, times, and one ciphertext."""

    device_id: Identifier
    boot_id: Identifier
    sequence: Count
    authority_id: Identifier
    recipient: Identifier
    expires_at_ms: InstantMs
    sealed: Base64Sealed


class Alert(Statement, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One alert as it travels (CloudEvents 1.0 §3.1): signed by the device, sealed to one control room.

    Attributes:
        id: Unique for ever; receipts and adjudications quote it, and the seal's ``info`` binds it.
        source: ``/devices/`` and the device id.
        time: When the decision was made, RFC 3339 in UTC with milliseconds.
    """

    specversion: Literal["1.0"]
    id: Identifier
    source: Annotated[str, msgspec.Meta(pattern=r"\A/devices/[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")]
    type: Literal["org.lamppost.alert.v1"]
    time: Annotated[str, msgspec.Meta(pattern=r"\A\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\Z")]
    datacontenttype: Literal["application/json"]
    data: AlertData


class SealedAlert(Statement, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is inside the seal: the only place outside the box where a reference id and a face stand.

    Attributes:
        score_e4: Fused comparison score of the track against the best reference.
        margin_e4: Distance to the second-best reference.
        shots_agreeing: Shots whose own best reference this is, of ``shots``.
        list_size: Entries on the list at the decision (FPIR depends on it).
        captured_at_ms: Wall clock of the frame that decided.
        media_time_ms: Position of that frame in the source.
        image_jpeg: Base64 JPEG of one face, the others pixelated.
        image_kind: What the pixels are.
    """

    alert_id: Identifier
    reference_id: Identifier
    category: Identifier
    track: Count
    score_e4: MeasuredE4
    threshold_e4: ThresholdE4
    margin_e4: MeasuredE4
    shots: Annotated[int, msgspec.Meta(ge=1, le=64)]
    shots_agreeing: Annotated[int, msgspec.Meta(ge=1, le=64)]
    list_size: Count
    watchlist_digest: Sha256Hex
    model_digest: Sha256Hex
    captured_at_ms: InstantMs
    decided_at_ms: InstantMs
    media_time_ms: Count
    image_kind: Literal["face-crop-others-pixelated"]
    image_jpeg: Annotated[str, msgspec.Meta(min_length=4, max_length=4 * CROP_BYTES_MAX // 3 + 4)]


class Receipt(Statement, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The control room has stored this alert: the only proof of delivery (a PUBACK is the broker's)."""

    alert_id: Identifier
    device_id: Identifier
    control_room: Identifier
    envelope_digest: Sha256Hex
    received_at_ms: InstantMs


class Verdict(str, Enum):
    """What a person decided about an alert."""

    ACCEPT = "accept"
    REJECT = "reject"
    INCONCLUSIVE = "inconclusive"


class Adjudication(Statement, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A person's decision about one alert, sent back to the device for its breaker."""

    alert_id: Identifier
    device_id: Identifier
    control_room: Identifier
    adjudicator: Identifier
    verdict: Verdict
    reason: Text
    decided_at_ms: InstantMs
