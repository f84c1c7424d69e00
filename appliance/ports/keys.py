"""Keys that do their work without being handed out: a file in the demonstration, a TPM on the lamppost."""

from __future__ import annotations

from typing import Protocol

from appliance.model.units import KeyId


class SigningKey(Protocol):
    """An Ed25519 private key."""

    @property
    def public(self) -> bytes:
        """The 32 raw public bytes."""
        ...

    @property
    def key_id(self) -> KeyId:
        """SHA-256 over :attr:`public`, hex."""
        ...

    def sign(self, data: bytes) -> bytes:
        """Return the 64-byte Ed25519 signature (RFC 8032) over ``data``."""
        ...


class UnsealingKey(Protocol):
    """An X25519 private key that opens HPKE ciphertexts (RFC 9180, base mode)."""

    @property
    def public(self) -> bytes:
        """The 32 raw public bytes."""
        ...

    def open(self, ciphertext: bytes, *, info: bytes) -> bytes:
        """Return the plaintext of an HPKE ``enc || ct`` (X25519, HKDF-SHA256, AES-256-GCM).

        Raises:
            TrustError: Not for this key, altered, or bound to another ``info``.
        """
        ...


class KeyStore(Protocol):
    """The keys of one device."""

    def signing_key(self) -> SigningKey:
        """Return the device's signing key."""
        ...

    def unsealing_key(self) -> UnsealingKey:
        """Return the device's unsealing key."""
        ...
