"""Opens the written authority, and holds the list against it.

Rules for an authority, in the order in which they are checked:
    1. It did not come as a retained message: what a broker keeps is not what two people have just sent.
    2. Time is trusted, and the roster is fresh.
    3. It is an authority, signed by somebody in the roster.
    4. It carries the signatures of two distinct keys of two distinct *persons*. Two keys of one person are one person.
    5. One of them is an authorising officer, and *another* one is a reviewer.
    6. Somebody in the roster drafted it, not later than now.
    7. Nothing stands in it twice: devices, operators, categories.
    8. It names this device and this device's site.
    9. Its window is not empty, not longer than policy allows, and not over.
    10. Its operators are operators in the roster, and its control room is known.
    11. It is no laxer than policy: threshold and margin, lease, size, categories, shots, alert life, retention,
        calibration.
    12. It has not ended on this device before: no authority is resurrected after erasure or destruction.

An authority whose window has yet to begin is accepted: two people sign ahead of time, and the box may be out of reach
later. It permits nothing before its window: orders check that (rule 9 of ``orders``), and so does the state machine.

A person who signs may also be an operator: small teams exist, and the second signature is another person's anyway.
:attr:`OpenedAuthority.signers_who_operate` says so, for the ledger.

Rules for the list:
    20. It is the very list that the authority names: id, and digest over the manifest's payload bytes.
    21. It was created not after the window begins, and at most ``list_age_ms_max`` (24 h) before; not later than now.
    22. It has not expired, and does not expire before the window begins.
    23. It is for the model that the authority names, which is the model that the device runs.
    24. It has no more entries than the authority allows, and no category that it does not allow or policy denies.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from appliance.authority.roster import TrustedRoster
from appliance.authority.trusted_time import SKEW_MS_MAX, TrustedTime, require_trusted
from appliance.errors import TrustError
from appliance.model.units import Digest, KeyId
from appliance.wire.envelope import open_envelope
from appliance.wire.statements import Authority, Role, ShareForDevice, WatchlistManifest

HOUR_MS = 3_600_000


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorityPolicy:
    """The bounds that no authority may cross on this device, set at provisioning.

    Attributes:
        list_age_ms_max: How old a list may be when the window begins (Metropolitan Police, Home Office: 24 h).
        size_max: Greatest cap on the list that an authority may set.
        threshold_floor_e4: Lowest floor that an authority may set.
        unadjudicated_minutes_max: After so long an alert that nobody has looked at is gone.
        calibration_digests: The calibrations that this device knows; None where it cannot know (demonstration).
    """

    window_ms_max: int = 24 * HOUR_MS
    list_age_ms_max: int = 24 * HOUR_MS
    lease_seconds_max: int = 3_600
    size_max: int = 20_000
    threshold_floor_e4: int = 3_000
    margin_floor_e4: int = 0
    shots_needed_min: int = 1
    alert_validity_seconds_max: int = 3_600
    rejected_hours_max: int = 24
    accepted_hours_max: int = 744
    unadjudicated_minutes_max: int = 1_440
    categories_denied: frozenset[str] = frozenset()
    calibration_digests: frozenset[str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedAuthority:
    """An authority that two people signed. Made by :func:`open_authority` only.

    Attributes:
        digest: SHA-256 over the payload bytes.
        envelope_digest: SHA-256 over the envelope as received.
        signers: Thumbprints of the keys whose signatures count.
        person_ids: Whose keys those are.
        signers_who_operate: Those of them who are also among the authority's operators.
    """

    statement: Authority
    digest: Digest
    envelope_digest: Digest
    signers: frozenset[KeyId]
    person_ids: frozenset[str]
    signers_who_operate: frozenset[str]

    def share_for(self, device_id: str) -> ShareForDevice:
        """Return key share B of this device, still sealed.

        Raises:
            TrustError: ``authority-other-device``.
        """
        for share in self.statement.shares:
            if share.device_id == device_id:
                return share
        raise TrustError("authority-other-device", "the authority holds no share for this device")


def open_authority(
    envelope: bytes,
    *,
    roster: TrustedRoster,
    device_id: str,
    site_id: str,
    now: TrustedTime,
    policy: AuthorityPolicy,
    ended: Collection[str] = (),
    retained: bool = False,
) -> OpenedAuthority:
    """Return the authority inside ``envelope``, once two people are known to have signed it for this device.

    Args:
        envelope: As it arrived.
        roster: Who may sign.
        device_id: This device.
        site_id: Where this device stands, by its own configuration.
        now: The judged time.
        policy: The bounds of this device.
        ended: Digests (:attr:`OpenedAuthority.digest`) of the authorities that have ended here.
        retained: Whether the broker had kept the message.

    Raises:
        TrustError: A rule of the envelope, of the roster, of time, or of this module.
    """
    if retained:  # rule 1
        raise TrustError("authority-retained", "an authority came as a retained message")
    require_trusted(now)  # rule 2
    roster.check_fresh(now)
    keys = roster.keys_with_role(*Role, now=now)
    opened = open_envelope(envelope, expected=Authority, trusted=keys)  # rule 3
    authority = opened.statement
    signers = frozenset(opened.signers)
    persons = _two_persons(signers, roster=roster)  # rules 4 and 5
    _check_draft(authority, roster=roster, now=now)  # rules 6 and 7
    share_devices = {share.device_id for share in authority.shares}
    if device_id not in share_devices:  # rule 8
        raise TrustError("authority-other-device", "the authority does not name this device")
    if authority.site_id != site_id:
        raise TrustError("authority-other-site", "the authority is for another site")
    _check_window(authority, now=now, policy=policy)  # rule 9
    if not all(roster.holds_role(person, Role.OPERATOR) for person in authority.operators):  # rule 10
        raise TrustError("authority-operator-unknown", "somebody named as operator is no operator in the roster")
    roster.control_room(authority.control_room)
    _check_policy(authority, policy=policy)  # rule 11
    if opened.payload_digest in ended:  # rule 12
        raise TrustError("authority-ended", "this authority has ended on this device")
    return OpenedAuthority(
        statement=authority,
        digest=opened.payload_digest,
        envelope_digest=opened.envelope_digest,
        signers=signers,
        person_ids=persons,
        signers_who_operate=persons & frozenset(authority.operators),
    )


def check_watchlist(
    authority: OpenedAuthority,
    manifest: WatchlistManifest,
    *,
    digest: str,
    device_model_digest: str,
    now: TrustedTime,
    policy: AuthorityPolicy,
) -> None:
    """Return if ``manifest`` is the list that ``authority`` allows.

    Args:
        authority: As opened.
        manifest: As opened with an issuer's key.
        digest: SHA-256 over the manifest's payload bytes.
        device_model_digest: The model that the eye says it runs.
        now: The judged time.
        policy: The bounds of this device.

    Raises:
        TrustError: One of rules 20 to 24.
    """
    allowed = authority.statement
    require_trusted(now)
    if manifest.watchlist_id != allowed.watchlist_id or digest != allowed.watchlist_digest:  # rule 20
        raise TrustError("watchlist-not-the-one", "this is not the list that the authority names")
    _check_list_dates(manifest, not_before_ms=allowed.not_before_ms, now=now, policy=policy)  # rules 21 and 22
    if manifest.model_digest != allowed.model_digest:  # rule 23
        raise TrustError("watchlist-other-model", "the list is for another model than the authority")
    if device_model_digest != allowed.model_digest:
        raise TrustError("authority-other-model", "the device runs another model than the authority names")
    if manifest.entries > min(allowed.size_max, policy.size_max):  # rule 24
        raise TrustError("watchlist-over-cap", "the list holds more entries than the authority allows")
    categories = frozenset(manifest.categories)
    if categories & policy.categories_denied:
        raise TrustError("watchlist-category-denied", "the list holds a category that this device denies")
    if not categories <= frozenset(allowed.allowed_categories):
        raise TrustError("watchlist-category-not-allowed", "the list holds a category that is not allowed")


def _two_persons(signers: frozenset[KeyId], *, roster: TrustedRoster) -> frozenset[str]:
    persons = frozenset(roster.person_of(key) for key in signers)
    if len(signers) < 2:
        raise TrustError("authority-one-signature", "the authority carries one signature that counts; two are needed")
    if len(persons) < 2:
        raise TrustError("authority-one-person", "both signatures are the same person's")
    officers = {person for person in persons if roster.holds_role(person, Role.AUTHORISING_OFFICER)}
    reviewers = {person for person in persons if roster.holds_role(person, Role.REVIEWER)}
    if not officers:
        raise TrustError("authority-no-officer", "no authorising officer has signed the authority")
    if not reviewers:
        raise TrustError("authority-no-reviewer", "no reviewer has signed the authority")
    if len(officers | reviewers) < 2:
        raise TrustError("authority-one-role-holder", "officer and reviewer are the same person; the other is neither")
    return frozenset(officers | reviewers)


def _check_draft(authority: Authority, *, roster: TrustedRoster, now: TrustedTime) -> None:
    if not roster.knows_person(authority.drafted_by):
        raise TrustError("authority-drafter-unknown", "nobody in the roster drafted this authority")
    if authority.drafted_at_ms > now.wall_ms + SKEW_MS_MAX:
        raise TrustError("authority-from-future", "the authority was drafted later than now")
    devices = [share.device_id for share in authority.shares]
    for values in (devices, authority.operators, authority.allowed_categories):
        if len(values) != len(set(values)):
            raise TrustError("authority-repeats-itself", "a device, operator or category stands twice")


def _check_window(authority: Authority, *, now: TrustedTime, policy: AuthorityPolicy) -> None:
    length_ms = authority.not_after_ms - authority.not_before_ms
    if length_ms <= 0:
        raise TrustError("authority-window-empty", "the window ends before it begins")
    if length_ms > policy.window_ms_max:
        raise TrustError("authority-window-too-long", "the window is longer than this device allows")
    if now.latest_ms >= authority.not_after_ms:
        raise TrustError("authority-over", "the window of the authority is over")


def _check_policy(authority: Authority, *, policy: AuthorityPolicy) -> None:
    retention = authority.retention
    broken = (
        (authority.threshold_floor_e4 < policy.threshold_floor_e4, "authority-threshold-too-low"),
        (authority.margin_e4 < policy.margin_floor_e4, "authority-margin-too-low"),
        (authority.lease_seconds_max > policy.lease_seconds_max, "authority-lease-too-long"),
        (authority.size_max > policy.size_max, "authority-size-too-large"),
        (authority.shots_needed > authority.shots_max, "authority-shots-contradict"),
        (authority.shots_needed < policy.shots_needed_min, "authority-shots-too-few"),
        (authority.alert_validity_seconds > policy.alert_validity_seconds_max, "authority-alerts-live-too-long"),
        (bool(policy.categories_denied.intersection(authority.allowed_categories)), "authority-category-denied"),
        (retention.rejected_hours > policy.rejected_hours_max, "authority-retention-too-long"),
        (retention.accepted_hours > policy.accepted_hours_max, "authority-retention-too-long"),
        (retention.unadjudicated_minutes > policy.unadjudicated_minutes_max, "authority-retention-too-long"),
        (retention.rejected_hours > retention.accepted_hours, "authority-retention-contradicts"),
        (
            policy.calibration_digests is not None and authority.calibration_digest not in policy.calibration_digests,
            "authority-calibration-unknown",
        ),
    )
    for is_broken, rule in broken:
        if is_broken:
            raise TrustError(rule, "the authority crosses a bound of this device's policy")


def _check_list_dates(
    manifest: WatchlistManifest, *, not_before_ms: int, now: TrustedTime, policy: AuthorityPolicy
) -> None:
    if manifest.created_at_ms > min(not_before_ms, now.wall_ms + SKEW_MS_MAX):
        raise TrustError("watchlist-created-too-late", "the list was created after the window began, or later than now")
    if not_before_ms - manifest.created_at_ms > policy.list_age_ms_max:
        raise TrustError("watchlist-too-old", "the list is older than allowed when the window begins")
    if manifest.expires_at_ms <= max(not_before_ms, now.latest_ms):
        raise TrustError("watchlist-expired", "the list has expired, or does before the window begins")
