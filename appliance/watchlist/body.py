"""The encrypted body: chunks of AES-256-GCM in a fixed order, opened straight into secret memory.

Rules of this module (after Hoang, Reyhanitabar, Rogaway and Vizár's STREAM, CRYPTO 2015):
    1. Chunk i is sealed under nonce = prefix (7 bytes) ‖ i (4 bytes, big-endian) ‖ last (1 byte: 1 for the last, else
       0). So a chunk cannot be moved, dropped, repeated or appended, and a stream cannot be cut: its new end would
       lack the flag.
    2. Every chunk is bound to the list (``associated_data`` of :mod:`appliance.watchlist.manifest`).
    3. Plaintext is written into the caller's memory and nowhere else; what was written before a chunk turned out to
       be false stays there for the caller to overwrite.
    4. A key seals one body only. It is made of fresh shares for each bundle, so a nonce never comes twice.
"""

from __future__ import annotations

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from appliance.errors import InvariantError, TrustError
from appliance.watchlist.manifest import CHUNK_BYTES, SEALED_CHUNK_BYTES, TAG_BYTES

PREFIX_BYTES = 7
CHUNKS_MAX = 2**20
"""64 GiB; far below the 2**32 chunks that the counter could number."""


def encrypt_body(cipher: AESGCM, *, prefix: bytes, associated_data: bytes, parts: tuple[memoryview, ...]) -> bytearray:
    """Return the ciphertext of ``parts``.

    Args:
        cipher: Of a key that has sealed nothing yet.
        prefix: 7 random bytes.
        associated_data: What the chunks are bound to.
        parts: The plaintext; each but the last is a multiple of ``CHUNK_BYTES`` long, and none is empty.
    """
    _check_shape(prefix, [len(part) for part in parts])
    chunks = [part[start : start + CHUNK_BYTES] for part in parts for start in range(0, len(part), CHUNK_BYTES)]
    body = bytearray(sum(len(chunk) + TAG_BYTES for chunk in chunks))
    start = 0
    with memoryview(body) as room:
        for index, chunk in enumerate(chunks):
            end = start + len(chunk) + TAG_BYTES
            nonce = _nonce(prefix, index, is_last=index == len(chunks) - 1)
            cipher.encrypt_into(nonce, chunk, associated_data, room[start:end])
            start = end
    return body


def decrypt_body(
    cipher: AESGCM, body: memoryview, *, prefix: bytes, associated_data: bytes, into: tuple[memoryview, ...]
) -> None:
    """Write the plaintext of ``body`` into ``into``.

    Args:
        cipher: Of the body's key.
        body: The whole ciphertext.
        prefix: 7 bytes.
        associated_data: What the chunks are bound to.
        into: Writable bytes, of the lengths that the parts had.

    Raises:
        TrustError: ``watchlist-body-length``: the ciphertext is not as long as these parts need; or
            ``watchlist-does-not-decrypt``: wrong key, another list, or chunks altered, moved, dropped or added.
    """
    _check_shape(prefix, [len(part) for part in into])
    rooms = [part[start : start + CHUNK_BYTES] for part in into for start in range(0, len(part), CHUNK_BYTES)]
    expected = sum(len(room) + TAG_BYTES for room in rooms)
    if len(body) != expected:
        raise TrustError("watchlist-body-length", f"expected {expected} bytes of ciphertext, found {len(body)}")
    try:
        for index, room in enumerate(rooms):
            start = index * SEALED_CHUNK_BYTES
            nonce = _nonce(prefix, index, is_last=index == len(rooms) - 1)
            with body[start : start + len(room) + TAG_BYTES] as sealed:
                cipher.decrypt_into(nonce, sealed, associated_data, room)
    except InvalidTag:
        raise TrustError(
            "watchlist-does-not-decrypt", f"expected chunk {index} of {len(rooms)} to fit both key shares"
        ) from None
    finally:
        for room in rooms:  # a traceback keeps this frame: without this, the memory could not be unmapped
            room.release()


def _check_shape(prefix: bytes, lengths: list[int]) -> None:
    if len(prefix) != PREFIX_BYTES:
        raise InvariantError(f"a nonce prefix has {PREFIX_BYTES} bytes, not {len(prefix)}")
    if not lengths or 0 in lengths or any(length % CHUNK_BYTES for length in lengths[:-1]):
        raise InvariantError("the parts of a body are not empty, and end on chunk boundaries but for the last")
    if sum(lengths) > CHUNKS_MAX * CHUNK_BYTES:
        raise InvariantError(f"a body has at most {CHUNKS_MAX} chunks")


def _nonce(prefix: bytes, index: int, *, is_last: bool) -> bytes:
    return prefix + index.to_bytes(4, "big") + (b"\x01" if is_last else b"\x00")
