"""What the control room answers, and who may not answer for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from deployment_for_tests import (
    ADA,
    CONTROL_ROOM,
    CONTROL_ROOM_ID,
    DEVICE,
    DEVICE_ID,
    NOW_MS,
    STRANGER,
    a_receipt,
    a_trusted_roster,
    an_adjudication,
    an_order,
    stepped_time,
    time_at,
)

from appliance.authority.adjudications import open_adjudication, open_receipt
from appliance.errors import TrustError
from appliance.wire.envelope import sign
from appliance.wire.statements import Adjudication, Receipt


def receipt(*, by: Any = CONTROL_ROOM, now: Any = None, roster: Any = None, **changes: Any) -> Receipt:
    return _open(open_receipt, sign(a_receipt(**changes), by), now, roster)


def adjudication(*, by: Any = CONTROL_ROOM, now: Any = None, roster: Any = None, **changes: Any) -> Adjudication:
    return _open(open_adjudication, sign(an_adjudication(**changes), by), now, roster)


def _open(opener: Any, envelope: bytes, now: Any = None, roster: Any = None) -> Any:
    return opener(
        envelope,
        roster=roster or a_trusted_roster(),
        device_id=DEVICE_ID,
        control_room=CONTROL_ROOM_ID,
        now=now or time_at(),
    )


REFUSED: tuple[tuple[str, str, Callable[[], object]], ...] = (
    ("a receipt by a stranger", "signer-not-trusted", lambda: receipt(by=STRANGER)),
    ("a receipt by the device itself", "signer-not-trusted", lambda: receipt(by=DEVICE)),
    ("a receipt for another device", "answer-other-device", lambda: receipt(device_id="device-2")),
    ("a receipt in another's name", "answer-other-control-room", lambda: receipt(control_room="control-room-2")),
    ("a receipt from the future", "answer-from-future", lambda: receipt(received_at_ms=NOW_MS + 30_001)),
    (
        "a receipt by a revoked key",
        "roster-unknown-control-room",
        lambda: receipt(roster=a_trusted_roster(revoked=(CONTROL_ROOM.key_id,))),
    ),
    ("an order for a receipt", "envelope-wrong-type", lambda: _open(open_receipt, sign(an_order(), CONTROL_ROOM))),
    (
        "a receipt for an adjudication",
        "envelope-wrong-type",
        lambda: _open(open_adjudication, sign(a_receipt(), CONTROL_ROOM)),
    ),
    ("an adjudication by the adjudicator alone", "signer-not-trusted", lambda: adjudication(by=ADA)),
    ("an adjudication by an operator", "answer-adjudicator-unknown", lambda: adjudication(adjudicator="oona")),
    ("an adjudication by nobody", "answer-adjudicator-unknown", lambda: adjudication(adjudicator="nobody")),
    ("an adjudication for another device", "answer-other-device", lambda: adjudication(device_id="device-2")),
    ("an adjudication from the future", "answer-from-future", lambda: adjudication(decided_at_ms=NOW_MS + 30_001)),
)


@pytest.mark.parametrize(("name", "rule", "attempt"), REFUSED, ids=[case[0] for case in REFUSED])
def test_an_answer_is_refused_by_its_own_rule(name: str, rule: str, attempt: Callable[[], object]) -> None:
    with pytest.raises(TrustError) as refused:
        attempt()
    assert refused.value.rule == rule


def test_the_control_rooms_answers_are_opened() -> None:
    assert receipt() == a_receipt()
    assert adjudication() == an_adjudication()


@pytest.mark.parametrize("now", [time_at(0, floor_ms=NOW_MS), stepped_time()], ids=["behind", "stepped"])
def test_an_answer_is_opened_with_a_wrong_clock_too(now: Any) -> None:
    assert receipt(now=now) == a_receipt()
    assert adjudication(now=now) == an_adjudication()
