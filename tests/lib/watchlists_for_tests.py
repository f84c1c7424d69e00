"""Lists made from numbers: entries, templates, bundles and what opens them. Nothing in here is anybody."""

from __future__ import annotations

import hashlib
import mmap
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import numpy as np
from deployment_for_tests import text_of
from keys_for_tests import MemorySigningKey, signing_key, unsealing_key
from numpy.typing import NDArray

from appliance.adapters.secret_memory import LinuxSecretMemory
from appliance.model.frames import Floats
from appliance.model.units import AuthorityId, DeviceId, Digest, KeyId, UnixMs
from appliance.watchlist import BuiltBundle, Gallery, OpenedManifest, build_bundle, open_gallery, open_manifest
from appliance.watchlist.body import encrypt_body
from appliance.watchlist.building import seal_share_b
from appliance.watchlist.bundle import assemble
from appliance.watchlist.entries import encode_entries
from appliance.watchlist.keys import body_cipher
from appliance.watchlist.manifest import CHUNK_BYTES, associated_data
from appliance.wire.envelope import sha256_hex, sign
from appliance.wire.statements import Device, PublicKey, WatchlistEntry
from appliance.wire.strict_json import encode

NOW_MS = UnixMs(1_790_000_000_000)
HOUR_MS = 3_600_000
FAR_MS = NOW_MS + 8_760 * HOUR_MS
DIMENSION = 64
DEVICE_ID = DeviceId("device-1")
AUTHORITY_ID = AuthorityId("authority-1")
WATCHLIST_ID = "watchlist-1"
MODEL_DIGEST = Digest(hashlib.sha256(b"model").hexdigest())
ISSUER = signing_key("issuer")
ISSUER_SECOND_KEY = signing_key("issuer-second-key")
BOB = signing_key("bob")
STRANGER = signing_key("stranger")
DEVICE_SEALING = unsealing_key(DEVICE_ID)
PERSONS: dict[KeyId, str] = {ISSUER.key_id: "ida", ISSUER_SECOND_KEY.key_id: "ida", BOB.key_id: "bob"}
CATEGORIES = ("missing", "wanted-on-warrant")


class CountedEntropy:
    """Bytes that look random and are the same in every run."""

    def __init__(self, seed: str = "entropy") -> None:
        self._seed = seed
        self._drawn = 0

    def token(self, size: int) -> bytes:
        self._drawn += 1
        return hashlib.shake_256(f"{self._seed} {self._drawn}".encode()).digest(size)


def an_entry(number: int = 0, **changes: Any) -> WatchlistEntry:
    """Return entry ``number`` of a list, with one template."""
    entry = WatchlistEntry(
        reference_id=f"ref-{number:06d}",
        templates=1,
        category=CATEGORIES[number % 2],
        legal_basis="Warrant of a court, section 1",
        image_source="custody",
        image_date_ms=NOW_MS - 1_000 * HOUR_MS,
        justification_id=f"justification-{number:06d}",
        review_by_ms=FAR_MS,
        under_18=False,
        second_signature="",
    )
    return msgspec.structs.replace(entry, **changes)


def unit_rows(count: int, dimension: int = DIMENSION, *, seed: int = 0) -> Floats:
    """Return ``(count, dimension)`` random rows of unit length."""
    rows = np.random.default_rng(seed).standard_normal((count, dimension), np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows


def owners_of(entries: Sequence[WatchlistEntry]) -> NDArray[np.int32]:
    """Return the entry that each row belongs to."""
    return np.repeat(np.arange(len(entries), dtype=np.int32), [entry.templates for entry in entries])


def a_device(device_id: str = DEVICE_ID) -> Device:
    """Return a device as the roster lists it."""
    return Device(
        device_id=device_id,
        site_id="site-1",
        signing_key=PublicKey(public=text_of(signing_key(device_id).public), not_after_ms=FAR_MS),
        sealing_key=text_of(unsealing_key(device_id).public),
    )


def a_bundle(
    entries: Sequence[WatchlistEntry] | None = None, templates: Floats | None = None, **changes: Any
) -> BuiltBundle:
    """Return a list of three entries, or of those given; ``changes`` go to ``build_bundle``."""
    entries = [an_entry(number) for number in range(3)] if entries is None else entries
    if templates is None:
        templates = unit_rows(sum(entry.templates for entry in entries))
    arguments: dict[str, Any] = {
        "watchlist_id": WATCHLIST_ID,
        "version": 1,
        "created_at_ms": NOW_MS - HOUR_MS,
        "expires_at_ms": NOW_MS + 23 * HOUR_MS,
        "model_digest": MODEL_DIGEST,
        "issuer": ISSUER,
        "devices": (a_device(),),
        "entropy": CountedEntropy(),
    }
    return build_bundle(entries, templates, **(arguments | changes))


def opened(bundle: bytes | memoryview | mmap.mmap, **changes: Any) -> OpenedManifest:
    """Open the manifest with the issuer's keys, and bob's as a second signer; ``changes`` go to ``open_manifest``."""
    arguments: dict[str, Any] = {
        "issuers": keys_of(ISSUER, ISSUER_SECOND_KEY),
        "second_signers": keys_of(BOB, ISSUER_SECOND_KEY),
        "person_of": PERSONS.__getitem__,
    }
    return open_manifest(bundle, **(arguments | changes))


def open_it(manifest: OpenedManifest, built: BuiltBundle, **changes: Any) -> Gallery:
    """Open the gallery on ``DEVICE_ID`` at ``NOW_MS``; ``changes`` go to ``open_gallery``."""
    sealed = seal_share_b(
        built.share_b, device=a_device(), authority_id=AUTHORITY_ID, watchlist_digest=manifest.digest
    ).sealed
    arguments: dict[str, Any] = {
        "device_id": DEVICE_ID,
        "unsealing_key": DEVICE_SEALING,
        "share_b_sealed": sealed,
        "authority_id": AUTHORITY_ID,
        "memory": LinuxSecretMemory(),
        "denied_categories": frozenset({"protest"}),
        "allowed_categories": frozenset(CATEGORIES),
        "now_ms": NOW_MS,
    }
    return open_gallery(manifest, **(arguments | changes))


def keys_of(*keys: MemorySigningKey) -> dict[KeyId, bytes]:
    """Return keys as ``open_manifest`` takes them."""
    return {key.key_id: key.public for key in keys}


def a_plain_gallery(templates: Floats, owners: NDArray[np.int32]) -> bytes:
    """Return the first part of a body's plaintext, as a bundle should have it."""
    plain = templates.astype("<f4").tobytes() + owners.astype("<i4").tobytes()
    return plain + bytes(-len(plain) % CHUNK_BYTES)


def a_forged_bundle(
    *,
    text: bytes | None = None,
    gallery: bytes | None = None,
    alter: Callable[[bytes], bytes] = bytes,
    signers: Sequence[MemorySigningKey] = (ISSUER,),
    **changes: Any,
) -> BuiltBundle:
    """Return a list that an issuer signed although ``build_bundle`` would not have made it.

    Args:
        text: The entries' JSON, instead of three good ones.
        gallery: Templates, owners and padding, instead of three good ones.
        alter: Done to the ciphertext before its digest is signed.
        signers: Who sign the manifest.
        changes: Fields of the manifest.
    """
    entries = [an_entry(number) for number in range(3)]
    built = a_bundle(entries)
    share_a, share_b = CountedEntropy().token(32), built.share_b
    text = encode_entries(entries) if text is None else text
    gallery = a_plain_gallery(unit_rows(3), owners_of(entries)) if gallery is None else gallery
    manifest = msgspec.structs.replace(built.manifest, **({"entries_bytes": len(text)} | changes))
    with body_cipher(bytearray(share_a), bytearray(share_b), manifest) as cipher:
        body = encrypt_body(
            cipher,
            prefix=bytes.fromhex(manifest.nonce_prefix),
            associated_data=associated_data(manifest),
            parts=(memoryview(gallery), memoryview(text)),
        )
    body = bytearray(alter(bytes(body)))
    if "body_bytes" not in changes:
        manifest = msgspec.structs.replace(manifest, body_bytes=len(body))
    manifest = msgspec.structs.replace(manifest, body_digest=sha256_hex(memoryview(body)))
    return BuiltBundle(
        bundle=assemble(sign(manifest, *signers), body),
        share_b=share_b,
        manifest=manifest,
        digest=sha256_hex(encode(manifest)),
        signatures_missing=(),
    )
