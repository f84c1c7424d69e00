"""Orders with any fields at all, rightly signed: opened exactly when a plain reading of design §4 says so."""

from __future__ import annotations

from typing import Any

from deployment_for_tests import (
    AUTHORITY_ID,
    BOOT_NONCE,
    COUNTER,
    DEVICE_ID,
    HOUR_MS,
    NOW_MS,
    OMAR,
    OONA,
    a_trusted_roster,
    accept_order,
    an_opened_authority,
    an_order,
    time_at,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.errors import TrustError
from appliance.wire.envelope import sign
from appliance.wire.statements import Order, OrderAction

ROSTER = a_trusted_roster()
AUTHORITY = an_opened_authority()
BEGINS_MS, ENDS_MS = NOW_MS - HOUR_MS, NOW_MS + 7 * HOUR_MS
STOPS = (OrderAction.DEACTIVATE, OrderAction.ERASE)
LEASES = (OrderAction.ACTIVATE, OrderAction.RENEW)

near = st.sampled_from((-1, 0, 1))
often = st.sampled_from


@st.composite
def situations(draw: st.DrawFn) -> tuple[Order, Any, int]:
    """An order that is near the bounds in everything, its signer, and the instant of its arrival."""
    action = draw(often(OrderAction))
    plain = an_order(action)
    at = draw(often((NOW_MS, NOW_MS, BEGINS_MS, ENDS_MS))) + draw(near)
    issued = at + draw(often((-10_000, -10_000, 30_000, -300_000))) + draw(near)
    life = draw(often((60_000, 60_000, 300_000, 0))) + draw(near)
    order = an_order(
        action,
        device_id=draw(often((DEVICE_ID,) * 7 + ("device-2",))),
        authority_id=draw(often((AUTHORITY_ID,) * 5 + ("any", "authority-2"))),
        operator=draw(often(("oona",) * 5 + ("omar",))),
        counter=COUNTER + draw(often((1, 1, 1, 1, 2, 0, -1))),
        issued_at_ms=issued,
        expires_at_ms=issued + life,
        boot_nonce=draw(often((plain.boot_nonce,) * 5 + (BOOT_NONCE, "", "00" * 16))),
        lease_seconds=draw(often((plain.lease_seconds,) * 5 + (0, 4, 5, 300, 301))),
        threshold_e4=draw(often((plain.threshold_e4,) * 5 + (0, 3_799, 3_800, 10_000))),
    )
    return order, draw(often((OONA,) * 6 + (OMAR,))), at


def may_be_obeyed(order: Order, signer: Any, at: int) -> bool:
    """Design §4 once more, in other words than the code: every line must hold."""
    stops, same_counter = order.action in STOPS, order.action is OrderAction.DEACTIVATE
    leases, raises = order.action in LEASES, order.action is OrderAction.RAISE_THRESHOLD
    always = (
        order.device_id == DEVICE_ID,
        order.operator == ("oona" if signer is OONA else "omar"),
        order.counter > COUNTER or (same_counter and order.counter == COUNTER),
        1 <= order.expires_at_ms - order.issued_at_ms <= 300_000,
        order.boot_nonce == "" or order.action is OrderAction.ACTIVATE,
        order.lease_seconds == 0 or leases,
        order.threshold_e4 == 0 or raises,
        order.authority_id == AUTHORITY_ID or (stops and order.authority_id == "any"),
    )
    unless_it_stops = (
        order.operator == "oona",
        order.issued_at_ms <= at + 30_000,
        at < order.expires_at_ms,
        BEGINS_MS <= at < ENDS_MS,
        order.boot_nonce == BOOT_NONCE or order.action is not OrderAction.ACTIVATE,
        5 <= order.lease_seconds <= 300 or not leases,
        order.threshold_e4 >= 3_800 or not raises,
    )
    return all(always) and (stops or all(unless_it_stops))


@settings(max_examples=1_500, deadline=None)
@given(situations())
def test_an_order_is_opened_exactly_when_it_keeps_every_rule(situation: tuple[Order, Any, int]) -> None:
    order, signer, at = situation
    try:
        opened = accept_order(sign(order, signer), roster=ROSTER, authority=AUTHORITY, now=time_at(at)) == order
    except TrustError:
        opened = False
    assert opened is may_be_obeyed(order, signer, at)
