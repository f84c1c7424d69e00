"""The key of a body, from two halves that travel apart: A in the bundle, B in the authority.

Rules of this module:
    1. Either half alone says nothing: the key is HKDF-SHA256 (RFC 5869) over A ‖ B.
    2. ``info`` binds the key to one list: id, version and moment of creation.
    3. What can be overwritten after use is. HPKE hands a share out as ``bytes``, and AES keeps its key schedule until
       the cipher is gone: Python cannot overwrite either, so they are let go of at once, and this module says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from appliance.errors import TrustError
from appliance.wire.statements import WatchlistManifest

SHARE_BYTES = 32
KEY_BYTES = 32
_INFO_DOMAIN = "lamppost-watchlist-key-v1"


@contextmanager
def body_cipher(share_a: bytearray, share_b: bytearray, manifest: WatchlistManifest) -> Iterator[AESGCM]:
    """Lend the cipher of a body, and overwrite both shares and the key afterwards, whatever happens.

    Args:
        share_a: 32 bytes; zeros after the block.
        share_b: 32 bytes; zeros after the block.
        manifest: Names the list: ``watchlist_id``, ``version`` and ``created_at_ms`` go into the key.

    Raises:
        TrustError: ``watchlist-share-malformed``: a share has another length.
    """
    joined = bytearray(2 * SHARE_BYTES)
    key = bytearray(KEY_BYTES)
    try:
        if len(share_a) != SHARE_BYTES or len(share_b) != SHARE_BYTES:
            raise TrustError("watchlist-share-malformed", f"expected two key shares of {SHARE_BYTES} bytes")
        joined[:SHARE_BYTES] = share_a
        joined[SHARE_BYTES:] = share_b
        HKDF(SHA256(), KEY_BYTES, None, _info(manifest)).derive_into(joined, key)
        yield AESGCM(key)
    finally:
        for secret in (share_a, share_b, joined, key):
            overwrite(secret)


def overwrite(secret: bytearray) -> None:
    """Write zeros over ``secret``, in place."""
    secret[:] = bytes(len(secret))


def _info(manifest: WatchlistManifest) -> bytes:
    fields = (_INFO_DOMAIN, manifest.watchlist_id, str(manifest.version), str(manifest.created_at_ms))
    return b"".join(len(field).to_bytes(2, "big") + field.encode("ascii") for field in fields)
