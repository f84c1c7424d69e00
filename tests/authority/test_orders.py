"""What an order must not be, one named case each, and what it may be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from deployment_for_tests import (
    ALICE,
    AUTHORITY_ID,
    BOB,
    COUNTER,
    DAY_MS,
    HOUR_MS,
    MINUTE_MS,
    NOW_MS,
    OMAR,
    OONA,
    SECOND_MS,
    STRANGER,
    a_person,
    a_receipt,
    a_trusted_roster,
    accept_authority,
    accept_order,
    an_authority,
    an_opened_authority,
    an_order,
    people,
    public_key,
    stepped_time,
    time_at,
)
from envelopes_for_tests import resigned, signed_payload, taken_apart, with_payload, with_wrapper

from appliance.authority.orders import ACTIONS, COUNTER_LEAP_MAX
from appliance.authority.trusted_time import vouch_for_time
from appliance.errors import TrustError
from appliance.wire.envelope import envelope_bytes_max, sign
from appliance.wire.statements import Order, OrderAction, Role

A = OrderAction


@dataclass(frozen=True, kw_only=True)
class Case:
    """One way to be refused: what arrives, where it arrives, and by which rule it fails."""

    name: str
    rule: str
    envelope: Callable[[], bytes]
    where: Callable[[], dict[str, Any]] = field(default=dict)


def ordered(action: OrderAction = A.ACTIVATE, *, by: Any = OONA, **changes: Any) -> Callable[[], bytes]:
    return lambda: sign(an_order(action, **changes), by)


def at(wall_ms: int, **floor: int) -> Callable[[], dict[str, Any]]:
    return lambda: {"now": time_at(wall_ms, **floor)}


def altered(old: bytes, new: bytes, *, by: Any = OONA) -> Callable[[], bytes]:
    return lambda: resigned(sign(an_order(), OONA), lambda payload: payload.replace(old, new, 1), by)


def rewrapped(change: Callable[[dict[str, Any]], object]) -> Callable[[], bytes]:
    return lambda: with_wrapper(sign(an_order(), OONA), change)


def revoked_oona() -> dict[str, Any]:
    return {"roster": a_trusted_roster(revoked=(OONA.key_id,)), "authority": an_opened_authority()}


def expired_key() -> dict[str, Any]:
    oona = a_person("oona", OONA, roles=(Role.OPERATOR,))
    old = type(oona)(
        person_id="oona", name=oona.name, roles=oona.roles, keys=(public_key(OONA, not_after_ms=NOW_MS - 1),)
    )
    others = tuple(person for person in people() if person.person_id != "oona")
    return {"roster": a_trusted_roster(people=(*others, old)), "authority": an_opened_authority()}


def demoted_oona() -> dict[str, Any]:
    demoted = a_person("oona", OONA, roles=(Role.AUTHORISING_OFFICER,))
    others = tuple(person for person in people() if person.person_id != "oona")
    return {"roster": a_trusted_roster(people=(*others, demoted)), "authority": an_opened_authority()}


def nested_payload() -> bytes:
    return signed_payload(b'{"order_id":' + b"[" * 500 + b"]" * 500 + b"}", TYPE, OONA)


def bit_flipped() -> bytes:
    envelope = bytearray(sign(an_order(), OONA))
    envelope[30] ^= 1  # inside the payload's base64
    return bytes(envelope)


def swapped_signature() -> bytes:
    other, _ = taken_apart(sign(an_order(counter=COUNTER + 2), OONA))
    return with_wrapper(sign(an_order(), OONA), lambda wire: wire.update(signatures=other["signatures"]))


def widened_after_signing() -> bytes:
    envelope = sign(an_order(lease_seconds=10), OONA)
    _, payload = taken_apart(envelope)
    return with_payload(envelope, payload.replace(b'"lease_seconds":10', b'"lease_seconds":300'))


TYPE = "application/vnd.lamppost.order.v1+json"
NO_AUTHORITY: dict[str, Any] = {"authority": None}

CASES = (
    # Rule 1
    Case(name="a retained message", rule="order-retained", envelope=ordered(), where=lambda: {"retained": True}),
    Case(
        name="a retained stop",
        rule="order-retained",
        envelope=ordered(A.DEACTIVATE),
        where=lambda: {"retained": True},
    ),
    # Rule 2: the envelope
    Case(name="nothing", rule="envelope-malformed", envelope=lambda: b""),
    Case(name="not JSON", rule="envelope-malformed", envelope=lambda: b"activate, please"),
    Case(name="truncated by one byte", rule="envelope-malformed", envelope=lambda: sign(an_order(), OONA)[:-1]),
    Case(name="truncated to half", rule="envelope-malformed", envelope=lambda: sign(an_order(), OONA)[:300]),
    Case(name="bit flipped in the payload", rule="signature-invalid", envelope=bit_flipped),
    Case(name="lease widened after signing", rule="signature-invalid", envelope=widened_after_signing),
    Case(name="signature of another order", rule="signature-invalid", envelope=swapped_signature),
    Case(
        name="oversized",
        rule="envelope-too-large",
        envelope=lambda: sign(an_order(), OONA) + b" " * envelope_bytes_max(Order),
    ),
    Case(name="no signature", rule="signature-missing", envelope=rewrapped(lambda wire: wire.update(signatures=[]))),
    Case(
        name="the same signature twice",
        rule="signature-duplicate",
        envelope=rewrapped(lambda wire: wire.update(signatures=wire["signatures"] * 2)),
    ),
    Case(
        name="the same key under another key id",
        rule="signer-not-trusted",
        envelope=rewrapped(lambda wire: wire["signatures"].append(wire["signatures"][0] | {"keyid": "a" * 64})),
    ),
    Case(
        name="an unknown field in the wrapper",
        rule="envelope-malformed",
        envelope=rewrapped(lambda wire: wire.update(algorithm="none")),
    ),
    Case(
        name="a signature algorithm of the sender's choice",
        rule="envelope-malformed",
        envelope=rewrapped(lambda wire: wire["signatures"][0].update(alg="HS256")),
    ),
    Case(
        name="payload type swapped after signing",
        rule="envelope-wrong-type",
        envelope=rewrapped(lambda wire: wire.update(payloadType=TYPE.replace("order", "authority"))),
    ),
    Case(
        name="schema version that does not exist",
        rule="envelope-wrong-type",
        envelope=rewrapped(lambda wire: wire.update(payloadType=TYPE.replace("v1", "v2"))),
    ),
    Case(
        name="another statement by the right person",
        rule="envelope-wrong-type",
        envelope=lambda: sign(a_receipt(), OONA),
    ),
    Case(
        name="an order wearing a receipt's payload",
        rule="payload-unknown-field",
        envelope=lambda: signed_payload(taken_apart(sign(a_receipt(), OONA))[1], TYPE, OONA),
    ),
    Case(name="duplicate key", rule="payload-duplicate-key", envelope=altered(b"{", b'{"counter":99,')),
    Case(name="NaN for the counter", rule="payload-not-a-number", envelope=altered(b'"counter":42', b'"counter":NaN')),
    Case(name="a fraction", rule="payload-not-an-integer", envelope=altered(b'"counter":42', b'"counter":42.5')),
    Case(name="a counter beyond 2**53", rule="payload-wrong-type", envelope=altered(b":42,", b":9007199254740992,")),
    Case(name="a negative counter", rule="payload-wrong-type", envelope=altered(b'"counter":42', b'"counter":-1')),
    Case(name="a counter as text", rule="payload-wrong-type", envelope=altered(b'"counter":42', b'"counter":"42"')),
    Case(name="an unknown field", rule="payload-unknown-field", envelope=altered(b"{", b'{"priority":1,')),
    Case(name="a missing field", rule="payload-missing-field", envelope=altered(b'"counter":42,', b"")),
    Case(name="an unknown action", rule="payload-wrong-type", envelope=altered(b'"activate"', b'"record"')),
    Case(name="a lease beyond the schema", rule="payload-wrong-type", envelope=altered(b":120,", b":86400,")),
    Case(name="deep nesting", rule="payload-too-deep", envelope=nested_payload),
    # Rule 2: the signer
    Case(name="signed by a stranger", rule="signer-not-trusted", envelope=ordered(by=STRANGER)),
    Case(name="signed by a reviewer", rule="signer-not-trusted", envelope=ordered(by=BOB, operator="bob")),
    Case(name="signed by a revoked key", rule="signer-not-trusted", envelope=ordered(), where=revoked_oona),
    Case(
        name="stopped by a revoked key",
        rule="signer-not-trusted",
        envelope=ordered(A.DEACTIVATE),
        where=revoked_oona,
    ),
    Case(name="signed by two operators", rule="order-many-signers", envelope=lambda: sign(an_order(), OONA, OMAR)),
    # Rules 3 and 4
    Case(name="in another operator's name", rule="order-operator-not-signer", envelope=ordered(by=OMAR)),
    Case(
        name="stopped in another operator's name",
        rule="order-operator-not-signer",
        envelope=ordered(A.DEACTIVATE, by=OMAR),
    ),
    Case(name="for another device", rule="order-other-device", envelope=ordered(device_id="device-2")),
    Case(name="a stop for another device", rule="order-other-device", envelope=ordered(A.ERASE, device_id="device-2")),
    # Rule 5
    Case(
        name="a renewal with a nonce",
        rule="order-field-not-for-action",
        envelope=ordered(A.RENEW, boot_nonce="5e" * 16),
    ),
    Case(
        name="a stop with a lease", rule="order-field-not-for-action", envelope=ordered(A.DEACTIVATE, lease_seconds=9)
    ),
    Case(
        name="an activation with a threshold",
        rule="order-field-not-for-action",
        envelope=ordered(threshold_e4=9_000),
    ),
    Case(name="a life of no length", rule="order-life-wrong", envelope=ordered(expires_at_ms=NOW_MS - 10 * SECOND_MS)),
    Case(
        name="a life of 5 minutes and 1 ms",
        rule="order-life-wrong",
        envelope=ordered(expires_at_ms=NOW_MS - 10 * SECOND_MS + 5 * MINUTE_MS + 1),
    ),
    # Rules 6 and 8
    Case(name="counter equal", rule="order-counter-used", envelope=ordered(counter=COUNTER)),
    Case(name="erase with the counter equal", rule="order-counter-used", envelope=ordered(A.ERASE, counter=COUNTER)),
    Case(name="counter lower", rule="order-counter-not-higher", envelope=ordered(counter=COUNTER - 1)),
    Case(
        name="replayed after it was obeyed",
        rule="order-counter-used",
        envelope=ordered(),
        where=lambda: {"counter": COUNTER + 1},
    ),
    Case(
        name="an old stop replayed",
        rule="order-counter-not-higher",
        envelope=ordered(A.DEACTIVATE),
        where=lambda: {"counter": COUNTER + 2},
    ),
    Case(
        name="a counter that uses all numbers up",
        rule="order-counter-leaps",
        envelope=ordered(A.DEACTIVATE, counter=COUNTER + COUNTER_LEAP_MAX + 1),
    ),
    # Rule 7
    Case(
        name="a stop for another authority",
        rule="order-other-authority",
        envelope=ordered(A.DEACTIVATE, authority_id="authority-2"),
    ),
    # Rules 9 and 10
    Case(
        name="while the clock is behind the floor",
        rule="time-behind-floor",
        envelope=ordered(),
        where=at(NOW_MS, floor_ms=NOW_MS + 1),
    ),
    Case(name="while the clock says 1970", rule="time-behind-floor", envelope=ordered(), where=at(0, floor_ms=NOW_MS)),
    Case(
        name="resumed while the clock is behind the floor",
        rule="time-behind-floor",
        envelope=ordered(A.RESUME),
        where=at(NOW_MS, floor_ms=NOW_MS + 1),
    ),
    Case(
        name="after the clock stepped", rule="time-stepped", envelope=ordered(), where=lambda: {"now": stepped_time()}
    ),
    Case(
        name="under an expired roster",
        rule="roster-expired",
        envelope=ordered(),
        where=lambda: {"roster": a_trusted_roster(expires_at_ms=NOW_MS), "authority": an_opened_authority()},
    ),
    Case(name="by an expired key", rule="order-key-expired", envelope=ordered(), where=expired_key),
    # Rule 11
    Case(name="without an authority", rule="order-no-authority", envelope=ordered(), where=lambda: NO_AUTHORITY),
    Case(name="under another authority", rule="order-other-authority", envelope=ordered(authority_id="authority-2")),
    Case(name="under any authority", rule="order-other-authority", envelope=ordered(authority_id="any")),
    Case(
        name="by an operator of another deployment",
        rule="order-signer-not-operator",
        envelope=ordered(by=OMAR, operator="omar"),
    ),
    Case(
        name="by the officer who signed the authority",
        rule="order-signer-not-operator",
        envelope=ordered(by=ALICE, operator="alice"),
    ),
    Case(
        name="by an operator who is none any more",
        rule="order-signer-not-operator",
        envelope=ordered(),
        where=demoted_oona,
    ),
    # Rule 12
    Case(
        name="not yet valid",
        rule="order-from-future",
        envelope=ordered(issued_at_ms=NOW_MS + 30_001, expires_at_ms=NOW_MS + 60_000),
    ),
    Case(
        name="expired",
        rule="order-expired",
        envelope=ordered(issued_at_ms=NOW_MS - 4 * MINUTE_MS, expires_at_ms=NOW_MS),
    ),
    Case(
        name="a resume that is as old as the clock is wrong",
        rule="order-expired",
        envelope=ordered(A.RESUME, issued_at_ms=NOW_MS - DAY_MS, expires_at_ms=NOW_MS - DAY_MS + MINUTE_MS),
        where=lambda: {"now": stepped_time()},
    ),
    # Rule 13
    Case(
        name="before the window",
        rule="authority-not-begun",
        envelope=ordered(),
        where=lambda: {"authority": an_opened_authority(not_before_ms=NOW_MS + 1)},
    ),
    Case(
        name="after the window",
        rule="authority-over",
        envelope=ordered(issued_at_ms=NOW_MS + 7 * HOUR_MS - SECOND_MS, expires_at_ms=NOW_MS + 7 * HOUR_MS + MINUTE_MS),
        where=lambda: {"now": time_at(NOW_MS + 7 * HOUR_MS), "authority": an_opened_authority()},
    ),
    # Rules 14 to 16
    Case(name="the nonce of another boot", rule="order-nonce-stale", envelope=ordered(boot_nonce="00" * 16)),
    Case(name="no nonce", rule="order-nonce-stale", envelope=ordered(boot_nonce="")),
    Case(name="a lease of no length", rule="order-lease-out-of-range", envelope=ordered(lease_seconds=0)),
    Case(name="a lease of 4 s", rule="order-lease-out-of-range", envelope=ordered(lease_seconds=4)),
    Case(name="a lease 1 s over the maximum", rule="order-lease-out-of-range", envelope=ordered(lease_seconds=301)),
    Case(
        name="a renewal 1 s over the maximum",
        rule="order-lease-out-of-range",
        envelope=ordered(A.RENEW, lease_seconds=301),
    ),
    Case(
        name="a threshold below the floor",
        rule="order-threshold-below-floor",
        envelope=ordered(A.RAISE_THRESHOLD, threshold_e4=3_799),
    ),
    Case(name="no threshold", rule="order-threshold-below-floor", envelope=ordered(A.RAISE_THRESHOLD, threshold_e4=0)),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_an_order_is_refused_by_its_own_rule(case: Case) -> None:
    with pytest.raises(TrustError) as refused:
        accept_order(case.envelope(), **case.where())
    assert refused.value.rule == case.rule


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_refusal_says_nothing_about_anybody(case: Case) -> None:
    with pytest.raises(TrustError) as refused:
        accept_order(case.envelope(), **case.where())
    told = str(refused.value).lower()
    assert not [word for word in ("oona", "omar", "alice", "bob", AUTHORITY_ID, "device-1") if word in told]


def test_the_table_has_no_case_twice() -> None:
    assert len({case.name for case in CASES}) == len(CASES) >= 50


def test_there_is_a_rule_for_every_action() -> None:
    assert set(ACTIONS) == set(OrderAction)


@pytest.mark.parametrize("action", OrderAction)
def test_an_order_that_keeps_every_rule_is_opened(action: OrderAction) -> None:
    assert accept_order(sign(an_order(action), OONA)) == an_order(action)


@pytest.mark.parametrize("lease_seconds", [5, 300])
def test_a_lease_may_be_as_short_as_5_s_and_as_long_as_the_authority_says(lease_seconds: int) -> None:
    assert accept_order(sign(an_order(lease_seconds=lease_seconds), OONA)).lease_seconds == lease_seconds


def test_a_clock_may_be_30_s_behind_the_operators() -> None:
    order = an_order(issued_at_ms=NOW_MS + 30_000, expires_at_ms=NOW_MS + 60_000)
    assert accept_order(sign(order, OONA)) == order


@pytest.mark.parametrize("action", [A.DEACTIVATE, A.ERASE])
@pytest.mark.parametrize(
    "where",
    [
        lambda: {"now": time_at(0, floor_ms=NOW_MS)},
        lambda: {"now": time_at(NOW_MS * 2)},
        lambda: {"now": stepped_time()},
        lambda: {"boot_nonce": "00" * 16},
        lambda: {"authority": None},
        lambda: {"roster": a_trusted_roster(expires_at_ms=NOW_MS), "authority": an_opened_authority()},
        expired_key,
    ],
    ids=["1970", "far future", "stepped", "another boot", "no authority", "expired roster", "expired key"],
)
def test_stopping_works_whatever_else_is_wrong(action: OrderAction, where: Callable[[], dict[str, Any]]) -> None:
    assert accept_order(sign(an_order(action), OONA), **where()).action is action


@pytest.mark.parametrize("action", [A.DEACTIVATE, A.ERASE])
@pytest.mark.parametrize(("key", "name"), [(OONA, "oona"), (OMAR, "omar"), (ALICE, "alice")])
def test_any_operator_or_officer_may_stop_any_authority(action: OrderAction, key: Any, name: str) -> None:
    order = an_order(action, operator=name, authority_id="any")
    assert accept_order(sign(order, key)).operator == name


def test_a_stop_that_took_the_same_number_as_a_renewal_still_stops() -> None:
    assert accept_order(sign(an_order(A.DEACTIVATE, counter=COUNTER), OONA)).action is A.DEACTIVATE


def test_an_operator_resumes_a_device_whose_clock_stepped_and_thereby_vouches_for_it() -> None:
    now = stepped_time()
    order = accept_order(sign(an_order(A.RESUME), OONA), now=now, authority=an_opened_authority())
    assert vouch_for_time(now, signed_ms=order.issued_at_ms).trusted


def test_an_authority_that_was_signed_ahead_permits_nothing_before_its_window() -> None:
    ahead = accept_authority(sign(an_authority(not_before_ms=NOW_MS + HOUR_MS), ALICE, BOB))
    with pytest.raises(TrustError, match="authority-not-begun"):
        accept_order(sign(an_order(), OONA), authority=ahead)
