"""What a watchlist is, entry by entry, and the signed manifest over its encrypted body."""

from __future__ import annotations

from typing import Annotated

import msgspec

from appliance.wire.statements.base import (
    Base64Key,
    Base64Sealed,
    Identifier,
    InstantMs,
    Sha256Hex,
    Statement,
    Text,
    Thumbprint,
    Version,
)

ENTRIES_MAX = 100_000
TEMPLATES_PER_ENTRY_MAX = 16


class WatchlistEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One person on the list, and why. Lies inside the encrypted body; holds no name.

    Attributes:
        reference_id: What an alert quotes; only the control room can turn it into a person.
        templates: How many rows of the template block are this person's.
        category: One of the categories that the authority allows, for example ``wanted-on-warrant``.
        legal_basis: The power under which the person is on the list.
        image_source: Where the reference image comes from.
        image_date_ms: When it was taken.
        justification_id: The record that says why this person is on this list.
        review_by_ms: After this instant the whole list is refused until the entry was reviewed.
        under_18: Needs ``second_signature``.
        second_signature: Thumbprint of the second person who approved this entry, empty where none is needed.
    """

    reference_id: Identifier
    templates: Annotated[int, msgspec.Meta(ge=1, le=TEMPLATES_PER_ENTRY_MAX)]
    category: Identifier
    legal_basis: Text
    image_source: Text
    image_date_ms: InstantMs
    justification_id: Identifier
    review_by_ms: InstantMs
    under_18: bool
    second_signature: Annotated[str, msgspec.Meta(pattern=r"\A([0-9a-f]{64})?\Z")]


class SealedShare(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Key share A for one device: HPKE to the device's sealing key."""

    device_id: Identifier
    sealing_key: Base64Key
    sealed: Base64Sealed


class WatchlistManifest(Statement, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the issuer signs: which list this is, for which model, and the digest of its encrypted body.

    Attributes:
        body_digest: SHA-256 over the ciphertext, as it lies in the bundle.
        nonce_prefix: 7 bytes, hex: the start of every chunk's nonce.
        second_signers: Thumbprints of the people who countersigned entries that need it.
    """

    watchlist_id: Identifier
    version: Version
    created_at_ms: InstantMs
    expires_at_ms: InstantMs
    model_digest: Sha256Hex
    dimension: Annotated[int, msgspec.Meta(ge=64, le=1024)]
    entries: Annotated[int, msgspec.Meta(ge=1, le=ENTRIES_MAX)]
    templates: Annotated[int, msgspec.Meta(ge=1, le=ENTRIES_MAX * 2)]
    categories: Annotated[tuple[Identifier, ...], msgspec.Meta(min_length=1, max_length=64)]
    entries_bytes: Annotated[int, msgspec.Meta(ge=2, le=2**27)]
    body_bytes: Annotated[int, msgspec.Meta(ge=17, le=2**30)]
    body_digest: Sha256Hex
    nonce_prefix: Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{14}\Z")]
    shares: Annotated[tuple[SealedShare, ...], msgspec.Meta(min_length=1, max_length=20_000)]
    second_signers: Annotated[tuple[Thumbprint, ...], msgspec.Meta(max_length=64)]
