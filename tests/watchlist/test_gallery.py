"""What a device refuses to open although an issuer signed it, and what it leaves behind: zeros."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest
import watchlists_for_tests as lists
from keys_for_tests import unsealing_key
from watchlists_for_tests import (
    BOB,
    HOUR_MS,
    NOW_MS,
    a_bundle,
    a_device,
    a_forged_bundle,
    a_plain_gallery,
    an_entry,
    open_it,
    opened,
    owners_of,
    unit_rows,
)

from appliance.adapters.secret_memory import LinuxSecretMemory, OwnedRegion
from appliance.errors import ConfigError, InvariantError, TrustError
from appliance.model.units import AuthorityId, DeviceId, Digest
from appliance.ports.memory import SecretRegion
from appliance.watchlist import BuiltBundle, seal_share_b
from appliance.watchlist.entries import encode_entries
from appliance.watchlist.manifest import SEALED_CHUNK_BYTES
from appliance.wire.sealing import seal, share_a_info
from appliance.wire.statements import WatchlistEntry
from appliance.wire.statements.watchlist import SealedShare

ENTRIES = [an_entry(number) for number in range(3)]
OWNERS = owners_of(ENTRIES)


class WatchedMemory:
    """Real secret memory that remembers its regions, and can run out of it.

    Args:
        regions_max: After so many there is none.
    """

    def __init__(self, regions_max: int = 2) -> None:
        self._memory = LinuxSecretMemory()
        self._regions_max = regions_max
        self.regions: list[OwnedRegion] = []
        self.watchers: list[SecretRegion] = []

    def allocate(self, size: int) -> OwnedRegion:
        if len(self.regions) == self._regions_max:
            raise ConfigError("there is no secret memory left")
        region = self._memory.allocate(size)
        self.regions.append(region)
        # A second mapping outlives the first, so that a test can see what was left in the pages.
        self.watchers.append(self._memory.map_readonly(os.dup(region.descriptor), size))
        return region

    def map_readonly(self, descriptor: int, size: int) -> SecretRegion:
        return self._memory.map_readonly(descriptor, size)

    def check_nothing_is_left(self) -> None:
        for region, watcher in zip(self.regions, self.watchers, strict=True):
            with pytest.raises(InvariantError, match="closed"):
                _ = region.view
            with watcher.view as view:
                assert not np.frombuffer(view, np.uint8).any()
            watcher.close()


def refusal(built: BuiltBundle, **changes: Any) -> str:
    memory = WatchedMemory()
    manifest = opened(built.bundle)
    with pytest.raises(TrustError) as caught:
        open_it(manifest, built, memory=memory, **changes)
    memory.check_nothing_is_left()
    manifest.body.release()
    assert "ref-" not in str(caught.value)
    return caught.value.rule


def test_an_opened_gallery_holds_what_was_built() -> None:
    built = a_bundle()
    with open_it(opened(built.bundle), built) as gallery:
        assert len(gallery) == 3
        assert [gallery.entry(index) for index in range(3)] == ENTRIES
        assert (gallery.templates, gallery.dimension) == (3, lists.DIMENSION)
        with gallery.region.view as view:
            assert bytes(view) == a_plain_gallery(unit_rows(3), OWNERS)
            assert view.readonly
        assert repr(gallery) == "Gallery(entries=3)"


def test_texts_in_any_script_come_back() -> None:
    entries = [an_entry(0, legal_basis='Ordnance "7" \\ §3 – ärgerlich 警察'), an_entry(1, image_source="x" * 500)]
    built = a_bundle(entries)
    with open_it(opened(built.bundle), built) as gallery:
        assert [gallery.entry(0), gallery.entry(1)] == entries


def test_the_eye_is_given_the_templates_and_no_reference() -> None:
    built = a_bundle()
    with open_it(opened(built.bundle), built) as gallery, gallery.region.view as view:
        assert b"ref-" not in bytes(view)


@pytest.mark.parametrize("index", [-1, 3, 2**40])
def test_an_entry_that_is_not_there_is_refused(index: int) -> None:
    built = a_bundle()
    with open_it(opened(built.bundle), built) as gallery, pytest.raises(TrustError) as caught:
        gallery.entry(index)
    assert caught.value.rule == "match-unknown-entry"


def test_a_closed_gallery_is_zeros_and_cannot_be_read() -> None:
    built, memory = a_bundle(), WatchedMemory()
    gallery = open_it(opened(built.bundle), built, memory=memory)
    gallery.close()
    gallery.close()
    with pytest.raises(InvariantError):
        gallery.entry(0)
    memory.check_nothing_is_left()


def test_entries_are_closed_even_if_somebody_still_looks_at_the_templates() -> None:
    built, memory = a_bundle(), WatchedMemory()
    gallery = open_it(opened(built.bundle), built, memory=memory)
    looking = gallery.region.view
    with pytest.raises(InvariantError, match="still held a view"):
        gallery.close()
    assert not any(looking)
    looking.release()
    gallery.close()
    memory.check_nothing_is_left()


@pytest.mark.parametrize("regions_max", [0, 1])
def test_without_secret_memory_nothing_is_opened(regions_max: int) -> None:
    built, memory = a_bundle(), WatchedMemory(regions_max)
    with pytest.raises(ConfigError):
        open_it(opened(built.bundle), built, memory=memory)
    memory.check_nothing_is_left()


# ---- who, when, and which key ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("now_ms", [NOW_MS + 23 * HOUR_MS, NOW_MS + 24 * HOUR_MS])
def test_an_expired_list_is_not_opened(now_ms: int) -> None:
    assert refusal(a_bundle(), now_ms=now_ms) == "watchlist-expired"


def test_a_list_opens_until_the_last_millisecond() -> None:
    built = a_bundle()
    open_it(opened(built.bundle), built, now_ms=NOW_MS + 23 * HOUR_MS - 1).close()


def test_a_device_that_the_list_does_not_name_cannot_open_it() -> None:
    built = a_bundle()
    key = unsealing_key("device-2")
    sealed = seal_share_b(
        built.share_b, device=a_device("device-2"), authority_id=lists.AUTHORITY_ID, watchlist_digest=built.digest
    ).sealed
    changes = {"device_id": DeviceId("device-2"), "unsealing_key": key, "share_b_sealed": sealed}
    assert refusal(built, **changes) == "watchlist-other-device"
    assert refusal(built, **changes | {"device_id": lists.DEVICE_ID}) == "sealed-not-for-us"


@pytest.mark.parametrize(
    "changes",
    [
        {"authority_id": AuthorityId("authority-2")},
        {"device": a_device("device-2")},
        {"watchlist_digest": Digest("0" * 64)},
    ],
)
def test_a_share_b_for_another_authority_device_or_list_is_refused(changes: dict[str, Any]) -> None:
    built = a_bundle()
    arguments = {"device": a_device(), "authority_id": lists.AUTHORITY_ID, "watchlist_digest": built.digest} | changes
    sealed = seal_share_b(built.share_b, **arguments).sealed
    assert refusal(built, share_b_sealed=sealed) == "sealed-not-for-us"


@pytest.mark.parametrize("sealed", ["", "no base64!", "AAAA"])
def test_a_share_b_that_is_no_seal_is_refused(sealed: str) -> None:
    assert refusal(a_bundle(), share_b_sealed=sealed).startswith("sealed-")


def share_b_of(secret: bytes, built: BuiltBundle) -> str:
    return seal_share_b(
        secret, device=a_device(), authority_id=lists.AUTHORITY_ID, watchlist_digest=built.digest
    ).sealed


def test_another_share_b_does_not_decrypt() -> None:
    built = a_bundle()
    assert refusal(built, share_b_sealed=share_b_of(b"x" * 32, built)) == "watchlist-does-not-decrypt"


@pytest.mark.parametrize("secret", [b"", b"x" * 31, b"x" * 33])
def test_a_share_b_of_another_length_is_refused(secret: bytes) -> None:
    built = a_bundle()
    assert refusal(built, share_b_sealed=share_b_of(secret, built)) == "watchlist-share-malformed"


def share_a(secret: bytes, *, version: int = 1, key: str = lists.DEVICE_ID) -> SealedShare:
    public = unsealing_key(key).public
    sealed = seal(secret, recipient=public, info=share_a_info(lists.DEVICE_ID, lists.WATCHLIST_ID, version))
    return SealedShare(device_id=lists.DEVICE_ID, sealing_key=lists.text_of(public), sealed=sealed)


@pytest.mark.parametrize(
    ("share", "rule"),
    [
        (share_a(b"x" * 32), "watchlist-does-not-decrypt"),
        (share_a(b"x" * 16), "watchlist-share-malformed"),
        (share_a(b"x" * 32, version=2), "sealed-not-for-us"),
        (share_a(b"x" * 32, key="device-2"), "watchlist-share-other-key"),
    ],
)
def test_another_share_a_is_refused(share: SealedShare, rule: str) -> None:
    assert refusal(a_forged_bundle(shares=(share,))) == rule


# ---- chunks, though the issuer signed their digest -------------------------------------------------------------------


def swapped(body: bytes) -> bytes:
    last = len(body) - (len(body) % SEALED_CHUNK_BYTES)
    first = body[:SEALED_CHUNK_BYTES]
    return body[SEALED_CHUNK_BYTES : 2 * SEALED_CHUNK_BYTES] + first + body[2 * SEALED_CHUNK_BYTES : last] + body[last:]


def test_chunks_that_changed_places_do_not_decrypt() -> None:
    entries = [an_entry(number) for number in range(400)]
    rows = unit_rows(400)
    forged = a_forged_bundle(
        text=encode_entries(entries),
        gallery=a_plain_gallery(rows, owners_of(entries)),
        entries=400,
        templates=400,
        alter=swapped,
    )
    assert refusal(forged) == "watchlist-does-not-decrypt"


@pytest.mark.parametrize(
    "alter", [lambda body: body[:-1] + bytes([body[-1] ^ 1]), lambda body: bytes([body[0] ^ 1]) + body[1:]]
)
def test_altered_chunks_do_not_decrypt(alter: Callable[[bytes], bytes]) -> None:
    assert refusal(a_forged_bundle(alter=alter)) == "watchlist-does-not-decrypt"


@pytest.mark.parametrize("alter", [lambda body: body[SEALED_CHUNK_BYTES:], lambda body: body + body[-100:]])
def test_a_dropped_or_added_chunk_contradicts_the_manifest(alter: Callable[[bytes], bytes]) -> None:
    with pytest.raises(TrustError) as caught:
        opened(a_forged_bundle(alter=alter).bundle)
    assert caught.value.rule == "watchlist-manifest-contradicts"


def test_a_manifest_that_renames_the_list_after_sealing_does_not_decrypt() -> None:
    built = a_bundle()
    renamed = a_forged_bundle(expires_at_ms=built.manifest.expires_at_ms + HOUR_MS)
    body = renamed.bundle[-built.manifest.body_bytes :]
    forged = a_forged_bundle(alter=lambda _: body)
    assert refusal(forged) == "watchlist-does-not-decrypt"


# ---- templates and owners --------------------------------------------------------------------------------------------


def a_gallery_with(templates: Any = None, owners: Any = None, padding: bytes = b"") -> BuiltBundle:
    plain = a_plain_gallery(
        unit_rows(3) if templates is None else templates, OWNERS if owners is None else np.array(owners, np.int32)
    )
    return a_forged_bundle(gallery=plain[: len(plain) - len(padding)] + padding)


@pytest.mark.parametrize("value", [0.0, 0.5, 2.0, np.nan, np.inf, -np.inf, 1e38])
@pytest.mark.parametrize("row", [0, 2])
def test_a_template_that_is_not_of_unit_length_refuses_the_list(value: float, row: int) -> None:
    rows = unit_rows(3)
    rows[row] *= np.float32(value)
    assert refusal(a_gallery_with(rows)) == "watchlist-template-not-unit"


@pytest.mark.parametrize("factor", [0.9991, 1.0009])
def test_a_template_within_the_tolerance_is_fine(factor: float) -> None:
    built = a_gallery_with(unit_rows(3) * np.float32(factor))
    open_it(opened(built.bundle), built).close()


@pytest.mark.parametrize(
    "owners", [[0, 1, 3], [0, 1, -1], [0, 1, 1], [0, 0, 2], [1, 0, 2], [0, 1, 2**31 - 1], [-(2**31), 1, 2]]
)
def test_owners_that_do_not_cover_each_entry_by_its_count_refuse_the_list(owners: list[int]) -> None:
    assert refusal(a_gallery_with(owners=owners)) == "watchlist-owners-wrong"


def test_padding_that_is_not_zeros_refuses_the_list() -> None:
    assert refusal(a_gallery_with(padding=b"\x01")) == "watchlist-padding"


# ---- entries ---------------------------------------------------------------------------------------------------------


def text_with(**changes: Any) -> bytes:
    """Return three entries; the second has ``changes``, of any type, or lacks what is changed to ``...``."""
    fields = [msgspec.structs.asdict(entry) for entry in ENTRIES]
    fields[1] |= changes
    fields[1] = {name: value for name, value in fields[1].items() if value is not ...}
    return msgspec.json.encode(fields, order="sorted")


@pytest.mark.parametrize("field", WatchlistEntry.__struct_fields__)
def test_an_entry_that_lacks_a_field_refuses_the_list(field: str) -> None:
    built = a_forged_bundle(text=text_with(**{field: ...}))
    with pytest.raises(TrustError, match=field) as caught:
        open_it(opened(built.bundle), built)
    assert caught.value.rule == "watchlist-entry-field-missing"


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"name": "a name"}, "watchlist-entry-unknown-field"),
        ({"templates": "1"}, "watchlist-entry-malformed"),
        ({"templates": 1.5}, "watchlist-entry-malformed"),
        ({"templates": 0}, "watchlist-entry-malformed"),
        ({"templates": 17}, "watchlist-entry-malformed"),
        ({"templates": 2}, "watchlist-owners-wrong"),
        ({"reference_id": ""}, "watchlist-entry-malformed"),
        ({"reference_id": "ref/1"}, "watchlist-entry-malformed"),
        ({"reference_id": "ref-1\n"}, "watchlist-entry-malformed"),
        ({"reference_id": "ref-000000"}, "watchlist-reference-repeated"),
        ({"legal_basis": ""}, "watchlist-entry-malformed"),
        ({"image_date_ms": -1}, "watchlist-entry-malformed"),
        ({"under_18": "false"}, "watchlist-entry-malformed"),
        ({"under_18": None}, "watchlist-entry-malformed"),
        ({"category": "protest"}, "watchlist-category-denied"),
        ({"category": "witness"}, "watchlist-category-not-allowed"),
        ({"category": "missing"}, "watchlist-categories-differ"),
        ({"review_by_ms": NOW_MS - 1}, "watchlist-review-overdue"),
        ({"under_18": True}, "watchlist-second-signature-missing"),
        ({"under_18": True, "second_signature": BOB.key_id}, "watchlist-second-signer-unknown"),
        ({"second_signature": BOB.key_id}, "watchlist-second-signer-unknown"),
    ],
)
def test_an_entry_that_breaks_a_rule_refuses_the_list(changes: dict[str, Any], rule: str) -> None:
    assert refusal(a_forged_bundle(text=text_with(**changes))) == rule


def test_a_category_that_is_denied_is_refused_though_the_authority_allows_it() -> None:
    forged = a_forged_bundle(text=text_with(category="protest"), categories=("missing", "protest", "wanted-on-warrant"))
    allowed = frozenset({"missing", "protest", "wanted-on-warrant"})
    assert refusal(forged, allowed_categories=allowed) == "watchlist-category-denied"
    assert refusal(a_bundle(), allowed_categories=frozenset({"missing"})) == "watchlist-category-not-allowed"


def test_an_entry_is_good_on_its_review_date() -> None:
    built = a_forged_bundle(text=text_with(review_by_ms=NOW_MS))
    open_it(opened(built.bundle), built).close()


def test_a_child_whose_entry_bob_signed_is_on_the_list() -> None:
    built = a_bundle([an_entry(0, under_18=True, second_signature=BOB.key_id)], second_signers=(BOB,))
    with open_it(opened(built.bundle), built) as gallery:
        assert gallery.entry(0).under_18


GOOD = encode_entries(ENTRIES)


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        (b"[]", "watchlist-entries-miscounted"),
        (encode_entries(ENTRIES[:2]), "watchlist-entries-miscounted"),
        (encode_entries([*ENTRIES, an_entry(3)]), "watchlist-entries-miscounted"),
        (b"{}", "watchlist-entries-malformed"),
        (b"null", "watchlist-entries-malformed"),
        (GOOD[:-1], "watchlist-entries-malformed"),
        (GOOD + GOOD, "watchlist-entries-malformed"),
        (b"[" * 100_000, "watchlist-entries-malformed"),
        (GOOD.replace(b"custody", b"cust\xffdy", 1), "watchlist-entry-malformed"),
        (b"[1,2,3]", "watchlist-entry-malformed"),
        (b"[null,null,null]", "watchlist-entry-malformed"),
        (b" " + GOOD, "watchlist-entry-not-canonical"),
        (GOOD + b"\n", "watchlist-entry-not-canonical"),
        (GOOD.replace(b"},{", b"}, {", 1), "watchlist-entry-not-canonical"),
        (GOOD.replace(b'":', b'": ', 1), "watchlist-entry-not-canonical"),
        (GOOD.replace(b"custody", b"custod\\u0079", 1), "watchlist-entry-not-canonical"),
        (GOOD.replace(b'"templates":1', b'"templates":1,"templates":1', 1), "watchlist-entry-not-canonical"),
        (GOOD.replace(b'{"category"', b'{"under_18":true,"category"', 1), "watchlist-entry-not-canonical"),
        (msgspec.json.encode(ENTRIES), "watchlist-entry-not-canonical"),
        (GOOD.replace(b'"templates":1', b'"templates":NaN', 1), "watchlist-entries-malformed"),
        (GOOD.replace(b'"templates":1', b'"templates":1e0', 1), "watchlist-entry-malformed"),
    ],
)
def test_entries_written_in_another_way_refuse_the_list(text: bytes, rule: str) -> None:
    assert refusal(a_forged_bundle(text=text)) == rule
