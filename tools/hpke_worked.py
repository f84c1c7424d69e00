"""HPKE base mode by hand (RFC 9180 §4.1, §5.1, §5.2): for worked examples and as a second opinion in tests.

It exists to show every intermediate value and to seal with a *chosen* ephemeral key, so that an example is the same
in every run. That is exactly what nothing real may do; the product seals through ``appliance.wire.sealing`` only.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEM_ID = (0x0020).to_bytes(2, "big")  # DHKEM(X25519, HKDF-SHA256)
KDF_ID = (0x0001).to_bytes(2, "big")  # HKDF-SHA256
AES_256_GCM = 0x0002
KEY_BYTES = {0x0001: 16, AES_256_GCM: 32}
MODE_BASE = b"\x00"


@dataclass(frozen=True, slots=True, kw_only=True)
class Worked:
    """One seal with everything between its inputs and its output."""

    enc: bytes
    shared_secret: bytes
    key: bytes
    base_nonce: bytes
    ciphertext: bytes


def seal_by_hand(
    plaintext: bytes,
    *,
    recipient: bytes,
    info: bytes,
    ephemeral: bytes,
    aead_id: int = AES_256_GCM,
    aad: bytes = b"",
) -> Worked:
    """Return the seal of ``plaintext`` (sequence number 0), made with the 32 private bytes ``ephemeral``."""
    private = X25519PrivateKey.from_private_bytes(ephemeral)
    enc = private.public_key().public_bytes_raw()
    shared_secret = _encap(private.exchange(X25519PublicKey.from_public_bytes(recipient)), enc, recipient)
    key, base_nonce = _key_schedule(shared_secret, info, aead_id)
    return Worked(
        enc=enc,
        shared_secret=shared_secret,
        key=key,
        base_nonce=base_nonce,
        ciphertext=AESGCM(key).encrypt(base_nonce, plaintext, aad),
    )


def _encap(dh: bytes, enc: bytes, recipient: bytes) -> bytes:
    suite = b"KEM" + KEM_ID
    prk = _labelled_extract(b"", suite, b"eae_prk", dh)
    return _labelled_expand(prk, suite, b"shared_secret", enc + recipient, 32)


def _key_schedule(shared_secret: bytes, info: bytes, aead_id: int) -> tuple[bytes, bytes]:
    suite = b"HPKE" + KEM_ID + KDF_ID + aead_id.to_bytes(2, "big")
    context = (
        MODE_BASE
        + _labelled_extract(b"", suite, b"psk_id_hash", b"")
        + _labelled_extract(b"", suite, b"info_hash", info)
    )
    secret = _labelled_extract(shared_secret, suite, b"secret", b"")
    key = _labelled_expand(secret, suite, b"key", context, KEY_BYTES[aead_id])
    return key, _labelled_expand(secret, suite, b"base_nonce", context, 12)


def _labelled_extract(salt: bytes, suite: bytes, label: bytes, material: bytes) -> bytes:
    return hmac.digest(salt or bytes(32), b"HPKE-v1" + suite + label + material, hashlib.sha256)


def _labelled_expand(prk: bytes, suite: bytes, label: bytes, info: bytes, length: int) -> bytes:
    """One block is enough: nothing here is longer than SHA-256."""
    labelled = length.to_bytes(2, "big") + b"HPKE-v1" + suite + label + info
    return hmac.digest(prk, labelled + b"\x01", hashlib.sha256)[:length]
