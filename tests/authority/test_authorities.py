"""What an authority and its list must not be, one named case each, and what they may be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from deployment_for_tests import (
    ALICE,
    ALICE_SECOND,
    AUTHORITY_ID,
    BOB,
    CONTROL_ROOM,
    DAY_MS,
    DEVICE_ID,
    DEVICE_SEALING,
    HOUR_MS,
    MINUTE_MS,
    MODEL_DIGEST,
    NOW_MS,
    OONA,
    POLICY,
    SHARE_B,
    STRANGER,
    a_manifest,
    a_person,
    a_roster,
    a_trusted_roster,
    accept_authority,
    an_authority,
    an_opened_authority,
    digest_of,
    manifest_digest,
    people,
    stepped_time,
    time_at,
)
from envelopes_for_tests import resigned, signed_payload, taken_apart, with_payload, with_wrapper
from keys_for_tests import unsealing_key

from appliance.authority.authorities import check_watchlist
from appliance.errors import TrustError
from appliance.model.units import AuthorityId, DeviceId, Digest
from appliance.wire.envelope import countersign, envelope_bytes_max, sign
from appliance.wire.sealing import share_b_info, unseal
from appliance.wire.statements import Authority, Role, ShareForDevice
from appliance.wire.statements.authority import RetentionProfile


@dataclass(frozen=True, kw_only=True)
class Case:
    """One way to be refused: what arrives, where it arrives, and by which rule it fails."""

    name: str
    rule: str
    envelope: Callable[[], bytes]
    where: Callable[[], dict[str, Any]] = field(default=dict)


def drafted(*, by: tuple[Any, ...] = (ALICE, BOB), **changes: Any) -> Callable[[], bytes]:
    return lambda: sign(an_authority(**changes), *by)


def kept(**changes: Any) -> Callable[[], bytes]:
    profile = {"profile": "standard", "rejected_hours": 0, "accepted_hours": 24, "unadjudicated_minutes": 10}
    return drafted(retention=RetentionProfile(**(profile | changes)))


def people_with(person_id: str, *keys: Any, roles: tuple[Role, ...]) -> dict[str, Any]:
    others = tuple(person for person in people() if person.person_id != person_id)
    return {"roster": a_trusted_roster(people=(*others, a_person(person_id, *keys, roles=roles)))}


def altered(old: bytes, new: bytes) -> Callable[[], bytes]:
    return lambda: resigned(sign(an_authority(), ALICE, BOB), lambda payload: payload.replace(old, new, 1), ALICE, BOB)


def policy(**changes: Any) -> Callable[[], dict[str, Any]]:
    return lambda: {"policy": replace(POLICY, **changes)}


def at(wall_ms: int, **floor: int) -> Callable[[], dict[str, Any]]:
    return lambda: {"now": time_at(wall_ms, **floor)}


def widened_after_signing() -> bytes:
    envelope = sign(an_authority(), ALICE, BOB)
    _, payload = taken_apart(envelope)
    return with_payload(envelope, payload.replace(b'"size_max":15000', b'"size_max":20000'))


def one_key_under_two_ids() -> bytes:
    def copy_signature(wire: dict[str, Any]) -> None:
        wire["signatures"].append(wire["signatures"][0] | {"keyid": BOB.key_id})

    return with_wrapper(sign(an_authority(), ALICE), copy_signature)


def share(device_id: str = DEVICE_ID) -> ShareForDevice:
    return ShareForDevice(device_id=device_id, sealed="AAAA")


TYPE = "application/vnd.lamppost.authority.v1+json"

CASES = (
    Case(name="retained", rule="authority-retained", envelope=drafted(), where=lambda: {"retained": True}),
    # Rule 2
    Case(
        name="while the clock is behind the floor",
        rule="time-behind-floor",
        envelope=drafted(),
        where=at(NOW_MS, floor_ms=NOW_MS + 1),
    ),
    Case(
        name="after the clock stepped", rule="time-stepped", envelope=drafted(), where=lambda: {"now": stepped_time()}
    ),
    Case(
        name="under an expired roster",
        rule="roster-expired",
        envelope=drafted(),
        where=lambda: {"roster": a_trusted_roster(expires_at_ms=NOW_MS)},
    ),
    # Rule 3
    Case(name="truncated", rule="envelope-malformed", envelope=lambda: sign(an_authority(), ALICE, BOB)[:-2]),
    Case(
        name="oversized",
        rule="envelope-too-large",
        envelope=lambda: sign(an_authority(), ALICE, BOB) + b" " * envelope_bytes_max(Authority),
    ),
    Case(name="widened after signing", rule="signature-invalid", envelope=widened_after_signing),
    Case(name="another statement", rule="envelope-wrong-type", envelope=lambda: sign(a_roster(), ALICE, BOB)),
    Case(
        name="a roster's payload",
        rule="payload-unknown-field",
        envelope=lambda: signed_payload(taken_apart(sign(a_roster(), ALICE))[1], TYPE, ALICE, BOB),
    ),
    Case(name="signed by strangers", rule="signer-not-trusted", envelope=drafted(by=(STRANGER,))),
    Case(name="one of the two is a stranger", rule="signer-not-trusted", envelope=drafted(by=(ALICE, STRANGER))),
    Case(name="one of the two is a machine", rule="signer-not-trusted", envelope=drafted(by=(ALICE, CONTROL_ROOM))),
    Case(
        name="signed with a revoked key",
        rule="signer-not-trusted",
        envelope=drafted(),
        where=lambda: {"roster": a_trusted_roster(revoked=(BOB.key_id,))},
    ),
    Case(
        name="duplicate key",
        rule="payload-duplicate-key",
        envelope=altered(b"{", b'{"size_max":20000,'),
    ),
    Case(name="NaN for the floor", rule="payload-not-a-number", envelope=altered(b":3800,", b":NaN,")),
    Case(name="a fraction for the floor", rule="payload-not-an-integer", envelope=altered(b":3800,", b":0.38,")),
    Case(name="an unknown field", rule="payload-unknown-field", envelope=altered(b"{", b'{"record_everybody":true,')),
    Case(name="no purpose", rule="payload-wrong-type", envelope=altered(b'"Locate persons wanted on warrant"', b'""')),
    Case(
        name="no legal basis",
        rule="payload-missing-field",
        envelope=altered(b'"legal_basis":"Common law policing powers",', b""),
    ),
    # Rule 4
    Case(name="one signature", rule="authority-one-signature", envelope=drafted(by=(ALICE,))),
    Case(name="two keys of one person", rule="authority-one-person", envelope=drafted(by=(ALICE, ALICE_SECOND))),
    Case(name="one signature under two key ids", rule="signature-invalid", envelope=one_key_under_two_ids),
    # Rule 5
    Case(
        name="no reviewer",
        rule="authority-no-reviewer",
        envelope=drafted(),
        where=lambda: people_with("bob", BOB, roles=(Role.AUTHORISING_OFFICER,)),
    ),
    Case(
        name="no authorising officer",
        rule="authority-no-officer",
        envelope=drafted(),
        where=lambda: people_with("alice", ALICE, roles=(Role.REVIEWER,)),
    ),
    Case(name="countersigned by an operator", rule="authority-no-reviewer", envelope=drafted(by=(ALICE, OONA))),
    Case(
        name="one person in both roles beside an operator",
        rule="authority-one-role-holder",
        envelope=drafted(by=(ALICE, OONA)),
        where=lambda: people_with("alice", ALICE, roles=(Role.AUTHORISING_OFFICER, Role.REVIEWER)),
    ),
    # Rules 6 and 7
    Case(name="drafted by nobody", rule="authority-drafter-unknown", envelope=drafted(drafted_by="nobody")),
    Case(
        name="drafted in the future",
        rule="authority-from-future",
        envelope=drafted(drafted_at_ms=NOW_MS + 30_001),
    ),
    Case(
        name="two shares for one device",
        rule="authority-repeats-itself",
        envelope=drafted(shares=(share(), share())),
    ),
    Case(name="an operator twice", rule="authority-repeats-itself", envelope=drafted(operators=("oona", "oona"))),
    # Rule 8
    Case(
        name="for another device",
        rule="authority-other-device",
        envelope=drafted(shares=(share("device-2"),)),
    ),
    Case(name="for another site", rule="authority-other-site", envelope=drafted(site_id="site-2")),
    # Rule 9
    Case(
        name="a window that ends before it begins",
        rule="authority-window-empty",
        envelope=drafted(not_before_ms=NOW_MS + 2, not_after_ms=NOW_MS + 1),
    ),
    Case(
        name="a window of 24 h and 1 ms",
        rule="authority-window-too-long",
        envelope=drafted(not_before_ms=NOW_MS - 1, not_after_ms=NOW_MS + DAY_MS),
    ),
    Case(name="a window that is over", rule="authority-over", envelope=drafted(not_after_ms=NOW_MS)),
    # Rule 10
    Case(
        name="an operator who is none",
        rule="authority-operator-unknown",
        envelope=drafted(operators=("oona", "ada")),
    ),
    Case(
        name="an unknown control room",
        rule="roster-unknown-control-room",
        envelope=drafted(control_room="control-room-2"),
    ),
    Case(
        name="a control room whose key is revoked",
        rule="roster-unknown-control-room",
        envelope=drafted(),
        where=lambda: {"roster": a_trusted_roster(revoked=(CONTROL_ROOM.key_id,))},
    ),
    # Rule 11
    Case(name="floor lowered", rule="authority-threshold-too-low", envelope=drafted(threshold_floor_e4=3_499)),
    Case(
        name="margin too low",
        rule="authority-margin-too-low",
        envelope=drafted(margin_e4=99),
        where=policy(margin_floor_e4=100),
    ),
    Case(
        name="lease too long",
        rule="authority-lease-too-long",
        envelope=drafted(lease_seconds_max=601),
        where=policy(lease_seconds_max=600),
    ),
    Case(name="cap exceeded", rule="authority-size-too-large", envelope=drafted(size_max=20_001)),
    Case(
        name="more shots agreeing than taken",
        rule="authority-shots-contradict",
        envelope=drafted(shots_needed=6, shots_max=5),
    ),
    Case(
        name="too few shots agreeing",
        rule="authority-shots-too-few",
        envelope=drafted(shots_needed=1),
        where=policy(shots_needed_min=2),
    ),
    Case(
        name="alerts that live for hours",
        rule="authority-alerts-live-too-long",
        envelope=drafted(alert_validity_seconds=3_601),
    ),
    Case(
        name="a denied category",
        rule="authority-category-denied",
        envelope=drafted(allowed_categories=("wanted-on-warrant", "protest")),
    ),
    Case(
        name="rejected alerts kept too long",
        rule="authority-retention-too-long",
        envelope=kept(rejected_hours=2),
        where=policy(rejected_hours_max=1),
    ),
    Case(
        name="accepted alerts kept too long",
        rule="authority-retention-too-long",
        envelope=kept(accepted_hours=73),
        where=policy(accepted_hours_max=72),
    ),
    Case(
        name="unseen alerts kept too long",
        rule="authority-retention-too-long",
        envelope=kept(unadjudicated_minutes=61),
        where=policy(unadjudicated_minutes_max=60),
    ),
    Case(
        name="rejected alerts kept longer than accepted ones",
        rule="authority-retention-contradicts",
        envelope=kept(rejected_hours=3, accepted_hours=2),
    ),
    Case(
        name="a calibration nobody installed",
        rule="authority-calibration-unknown",
        envelope=drafted(),
        where=policy(calibration_digests=frozenset({digest_of("another")})),
    ),
    # Rule 12
    Case(
        name="replayed after it ended",
        rule="authority-ended",
        envelope=drafted(),
        where=lambda: {"ended": {an_opened_authority().digest}},
    ),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_an_authority_is_refused_by_its_own_rule(case: Case) -> None:
    with pytest.raises(TrustError) as refused:
        accept_authority(case.envelope(), **case.where())
    assert refused.value.rule == case.rule
    told = str(refused.value).lower()
    assert not [word for word in ("oona", "alice", "bob", AUTHORITY_ID, "market") if word in told]


def test_the_table_has_no_case_twice() -> None:
    assert len({case.name for case in CASES}) == len(CASES) >= 50


def test_an_authority_signed_here_and_countersigned_there_is_opened() -> None:
    opened = accept_authority(countersign(sign(an_authority(), BOB), ALICE, expected=Authority))
    assert opened.statement == an_authority()
    assert opened.person_ids == {"alice", "bob"}
    assert opened.signers == {ALICE.key_id, BOB.key_id}
    assert not opened.signers_who_operate


def test_the_digest_names_the_authority_whoever_signed_it_in_whatever_order() -> None:
    one, two = accept_authority(sign(an_authority(), ALICE, BOB)), accept_authority(sign(an_authority(), BOB, ALICE))
    assert one.digest == two.digest
    assert one.envelope_digest != two.envelope_digest


def test_a_window_of_24_hours_is_allowed() -> None:
    authority = an_authority(not_before_ms=NOW_MS - 1, not_after_ms=NOW_MS - 1 + DAY_MS)
    assert accept_authority(sign(authority, ALICE, BOB)).statement == authority


def test_an_authority_whose_window_has_yet_to_begin_is_accepted() -> None:
    authority = an_authority(not_before_ms=NOW_MS + HOUR_MS)
    assert accept_authority(sign(authority, ALICE, BOB)).statement.not_before_ms == NOW_MS + HOUR_MS


def test_a_signer_who_also_operates_is_recorded() -> None:
    where = people_with("bob", BOB, roles=(Role.REVIEWER, Role.OPERATOR))
    opened = accept_authority(sign(an_authority(operators=("oona", "bob")), ALICE, BOB), **where)
    assert opened.signers_who_operate == {"bob"}


def test_an_operators_third_signature_does_not_count_as_an_authorisation() -> None:
    assert accept_authority(sign(an_authority(), ALICE, BOB, OONA)).person_ids == {"alice", "bob"}


def share_b(opened_by: str, *, authority_id: str = AUTHORITY_ID, watchlist_digest: str | None = None) -> bytes:
    opened = an_opened_authority()
    info = share_b_info(
        DeviceId(DEVICE_ID), AuthorityId(authority_id), Digest(watchlist_digest or opened.statement.watchlist_digest)
    )
    return unseal(opened.share_for(DEVICE_ID).sealed, key=unsealing_key(opened_by), info=info)


def test_the_share_opens_on_the_device_that_it_is_for() -> None:
    assert share_b(DEVICE_ID) == SHARE_B


@pytest.mark.parametrize(
    "attempt",
    [
        lambda: share_b("device-2"),
        lambda: share_b(DEVICE_ID, authority_id="authority-2"),
        lambda: share_b(DEVICE_ID, watchlist_digest=digest_of("another list")),
    ],
    ids=["on another device", "under another authority", "for another list"],
)
def test_a_share_does_not_open(attempt: Callable[[], bytes]) -> None:
    with pytest.raises(TrustError, match="sealed-not-for-us"):
        attempt()


@pytest.mark.parametrize(
    ("sealed", "rule"),
    [("AA==", "sealed-unknown-suite"), ("Ag" + "A" * 70, "sealed-unknown-suite"), ("!!!!", "sealed-malformed")],
)
def test_a_share_of_an_unknown_suite_is_not_guessed_at(sealed: str, rule: str) -> None:
    with pytest.raises(TrustError, match=rule):
        unseal(sealed, key=DEVICE_SEALING, info=b"any")


def test_there_is_no_share_for_a_device_that_is_not_named() -> None:
    with pytest.raises(TrustError, match="authority-other-device"):
        an_opened_authority().share_for("device-2")


# ---- the list ------------------------------------------------------------------------------------------------------

START_MS = NOW_MS - HOUR_MS


def hold(*, authority: dict[str, Any] | None = None, now: Any = None, **changes: Any) -> None:
    """Hold a manifest with these changes against an authority that names exactly that manifest."""
    manifest = a_manifest(**changes)
    digest = manifest_digest(manifest)
    settings: dict[str, Any] = {"watchlist_digest": digest, "watchlist_id": manifest.watchlist_id}
    opened = an_opened_authority(**(settings | (authority or {})))
    check_watchlist(
        opened, manifest, digest=digest, device_model_digest=MODEL_DIGEST, now=now or time_at(), policy=POLICY
    )


LIST_CASES: tuple[tuple[str, str, Callable[[], None]], ...] = (
    ("list swapped", "watchlist-not-the-one", lambda: hold(authority={"watchlist_digest": digest_of("another")})),
    ("another list's id", "watchlist-not-the-one", lambda: hold(authority={"watchlist_id": "watchlist-2"})),
    ("24 h and 1 minute old", "watchlist-too-old", lambda: hold(created_at_ms=START_MS - DAY_MS - MINUTE_MS)),
    ("24 h and 1 ms old", "watchlist-too-old", lambda: hold(created_at_ms=START_MS - DAY_MS - 1)),
    ("created after the start", "watchlist-created-too-late", lambda: hold(created_at_ms=START_MS + 1)),
    (
        "created in the future",
        "watchlist-created-too-late",
        lambda: hold(created_at_ms=NOW_MS + 30_001, authority={"not_before_ms": NOW_MS + HOUR_MS}),
    ),
    ("expired", "watchlist-expired", lambda: hold(expires_at_ms=NOW_MS)),
    (
        "expires before the start",
        "watchlist-expired",
        lambda: hold(expires_at_ms=NOW_MS + HOUR_MS, authority={"not_before_ms": NOW_MS + HOUR_MS}),
    ),
    ("for another model", "watchlist-other-model", lambda: hold(model_digest=digest_of("another model"))),
    (
        "for a model that the device does not run",
        "authority-other-model",
        lambda: hold(model_digest=digest_of("newer"), authority={"model_digest": digest_of("newer")}),
    ),
    ("cap exceeded by one", "watchlist-over-cap", lambda: hold(entries=15_001)),
    ("a denied category", "watchlist-category-denied", lambda: hold(categories=("protest",))),
    ("a category not allowed", "watchlist-category-not-allowed", lambda: hold(categories=("fine-unpaid",))),
    ("while the clock is distrusted", "time-stepped", lambda: hold(now=stepped_time())),
)


@pytest.mark.parametrize(("name", "rule", "attempt"), LIST_CASES, ids=[case[0] for case in LIST_CASES])
def test_a_list_is_refused_by_its_own_rule(name: str, rule: str, attempt: Callable[[], None]) -> None:
    with pytest.raises(TrustError) as refused:
        attempt()
    assert refused.value.rule == rule


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"created_at_ms": START_MS},
        {"created_at_ms": START_MS - DAY_MS},
        {"entries": 15_000},
        {"expires_at_ms": NOW_MS + 1},
        {"categories": ("missing-person",)},
    ],
)
def test_a_list_at_the_very_bound_is_held_to_be_the_right_one(changes: dict[str, Any]) -> None:
    hold(**changes)
