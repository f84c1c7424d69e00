"""One deployment told in statements, the same bytes in every run: what the examples in docs/schemas are made of.

Every key is derived from a public name, every seal from a chosen ephemeral key. Nothing here may sign anything real.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass

from keys_for_tests import MemorySigningKey, MemoryUnsealingKey, signing_key, unsealing_key

from appliance.model.units import AlertId, AuthorityId, DeviceId, Digest
from appliance.wire import strict_json
from appliance.wire.envelope import sha256_hex, sign
from appliance.wire.sealing import SUITE_X25519, alert_info, share_a_info, share_b_info
from appliance.wire.statements import (
    Acknowledgement,
    Adjudication,
    Alert,
    Authority,
    DestructionReceipt,
    Device,
    DeviceStatus,
    Order,
    OrderAction,
    Person,
    PublicKey,
    Receipt,
    Role,
    RootKeys,
    Roster,
    SealedAlert,
    Service,
    ServiceRole,
    ShareForDevice,
    Statement,
    WatchlistEntry,
    WatchlistManifest,
)
from appliance.wire.statements.alerts import ALERT_EVENT_TYPE, AlertData, Verdict
from appliance.wire.statements.authority import RetentionProfile
from appliance.wire.statements.device import EyeCounts, State
from appliance.wire.statements.watchlist import SealedShare
from tools.hpke_worked import Worked, seal_by_hand

DEVICE_ID = DeviceId("lamppost-017")
AUTHORITY_ID = AuthorityId("authority-2026-0042")
ALERT_ID = AlertId("alert-6f1d20")
WATCHLIST_ID = "wanted-centre"
WATCHLIST_VERSION = 12

NOON_MS = 1_780_315_200_000  # 2026-06-01T12:00:00Z
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
YEAR_MS = 365 * DAY_MS

GREY_JPEG = (
    "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAFA3PEY8MlBGQUZaVVBfeMiCeG5uePWvuZHI////////////////////////////////////////"
    "////////////wAALCAAIAAgBAREA/8QAHwAAAQUBAQEBAQEAAAAAAAAAAAECAwQFBgcICQoL/8QAtRAAAgEDAwIEAwUFBAQAAAF9AQIDAAQR"
    "BRIhMUEGE1FhByJxFDKBkaEII0KxwRVS0fAkM2JyggkKFhcYGRolJicoKSo0NTY3ODk6Q0RFRkdISUpTVFVWV1hZWmNkZWZnaGlqc3R1dnd4"
    "eXqDhIWGh4iJipKTlJWWl5iZmqKjpKWmp6ipqrKztLW2t7i5usLDxMXGx8jJytLT1NXW19jZ2uHi4+Tl5ufo6erx8vP09fb3+Pn6/9oACAEB"
    "AAA/ACv/2Q=="
)
"""Eight by eight grey pixels where an alert carries a face."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A statement and who signs it."""

    statement: Statement
    signers: tuple[MemorySigningKey, ...]

    def envelope(self) -> bytes:
        """Return the signed envelope; Ed25519 is deterministic, so it is always the same."""
        return sign(self.statement, *self.signers)


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkedSeal:
    """Everything that goes into one seal and comes out of it, for the page that explains it."""

    recipient: MemoryUnsealingKey
    recipient_private: bytes
    ephemeral_private: bytes
    info: bytes
    plaintext: bytes
    worked: Worked

    @property
    def text(self) -> str:
        """The sealed text as it stands in a statement."""
        return _base64(bytes([SUITE_X25519]) + self.worked.enc + self.worked.ciphertext)


def key(name: str) -> MemorySigningKey:
    """Return the Ed25519 example key of one signer."""
    return signing_key(f"example {name}")


def digest(name: str) -> Digest:
    """Return a digest that stands for something that no example contains, such as a model."""
    return sha256_hex(f"example {name}".encode())


SIGNER_NAMES = (
    "root 1",
    "root 2",
    "authorising officer",
    "reviewer",
    "watchlist issuer",
    "operator",
    "control room",
    "device",
)


def examples() -> tuple[Example, ...]:
    """Return one example of each statement that stands in an envelope, in the order of the deployment."""
    manifest = watchlist_manifest()
    order = Example(statement=activate_order(), signers=(key("operator"),))
    alert = Example(statement=alert_statement(), signers=(key("device"),))
    return (
        Example(statement=roster(), signers=(key("root 1"), key("root 2"))),
        Example(statement=manifest, signers=(key("watchlist issuer"),)),
        Example(statement=authority(manifest), signers=(key("authorising officer"), key("reviewer"))),
        order,
        Example(statement=_acknowledgement(order), signers=(key("device"),)),
        alert,
        Example(statement=_receipt(alert), signers=(key("control room"),)),
        Example(statement=_adjudication(), signers=(key("control room"),)),
        Example(statement=_status(), signers=(key("device"),)),
        Example(statement=_destruction_receipt(), signers=(key("device"),)),
    )


def roster() -> Roster:
    """Return a city of four people, one control room and one device."""
    return Roster(
        version=7,
        issued_at_ms=NOON_MS - 30 * DAY_MS,
        expires_at_ms=NOON_MS + 60 * DAY_MS,
        root=RootKeys(threshold=2, keys=(_public("root 1"), _public("root 2"))),
        people=(
            _person("p-ada", "Ada Ashworth", "authorising officer", Role.AUTHORISING_OFFICER),
            _person("p-ben", "Ben Okafor", "reviewer", Role.REVIEWER),
            _person("p-cleo", "Cleo Martin", "watchlist issuer", Role.WATCHLIST_ISSUER),
            _person("p-dan", "Dan Iqbal", "operator", Role.OPERATOR),
        ),
        services=(
            Service(
                service_id="control-room-north",
                role=ServiceRole.CONTROL_ROOM,
                signing_key=_public("control room"),
                sealing_key=_base64(unsealing_key("example control room").public),
            ),
        ),
        devices=(
            Device(
                device_id=DEVICE_ID,
                site_id="market-square",
                signing_key=_public("device"),
                sealing_key=_base64(unsealing_key("example device").public),
            ),
        ),
        revoked=(digest("revoked key"),),
    )


def watchlist_manifest() -> WatchlistManifest:
    """Return the manifest of a list of two people."""
    return WatchlistManifest(
        watchlist_id=WATCHLIST_ID,
        version=WATCHLIST_VERSION,
        created_at_ms=NOON_MS - 6 * HOUR_MS,
        expires_at_ms=NOON_MS + DAY_MS,
        model_digest=digest("model"),
        dimension=128,
        entries=2,
        templates=3,
        categories=("wanted-on-warrant",),
        entries_bytes=812,
        body_bytes=2_364,
        body_digest=digest("watchlist body"),
        nonce_prefix="0102030405060a",
        shares=(
            SealedShare(
                device_id=DEVICE_ID,
                sealing_key=_base64(unsealing_key("example device").public),
                sealed=share_a_seal().text,
            ),
        ),
        second_signers=(),
    )


def authority(manifest: WatchlistManifest) -> Authority:
    """Return four hours on the market square, with the list of ``manifest``."""
    return Authority(
        authority_id=AUTHORITY_ID,
        drafted_at_ms=NOON_MS - 3 * HOUR_MS,
        drafted_by="p-ada",
        site_id="market-square",
        place="Market Square, north entrance",
        purpose="Locate people wanted on a warrant during the summer fair",
        legal_basis="Common law powers; force policy 12.3",
        not_before_ms=NOON_MS,
        not_after_ms=NOON_MS + 4 * HOUR_MS,
        operators=("p-dan",),
        control_room="control-room-north",
        watchlist_id=WATCHLIST_ID,
        watchlist_digest=_manifest_digest(manifest),
        allowed_categories=("wanted-on-warrant",),
        size_max=100,
        model_digest=digest("model"),
        calibration_digest=digest("calibration"),
        threshold_floor_e4=4_500,
        margin_e4=300,
        shots_needed=2,
        shots_max=4,
        cooldown_seconds=60,
        alert_validity_seconds=300,
        lease_seconds_max=900,
        retention=RetentionProfile(
            profile="standard", rejected_hours=0, accepted_hours=744, unadjudicated_minutes=1_440
        ),
        shares=(ShareForDevice(device_id=DEVICE_ID, sealed=share_b_seal(manifest).text),),
    )


def activate_order() -> Order:
    """Return the order that opens the camera for a quarter of an hour."""
    return Order(
        order_id="order-000101",
        action=OrderAction.ACTIVATE,
        device_id=DEVICE_ID,
        authority_id=AUTHORITY_ID,
        operator="p-dan",
        counter=101,
        issued_at_ms=NOON_MS + 5_000,
        expires_at_ms=NOON_MS + 125_000,
        boot_nonce="00112233445566778899aabbccddeeff",
        lease_seconds=900,
        threshold_e4=0,
        reason="Officers and signs are in place",
    )


def alert_statement() -> Alert:
    """Return one alert, sealed to the control room."""
    return Alert(
        specversion="1.0",
        id=ALERT_ID,
        source=f"/devices/{DEVICE_ID}",
        type=ALERT_EVENT_TYPE,
        time="2026-06-01T12:10:00.250Z",
        datacontenttype="application/json",
        data=AlertData(
            device_id=DEVICE_ID,
            boot_id="boot-7c1e",
            sequence=1,
            authority_id=AUTHORITY_ID,
            recipient="control-room-north",
            expires_at_ms=NOON_MS + 15 * 60_000,
            sealed=alert_seal().text,
        ),
    )


def sealed_alert() -> SealedAlert:
    """Return what is inside the alert's seal."""
    manifest = watchlist_manifest()
    return SealedAlert(
        alert_id=ALERT_ID,
        reference_id="ref-8d02",
        category="wanted-on-warrant",
        track=311,
        score_e4=6_120,
        threshold_e4=4_500,
        margin_e4=2_210,
        shots=4,
        shots_agreeing=3,
        list_size=2,
        watchlist_digest=_manifest_digest(manifest),
        model_digest=digest("model"),
        captured_at_ms=NOON_MS + 600_130,
        decided_at_ms=NOON_MS + 600_250,
        media_time_ms=597_000,
        image_kind="face-crop-others-pixelated",
        image_jpeg=GREY_JPEG,
    )


def watchlist_entry() -> WatchlistEntry:
    """Return one entry as it lies in the encrypted body."""
    return WatchlistEntry(
        reference_id="ref-8d02",
        templates=2,
        category="wanted-on-warrant",
        legal_basis="Warrant issued by the magistrates' court",
        image_source="Custody photograph",
        image_date_ms=NOON_MS - 2 * YEAR_MS,
        justification_id="just-5512",
        review_by_ms=NOON_MS + 30 * DAY_MS,
        under_18=False,
        second_signature="",
    )


def alert_seal() -> WorkedSeal:
    """Return the seal of the example alert, to the control room."""
    plaintext = strict_json.encode(sealed_alert())
    return _seal("example control room", "alert", alert_info(DEVICE_ID, ALERT_ID), plaintext)


def share_a_seal() -> WorkedSeal:
    """Return the seal of key share A, to the device."""
    info = share_a_info(DEVICE_ID, WATCHLIST_ID, WATCHLIST_VERSION)
    return _seal("example device", "share a", info, bytes.fromhex(digest("share a")))


def share_b_seal(manifest: WatchlistManifest) -> WorkedSeal:
    """Return the seal of key share B, to the device."""
    info = share_b_info(DEVICE_ID, AUTHORITY_ID, _manifest_digest(manifest))
    return _seal("example device", "share b", info, bytes.fromhex(digest("share b")))


def _acknowledgement(order: Example) -> Acknowledgement:
    return Acknowledgement(
        device_id=DEVICE_ID,
        boot_id="boot-7c1e",
        at_ms=NOON_MS + 5_400,
        about="order",
        subject="order-000101",
        subject_digest=sha256_hex(order.envelope()),
        action=OrderAction.ACTIVATE,
        accepted=True,
        rule="",
        explanation="The camera is open until 12:15:05 UTC.",
        state=State.ACTIVE,
        counter=101,
    )


def _receipt(alert: Example) -> Receipt:
    return Receipt(
        alert_id=ALERT_ID,
        device_id=DEVICE_ID,
        control_room="control-room-north",
        envelope_digest=sha256_hex(alert.envelope()),
        received_at_ms=NOON_MS + 600_310,
    )


def _adjudication() -> Adjudication:
    return Adjudication(
        alert_id=ALERT_ID,
        device_id=DEVICE_ID,
        control_room="control-room-north",
        adjudicator="p-ben",
        verdict=Verdict.REJECT,
        reason="Another person: the ears differ",
        decided_at_ms=NOON_MS + 642_000,
    )


def _status() -> DeviceStatus:
    return DeviceStatus(
        device_id=DEVICE_ID,
        boot_id="boot-7c1e",
        sequence=58,
        at_ms=NOON_MS + 660_000,
        boot_nonce="00112233445566778899aabbccddeeff",
        counter=101,
        state=State.ACTIVE,
        state_since_ms=NOON_MS + 5_400,
        until_ms=NOON_MS + 905_400,
        camera_open=True,
        authority_id=AUTHORITY_ID,
        watchlist_digest=_manifest_digest(watchlist_manifest()),
        model_digest=digest("model"),
        roster_version=7,
        threshold_e4=4_500,
        last_alert_sequence=1,
        refused_statements=0,
        degraded=("no-secret-memory",),
        counts=EyeCounts(
            frames=16_350,
            frames_dropped=12,
            faces_detected=4_211,
            tracks=402,
            probes_compared=377,
            non_matches_discarded=376,
            alerts=1,
            frames_per_second_e2=2_498,
            refused={"blurred": 190, "too-small": 1_322},
        ),
    )


def _destruction_receipt() -> DestructionReceipt:
    return DestructionReceipt(
        device_id=DEVICE_ID,
        boot_id="boot-7c1e",
        at_ms=NOON_MS + 4 * HOUR_MS + 40,
        authority_id=AUTHORITY_ID,
        watchlist_id=WATCHLIST_ID,
        watchlist_digest=_manifest_digest(watchlist_manifest()),
        reason="authority-ended",
        gallery_unmapped=True,
        share_destroyed=True,
        bundle_deleted=True,
    )


def _manifest_digest(manifest: WatchlistManifest) -> Digest:
    return sha256_hex(strict_json.encode(manifest))


def _person(person_id: str, name: str, key_name: str, role: Role) -> Person:
    return Person(person_id=person_id, name=name, roles=(role,), keys=(_public(key_name),))


def _public(name: str) -> PublicKey:
    return PublicKey(public=_base64(key(name).public), not_after_ms=NOON_MS + YEAR_MS)


def _seal(recipient_name: str, name: str, info: bytes, plaintext: bytes) -> WorkedSeal:
    recipient = unsealing_key(recipient_name)
    ephemeral = hashlib.sha256(f"example ephemeral {name}".encode()).digest()
    return WorkedSeal(
        recipient=recipient,
        recipient_private=recipient.private_for_examples,
        ephemeral_private=ephemeral,
        info=info,
        plaintext=plaintext,
        worked=seal_by_hand(plaintext, recipient=recipient.public, info=info, ephemeral=ephemeral),
    )


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
