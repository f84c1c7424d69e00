"""The bundle: one file with the signed manifest and the encrypted body of a watchlist.

The file::

    8 bytes   ``LAMPWL01``
    4 bytes   length of the manifest's envelope, big-endian
    n bytes   the manifest (:class:`WatchlistManifest`) in a DSSE envelope, signed by a watchlist issuer and by every
              second signer whom the manifest names
    m bytes   the body (:mod:`appliance.watchlist.manifest`, :mod:`appliance.watchlist.body`), to the end of the file

Rules of opening, in the order in which they are applied:
    1. The file is a bundle, and whole as far as its header goes.
    2. Nobody but issuers and possible second signers signed the manifest, and an issuer did.
    3. Every second signer whom the manifest names has signed it, may, and is another *person* than the issuers.
    4. The manifest fits itself (:func:`layout_of`).
    5. The body is as long as the manifest says, ends where the file ends, and has the digest that was signed.

Whether the list is the one that the authority names, and fresh, is for ``appliance.authority`` to say; what is inside
is for :mod:`appliance.watchlist.gallery`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from mmap import mmap

from appliance.errors import TrustError
from appliance.model.units import Digest, KeyId
from appliance.ports.keys import SigningKey
from appliance.watchlist.manifest import layout_of
from appliance.wire.envelope import Opened, countersign, envelope_bytes_max, open_envelope, sha256_hex
from appliance.wire.statements import WatchlistManifest

MAGIC = b"LAMPWL01"
LENGTH_BYTES = 4
HEADER_BYTES = len(MAGIC) + LENGTH_BYTES
BUNDLE_BYTES_MAX = HEADER_BYTES + envelope_bytes_max(WatchlistManifest) + 2**30


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OpenedManifest:
    """A manifest whose signers are known, and the body that it describes. Made by :func:`open_manifest` only.

    Attributes:
        statement: What the issuer said.
        digest: SHA-256 over the manifest's payload bytes: what an authority names.
        issuers: Thumbprints of the issuers who signed.
        body: The ciphertext, a view of the caller's bundle: release it before closing a mapped file.
    """

    statement: WatchlistManifest = field(repr=False)
    digest: Digest
    issuers: frozenset[KeyId]
    body: memoryview = field(repr=False)


def open_manifest(
    bundle: bytes | memoryview | mmap,
    *,
    issuers: Mapping[KeyId, bytes],
    second_signers: Mapping[KeyId, bytes],
    person_of: Callable[[KeyId], str],
) -> OpenedManifest:
    """Return the manifest of ``bundle``, once it is known who signed it and that the body is the one they signed.

    Args:
        bundle: The whole file, at most ``BUNDLE_BYTES_MAX``. If it is mapped, nobody else may shorten the file.
        issuers: Keys that may issue a list, by thumbprint.
        second_signers: Keys that may approve entries which need a second signature. May overlap with ``issuers``.
        person_of: Whose a key is; asked about keys of those two mappings only.

    Raises:
        TrustError: ``watchlist-not-a-bundle``, ``watchlist-truncated``, ``watchlist-trailing-bytes``,
            ``watchlist-no-issuer``, ``watchlist-second-signer-unknown``, ``watchlist-second-signature-missing``,
            ``watchlist-one-person``, ``watchlist-manifest-contradicts``, ``watchlist-body-altered``, or a rule of
            :func:`open_envelope`.
    """
    with memoryview(bundle) as whole:
        envelope, body = _split(whole)  # rule 1
        try:
            opened = open_envelope(envelope, expected=WatchlistManifest, trusted={**second_signers, **issuers})
            issuing = _check_signers(opened, issuers=issuers, second_signers=second_signers, person_of=person_of)
            _check_body(body, opened.statement)  # rules 4 and 5
        except TrustError:
            body.release()  # so that the caller can close a mapped file while this error travels
            raise
        finally:
            envelope.release()
    return OpenedManifest(statement=opened.statement, digest=opened.payload_digest, issuers=issuing, body=body)


def countersign_bundle(bundle: bytes, key: SigningKey) -> bytes:
    """Return ``bundle`` with one more signature under its manifest: that of somebody who approved entries.

    The digest that an authority names stays the same: it is over the payload. Whoever signs has read the entries
    that name their key, in the file from which the list was built; the bundle does not show them.

    Raises:
        TrustError: ``watchlist-not-a-bundle``, ``watchlist-truncated``, or a rule of :func:`countersign`.
    """
    with memoryview(bundle) as whole:
        envelope, body = _split(whole)
        with envelope, body:
            signed = countersign(bytes(envelope), key, expected=WatchlistManifest)
            return assemble(signed, body)


def assemble(envelope: bytes, body: bytes | bytearray | memoryview) -> bytes:
    """Return the file that holds ``envelope`` and ``body``; nothing is checked."""
    return b"".join((MAGIC, len(envelope).to_bytes(LENGTH_BYTES, "big"), envelope, body))


def _split(whole: memoryview) -> tuple[memoryview, memoryview]:
    found = len(whole)
    if not MAGIC.startswith(whole[: len(MAGIC)]):
        raise TrustError("watchlist-not-a-bundle", "expected a watchlist bundle, found another kind of file")
    if found < HEADER_BYTES:
        raise TrustError("watchlist-truncated", f"expected at least {HEADER_BYTES} bytes, found {found}")
    if found > BUNDLE_BYTES_MAX:
        raise TrustError("watchlist-not-a-bundle", f"expected at most {BUNDLE_BYTES_MAX} bytes, found {found}")
    length = int.from_bytes(whole[len(MAGIC) : HEADER_BYTES], "big")
    if length > envelope_bytes_max(WatchlistManifest):
        raise TrustError("watchlist-not-a-bundle", f"expected a manifest, found {length} bytes announced as one")
    if found < HEADER_BYTES + length:
        raise TrustError("watchlist-truncated", f"expected a manifest of {length} bytes, found the end of the file")
    return whole[HEADER_BYTES : HEADER_BYTES + length], whole[HEADER_BYTES + length :].toreadonly()


def _check_signers(
    opened: Opened[WatchlistManifest],
    *,
    issuers: Mapping[KeyId, bytes],
    second_signers: Mapping[KeyId, bytes],
    person_of: Callable[[KeyId], str],
) -> frozenset[KeyId]:
    seconds = frozenset(KeyId(key) for key in opened.statement.second_signers)
    issuing = (opened.signers & issuers.keys()) - seconds
    if not issuing:  # rule 2
        raise TrustError("watchlist-no-issuer", "expected the signature of a watchlist issuer, found none")
    if not seconds <= second_signers.keys():  # rule 3
        raise TrustError("watchlist-second-signer-unknown", "the manifest names a second signer who may not be one")
    if not seconds <= opened.signers:
        raise TrustError("watchlist-second-signature-missing", "a second signer whom the manifest names has not signed")
    if {person_of(key) for key in seconds} & {person_of(key) for key in issuing}:
        raise TrustError("watchlist-one-person", "issuer and second signer are the same person")
    return issuing


def _check_body(body: memoryview, manifest: WatchlistManifest) -> None:
    expected = layout_of(manifest).body_bytes
    if len(body) < expected:
        raise TrustError("watchlist-truncated", f"expected a body of {expected} bytes, found {len(body)}")
    if len(body) > expected:
        raise TrustError("watchlist-trailing-bytes", f"expected a body of {expected} bytes, found {len(body)}")
    if sha256_hex(body) != manifest.body_digest:
        raise TrustError("watchlist-body-altered", "expected the body that was signed, found another")
