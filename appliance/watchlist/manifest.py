"""How the body of a bundle lies, computed from its manifest alone, and what binds the body to that manifest.

The plaintext of a body is cut into two parts, so that the eye is given the first and never sees the second::

    gallery   templates   (templates, dimension) float32, little-endian, row-major, rows of unit length
              owners      (templates,) int32, little-endian: which entry a row belongs to, 0 to entries - 1
              padding     zeros up to a multiple of CHUNK_BYTES
    entries   JSON        array of WatchlistEntry, ``entries_bytes`` long, not padded

The rows of entry 0 come first, then those of entry 1, and so on: there is one way to write a list. The padding puts
the entries on a chunk boundary, so that each part is decrypted straight into a region of its own.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import msgspec

from appliance.errors import TrustError
from appliance.wire.statements import WatchlistManifest

CHUNK_BYTES = 65_536
TAG_BYTES = 16
SEALED_CHUNK_BYTES = CHUNK_BYTES + TAG_BYTES
FLOAT_BYTES = 4
OWNER_BYTES = 4

_AAD_DOMAIN = b"lamppost-watchlist-body-v1\x00"
_NOT_IDENTIFYING = ("body_digest", "body_bytes", "shares")


@dataclass(frozen=True, slots=True, kw_only=True)
class BodyLayout:
    """Where things lie, in bytes of plaintext.

    Attributes:
        templates_bytes: From offset 0.
        owners_bytes: Straight after the templates.
        gallery_bytes: Both, padded to a multiple of ``CHUNK_BYTES``.
        entries_bytes: Of the JSON that follows.
    """

    templates_bytes: int
    owners_bytes: int
    gallery_bytes: int
    entries_bytes: int

    @property
    def gallery_chunks(self) -> int:
        """Chunks before the first of the entries."""
        return self.gallery_bytes // CHUNK_BYTES

    @property
    def chunks(self) -> int:
        """Chunks of the whole body; the last one carries the flag."""
        return self.gallery_chunks + -(-self.entries_bytes // CHUNK_BYTES)

    @property
    def body_bytes(self) -> int:
        """Length of the ciphertext: the plaintext, and a tag for each chunk."""
        return self.gallery_bytes + self.entries_bytes + self.chunks * TAG_BYTES


def body_layout(*, templates: int, dimension: int, entries_bytes: int) -> BodyLayout:
    """Return the layout of a body with so many templates and so long a JSON (both at least 1)."""
    templates_bytes = templates * dimension * FLOAT_BYTES
    owners_bytes = templates * OWNER_BYTES
    chunks = -(-(templates_bytes + owners_bytes) // CHUNK_BYTES)
    return BodyLayout(
        templates_bytes=templates_bytes,
        owners_bytes=owners_bytes,
        gallery_bytes=chunks * CHUNK_BYTES,
        entries_bytes=entries_bytes,
    )


def layout_of(manifest: WatchlistManifest) -> BodyLayout:
    """Return the layout that ``manifest`` describes.

    Raises:
        TrustError: ``watchlist-manifest-contradicts``: its numbers, dates or names do not go together.
    """
    layout = body_layout(
        templates=manifest.templates, dimension=manifest.dimension, entries_bytes=manifest.entries_bytes
    )
    devices = [share.device_id for share in manifest.shares]
    contradictions = (
        (manifest.body_bytes != layout.body_bytes, "the length of the body"),
        (manifest.templates < manifest.entries, "the number of templates"),
        (manifest.expires_at_ms <= manifest.created_at_ms, "the expiry"),
        (len(set(devices)) != len(devices), "the devices of the shares"),
        (list(manifest.categories) != sorted(set(manifest.categories)), "the categories"),
        (len(set(manifest.second_signers)) != len(manifest.second_signers), "the second signers"),
    )
    for found, what in contradictions:
        if found:
            raise TrustError("watchlist-manifest-contradicts", f"expected a manifest that fits itself; not so: {what}")
    return layout


def associated_data(manifest: WatchlistManifest) -> bytes:
    """Return what every chunk of the body is bound to: SHA-256 over the fields that say which list this is.

    Not the digest of the manifest, though that would be the natural choice: the manifest holds the digest of the
    ciphertext, which exists only once the chunks are sealed. So everything else is bound: id, version, dates, model,
    dimension, counts, categories, nonce prefix and second signers. Of what is left out, ``body_digest`` is checked
    against the ciphertext, ``body_bytes`` follows from the counts, and ``shares`` yield the key or do not.
    """
    fields = msgspec.structs.asdict(manifest)
    bound = {name: value for name, value in fields.items() if name not in _NOT_IDENTIFYING}
    return hashlib.sha256(_AAD_DOMAIN + msgspec.json.encode(bound, order="sorted")).digest()
