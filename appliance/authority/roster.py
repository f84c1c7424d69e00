"""The roster as a device trusts it: opened from root-signed bytes, and replaced only by a newer one.

Rules of this module:
    1. The first roster is signed by the root of trust that was set at provisioning; its version is not lower than
       the highest that this device has ever stored.
    2. The next roster is signed by the root of the present one, without the keys that the present one revokes and
       without those that have expired.
    3. A roster whose root differs from the one that vouched for it is signed by its own root as well. Nobody else
       signs it: a signature by a stranger refuses it, as everywhere.
    4. The version only grows. The same version again is accepted as the same roster when its payload is the same
       byte for byte, and refused otherwise.
    5. A roster that has expired replaces nothing. It may still be loaded, or a device that lay in the depot could
       never be given a newer one; :meth:`TrustedRoster.check_fresh` guards its use.
    6. Where time is trusted, a roster from the future is refused.
    7. A key stands once: under one person, one service or one device. Its name is its thumbprint, whatever the
       encoding. Keys of small order, for which anybody can sign, are refused.
    8. Ids stand once. The root can be reached: as many usable keys as its threshold asks for.
    9. A revoked key is trusted for nothing; a key past its own expiry signs nothing.

What it does not know: whether two persons are really two human beings. That is up to those who hold the root keys.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from appliance.authority.keys import TrustedKey, read_key, usable
from appliance.authority.trusted_time import SKEW_MS_MAX, TrustedTime
from appliance.errors import TrustError
from appliance.model.units import Digest, KeyId
from appliance.wire.envelope import Opened, open_envelope, thumbprint
from appliance.wire.statements import Device, Person, Role, Roster, Service


@dataclass(frozen=True, slots=True, kw_only=True)
class RootOfTrust:
    """What the technician provisioned: raw Ed25519 public keys (32 bytes each), and how many of them must sign.

    Raises:
        TrustError: ``root-of-trust-unusable``: fewer distinct keys than the threshold, or a threshold below 1.
    """

    threshold: int
    keys: tuple[bytes, ...]

    def __post_init__(self) -> None:
        if not 1 <= self.threshold <= len(set(self.keys)) or any(len(key) != 32 for key in self.keys):
            raise TrustError("root-of-trust-unusable", "fewer distinct 32-byte root keys than the threshold asks for")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TrustedRoster:
    """A verified roster with its look-ups. Made by :meth:`first` and :meth:`succeed` only.

    Attributes:
        statement: What the root signed.
        digest: SHA-256 over the payload bytes.
    """

    statement: Roster
    digest: Digest
    _people: Mapping[str, Person]
    _person_by_key: Mapping[KeyId, str]
    _keys_by_person: Mapping[str, tuple[TrustedKey, ...]]
    _people_by_role: Mapping[Role, tuple[str, ...]]
    _services: Mapping[str, tuple[Service, TrustedKey]]
    _devices: Mapping[str, tuple[Device, TrustedKey]]
    _root: tuple[TrustedKey, ...]
    _revoked: frozenset[str]

    @classmethod
    def first(cls, envelope: bytes, *, root: RootOfTrust, now: TrustedTime, version_min: int = 1) -> TrustedRoster:
        """Open the roster that provisioning or this device's own disk holds.

        Args:
            envelope: The signed roster.
            root: Who must have signed it.
            now: For keys and dates.
            version_min: The highest version that this device has stored; an older roster on disk is a swapped one.

        Raises:
            TrustError: A rule of the envelope or of this module.
        """
        keys = {thumbprint(key): key for key in root.keys}
        # Rule 1. Others may have signed as well: the new root, in rule 3, which looks at every signature again.
        opened = open_envelope(envelope, expected=Roster, trusted=keys, needed=root.threshold, allow_others=True)
        if opened.statement.version < version_min:
            raise TrustError("roster-version-lower", "the roster is older than one that this device has seen")
        return _accept(cls, envelope, opened, vouched_by=(root.threshold, keys), now=now)

    def succeed(self, envelope: bytes, *, now: TrustedTime) -> TrustedRoster:
        """Return the roster in ``envelope`` in place of this one (or this one, when it is the same again).

        Raises:
            TrustError: A rule of the envelope or of this module. This roster stays what it was.
        """
        keys = usable(self._root, now=now)
        threshold = self.statement.root.threshold
        opened = open_envelope(envelope, expected=Roster, trusted=keys, needed=threshold, allow_others=True)  # rule 2
        newer = opened.statement
        if newer.version < self.statement.version:  # rule 4
            raise TrustError("roster-version-lower", "the roster is older than the one in force")
        if newer.version == self.statement.version:
            if opened.payload_digest == self.digest:
                return self
            raise TrustError("roster-version-reused", "another roster carries the version of the one in force")
        if now.latest_ms >= newer.expires_at_ms:  # rule 5
            raise TrustError("roster-expired", "the new roster has expired already")
        return _accept(TrustedRoster, envelope, opened, vouched_by=(threshold, keys), now=now)

    def next_root(self) -> RootOfTrust:
        """Return who signs the next roster. Store it beside this one: after a rotation, boot starts from it."""
        return RootOfTrust(threshold=self.statement.root.threshold, keys=tuple(key.raw for key in self._root))

    def check_fresh(self, now: TrustedTime) -> None:
        """Return if this roster may still be used at ``now``.

        Raises:
            TrustError: ``roster-expired`` (rule 5).
        """
        if now.latest_ms >= self.statement.expires_at_ms:
            raise TrustError("roster-expired", "the roster has expired; nothing but stopping is possible")

    def keys_with_role(self, *roles: Role, now: TrustedTime) -> Mapping[KeyId, bytes]:
        """Return the usable keys of everybody who holds one of ``roles``: key id -> 32 raw bytes."""
        return usable(self.all_keys_with_role(*roles), now=now)

    def all_keys_with_role(self, *roles: Role) -> tuple[TrustedKey, ...]:
        """Return the keys of everybody who holds one of ``roles``, expired ones too, revoked ones never (rule 9)."""
        people = {person: None for role in roles for person in self._people_by_role.get(role, ())}
        return tuple(key for person in people for key in self._keys_by_person[person])

    def operator_keys(self, person_ids: Iterable[str], *, now: TrustedTime) -> Mapping[KeyId, bytes]:
        """Return the usable keys of those among ``person_ids`` who are operators in this roster."""
        operators = set(self._people_by_role.get(Role.OPERATOR, ()))
        chosen = (person for person in dict.fromkeys(person_ids) if person in operators)
        return usable((key for person in chosen for key in self._keys_by_person[person]), now=now)

    def person_of(self, key_id: KeyId) -> str:
        """Return the id of the person who holds ``key_id``.

        Raises:
            TrustError: ``roster-unknown-key``: nobody's, or revoked.
        """
        try:
            return self._person_by_key[key_id]
        except KeyError:
            raise TrustError("roster-unknown-key", "the key belongs to nobody in the roster") from None

    def knows_person(self, person_id: str) -> bool:
        """Return whether somebody of this id stands in the roster, whatever their role."""
        return person_id in self._people

    def holds_role(self, person_id: str, role: Role) -> bool:
        """Return whether this person holds ``role``."""
        return person_id in self._people_by_role.get(role, ())

    def control_room(self, service_id: str) -> Service:
        """Return a control room, whose sealing key alerts are sealed to.

        Raises:
            TrustError: ``roster-unknown-control-room``: not there, or its signing key is revoked.
        """
        return self._service(service_id)[0]

    def control_room_keys(self, service_id: str, *, now: TrustedTime) -> Mapping[KeyId, bytes]:
        """Return the key that this control room signs with (none when it has expired).

        Raises:
            TrustError: ``roster-unknown-control-room``.
        """
        return usable((self._service(service_id)[1],), now=now)

    def device(self, device_id: str) -> Device:
        """Return a device.

        Raises:
            TrustError: ``roster-unknown-device``: not there, or its signing key is revoked.
        """
        return self._device(device_id)[0]

    def device_keys(self, device_id: str, *, now: TrustedTime) -> Mapping[KeyId, bytes]:
        """Return the key that this device signs with (none when it has expired).

        Raises:
            TrustError: ``roster-unknown-device``.
        """
        return usable((self._device(device_id)[1],), now=now)

    def is_revoked(self, key_id: str) -> bool:
        """Return whether this key is trusted for nothing (rule 9)."""
        return key_id in self._revoked

    def _service(self, service_id: str) -> tuple[Service, TrustedKey]:
        found = self._services.get(service_id)
        if found is None or found[1].key_id in self._revoked:
            raise TrustError("roster-unknown-control-room", "no usable control room of this id in the roster")
        return found

    def _device(self, device_id: str) -> tuple[Device, TrustedKey]:
        found = self._devices.get(device_id)
        if found is None or found[1].key_id in self._revoked:
            raise TrustError("roster-unknown-device", "no usable device of this id in the roster")
        return found


def _accept(
    cls: type[TrustedRoster],
    envelope: bytes,
    opened: Opened[Roster],
    *,
    vouched_by: tuple[int, Mapping[KeyId, bytes]],
    now: TrustedTime,
) -> TrustedRoster:
    """Check what the signed roster says of itself, and index it."""
    roster = opened.statement
    if roster.expires_at_ms <= roster.issued_at_ms:
        raise TrustError("roster-dates-wrong", "the roster expires before it was issued")
    if now.trusted and roster.issued_at_ms > now.wall_ms + SKEW_MS_MAX:  # rule 6
        raise TrustError("roster-from-future", "the roster was issued later than now")
    revoked = frozenset(roster.revoked)
    root = tuple(_unrevoked((read_key(key) for key in roster.root.keys), revoked))
    reachable = usable(root, now=now)
    if len(reachable) < roster.root.threshold:  # rule 8
        raise TrustError("roster-root-unreachable", "fewer usable root keys than the root's threshold asks for")
    threshold, old_keys = vouched_by
    if roster.root.threshold != threshold or reachable.keys() != old_keys.keys():  # rule 3
        _check_own_root(envelope, reachable, needed=roster.root.threshold)
    open_envelope(envelope, expected=Roster, trusted={**old_keys, **reachable})
    keys_by_person, services, devices = _index_keys(roster)
    kept = {person: tuple(_unrevoked(keys, revoked)) for person, keys in keys_by_person.items()}
    return cls(
        statement=roster,
        digest=opened.payload_digest,
        _people=MappingProxyType({person.person_id: person for person in roster.people}),
        _person_by_key=MappingProxyType({key.key_id: person for person, keys in kept.items() for key in keys}),
        _keys_by_person=MappingProxyType(kept),
        _people_by_role=MappingProxyType(
            {role: tuple(person.person_id for person in roster.people if role in person.roles) for role in Role}
        ),
        _services=services,
        _devices=devices,
        _root=root,
        _revoked=revoked,
    )


def _check_own_root(envelope: bytes, keys: Mapping[KeyId, bytes], *, needed: int) -> None:
    try:
        open_envelope(envelope, expected=Roster, trusted=keys, needed=needed, allow_others=True)
    except TrustError:
        raise TrustError("roster-new-root-unsigned", "the new root keys have not signed their own roster") from None


def _index_keys(
    roster: Roster,
) -> tuple[
    Mapping[str, tuple[TrustedKey, ...]],
    Mapping[str, tuple[Service, TrustedKey]],
    Mapping[str, tuple[Device, TrustedKey]],
]:
    """Read every key once, and refuse ids and keys that stand twice (rules 7 and 8)."""
    people = {person.person_id: tuple(read_key(key) for key in person.keys) for person in roster.people}
    services = {service.service_id: (service, read_key(service.signing_key)) for service in roster.services}
    devices = {device.device_id: (device, read_key(device.signing_key)) for device in roster.devices}
    counts = ((people, roster.people), (services, roster.services), (devices, roster.devices))
    if any(len(index) != len(listed) for index, listed in counts):
        raise TrustError("roster-id-repeated", "an id stands more than once in the roster")
    everything = [key.key_id for keys in people.values() for key in keys]
    everything += [key.key_id for _, key in services.values()] + [key.key_id for _, key in devices.values()]
    if len(everything) != len(set(everything)):
        raise TrustError("roster-key-shared", "one key stands more than once in the roster")
    return people, MappingProxyType(services), MappingProxyType(devices)


def _unrevoked(keys: Iterable[TrustedKey], revoked: frozenset[str]) -> Iterable[TrustedKey]:
    return (key for key in keys if key.key_id not in revoked)
