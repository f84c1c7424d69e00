"""Opens one order: one signature, by an operator whom the authority names, for this device, now.

Rules, in the order in which they are checked:
    1. It did not come as a retained message: the broker keeps those for whoever asks next.
    2. It is an order, and exactly one operator or authorising officer of the roster signed it.
    3. The operator that it names is the person who signed.
    4. It is addressed to this device.
    5. Fields that its action does not use are empty or 0, and it lives at most five minutes by its own dates.
    6. Its counter is higher than the highest stored, and not by more than ``COUNTER_LEAP_MAX`` (or one order could
       use up all numbers). The caller stores it, durably, *before* acting.

Stopping (``deactivate``, ``erase``) ends here, with two more:
    7. It is for the present authority, or for ``any``, or there is none.
    8. ``deactivate`` may also carry the very counter that is stored. So the broker may deliver it twice, and it wins
       a race against a renewal that took the same number; whoever replays it stops nothing that was not stopped
       already, since whatever came later carries a higher counter. An older one is refused like any other replay,
       or the owner of the broker would have a stop button for ever.

    Neither clock nor nonce nor the roster's or key's expiry is looked at: stopping works with a wrong clock. That is
    missing on purpose. Revoked keys stop nothing.

Everything else goes on:
    9. Time is trusted. (``resume`` also mends a clock that stepped: its own dates are compared with the clock, and
       agreement is what :func:`~appliance.authority.trusted_time.vouch_for_time` asks for. Behind the floor nothing
       helps but a right clock.)
    10. The roster is fresh, and the signing key has not expired.
    11. It is for the authority in force, which names the signer as operator, as the roster does.
    12. It was not issued in the future (30 s of skew), and has not expired.
    13. The authority's window has begun and is not over.
    14. ``activate`` quotes the nonce of this boot.
    15. ``activate`` and ``renew`` ask for a lease of 5 s up to the authority's maximum.
    16. ``raise-threshold`` does not go below the authority's floor. (Nor below the present threshold: the state
        machine knows that one.)
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from appliance.authority.authorities import OpenedAuthority
from appliance.authority.keys import TrustedKey
from appliance.authority.roster import TrustedRoster
from appliance.authority.trusted_time import SKEW_MS_MAX, TrustedTime, require_trusted
from appliance.errors import TrustError
from appliance.wire.envelope import open_envelope
from appliance.wire.statements import Authority, Order, OrderAction, Role

ORDER_LIFE_MS_MAX = 300_000
LEASE_SECONDS_MIN = 5
ANY_AUTHORITY = "any"
COUNTER_LEAP_MAX = 2**42
"""Leaves room for tools that count in milliseconds since 1970, and for 2,047 such leaps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionRules:
    """What an action uses. All that is not here is empty or 0 in the order."""

    stops: bool = False
    same_counter: bool = False
    nonce: bool = False
    lease: bool = False
    threshold: bool = False
    mends_time: bool = False


ACTIONS: Mapping[OrderAction, ActionRules] = MappingProxyType(
    {
        OrderAction.ACTIVATE: ActionRules(nonce=True, lease=True),
        OrderAction.RENEW: ActionRules(lease=True),
        OrderAction.DEACTIVATE: ActionRules(stops=True, same_counter=True),
        OrderAction.RAISE_THRESHOLD: ActionRules(threshold=True),
        OrderAction.RESUME: ActionRules(mends_time=True),
        OrderAction.ERASE: ActionRules(stops=True),
    }
)


def open_order(
    envelope: bytes,
    *,
    roster: TrustedRoster,
    device_id: str,
    authority: OpenedAuthority | None,
    counter: int,
    boot_nonce: str,
    now: TrustedTime,
    retained: bool,
) -> Order:
    """Return the order inside ``envelope``, once it may be obeyed. What it does is the state machine's to say.

    Args:
        envelope: As it arrived.
        roster: Who may sign. An expired one still lets people stop.
        device_id: This device.
        authority: The authority in force, if any.
        counter: The highest counter that this device has stored.
        boot_nonce: The nonce of this boot, 32 hex digits, as published in the device's status.
        now: The judged time.
        retained: Whether the broker had kept the message.

    Raises:
        TrustError: A rule of the envelope, of the roster, of time, or of this module. Store nothing, do nothing.
    """
    if retained:  # rule 1
        raise TrustError("order-retained", "an order came as a retained message")
    candidates = {key.key_id: key for key in roster.all_keys_with_role(Role.OPERATOR, Role.AUTHORISING_OFFICER)}
    trusted = {key_id: key.raw for key_id, key in candidates.items()}
    opened = open_envelope(envelope, expected=Order, trusted=trusted)  # rule 2
    order, signers = opened.statement, tuple(opened.signers)
    if len(signers) != 1:
        raise TrustError("order-many-signers", "an order carries exactly one signature")
    key = candidates[signers[0]]
    if roster.person_of(key.key_id) != order.operator:  # rule 3
        raise TrustError("order-operator-not-signer", "the order names another operator than the one who signed")
    if order.device_id != device_id:  # rule 4
        raise TrustError("order-other-device", "the order is for another device")
    rules = ACTIONS[order.action]
    _check_fields(order, rules)  # rule 5
    _check_counter(order, rules, counter=counter)  # rules 6 and 8
    if rules.stops:
        _check_stop(order, authority)  # rule 7
        return order
    in_force = _check_going_on(order, rules, key=key, roster=roster, authority=authority, now=now)  # rules 9 to 12
    _check_scope(order, rules, authority=in_force, boot_nonce=boot_nonce, now=now)  # rules 13 to 16
    return order


def _check_fields(order: Order, rules: ActionRules) -> None:
    unused = (
        (rules.nonce, order.boot_nonce),
        (rules.lease, order.lease_seconds),
        (rules.threshold, order.threshold_e4),
    )
    if any(value and not used for used, value in unused):
        raise TrustError("order-field-not-for-action", "a field is set that this action does not use")
    if not 0 < order.expires_at_ms - order.issued_at_ms <= ORDER_LIFE_MS_MAX:
        raise TrustError("order-life-wrong", "an order lives more than 0 s and at most 300 s")


def _check_counter(order: Order, rules: ActionRules, *, counter: int) -> None:
    if order.counter == counter and not rules.same_counter:
        raise TrustError("order-counter-used", "the counter is the one stored: a replay, or two operators at once")
    if order.counter < counter:
        raise TrustError("order-counter-not-higher", "the counter is lower than the one stored")
    if order.counter - counter > COUNTER_LEAP_MAX:
        raise TrustError("order-counter-leaps", "the counter is further ahead than any honest tool counts")


def _check_stop(order: Order, authority: OpenedAuthority | None) -> None:
    if authority is None or order.authority_id in (ANY_AUTHORITY, authority.statement.authority_id):
        return
    raise TrustError("order-other-authority", "the order is for another authority")


def _check_going_on(
    order: Order,
    rules: ActionRules,
    *,
    key: TrustedKey,
    roster: TrustedRoster,
    authority: OpenedAuthority | None,
    now: TrustedTime,
) -> Authority:
    """Check what every order but a stop needs, and return the authority in force."""
    if now.behind or not rules.mends_time:  # rule 9
        require_trusted(now)
    roster.check_fresh(now)  # rule 10
    if now.latest_ms > key.not_after_ms:
        raise TrustError("order-key-expired", "the key that signed the order has expired")
    if authority is None:  # rule 11
        raise TrustError("order-no-authority", "there is no authority on this device")
    if order.authority_id != authority.statement.authority_id:
        raise TrustError("order-other-authority", "the order is for another authority")
    if order.operator not in authority.statement.operators or not roster.holds_role(order.operator, Role.OPERATOR):
        raise TrustError("order-signer-not-operator", "the signer is no operator of this authority")
    if order.issued_at_ms > now.wall_ms + SKEW_MS_MAX:  # rule 12
        raise TrustError("order-from-future", "the order was issued later than now")
    if now.latest_ms >= order.expires_at_ms:
        raise TrustError("order-expired", "the order has expired")
    return authority.statement


def _check_scope(order: Order, rules: ActionRules, *, authority: Authority, boot_nonce: str, now: TrustedTime) -> None:
    if now.wall_ms < authority.not_before_ms:  # rule 13
        raise TrustError("authority-not-begun", "the window of the authority has not begun")
    if now.latest_ms >= authority.not_after_ms:
        raise TrustError("authority-over", "the window of the authority is over")
    if rules.nonce and not hmac.compare_digest(order.boot_nonce, boot_nonce):  # rule 14
        raise TrustError("order-nonce-stale", "the nonce is not the one of this boot")
    if rules.lease and not LEASE_SECONDS_MIN <= order.lease_seconds <= authority.lease_seconds_max:  # rule 15
        raise TrustError("order-lease-out-of-range", "the lease is under 5 s or over what the authority allows")
    if rules.threshold and order.threshold_e4 < authority.threshold_floor_e4:  # rule 16
        raise TrustError("order-threshold-below-floor", "the threshold lies below the authority's floor")
