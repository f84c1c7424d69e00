"""Rosters: first, next, rotated, revoked; and what they must not be."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import pytest
from deployment_for_tests import (
    ADA,
    ALICE,
    ALICE_SECOND,
    BOB,
    CONTROL_ROOM,
    CONTROL_ROOM_ID,
    DAY_MS,
    DEVICE,
    DEVICE_ID,
    FAR_MS,
    NEW_ROOT_KEYS,
    NOW_MS,
    OMAR,
    OONA,
    ROOT,
    ROOT_KEYS,
    STRANGER,
    a_person,
    a_roster,
    a_trusted_roster,
    accept_order,
    an_opened_authority,
    an_order,
    people,
    public_key,
    root_keys,
    time_at,
)
from envelopes_for_tests import with_wrapper

from appliance.authority.keys import Y_OF_ORDER_8
from appliance.authority.roster import RootOfTrust, TrustedRoster
from appliance.authority.trusted_time import raise_floor
from appliance.errors import TrustError
from appliance.model.units import KeyId
from appliance.wire.envelope import sign
from appliance.wire.statements import OrderAction, Person, PublicKey, Role

P = 2**255 - 19


def first(
    *keys: Any, trust: RootOfTrust = ROOT, now: Any = None, version_min: int = 1, **changes: Any
) -> TrustedRoster:
    envelope = sign(a_roster(**changes), *(keys or ROOT_KEYS[:2]))
    return TrustedRoster.first(envelope, root=trust, now=now or time_at(), version_min=version_min)


def then(*keys: Any, now: Any = None, before: dict[str, Any] | None = None, **changes: Any) -> TrustedRoster:
    envelope = sign(a_roster(**({"version": 2} | changes)), *(keys or ROOT_KEYS[:2]))
    return a_trusted_roster(**(before or {})).succeed(envelope, now=now or time_at())


def listing(*public: str) -> tuple[Person, ...]:
    keys = tuple(PublicKey(public=text, not_after_ms=FAR_MS) for text in public)
    return (Person(person_id="eve", name="Eve", roles=(Role.OPERATOR,), keys=keys),)


def raw_text(y: int, sign_bit: int = 0) -> str:
    return base64.b64encode((y | sign_bit << 255).to_bytes(32, "little")).decode()


def respelled(key: Any) -> str:
    """The same key in base64 whose last two, unused bits are set: another text for the same 32 bytes."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    text = base64.b64encode(key.public).decode()
    return text[:42] + alphabet[alphabet.index(text[42]) | 3] + "="


def one_root_key_under_two_ids() -> TrustedRoster:
    def copy_signature(wire: dict[str, Any]) -> None:
        wire["signatures"].append(wire["signatures"][0] | {"keyid": ROOT_KEYS[1].key_id})

    envelope = with_wrapper(sign(a_roster(), ROOT_KEYS[0]), copy_signature)
    return TrustedRoster.first(envelope, root=ROOT, now=time_at())


OLD2, NEW2 = ROOT_KEYS[:2], NEW_ROOT_KEYS[:2]
NEW_ROOT = {"root": root_keys(*NEW_ROOT_KEYS)}

REFUSED: tuple[tuple[str, str, Callable[[], object]], ...] = (
    ("first signed by one root key", "too-few-signers", lambda: first(ROOT_KEYS[0])),
    ("first signed by one root key under two ids", "signature-invalid", one_root_key_under_two_ids),
    ("first signed by strangers", "too-few-signers", lambda: first(STRANGER, OONA)),
    ("first signed by root keys and a stranger", "signer-not-trusted", lambda: first(*OLD2, STRANGER)),
    ("first older than one seen", "roster-version-lower", lambda: first(version_min=2)),
    ("first with a root that did not sign it", "roster-new-root-unsigned", lambda: first(**NEW_ROOT)),
    ("expiry before issue", "roster-dates-wrong", lambda: first(expires_at_ms=NOW_MS - DAY_MS)),
    ("issued in the future", "roster-from-future", lambda: first(issued_at_ms=NOW_MS + 30_001)),
    (
        "one key under two persons",
        "roster-key-shared",
        lambda: first(people=(*people(), a_person("eve", ALICE, roles=(Role.REVIEWER,)))),
    ),
    (
        "one key twice under one person",
        "roster-key-shared",
        lambda: first(people=(a_person("eve", ALICE, ALICE, roles=(Role.REVIEWER,)),)),
    ),
    (
        "a person with the device's key",
        "roster-key-shared",
        lambda: first(people=(a_person("eve", DEVICE, roles=(Role.REVIEWER,)),)),
    ),
    (
        "one key in a second spelling",
        "roster-key-malformed",
        lambda: first(people=(*people(), *listing(respelled(ALICE)))),
    ),
    (
        "one person id twice",
        "roster-id-repeated",
        lambda: first(people=(*people(), a_person("alice", STRANGER, roles=(Role.REVIEWER,)))),
    ),
    ("one device twice", "roster-id-repeated", lambda: first(devices=a_roster().devices * 2)),
    ("one control room twice", "roster-id-repeated", lambda: first(services=a_roster().services * 2)),
    ("a key of y = 0", "roster-key-weak", lambda: first(people=listing(raw_text(0)))),
    ("a key of y = 1", "roster-key-weak", lambda: first(people=listing(raw_text(1, 1)))),
    ("a key of y = p - 1", "roster-key-weak", lambda: first(people=listing(raw_text(P - 1)))),
    ("a key of y = p + 3", "roster-key-weak", lambda: first(people=listing(raw_text(P + 3)))),
    ("next older", "roster-version-lower", lambda: then(version=1, before={"version": 3})),
    ("next with the version reused", "roster-version-reused", lambda: then(version=1, people=people()[:2])),
    ("next signed by one old root key", "too-few-signers", lambda: then(ROOT_KEYS[0])),
    ("next signed by people", "too-few-signers", lambda: then(ALICE, BOB)),
    ("next expired", "roster-expired", lambda: then(expires_at_ms=NOW_MS)),
    ("rotation signed by the old root only", "roster-new-root-unsigned", lambda: then(*OLD2, **NEW_ROOT)),
    ("rotation signed by the new root only", "too-few-signers", lambda: then(*NEW2, **NEW_ROOT)),
    (
        "rotation signed by one of the new root",
        "roster-new-root-unsigned",
        lambda: then(*OLD2, NEW_ROOT_KEYS[0], **NEW_ROOT),
    ),
    (
        "rotation signed by a stranger as well",
        "signer-not-trusted",
        lambda: then(*OLD2, *NEW2, STRANGER, **NEW_ROOT),
    ),
    (
        "a lower threshold is a rotation, too",
        "roster-new-root-unsigned",
        lambda: then(*OLD2, root=root_keys(*NEW_ROOT_KEYS, threshold=1)),
    ),
    (
        "a root that cannot be reached",
        "roster-root-unreachable",
        lambda: then(root=root_keys(*ROOT_KEYS[:1], threshold=2)),
    ),
    (
        "a root of one key in many copies",
        "roster-root-unreachable",
        lambda: then(root=root_keys(*ROOT_KEYS[:1] * 3, threshold=2)),
    ),
    (
        "a root whose keys are revoked",
        "roster-root-unreachable",
        lambda: then(revoked=tuple(key.key_id for key in ROOT_KEYS[:2])),
    ),
    (
        "a root of trust with one key twice",
        "root-of-trust-unusable",
        lambda: RootOfTrust(threshold=2, keys=(ROOT_KEYS[0].public, ROOT_KEYS[0].public)),
    ),
    ("a root of trust without keys", "root-of-trust-unusable", lambda: RootOfTrust(threshold=0, keys=())),
    ("an unknown device", "roster-unknown-device", lambda: first().device("device-2")),
    ("a revoked device", "roster-unknown-device", lambda: first(revoked=(DEVICE.key_id,)).device(DEVICE_ID)),
    ("an unknown control room", "roster-unknown-control-room", lambda: first().control_room("nowhere")),
    (
        "a revoked control room",
        "roster-unknown-control-room",
        lambda: first(revoked=(CONTROL_ROOM.key_id,)).control_room(CONTROL_ROOM_ID),
    ),
    ("nobody's key", "roster-unknown-key", lambda: first().person_of(STRANGER.key_id)),
    ("a revoked person's key", "roster-unknown-key", lambda: first(revoked=(ADA.key_id,)).person_of(ADA.key_id)),
    ("use after expiry", "roster-expired", lambda: first(expires_at_ms=NOW_MS).check_fresh(time_at())),
    (
        "use after expiry by the floor",
        "roster-expired",
        lambda: first(expires_at_ms=NOW_MS + 1).check_fresh(time_at(0, floor_ms=NOW_MS + 1)),
    ),
)


@pytest.mark.parametrize(("name", "rule", "attempt"), REFUSED, ids=[case[0] for case in REFUSED])
def test_a_roster_is_refused_by_its_own_rule(name: str, rule: str, attempt: Callable[[], object]) -> None:
    with pytest.raises(TrustError) as refused:
        attempt()
    assert refused.value.rule == rule


def test_the_same_roster_again_is_the_same_roster() -> None:
    present = a_trusted_roster()
    assert present.succeed(sign(a_roster(), *ROOT_KEYS[1:]), now=time_at()) is present


def test_a_newer_roster_takes_the_place_of_the_present_one() -> None:
    assert then(version=7, people=people()[:3]).statement.version == 7


def test_a_rotation_is_signed_by_both_roots_and_the_new_one_rules_from_then_on() -> None:
    rotated = then(*OLD2, *NEW2, **NEW_ROOT)
    after = sign(a_roster(version=3, **NEW_ROOT), *NEW2)
    assert rotated.succeed(after, now=time_at()).statement.version == 3
    with pytest.raises(TrustError, match="too-few-signers"):
        rotated.succeed(sign(a_roster(version=3, **NEW_ROOT), *OLD2), now=time_at())


def test_after_a_rotation_boot_starts_from_the_root_that_was_stored() -> None:
    rotated = then(*OLD2, *NEW2, **NEW_ROOT)
    stored = sign(a_roster(version=3, **NEW_ROOT), *NEW2)
    assert TrustedRoster.first(stored, root=rotated.next_root(), now=time_at(), version_min=3).statement.version == 3
    with pytest.raises(TrustError, match="too-few-signers"):
        TrustedRoster.first(stored, root=ROOT, now=time_at())


def test_a_revoked_root_key_signs_nothing_any_more() -> None:
    revoked = {"revoked": (ROOT_KEYS[0].key_id,)}
    present = then(*ROOT_KEYS[1:], **revoked)
    with pytest.raises(TrustError, match="too-few-signers"):
        present.succeed(sign(a_roster(version=3, **revoked), *OLD2), now=time_at())
    assert present.succeed(sign(a_roster(version=3, **revoked), *ROOT_KEYS[1:]), now=time_at()).statement.version == 3


def test_one_key_of_a_person_is_revoked_and_the_other_still_signs() -> None:
    roster = then(revoked=(ALICE.key_id,))
    assert roster.is_revoked(ALICE.key_id)
    assert set(roster.keys_with_role(Role.AUTHORISING_OFFICER, now=time_at())) == {ALICE_SECOND.key_id}


def test_an_expired_roster_is_loaded_so_that_it_can_be_replaced() -> None:
    lain_in_the_depot = first(expires_at_ms=NOW_MS)
    fresh = lain_in_the_depot.succeed(sign(a_roster(version=2), *OLD2), now=time_at())
    fresh.check_fresh(time_at())


def test_a_box_that_boots_in_1970_still_loads_its_roster() -> None:
    now = time_at(0, floor_ms=NOW_MS - DAY_MS)
    roster = first(now=now)
    assert raise_floor(now, signed_ms=roster.statement.issued_at_ms).floor_ms == NOW_MS - DAY_MS


def test_look_ups_answer_with_keys_and_persons() -> None:
    roster, now = a_trusted_roster(), time_at()
    assert dict(roster.keys_with_role(Role.OPERATOR, now=now)) == {OONA.key_id: OONA.public, OMAR.key_id: OMAR.public}
    assert set(roster.keys_with_role(Role.REVIEWER, Role.AUTHORISING_OFFICER, now=now)) == {
        ALICE.key_id,
        ALICE_SECOND.key_id,
        BOB.key_id,
    }
    assert dict(roster.operator_keys(["oona", "bob", "nobody"], now=now)) == {OONA.key_id: OONA.public}
    assert roster.person_of(ALICE_SECOND.key_id) == roster.person_of(ALICE.key_id) == "alice"
    assert roster.control_room(CONTROL_ROOM_ID).service_id == CONTROL_ROOM_ID
    assert dict(roster.control_room_keys(CONTROL_ROOM_ID, now=now)) == {CONTROL_ROOM.key_id: CONTROL_ROOM.public}
    assert roster.device(DEVICE_ID).device_id == DEVICE_ID
    assert dict(roster.device_keys(DEVICE_ID, now=now)) == {DEVICE.key_id: DEVICE.public}


def test_a_key_signs_until_its_own_expiry_and_not_after() -> None:
    oona = Person(
        person_id="oona",
        name="Oona",
        roles=(Role.OPERATOR,),
        keys=(public_key(OONA, not_after_ms=NOW_MS),),
    )
    roster = first(people=(oona,))
    assert OONA.key_id in roster.keys_with_role(Role.OPERATOR, now=time_at(NOW_MS))
    assert not roster.keys_with_role(Role.OPERATOR, now=time_at(NOW_MS + 1))
    assert not roster.operator_keys(["oona"], now=time_at(0, floor_ms=NOW_MS + 1))


def test_whoever_left_the_roster_orders_nothing() -> None:
    left = then(people=tuple(person for person in people() if person.person_id != "oona"))
    with pytest.raises(TrustError, match="signer-not-trusted"):
        accept_order(sign(an_order(OrderAction.RENEW), OONA), roster=left, authority=an_opened_authority())


def test_a_key_id_is_a_thumbprint_of_the_raw_key() -> None:
    keys = a_trusted_roster().keys_with_role(*Role, now=time_at())
    assert KeyId(OONA.key_id) in keys


@pytest.mark.parametrize("y", [0, 1, P - 1])
def test_small_order_keys_that_the_library_takes_are_refused_by_us(y: int) -> None:
    with pytest.raises(TrustError, match="roster-key-weak"):
        first(people=listing(raw_text(y)))


def test_the_listed_points_of_order_8_are_just_those() -> None:
    """Doubling a point of order 8 gives one of order 4, whose y is 0, so y² = -x² on -x² + y² = 1 + d·x²·y²."""
    d = -121665 * pow(121666, -1, P) % P
    for y in Y_OF_ORDER_8:
        x_squared = -y * y % P
        assert (-x_squared + y * y - 1 - d * x_squared * y * y) % P == 0
