"""A whole valid deployment made from names: roster, authority, list manifest, orders, answers.

Each maker returns a valid statement and takes the fields that shall differ, so that a negative case is one line::

    open_order(sign(an_order(device_id="device-2"), OONA), ...)
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from functools import cache
from typing import Any

import msgspec
from keys_for_tests import MemorySigningKey, signing_key, unsealing_key

from appliance.authority.authorities import AuthorityPolicy, OpenedAuthority, open_authority
from appliance.authority.orders import open_order
from appliance.authority.roster import RootOfTrust, TrustedRoster
from appliance.authority.trusted_time import TrustedTime, judge_time
from appliance.model.units import AuthorityId, BootNs, DeviceId, Digest, UnixMs
from appliance.wire.envelope import sha256_hex, sign
from appliance.wire.sealing import seal, share_a_info, share_b_info
from appliance.wire.statements import (
    Adjudication,
    Authority,
    Device,
    Order,
    OrderAction,
    Person,
    PublicKey,
    Receipt,
    Role,
    RootKeys,
    Roster,
    Service,
    ServiceRole,
    ShareForDevice,
    WatchlistManifest,
)
from appliance.wire.statements.alerts import Verdict
from appliance.wire.statements.authority import RetentionProfile
from appliance.wire.statements.watchlist import SealedShare
from appliance.wire.strict_json import encode

SECOND_MS = 1_000
MINUTE_MS = 60 * SECOND_MS
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS

NOW_MS = 1_790_000_000_000
"""The instant at which everything here is valid: in September 2026."""

FAR_MS = NOW_MS + 365 * DAY_MS
BOOT_NONCE = "5e" * 16
COUNTER = 41
"""The highest counter that the device has stored; :func:`an_order` carries the next."""

DEVICE_ID = "device-1"
SITE_ID = "site-1"
CONTROL_ROOM_ID = "control-room-1"
AUTHORITY_ID = "authority-1"
WATCHLIST_ID = "watchlist-1"
SHARE_A = hashlib.sha256(b"share a").digest()
SHARE_B = hashlib.sha256(b"share b").digest()

ROOT_KEYS = tuple(signing_key(name) for name in ("root-1", "root-2", "root-3"))
NEW_ROOT_KEYS = tuple(signing_key(name) for name in ("new-root-1", "new-root-2", "new-root-3"))
ALICE = signing_key("alice")
ALICE_SECOND = signing_key("alice-second")
BOB = signing_key("bob")
OONA = signing_key("oona")
OMAR = signing_key("omar")
ISSUER = signing_key("issuer")
ADA = signing_key("ada")
STRANGER = signing_key("stranger")
CONTROL_ROOM = signing_key("control-room")
CONTROL_ROOM_SEALING = unsealing_key("control-room")
DEVICE = signing_key(DEVICE_ID)
DEVICE_SEALING = unsealing_key(DEVICE_ID)

ROOT = RootOfTrust(threshold=2, keys=tuple(key.public for key in ROOT_KEYS))
POLICY = AuthorityPolicy(size_max=20_000, threshold_floor_e4=3_500, categories_denied=frozenset({"protest"}))


def text_of(raw: bytes) -> str:
    """Return raw key bytes as statements hold them."""
    return base64.b64encode(raw).decode("ascii")


def digest_of(name: str) -> Digest:
    """Return a SHA-256 that stands for something called ``name``."""
    return Digest(hashlib.sha256(name.encode()).hexdigest())


MODEL_DIGEST = digest_of("model")


def time_at(
    wall_ms: int = NOW_MS, *, boot_ns: int = 10**9, floor_ms: int = 0, previous: TrustedTime | None = None
) -> TrustedTime:
    """Return a judged reading of the clocks: trusted, unless the arguments say otherwise."""
    return judge_time(wall_ms=UnixMs(wall_ms), boot_ns=BootNs(boot_ns), previous=previous, floor_ms=UnixMs(floor_ms))


def stepped_time(by_ms: int = 120_000) -> TrustedTime:
    """Return the time of a clock that stepped by ``by_ms`` and shows ``NOW_MS`` since."""
    return time_at(NOW_MS, previous=time_at(NOW_MS - by_ms))


def public_key(key: MemorySigningKey, *, not_after_ms: int = FAR_MS) -> PublicKey:
    """Return a key as a roster lists it."""
    return PublicKey(public=text_of(key.public), not_after_ms=not_after_ms)


def a_person(person_id: str, *keys: MemorySigningKey, roles: tuple[Role, ...]) -> Person:
    """Return a person; the name is nobody's."""
    return Person(
        person_id=person_id,
        name=f"Officer {person_id.title()}",
        roles=roles,
        keys=tuple(public_key(key) for key in keys),
    )


def people() -> tuple[Person, ...]:
    """Return everybody: alice and bob sign authorities, oona and omar operate, ada adjudicates."""
    return (
        a_person("alice", ALICE, ALICE_SECOND, roles=(Role.AUTHORISING_OFFICER,)),
        a_person("bob", BOB, roles=(Role.REVIEWER,)),
        a_person("oona", OONA, roles=(Role.OPERATOR,)),
        a_person("omar", OMAR, roles=(Role.OPERATOR,)),
        a_person("issuer", ISSUER, roles=(Role.WATCHLIST_ISSUER,)),
        a_person("ada", ADA, roles=(Role.ADJUDICATOR,)),
    )


def root_keys(*keys: MemorySigningKey, threshold: int = 2) -> RootKeys:
    """Return root keys as a roster lists them."""
    return RootKeys(threshold=threshold, keys=tuple(public_key(key) for key in keys))


def a_roster(**changes: Any) -> Roster:
    """Return the roster of a city with one device and one control room."""
    roster = Roster(
        version=1,
        issued_at_ms=NOW_MS - DAY_MS,
        expires_at_ms=NOW_MS + 30 * DAY_MS,
        root=root_keys(*ROOT_KEYS),
        people=people(),
        services=(
            Service(
                service_id=CONTROL_ROOM_ID,
                role=ServiceRole.CONTROL_ROOM,
                signing_key=public_key(CONTROL_ROOM),
                sealing_key=text_of(CONTROL_ROOM_SEALING.public),
            ),
        ),
        devices=(
            Device(
                device_id=DEVICE_ID,
                site_id=SITE_ID,
                signing_key=public_key(DEVICE),
                sealing_key=text_of(DEVICE_SEALING.public),
            ),
        ),
        revoked=(),
    )
    return msgspec.structs.replace(roster, **changes)


def a_trusted_roster(*, now: TrustedTime | None = None, **changes: Any) -> TrustedRoster:
    """Return :func:`a_roster`, signed by two root keys and opened."""
    return TrustedRoster.first(sign(a_roster(**changes), *ROOT_KEYS[:2]), root=ROOT, now=now or time_at())


@cache
def _shares() -> tuple[SealedShare, ShareForDevice]:
    """Seal both shares to the device, once: HPKE is never the same twice, and digests depend on it."""
    manifest_part = SealedShare(
        device_id=DEVICE_ID,
        sealing_key=text_of(DEVICE_SEALING.public),
        sealed=seal(SHARE_A, recipient=DEVICE_SEALING.public, info=share_a_info(DeviceId(DEVICE_ID), WATCHLIST_ID, 1)),
    )
    info = share_b_info(DeviceId(DEVICE_ID), AuthorityId(AUTHORITY_ID), manifest_digest(_manifest(manifest_part)))
    return manifest_part, ShareForDevice(
        device_id=DEVICE_ID, sealed=seal(SHARE_B, recipient=DEVICE_SEALING.public, info=info)
    )


def _manifest(share: SealedShare) -> WatchlistManifest:
    return WatchlistManifest(
        watchlist_id=WATCHLIST_ID,
        version=1,
        created_at_ms=NOW_MS - 2 * HOUR_MS,
        expires_at_ms=NOW_MS + DAY_MS,
        model_digest=MODEL_DIGEST,
        dimension=128,
        entries=3,
        templates=4,
        categories=("wanted-on-warrant",),
        entries_bytes=1_000,
        body_bytes=4_000,
        body_digest=digest_of("body"),
        nonce_prefix="0a" * 7,
        shares=(share,),
        second_signers=(),
    )


def a_manifest(**changes: Any) -> WatchlistManifest:
    """Return the manifest of the list that :func:`an_authority` names."""
    return msgspec.structs.replace(_manifest(_shares()[0]), **changes)


def manifest_digest(manifest: WatchlistManifest) -> Digest:
    """Return SHA-256 over the manifest's payload bytes."""
    return sha256_hex(encode(manifest))


def an_authority(**changes: Any) -> Authority:
    """Return an authority whose window began an hour ago and lasts seven more."""
    authority = Authority(
        authority_id=AUTHORITY_ID,
        drafted_at_ms=NOW_MS - HOUR_MS,
        drafted_by="alice",
        site_id=SITE_ID,
        place="Market Square, north side",
        purpose="Locate persons wanted on warrant",
        legal_basis="Common law policing powers",
        not_before_ms=NOW_MS - HOUR_MS,
        not_after_ms=NOW_MS + 7 * HOUR_MS,
        operators=("oona",),
        control_room=CONTROL_ROOM_ID,
        watchlist_id=WATCHLIST_ID,
        watchlist_digest=manifest_digest(a_manifest()),
        allowed_categories=("wanted-on-warrant", "missing-person"),
        size_max=15_000,
        model_digest=MODEL_DIGEST,
        calibration_digest=digest_of("calibration"),
        threshold_floor_e4=3_800,
        margin_e4=300,
        shots_needed=2,
        shots_max=5,
        cooldown_seconds=60,
        alert_validity_seconds=600,
        lease_seconds_max=300,
        retention=RetentionProfile(profile="standard", rejected_hours=0, accepted_hours=24, unadjudicated_minutes=10),
        shares=(_shares()[1],),
    )
    return msgspec.structs.replace(authority, **changes)


def an_opened_authority(**changes: Any) -> OpenedAuthority:
    """Return :func:`an_authority`, signed by alice and bob and opened."""
    return accept_authority(sign(an_authority(**changes), ALICE, BOB))


def accept_authority(envelope: bytes, **changes: Any) -> OpenedAuthority:
    """Open an authority as :data:`DEVICE_ID` would at :data:`NOW_MS`; ``changes`` go to ``open_authority``."""
    arguments: dict[str, Any] = {"device_id": DEVICE_ID, "site_id": SITE_ID, "now": time_at(), "policy": POLICY}
    arguments |= changes
    return open_authority(envelope, roster=arguments.pop("roster", None) or a_trusted_roster(), **arguments)


def an_order(action: OrderAction = OrderAction.ACTIVATE, **changes: Any) -> Order:
    """Return oona's order of ten seconds ago, with what the action needs and nothing else."""
    order = Order(
        order_id="order-1",
        action=action,
        device_id=DEVICE_ID,
        authority_id=AUTHORITY_ID,
        operator="oona",
        counter=COUNTER + 1,
        issued_at_ms=NOW_MS - 10 * SECOND_MS,
        expires_at_ms=NOW_MS + 2 * MINUTE_MS,
        boot_nonce=BOOT_NONCE if action is OrderAction.ACTIVATE else "",
        lease_seconds=120 if action in (OrderAction.ACTIVATE, OrderAction.RENEW) else 0,
        threshold_e4=4_500 if action is OrderAction.RAISE_THRESHOLD else 0,
        reason="",
    )
    return msgspec.structs.replace(order, **changes)


def accept_order(envelope: bytes, **changes: Any) -> Order:
    """Open an order as :data:`DEVICE_ID` would at :data:`NOW_MS`; ``changes`` go to ``open_order``."""
    arguments: dict[str, Any] = {
        "device_id": DEVICE_ID,
        "counter": COUNTER,
        "boot_nonce": BOOT_NONCE,
        "now": time_at(),
        "retained": False,
    }
    arguments |= changes
    roster = arguments.pop("roster", None) or a_trusted_roster()
    authority = arguments.pop("authority") if "authority" in arguments else an_opened_authority()
    return open_order(envelope, roster=roster, authority=authority, **arguments)


def a_receipt(**changes: Any) -> Receipt:
    """Return the control room's receipt for alert ``alert-1``."""
    receipt = Receipt(
        alert_id="alert-1",
        device_id=DEVICE_ID,
        control_room=CONTROL_ROOM_ID,
        envelope_digest=digest_of("alert-1"),
        received_at_ms=NOW_MS - SECOND_MS,
    )
    return msgspec.structs.replace(receipt, **changes)


def an_adjudication(**changes: Any) -> Adjudication:
    """Return ada's decision about alert ``alert-1``."""
    adjudication = Adjudication(
        alert_id="alert-1",
        device_id=DEVICE_ID,
        control_room=CONTROL_ROOM_ID,
        adjudicator="ada",
        verdict=Verdict.REJECT,
        reason="Not the same person",
        decided_at_ms=NOW_MS - SECOND_MS,
    )
    return msgspec.structs.replace(adjudication, **changes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """All of the above, opened once: what a test of the warden or of a state machine starts from."""

    roster: TrustedRoster
    roster_envelope: bytes
    authority: OpenedAuthority
    authority_envelope: bytes
    manifest: WatchlistManifest
    manifest_envelope: bytes


def a_deployment() -> Deployment:
    """Return a valid deployment at :data:`NOW_MS`."""
    roster_envelope = sign(a_roster(), *ROOT_KEYS[:2])
    roster = TrustedRoster.first(roster_envelope, root=ROOT, now=time_at())
    authority_envelope = sign(an_authority(), ALICE, BOB)
    return Deployment(
        roster=roster,
        roster_envelope=roster_envelope,
        authority=accept_authority(authority_envelope, roster=roster),
        authority_envelope=authority_envelope,
        manifest=a_manifest(),
        manifest_envelope=sign(a_manifest(), ISSUER),
    )
