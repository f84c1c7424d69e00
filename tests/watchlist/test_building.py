"""What the issuer's machine refuses to put on a list, and in which words."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
import watchlists_for_tests as lists
from watchlists_for_tests import BOB, HOUR_MS, ISSUER, NOW_MS, STRANGER, a_bundle, a_device, an_entry, unit_rows

from appliance.errors import ConfigError
from appliance.watchlist import countersign_bundle
from appliance.wire.envelope import sha256_hex, sign
from appliance.wire.statements import Device, WatchlistEntry
from appliance.wire.strict_json import encode


def refusal(*args: Any, **changes: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        a_bundle(*args, **changes)
    return str(caught.value)


def test_a_built_list_says_what_it_is() -> None:
    built = a_bundle()
    manifest = built.manifest
    assert (manifest.entries, manifest.templates, manifest.dimension) == (3, 3, lists.DIMENSION)
    assert manifest.categories == ("missing", "wanted-on-warrant")
    assert built.digest == sha256_hex(encode(manifest))
    assert built.signatures_missing == ()
    assert len(built.share_b) == 32
    assert built.bundle.startswith(b"LAMPWL01")


def test_neither_half_of_the_key_nor_a_reference_stands_in_the_file() -> None:
    built = a_bundle()
    assert built.share_b not in built.bundle
    assert lists.CountedEntropy().token(32) not in built.bundle
    assert b"ref-00000" not in built.bundle
    assert unit_rows(3)[1].tobytes()[:16] not in built.bundle


def test_a_repr_shows_no_secret() -> None:
    built = a_bundle()
    assert "share_b" not in repr(built)
    assert "bundle=" not in repr(built)


def test_two_lists_never_share_a_key() -> None:
    entropy = lists.CountedEntropy()
    assert a_bundle(entropy=entropy).share_b != a_bundle(entropy=entropy).share_b


ENTRY_FIELDS = WatchlistEntry.__struct_fields__


@pytest.mark.parametrize("field", [name for name in ENTRY_FIELDS if name != "second_signature"])
def test_a_missing_field_is_refused_by_its_name_and_place(field: str) -> None:
    said = refusal([an_entry(0), an_entry(1, **{field: None})], unit_rows(2))
    assert f"entry 2: {field} is missing" in said
    assert "entry 1:" not in said


@pytest.mark.parametrize("field", ["reference_id", "category", "legal_basis", "image_source", "justification_id"])
def test_an_empty_text_is_a_missing_field(field: str) -> None:
    assert f"entry 1: {field} is missing" in refusal([an_entry(0, **{field: ""})])


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("reference_id", "with spaces"),
        ("reference_id", "r" * 65),
        ("templates", 0),
        ("templates", 17),
        ("templates", 1.0),
        ("category", "../etc"),
        ("legal_basis", "b" * 501),
        ("image_date_ms", -1),
        ("image_date_ms", "2026-01-01"),
        ("review_by_ms", 2**60),
        ("under_18", 1),
        ("under_18", "no"),
        ("second_signature", "bob"),
        ("second_signature", None),
    ],
)
def test_a_field_that_the_schema_refuses_is_refused_by_its_name(field: str, value: object) -> None:
    said = refusal([an_entry(0, **{field: value})], unit_rows(1))
    assert f"entry 1: {field}" in said
    assert "with spaces" not in said


def test_everything_that_is_wrong_is_said_at_once_up_to_a_bound() -> None:
    said = refusal([an_entry(number, legal_basis="", category="") for number in range(15)])
    assert "entry 1: category is missing" in said
    assert "entry 10: legal_basis is missing" in said
    assert "and 10 more" in said


def test_an_empty_list_is_refused() -> None:
    assert "1 to 100000 entries, not 0" in refusal([], unit_rows(0))


def test_a_reference_that_stands_twice_is_refused_without_repeating_it() -> None:
    said = refusal([an_entry(0), an_entry(1), an_entry(0)])
    assert "entry 1: reference_id stands on the list more than once" in said
    assert "entry 3: reference_id" in said
    assert "ref-0" not in said


def test_an_entry_whose_review_is_over_is_refused() -> None:
    assert "entry 1: review_by_ms" in refusal([an_entry(0, review_by_ms=NOW_MS - 2 * HOUR_MS)])


def test_a_child_needs_a_second_signature() -> None:
    assert "entry 1: second_signature is missing" in refusal([an_entry(0, under_18=True)])


def test_the_issuer_is_no_second_person() -> None:
    assert "the issuer cannot be" in refusal([an_entry(0, under_18=True, second_signature=ISSUER.key_id)])


def test_a_second_signer_signs_at_once_or_is_awaited() -> None:
    entries = [an_entry(0, under_18=True, second_signature=BOB.key_id)]
    assert a_bundle(entries, second_signers=(BOB,)).signatures_missing == ()
    awaited = a_bundle(entries)
    assert awaited.signatures_missing == (BOB.key_id,)
    assert awaited.manifest.second_signers == (BOB.key_id,)
    opened = lists.opened(countersign_bundle(awaited.bundle, BOB))
    assert opened.digest == awaited.digest


def test_a_second_signer_whom_no_entry_names_is_refused() -> None:
    assert "no entry names" in refusal(second_signers=(STRANGER,))


def test_more_second_signers_than_an_envelope_holds_are_refused() -> None:
    entries = [an_entry(number, second_signature=f"{number:064x}") for number in range(16)]
    assert "at most 15 can sign" in refusal(entries)


@pytest.mark.parametrize(
    ("templates", "said"),
    [
        (unit_rows(2), "count 3 templates, but 2"),
        (unit_rows(4), "count 3 templates, but 4"),
        (unit_rows(3).astype(np.float64), "float32"),
        (unit_rows(3)[0], "float32"),
        (unit_rows(3) * np.float32(1.01), "3 templates are not of unit length, the first in row 1"),
        (np.vstack([unit_rows(2), np.full((1, 64), np.nan, np.float32)]), "first in row 3"),
        (np.vstack([unit_rows(2), np.full((1, 64), np.inf, np.float32)]), "first in row 3"),
        (np.vstack([unit_rows(2), np.zeros((1, 64), np.float32)]), "first in row 3"),
        (unit_rows(3, 32), "cannot be built"),
        (unit_rows(3, 2048), "cannot be built"),
    ],
)
def test_templates_that_a_device_would_refuse_are_refused(templates: Any, said: str) -> None:
    assert said in refusal(None, templates)


@pytest.mark.parametrize(
    "changes",
    [
        {"watchlist_id": "with spaces"},
        {"watchlist_id": "über"},
        {"version": 0},
        {"expires_at_ms": NOW_MS - HOUR_MS},
        {"model_digest": "not a digest"},
        {"devices": ()},
        {"devices": (a_device(), a_device())},
        {"devices": (msgspec.structs.replace(a_device(), sealing_key="A" * 43 + "="),)},
    ],
)
def test_a_manifest_that_a_device_would_refuse_is_refused(changes: dict[str, Any]) -> None:
    assert "the list cannot be built" in refusal(**changes)


def test_several_templates_of_one_person_stay_together() -> None:
    entries = [an_entry(0, templates=3), an_entry(1), an_entry(2, templates=2)]
    built = a_bundle(entries)
    assert built.manifest.templates == 6
    with lists.open_it(lists.opened(built.bundle), built) as gallery, gallery.region.view as view:
        owners = np.frombuffer(view[6 * 64 * 4 : 6 * 64 * 4 + 6 * 4], "<i4").tolist()
    assert owners == [0, 0, 0, 1, 2, 2]


def test_every_device_gets_a_share_of_its_own() -> None:
    devices: list[Device] = [a_device(f"device-{number}") for number in (1, 2)]
    manifest = a_bundle(devices=devices).manifest
    assert [share.device_id for share in manifest.shares] == ["device-1", "device-2"]
    assert manifest.shares[0].sealed != manifest.shares[1].sealed
    assert sign(manifest, ISSUER)
