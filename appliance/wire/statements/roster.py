"""Who holds which role with which keys. Signed by m of n root keys; the root of trust is set at provisioning."""

from __future__ import annotations

from enum import Enum
from typing import Annotated

import msgspec

from appliance.wire.statements.base import Base64Key, Identifier, InstantMs, Statement, Text, Thumbprint, Version


class Role(str, Enum):
    """What a person may do. A person may hold several; an authority still needs two persons."""

    AUTHORISING_OFFICER = "authorising-officer"
    REVIEWER = "reviewer"
    WATCHLIST_ISSUER = "watchlist-issuer"
    OPERATOR = "operator"
    ADJUDICATOR = "adjudicator"
    DEPOT = "depot"


class ServiceRole(str, Enum):
    """What a machine on the far side may do."""

    CONTROL_ROOM = "control-room"


class PublicKey(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One Ed25519 verification key.

    Attributes:
        public: The 32 raw bytes, base64. Its SHA-256 is the key id; no other name for a key is trusted.
        not_after_ms: The key signs nothing after this instant.
    """

    public: Base64Key
    not_after_ms: InstantMs


class Person(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One human being, whatever number of keys they hold."""

    person_id: Identifier
    name: Text
    roles: Annotated[tuple[Role, ...], msgspec.Meta(min_length=1, max_length=6)]
    keys: Annotated[tuple[PublicKey, ...], msgspec.Meta(min_length=1, max_length=8)]


class Service(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A control room: it signs receipts and adjudications, and alerts are sealed to it (X25519)."""

    service_id: Identifier
    role: ServiceRole
    signing_key: PublicKey
    sealing_key: Base64Key


class Device(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An appliance: its Ed25519 signing key and the X25519 key that shares are sealed to."""

    device_id: Identifier
    site_id: Identifier
    signing_key: PublicKey
    sealing_key: Base64Key


class RootKeys(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The keys that sign the *next* roster, and how many of them must."""

    threshold: Annotated[int, msgspec.Meta(ge=1, le=16)]
    keys: Annotated[tuple[PublicKey, ...], msgspec.Meta(min_length=1, max_length=16)]


class Roster(Statement, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The people, services and devices of one city, by version.

    Attributes:
        version: Only ever grows; a device refuses an older one.
        root: Rotation: a roster whose root differs is signed by the old root *and* the new one.
        revoked: Thumbprints that are trusted for nothing, wherever else they stand.
    """

    version: Version
    issued_at_ms: InstantMs
    expires_at_ms: InstantMs
    root: RootKeys
    people: Annotated[tuple[Person, ...], msgspec.Meta(max_length=2_000)]
    services: Annotated[tuple[Service, ...], msgspec.Meta(max_length=16)]
    devices: Annotated[tuple[Device, ...], msgspec.Meta(max_length=20_000)]
    revoked: Annotated[tuple[Thumbprint, ...], msgspec.Meta(max_length=20_000)]
