"""Opens what the control room answers: that it holds an alert, and what a person decided about one.

Rules:
    1. The control room that the authority names has signed it, with a key that is neither revoked nor expired.
    2. The control room that it names is the one that signed.
    3. It is addressed to this device.
    4. An adjudication names a person who is an adjudicator in the roster.
    5. Where time is trusted, it was not decided or received later than now.

Neither is refused because the roster has expired or the clock is wrong: a receipt only lets an alert be forgotten, and
a decision that comes late is still better than counting the alert as false.
What it does not know: which alerts were sent. The caller compares ids and, for a receipt, the envelope's digest.
"""

from __future__ import annotations

from appliance.authority.roster import TrustedRoster
from appliance.authority.trusted_time import SKEW_MS_MAX, TrustedTime
from appliance.errors import TrustError
from appliance.wire.envelope import open_envelope
from appliance.wire.statements import Adjudication, Receipt, Role


def open_receipt(
    envelope: bytes, *, roster: TrustedRoster, device_id: str, control_room: str, now: TrustedTime
) -> Receipt:
    """Return the receipt inside ``envelope``.

    Args:
        envelope: As it arrived.
        roster: Where the control room's key stands.
        device_id: This device.
        control_room: The service id that the alert was sealed to.
        now: The judged time.

    Raises:
        TrustError: A rule of the envelope, of the roster, or of this module.
    """
    keys = roster.control_room_keys(control_room, now=now)
    receipt = open_envelope(envelope, expected=Receipt, trusted=keys).statement  # rule 1
    _check_answer(receipt, device_id=device_id, control_room=control_room)
    _check_instant(receipt.received_at_ms, now=now)
    return receipt


def open_adjudication(
    envelope: bytes, *, roster: TrustedRoster, device_id: str, control_room: str, now: TrustedTime
) -> Adjudication:
    """Return the adjudication inside ``envelope``; arguments and errors as for :func:`open_receipt`."""
    keys = roster.control_room_keys(control_room, now=now)
    adjudication = open_envelope(envelope, expected=Adjudication, trusted=keys).statement  # rule 1
    _check_answer(adjudication, device_id=device_id, control_room=control_room)
    if not roster.holds_role(adjudication.adjudicator, Role.ADJUDICATOR):  # rule 4
        raise TrustError("answer-adjudicator-unknown", "the adjudication names nobody who may adjudicate")
    _check_instant(adjudication.decided_at_ms, now=now)
    return adjudication


def _check_answer(answer: Receipt | Adjudication, *, device_id: str, control_room: str) -> None:
    if answer.control_room != control_room:  # rule 2
        raise TrustError("answer-other-control-room", "it names another control room than the one that signed")
    if answer.device_id != device_id:  # rule 3
        raise TrustError("answer-other-device", "it is for another device")


def _check_instant(at_ms: int, *, now: TrustedTime) -> None:
    if now.trusted and at_ms > now.wall_ms + SKEW_MS_MAX:  # rule 5
        raise TrustError("answer-from-future", "it is dated later than now")
