"""The opened list: templates for the eye in one region of secret memory, entries for the warden in another.

Rules of this module:
    1. The plaintext goes from the cipher into secret memory; templates exist nowhere else in this process.
    2. Before anybody gets the gallery, all of it is checked: every entry, every owner, every template.
    3. If anything is wrong, or anything fails, both regions are overwritten before the error travels.
    4. The eye is given :attr:`Gallery.region` only. Reference ids lie in the other region, of which no descriptor is
       handed out.
    5. One entry is read at a time, when an alert needs it.
"""

from __future__ import annotations

import base64
from collections.abc import Collection
from contextlib import ExitStack
from types import TracebackType

import numpy as np

from appliance.errors import TrustError
from appliance.model.units import AuthorityId, DeviceId, UnixMs
from appliance.ports.keys import UnsealingKey
from appliance.ports.memory import SecretMemory, SecretRegion
from appliance.watchlist.body import decrypt_body
from appliance.watchlist.bundle import OpenedManifest
from appliance.watchlist.entries import EntryIndex, EntryRules, check_entries, decode_entry
from appliance.watchlist.keys import body_cipher
from appliance.watchlist.manifest import BodyLayout, associated_data, layout_of
from appliance.wire.sealing import share_a_info, share_b_info, unseal
from appliance.wire.statements import WatchlistEntry, WatchlistManifest

NORM_TOLERANCE = 1e-3
"""How far the length of a template may lie from 1: what float32 and a model's own normalisation leave."""

_ROWS_AT_ONCE = 2_048


class Gallery:
    """An open list. Whoever holds it closes it: when the lease ends, and whenever there is doubt.

    Args:
        region: Templates, then owners, as :class:`appliance.wire.local.Look` describes; frozen.
        entries: The entries' JSON; frozen.
        index: Where each entry lies.
        manifest: The list's.
    """

    def __init__(
        self, *, region: SecretRegion, entries: SecretRegion, index: EntryIndex, manifest: WatchlistManifest
    ) -> None:
        self._region = region
        self._entries = entries
        self._index = index
        self._manifest = manifest

    @property
    def region(self) -> SecretRegion:
        """What the eye maps: its descriptor, its size."""
        return self._region

    @property
    def templates(self) -> int:
        """Rows."""
        return self._manifest.templates

    @property
    def dimension(self) -> int:
        """Numbers in a row."""
        return self._manifest.dimension

    @property
    def manifest(self) -> WatchlistManifest:
        """The list's manifest."""
        return self._manifest

    def __len__(self) -> int:
        return self._manifest.entries

    def __repr__(self) -> str:
        return f"Gallery(entries={len(self)})"

    def entry(self, index: int) -> WatchlistEntry:
        """Return one entry (0 to ``len(self) - 1``), read out of secret memory now.

        Raises:
            TrustError: ``match-unknown-entry``: there is no such entry; the eye is wrong, or not our eye.
            InvariantError: The gallery is closed.
        """
        if not 0 <= index < len(self):
            raise TrustError("match-unknown-entry", f"expected an entry below {len(self)}, found another number")
        start, end = int(self._index.starts[index]), int(self._index.ends[index])
        with self._entries.view as view, view[start:end] as part:
            return decode_entry(part)

    def close(self) -> None:
        """Overwrite and unmap both regions: the eye compares with zeros from now on. Safe to call twice."""
        with ExitStack() as closing:
            closing.callback(self._entries.close)
            closing.callback(self._region.close)

    def __enter__(self) -> Gallery:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def open_gallery(
    opened: OpenedManifest,
    *,
    device_id: DeviceId,
    unsealing_key: UnsealingKey,
    share_b_sealed: str,
    authority_id: AuthorityId,
    memory: SecretMemory,
    denied_categories: Collection[str],
    allowed_categories: Collection[str],
    now_ms: UnixMs,
) -> Gallery:
    """Decrypt the body into secret memory, check all of it, and return the gallery.

    Args:
        opened: From :func:`open_manifest`, held against the authority by the caller (``check_watchlist``).
        device_id: This device.
        unsealing_key: This device's; opens both shares.
        share_b_sealed: As the authority carries it for this device.
        authority_id: Of that authority; share B is bound to it and to the manifest's digest.
        memory: Where the regions come from.
        denied_categories: Of this device's policy.
        allowed_categories: Of the authority.
        now_ms: For the expiry of the list and review dates.

    Raises:
        TrustError: ``watchlist-expired``, ``watchlist-other-device``, ``watchlist-share-other-key``,
            ``watchlist-share-malformed``, ``watchlist-does-not-decrypt``, ``watchlist-padding``,
            ``watchlist-owners-wrong``, ``watchlist-template-not-unit``, a rule of :mod:`appliance.watchlist.entries`
            or of :mod:`appliance.wire.sealing`. Nothing of the plaintext is left.
        ConfigError: There is no secret memory for it.
    """
    manifest = opened.statement
    layout = layout_of(manifest)
    if now_ms >= manifest.expires_at_ms:
        raise TrustError("watchlist-expired", "the list has expired")
    info_b = share_b_info(device_id, authority_id, opened.digest)
    rules = EntryRules(allowed=frozenset(allowed_categories), denied=frozenset(denied_categories), now_ms=now_ms)
    with ExitStack() as undo:
        region = memory.allocate(layout.gallery_bytes)
        undo.callback(region.close)
        entries = memory.allocate(layout.entries_bytes)
        undo.callback(entries.close)
        share_b = bytearray(unseal(share_b_sealed, key=unsealing_key, info=info_b))
        share_a = _share_a(opened, device_id=device_id, key=unsealing_key)
        _decrypt(opened, share_a, share_b, region=region, entries=entries)
        index = _checked(region, entries, manifest=manifest, layout=layout, rules=rules)
        if isinstance(index, TrustError):
            raise index
        region.freeze()
        entries.freeze()
        gallery = Gallery(region=region, entries=entries, index=index, manifest=manifest)
        undo.pop_all()
    return gallery


def _share_a(opened: OpenedManifest, *, device_id: DeviceId, key: UnsealingKey) -> bytearray:
    manifest = opened.statement
    share = next((share for share in manifest.shares if share.device_id == device_id), None)
    if share is None:
        raise TrustError("watchlist-other-device", "the list holds no key share for this device")
    if share.sealing_key != base64.b64encode(key.public).decode("ascii"):
        raise TrustError("watchlist-share-other-key", "the list's share for this device is for another of its keys")
    info = share_a_info(device_id, manifest.watchlist_id, manifest.version)
    return bytearray(unseal(share.sealed, key=key, info=info))


def _decrypt(
    opened: OpenedManifest, share_a: bytearray, share_b: bytearray, *, region: SecretRegion, entries: SecretRegion
) -> None:
    manifest = opened.statement
    with body_cipher(share_a, share_b, manifest) as cipher, region.view as gallery, entries.view as text:
        decrypt_body(
            cipher,
            opened.body,
            prefix=bytes.fromhex(manifest.nonce_prefix),
            associated_data=associated_data(manifest),
            into=(gallery, text),
        )


def _checked(
    region: SecretRegion,
    entries: SecretRegion,
    *,
    manifest: WatchlistManifest,
    layout: BodyLayout,
    rules: EntryRules,
) -> EntryIndex | TrustError:
    """Check everything; a fault is returned, so that no traceback holds on to a view of secret memory."""
    with entries.view as text:
        index = check_entries(text, manifest, rules)
    if isinstance(index, TrustError):
        return index
    with region.view as gallery:
        fault = _gallery_fault(gallery, index, manifest=manifest, layout=layout)
    return index if fault is None else fault


def _gallery_fault(
    gallery: memoryview, index: EntryIndex, *, manifest: WatchlistManifest, layout: BodyLayout
) -> TrustError | None:
    owners_end = layout.templates_bytes + layout.owners_bytes
    owners = np.frombuffer(gallery[layout.templates_bytes : owners_end], "<i4")
    expected = np.repeat(np.arange(manifest.entries, dtype=np.int32), index.templates)
    if not np.array_equal(owners, expected):
        return TrustError("watchlist-owners-wrong", "expected the rows of each entry in its order and number")
    if np.frombuffer(gallery[owners_end:], np.uint8).any():
        return TrustError("watchlist-padding", "expected zeros after the owners")
    rows = np.frombuffer(gallery[: layout.templates_bytes], "<f4").reshape(manifest.templates, manifest.dimension)
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        part = rows[start : start + _ROWS_AT_ONCE]
        lengths = np.sqrt(np.einsum("ij,ij->i", part, part))
        if not bool((np.abs(lengths - 1) <= NORM_TOLERANCE).all()):  # NaN compares false, and infinity is far
            return TrustError("watchlist-template-not-unit", "expected templates of unit length")
    return None
