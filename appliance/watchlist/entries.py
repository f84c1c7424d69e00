"""The entries of a list: one way to write them, and the rules that each of them must keep.

Rules for an entry (a single one that breaks a rule refuses the whole list):
    1. It has every field of :class:`WatchlistEntry` and no other, each in its range.
    2. It is written in the one canonical way: keys sorted, no white space, nothing twice, nothing escaped without
       need. So a key that stands twice, or a field that hides in white space, is refused by one comparison.
    3. Its reference id stands once on the list.
    4. Its category is one that the authority allows and policy does not deny; the manifest names exactly those used.
    5. Its review date is not over.
    6. Who is under 18 has a second signature; every second signature is by somebody whom the manifest names.

References and categories are text: to check them, Python makes one entry at a time on its heap, and a set of the
reference ids, freed afterwards but not overwritten. Templates never get there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec
import numpy as np
from numpy.typing import NDArray

from appliance.errors import TrustError
from appliance.model.units import UnixMs
from appliance.wire.statements import WatchlistEntry, WatchlistManifest

_RAWS = msgspec.json.Decoder(list[msgspec.Raw])
_ENTRY = msgspec.json.Decoder(WatchlistEntry)
_ENCODER = msgspec.json.Encoder(order="sorted")
_BRACKETS = 2
_COMMA = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryRules:
    """What is allowed on this device, now.

    Attributes:
        allowed: Categories of the authority.
        denied: Categories that policy denies, whoever allows them.
        now_ms: Review dates before this instant are over.
    """

    allowed: frozenset[str]
    denied: frozenset[str]
    now_ms: UnixMs


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EntryIndex:
    """Where each entry lies in the JSON, and how many templates it has: no text.

    Attributes:
        starts: ``(entries,)`` int64, bytes from the start of the JSON.
        ends: ``(entries,)`` int64, one past the last byte.
        templates: ``(entries,)`` int32.
    """

    starts: NDArray[np.int64] = field(repr=False)
    ends: NDArray[np.int64] = field(repr=False)
    templates: NDArray[np.int32] = field(repr=False)


def encode_entries(entries: Sequence[WatchlistEntry]) -> bytes:
    """Return the entries in the one way in which they are written."""
    return _ENCODER.encode(entries)


def decode_entry(part: memoryview) -> WatchlistEntry:
    """Return the entry in ``part``, which :func:`check_entries` has found good."""
    return _ENTRY.decode(part)


def check_entries(text: memoryview, manifest: WatchlistManifest, rules: EntryRules) -> EntryIndex | TrustError:
    """Return where the entries lie, or what is wrong with one of them.

    The error is returned, not raised: a traceback would keep views of secret memory alive, which could then not be
    unmapped. It says which rule, never which entry or what stood there.
    """
    try:
        raws = _RAWS.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return TrustError("watchlist-entries-malformed", "expected a JSON array of entries")
    if len(raws) != manifest.entries:
        return TrustError("watchlist-entries-miscounted", f"expected {manifest.entries} entries, found {len(raws)}")
    lengths = np.fromiter((len(_bytes_of(raw)) for raw in raws), np.int64, len(raws))
    if lengths.sum() + _BRACKETS + _COMMA * (len(raws) - 1) != len(text):
        return TrustError("watchlist-entry-not-canonical", "expected no white space between entries")
    counts = _check_each(raws, manifest, rules)
    if isinstance(counts, TrustError):
        return counts
    ends = np.cumsum(lengths + _COMMA)  # the opening bracket counts for the comma that the first entry lacks
    return EntryIndex(starts=ends - lengths, ends=ends, templates=counts)


def _check_each(
    raws: list[msgspec.Raw], manifest: WatchlistManifest, rules: EntryRules
) -> NDArray[np.int32] | TrustError:
    usable = rules.allowed - rules.denied
    signers = frozenset(manifest.second_signers)
    counts = np.empty(len(raws), np.int32)
    references: set[str] = set()
    categories: set[str] = set()
    written = bytearray()
    for index, raw in enumerate(raws):
        try:
            entry = _ENTRY.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            return _shape_error(error)
        _ENCODER.encode_into(entry, written)
        if written != _bytes_of(raw):
            return TrustError("watchlist-entry-not-canonical", "expected sorted keys, each once, and no white space")
        if entry.category not in usable:
            return _category_error(entry.category, rules)
        if entry.review_by_ms < rules.now_ms:
            return TrustError("watchlist-review-overdue", "the review date of an entry is over")
        if entry.second_signature and entry.second_signature not in signers:
            return TrustError("watchlist-second-signer-unknown", "an entry names a second signer of its own")
        if entry.under_18 and not entry.second_signature:
            return TrustError("watchlist-second-signature-missing", "an entry for a child has no second signature")
        references.add(entry.reference_id)
        categories.add(entry.category)
        counts[index] = entry.templates
    if len(references) != len(raws):
        return TrustError("watchlist-reference-repeated", "a reference id stands on the list twice")
    if categories != set(manifest.categories):
        return TrustError("watchlist-categories-differ", "the manifest names other categories than the entries have")
    return counts


def _category_error(category: str, rules: EntryRules) -> TrustError:
    if category in rules.denied:
        return TrustError("watchlist-category-denied", "an entry has a category that this device denies")
    return TrustError("watchlist-category-not-allowed", "an entry has a category that the authority does not allow")


def _shape_error(error: Exception) -> TrustError:
    """Name the field, which is the schema's word; never a value, which is the sender's."""
    text = str(error)
    if text.startswith("Object missing required field"):
        return TrustError("watchlist-entry-field-missing", text.partition(" - at ")[0].lower())
    if text.startswith("Object contains unknown field"):
        return TrustError("watchlist-entry-unknown-field", "an entry has a field that is not in the schema")
    _, _, place = text.partition(" - at ")
    return TrustError("watchlist-entry-malformed", f"a field of an entry is not as the schema says: {place or '`$`'}")


def _bytes_of(raw: msgspec.Raw) -> memoryview:
    """Return where ``raw`` lies in the text: nothing is copied."""
    return memoryview(raw)
