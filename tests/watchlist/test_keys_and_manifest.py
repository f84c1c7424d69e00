"""The key comes from both halves and one list; the layout follows from the manifest, and must fit it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
import watchlists_for_tests as lists
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from appliance.errors import TrustError
from appliance.watchlist.keys import body_cipher
from appliance.watchlist.manifest import CHUNK_BYTES, associated_data, body_layout, layout_of
from appliance.wire.statements import WatchlistManifest

MANIFEST = lists.a_bundle().manifest
A, B = b"a" * 32, b"b" * 32
NONCE = bytes(12)


def sealed(a: bytes = A, b: bytes = B, **changes: Any) -> bytes:
    with body_cipher(bytearray(a), bytearray(b), changed(**changes)) as cipher:
        return cipher.encrypt(NONCE, b"plain", None)


def changed(**changes: Any) -> WatchlistManifest:
    return msgspec.structs.replace(MANIFEST, **changes)


def test_the_key_is_the_same_for_the_same_halves_and_list() -> None:
    assert sealed() == sealed()


@pytest.mark.parametrize(
    ("a", "b", "changes"),
    [
        (b"x" * 32, B, {}),
        (A, b"x" * 32, {}),
        (B, A, {}),
        (A, B, {"watchlist_id": "watchlist-2"}),
        (A, B, {"version": 2}),
        (A, B, {"created_at_ms": MANIFEST.created_at_ms + 1}),
        (A, B, {"watchlist_id": "watchlist-11", "version": 1}),
    ],
)
def test_any_other_half_or_list_gives_another_key(a: bytes, b: bytes, changes: dict[str, Any]) -> None:
    assert sealed(a, b, **changes) != sealed()


def test_neither_half_alone_is_the_key() -> None:
    for half in (A, B):
        assert AESGCM(half).encrypt(NONCE, b"plain", None) != sealed()


def test_both_halves_are_overwritten_when_the_key_is_done_with_even_after_an_error() -> None:
    a, b = bytearray(A), bytearray(B)
    with pytest.raises(ZeroDivisionError), body_cipher(a, b, MANIFEST):
        _ = 1 / 0
    assert a == b == bytes(32)


@pytest.mark.parametrize(("a", "b"), [(A[:-1], B), (A, B + b"x"), (b"", B), (A + B[:16], B[16:])])
def test_a_half_of_another_length_is_refused_and_overwritten(a: bytes, b: bytes) -> None:
    first, second = bytearray(a), bytearray(b)
    with pytest.raises(TrustError) as caught, body_cipher(first, second, MANIFEST):
        pass
    assert caught.value.rule == "watchlist-share-malformed"
    assert not any(first + second)


@pytest.mark.parametrize(
    ("templates", "dimension", "entries_bytes", "chunks"),
    [(1, 64, 2, 2), (252, 64, 65_536, 2), (253, 64, 65_537, 4), (15_000, 512, 5_000_000, 470 + 77)],
)
def test_the_layout_ends_the_gallery_on_a_chunk(
    templates: int, dimension: int, entries_bytes: int, chunks: int
) -> None:
    layout = body_layout(templates=templates, dimension=dimension, entries_bytes=entries_bytes)
    assert layout.chunks == chunks
    assert layout.gallery_bytes % CHUNK_BYTES == 0
    assert 0 <= layout.gallery_bytes - layout.templates_bytes - layout.owners_bytes < CHUNK_BYTES
    assert layout.body_bytes == layout.gallery_bytes + entries_bytes + 16 * chunks


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"body_bytes": MANIFEST.body_bytes + 1}, "length of the body"),
        ({"entries_bytes": MANIFEST.entries_bytes - 1}, "length of the body"),
        ({"templates": 100_000}, "length of the body"),
        ({"dimension": 1_024, "templates": 100}, "length of the body"),
        ({"entries": 4}, "number of templates"),
        ({"expires_at_ms": MANIFEST.created_at_ms}, "expiry"),
        ({"shares": MANIFEST.shares * 2}, "devices"),
        ({"categories": MANIFEST.categories[::-1]}, "categories"),
        ({"categories": MANIFEST.categories * 2}, "categories"),
        ({"second_signers": ("0" * 64, "0" * 64)}, "second signers"),
    ],
)
def test_a_manifest_that_contradicts_itself_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(TrustError, match=said) as caught:
        layout_of(changed(**changes))
    assert caught.value.rule == "watchlist-manifest-contradicts"


OTHER_VALUES: dict[str, Any] = {
    "watchlist_id": "another",
    "version": 9,
    "created_at_ms": 1,
    "expires_at_ms": 2,
    "model_digest": "0" * 64,
    "dimension": 65,
    "entries": 2,
    "templates": 4,
    "categories": ("missing",),
    "entries_bytes": 3,
    "nonce_prefix": "0" * 14,
    "second_signers": ("0" * 64,),
}
NOT_BOUND = {"body_digest", "body_bytes", "shares"}


def test_every_field_of_the_manifest_is_bound_or_named_as_not_bound() -> None:
    assert OTHER_VALUES.keys() | NOT_BOUND == set(WatchlistManifest.__struct_fields__)


@pytest.mark.parametrize("field", OTHER_VALUES)
def test_the_chunks_are_bound_to_what_identifies_the_list(field: str) -> None:
    assert associated_data(changed(**{field: OTHER_VALUES[field]})) != associated_data(MANIFEST)


def test_the_chunks_are_not_bound_to_what_is_known_only_after_sealing() -> None:
    assert associated_data(changed(body_digest="1" * 64, shares=())) == associated_data(MANIFEST)
