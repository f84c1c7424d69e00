"""Making a list: on the issuer's machine, where the references and their templates are in the clear anyway.

Rules of this module:
    1. What a device would refuse is refused here, in words for whoever prepares the list: which entry, which field.
       An entry goes by its place in the list, from 1; its reference id is not repeated in any message.
    2. Both shares and the nonce prefix are fresh for each list: a key seals one body.
    3. Share A goes into the manifest, sealed to each device; share B leaves by the caller's hand, for the authority.
    4. Whoever an entry names as its second signer signs the manifest, here or later (``countersign_bundle``); until
       all have, no device opens the bundle.
"""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import get_type_hints

import msgspec
import numpy as np
from numpy.typing import NDArray

from appliance.errors import ConfigError, TrustError
from appliance.model.frames import Floats
from appliance.model.units import AuthorityId, DeviceId, Digest, KeyId, UnixMs
from appliance.ports.clock import Entropy
from appliance.ports.keys import SigningKey
from appliance.watchlist.body import PREFIX_BYTES, encrypt_body
from appliance.watchlist.bundle import assemble
from appliance.watchlist.entries import encode_entries
from appliance.watchlist.gallery import NORM_TOLERANCE
from appliance.watchlist.keys import SHARE_BYTES, body_cipher
from appliance.watchlist.manifest import BodyLayout, associated_data, body_layout, layout_of
from appliance.wire import strict_json
from appliance.wire.envelope import SIGNATURES_MAX, sha256_hex, sign
from appliance.wire.sealing import seal, share_a_info, share_b_info
from appliance.wire.statements import Device, ShareForDevice, WatchlistEntry, WatchlistManifest
from appliance.wire.statements.watchlist import ENTRIES_MAX, SealedShare

FAULTS_SHOWN_MAX = 20
_FIELD_TYPES = get_type_hints(WatchlistEntry, include_extras=True)
_NO_DIGEST = "0" * 64


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BuiltBundle:
    """A list, ready to be sent; and the half of its key that must travel another way.

    Attributes:
        bundle: The file.
        share_b: 32 bytes: seal it to the devices (:func:`seal_share_b`) and forget it.
        manifest: As signed.
        digest: SHA-256 over the manifest's payload bytes: what the authority names.
        signatures_missing: Thumbprints of second signers who have yet to countersign the bundle.
    """

    bundle: bytes = field(repr=False)
    share_b: bytes = field(repr=False)
    manifest: WatchlistManifest = field(repr=False)
    digest: Digest
    signatures_missing: tuple[KeyId, ...]


def build_bundle(
    entries: Sequence[WatchlistEntry],
    templates: Floats,
    *,
    watchlist_id: str,
    version: int,
    created_at_ms: UnixMs,
    expires_at_ms: UnixMs,
    model_digest: Digest,
    issuer: SigningKey,
    second_signers: Sequence[SigningKey] = (),
    devices: Sequence[Device],
    entropy: Entropy,
) -> BuiltBundle:
    """Return the list as a signed, encrypted bundle.

    Args:
        entries: At least one; each says how many templates are its own.
        templates: ``(n, dimension)`` float32 of unit length: those of the first entry, then those of the second ...
        watchlist_id: Name of the list.
        version: Of the list, from 1.
        created_at_ms: Now.
        expires_at_ms: After that instant no device opens it.
        model_digest: The model that made the templates.
        issuer: Signs.
        second_signers: Those of the entries' second signers whose keys are on this machine.
        devices: Who may open it; from the roster.
        entropy: Two shares and a prefix are drawn from it.

    Raises:
        ConfigError: Something would be refused by a device; says all that is wrong with the entries, by place and
            field, up to ``FAULTS_SHOWN_MAX`` lines.
    """
    _check_entries(entries, created_at_ms=created_at_ms, issuer=issuer.key_id)
    _check_templates(entries, templates)
    text = encode_entries(entries)
    layout = body_layout(templates=len(templates), dimension=templates.shape[1], entries_bytes=len(text))
    share_a, share_b = entropy.token(SHARE_BYTES), entropy.token(SHARE_BYTES)
    try:
        manifest = WatchlistManifest(
            watchlist_id=watchlist_id,
            version=version,
            created_at_ms=created_at_ms,
            expires_at_ms=expires_at_ms,
            model_digest=model_digest,
            dimension=templates.shape[1],
            entries=len(entries),
            templates=len(templates),
            categories=tuple(sorted({entry.category for entry in entries})),
            entries_bytes=len(text),
            body_bytes=layout.body_bytes,
            body_digest=_NO_DIGEST,
            nonce_prefix=entropy.token(PREFIX_BYTES).hex(),
            shares=tuple(_seal_share_a(share_a, device, watchlist_id, version) for device in devices),
            second_signers=tuple(sorted({entry.second_signature for entry in entries} - {""})),
        )
        strict_json.decode(strict_json.encode(manifest), WatchlistManifest)
        layout_of(manifest)
        body = _sealed_body(manifest, layout, entries, templates, text, shares=(share_a, share_b))
        manifest = msgspec.structs.replace(manifest, body_digest=sha256_hex(memoryview(body)))
        signing, missing = _signing_keys(manifest, issuer, second_signers)
        bundle = assemble(sign(manifest, *signing), body)
    except TrustError as error:
        raise ConfigError(f"the list cannot be built: {error.message}; correct it and build it again") from error
    digest = sha256_hex(strict_json.encode(manifest))
    return BuiltBundle(bundle=bundle, share_b=share_b, manifest=manifest, digest=digest, signatures_missing=missing)


def seal_share_b(
    share_b: bytes, *, device: Device, authority_id: AuthorityId, watchlist_digest: Digest
) -> ShareForDevice:
    """Return share B for one device, as an authority carries it: bound to that authority and that list.

    Raises:
        TrustError: ``sealed-recipient-malformed``.
    """
    info = share_b_info(DeviceId(device.device_id), authority_id, watchlist_digest)
    sealed = seal(share_b, recipient=base64.b64decode(device.sealing_key), info=info)
    return ShareForDevice(device_id=device.device_id, sealed=sealed)


def _seal_share_a(share_a: bytes, device: Device, watchlist_id: str, version: int) -> SealedShare:
    info = share_a_info(DeviceId(device.device_id), watchlist_id, version)
    sealed = seal(share_a, recipient=base64.b64decode(device.sealing_key), info=info)
    return SealedShare(device_id=device.device_id, sealing_key=device.sealing_key, sealed=sealed)


def _sealed_body(
    manifest: WatchlistManifest,
    layout: BodyLayout,
    entries: Sequence[WatchlistEntry],
    templates: Floats,
    text: bytes,
    *,
    shares: tuple[bytes, bytes],
) -> bytearray:
    gallery: NDArray[np.uint8] = np.zeros(layout.gallery_bytes, np.uint8)
    rows = gallery[: layout.templates_bytes].view("<f4")
    rows[:] = templates.reshape(-1)
    owners = gallery[layout.templates_bytes : layout.templates_bytes + layout.owners_bytes].view("<i4")
    owners[:] = np.repeat(np.arange(len(entries), dtype=np.int32), [entry.templates for entry in entries])
    with body_cipher(bytearray(shares[0]), bytearray(shares[1]), manifest) as cipher:
        return encrypt_body(
            cipher,
            prefix=bytes.fromhex(manifest.nonce_prefix),
            associated_data=associated_data(manifest),
            parts=(gallery.data, memoryview(text)),
        )


def _signing_keys(
    manifest: WatchlistManifest, issuer: SigningKey, second_signers: Sequence[SigningKey]
) -> tuple[tuple[SigningKey, ...], tuple[KeyId, ...]]:
    """Return who signs here, and who has yet to."""
    named = frozenset(manifest.second_signers)
    here = {key.key_id: key for key in second_signers}
    if not here.keys() <= named:
        raise ConfigError("a second signer was given whom no entry names; name them in the entries that they approved")
    if 1 + len(named) > SIGNATURES_MAX:
        raise ConfigError(f"{len(named)} people approved entries; at most {SIGNATURES_MAX - 1} can sign one list")
    return (issuer, *here.values()), tuple(KeyId(key) for key in sorted(named - here.keys()))


def _check_entries(entries: Sequence[WatchlistEntry], *, created_at_ms: int, issuer: KeyId) -> None:
    if not 1 <= len(entries) <= ENTRIES_MAX:
        raise ConfigError(f"a list has 1 to {ENTRIES_MAX} entries, not {len(entries)}")
    faults = [
        f"entry {number}: {fault}"
        for number, entry in enumerate(entries, start=1)
        for fault in _entry_faults(entry, created_at_ms=created_at_ms, issuer=issuer)
    ]
    times = Counter(entry.reference_id for entry in entries)
    faults += [
        f"entry {number}: reference_id stands on the list more than once"
        for number, entry in enumerate(entries, start=1)
        if times[entry.reference_id] > 1
    ]
    if faults:
        shown = "\n  ".join(faults[:FAULTS_SHOWN_MAX])
        more = f"\n  and {len(faults) - FAULTS_SHOWN_MAX} more" if len(faults) > FAULTS_SHOWN_MAX else ""
        raise ConfigError(f"the whole list is refused until this is corrected:\n  {shown}{more}")


def _entry_faults(entry: WatchlistEntry, *, created_at_ms: int, issuer: KeyId) -> list[str]:
    """Return everything that is wrong with one entry, each beginning with its field."""
    faults = []
    for name, kind in _FIELD_TYPES.items():
        value = getattr(entry, name)
        try:
            msgspec.convert(value, kind, strict=True)
        except msgspec.ValidationError as error:
            text = str(error).partition(" - at ")[0]
            faults.append(f"{name} is missing" if value in ("", None) else f"{name}: {text.lower()}")
    if faults:
        return faults
    if entry.review_by_ms < created_at_ms:
        faults.append("review_by_ms: the review date is over; have the entry reviewed")
    if entry.under_18 and not entry.second_signature:
        faults.append("second_signature is missing; an entry for a child needs one")
    if entry.second_signature == issuer:
        faults.append("second_signature: the issuer cannot be the second person")
    return faults


def _check_templates(entries: Sequence[WatchlistEntry], templates: Floats) -> None:
    if templates.ndim != 2 or templates.dtype != np.float32:
        raise ConfigError(f"templates are float32 in rows, not {templates.dtype} of {templates.ndim} dimensions")
    expected = sum(entry.templates for entry in entries)
    if len(templates) != expected:
        raise ConfigError(f"the entries count {expected} templates, but {len(templates)} were given")
    lengths = np.sqrt(np.einsum("ij,ij->i", templates, templates))
    wrong = np.flatnonzero(~(np.abs(lengths - 1) <= NORM_TOLERANCE))  # NaN compares false
    if len(wrong):
        raise ConfigError(
            f"{len(wrong)} templates are not of unit length, the first in row {int(wrong[0]) + 1}; "
            "normalise what the model gives, and leave out what is not finite"
        )
