"""The messages between eye, warden and courier: one a datagram, bounded, versioned, strictly parsed.

Encoding: one version byte, then MessagePack of a tagged struct. Descriptors travel beside the datagram (SCM_RIGHTS).
The eye is told rows, never reference ids; the warden is told rows, never features.
"""

from __future__ import annotations

from typing import Annotated, TypeAlias

import msgspec

from appliance.wire.statements.alerts import CROP_BYTES_MAX
from appliance.wire.statements.base import Count, Identifier, InstantMs, MeasuredE4, Sha256Hex, ThresholdE4
from appliance.wire.statements.device import EyeCounts

LOCAL_VERSION = 1
DATAGRAM_BYTES_MAX = 196_608
"""Fits the kernel's default socket buffer (212,992 bytes)."""

ENVELOPE_BYTES_MAX_LOCAL = 180_000
BootInstant = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class _Message(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag=True):
    """Ancestor of the local messages; the class name is the tag."""


# ---- warden to eye ---------------------------------------------------------------------------------------------------


class Look(_Message, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Open the camera and look until the deadline. The gallery's descriptor comes with it.

    The gallery is ``templates`` rows of ``dimension`` float32 (unit length), then ``templates`` int32 with the entry
    that each row belongs to, at ``offset`` 0 of the descriptor.
    """

    deadline: BootInstant
    generation: Count
    templates: Annotated[int, msgspec.Meta(ge=1, le=400_000)]
    dimension: Annotated[int, msgspec.Meta(ge=64, le=1024)]
    model_digest: Sha256Hex
    threshold_e4: ThresholdE4
    margin_e4: ThresholdE4
    shots_needed: Annotated[int, msgspec.Meta(ge=1, le=8)]
    shots_max: Annotated[int, msgspec.Meta(ge=1, le=16)]
    cooldown_seconds: Annotated[int, msgspec.Meta(ge=0, le=3_600)]


class Extend(_Message, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Look on until a later deadline, with a threshold that is never lower than before."""

    deadline: BootInstant
    generation: Count
    threshold_e4: ThresholdE4


class Close(_Message, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Close the camera now, unmap the gallery, overwrite everything, answer :class:`CameraClosed`."""

    reason: Identifier


# ---- eye to warden ---------------------------------------------------------------------------------------------------


class EyeReady(_Message, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The eye is up, its models are loaded, the camera is closed."""

    model_digest: Sha256Hex
    dimension: Annotated[int, msgspec.Meta(ge=64, le=1024)]


class CameraOpened(_Message, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The source is open and the first frame has come."""

    generation: Count
    width: Count
    height: Count


class CameraClosed(_Message, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The source is released, the gallery unmapped, the buffers overwritten.

    Attributes:
        reason: ``ordered``, ``deadline``, ``end-of-source``, ``source-failed`` or ``warden-gone``.
        explanation: For ``source-failed``: one sentence with what to do. Empty otherwise.
    """

    generation: Count
    reason: Identifier
    explanation: Annotated[str, msgspec.Meta(max_length=500)]
    at: BootInstant


class Counts(_Message, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Totals since :class:`Look`, sent about once a second and once more before :class:`CameraClosed`."""

    generation: Count
    counts: EyeCounts


class Match(_Message, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The eye decided that a track is an entry of the list. The only message with a face in it."""

    generation: Count
    entry: Count
    track: Count
    score_e4: MeasuredE4
    margin_e4: MeasuredE4
    threshold_e4: ThresholdE4
    shots: Annotated[int, msgspec.Meta(ge=1, le=64)]
    shots_agreeing: Annotated[int, msgspec.Meta(ge=1, le=64)]
    captured_at: BootInstant
    decided_at: BootInstant
    media_time_ms: Count
    image_jpeg: Annotated[bytes, msgspec.Meta(min_length=4, max_length=CROP_BYTES_MAX)]


# ---- warden to courier -----------------------------------------------------------------------------------------------


class Publish(_Message, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Send this envelope.

    Attributes:
        kind: ``alert``, ``status``, ``acknowledgement`` or ``destruction-receipt``: the last part of the topic.
        message_id: Unique; an alert's id. The courier keeps an alert until :class:`Settled` for it.
        expires_at_ms: 0: never. A stale alert does harm, so alerts always expire.
    """

    kind: Identifier
    message_id: Identifier
    expires_at_ms: InstantMs
    envelope: Annotated[bytes, msgspec.Meta(min_length=2, max_length=ENVELOPE_BYTES_MAX_LOCAL)]


class Settled(_Message, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The control room's signed receipt for this alert was verified: forget it."""

    message_id: Identifier


class Handled(_Message, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The :class:`Arrived` with this number is durable or refused: acknowledge it to the broker."""

    number: Count


# ---- courier to warden -----------------------------------------------------------------------------------------------


class CourierReady(_Message, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The courier is up; it answers nothing about the link yet."""

    waiting: Count


class Arrived(_Message, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Something for this device came from the broker.

    Attributes:
        number: Of this courier's life; :class:`Handled` quotes it.
        kind: End of the topic: ``order``, ``authority``, ``roster``, ``watchlist``, ``receipt``, ``adjudication``.
        retained: Retained messages are never orders.
        envelope: Empty when the bytes come in a descriptor beside the datagram (anything over
            ``ENVELOPE_BYTES_MAX_LOCAL``, and every ``watchlist``).
    """

    number: Count
    kind: Identifier
    retained: bool
    envelope: Annotated[bytes, msgspec.Meta(max_length=ENVELOPE_BYTES_MAX_LOCAL)]


class Link(_Message, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the courier is doing, on each change and about every five seconds."""

    connected: bool
    waiting: Count
    shed: Count
    explanation: Annotated[str, msgspec.Meta(max_length=500)]


ToEye: TypeAlias = Look | Extend | Close
FromEye: TypeAlias = EyeReady | CameraOpened | CameraClosed | Counts | Match
ToCourier: TypeAlias = Publish | Settled | Handled
FromCourier: TypeAlias = CourierReady | Arrived | Link
