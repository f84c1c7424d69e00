"""Keys in memory, made from a name: the same name gives the same key in every run. For tests and worked examples."""

from __future__ import annotations

import hashlib

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from appliance.model.units import KeyId
from appliance.wire.envelope import thumbprint
from appliance.wire.sealing import raw_open


class MemorySigningKey:
    """A :class:`SigningKey` whose private half is derived from a public name: never for anything real."""

    def __init__(self, seed: bytes) -> None:
        self._private = Ed25519PrivateKey.from_private_bytes(seed)

    @property
    def public(self) -> bytes:
        return self._private.public_key().public_bytes_raw()

    @property
    def key_id(self) -> KeyId:
        return thumbprint(self.public)

    def sign(self, data: bytes) -> bytes:
        return self._private.sign(data)


class MemoryUnsealingKey:
    """An :class:`UnsealingKey` whose private half is derived from a public name."""

    def __init__(self, seed: bytes) -> None:
        self._private = X25519PrivateKey.from_private_bytes(seed)

    @property
    def public(self) -> bytes:
        return self._private.public_key().public_bytes_raw()

    @property
    def private_for_examples(self) -> bytes:
        """The 32 private bytes, which the documentation prints so that its readers can open the examples."""
        return self._private.private_bytes_raw()

    def open(self, ciphertext: bytes, *, info: bytes) -> bytes:
        return raw_open(self._private, ciphertext, info)


def signing_key(name: str) -> MemorySigningKey:
    """Return the Ed25519 key of ``name``."""
    return MemorySigningKey(_seed("ed25519", name))


def unsealing_key(name: str) -> MemoryUnsealingKey:
    """Return the X25519 key of ``name``."""
    return MemoryUnsealingKey(_seed("x25519", name))


def trusted(*keys: MemorySigningKey) -> dict[KeyId, bytes]:
    """Return the mapping that ``open_envelope`` takes, holding these keys."""
    return {key.key_id: key.public for key in keys}


def _seed(kind: str, name: str) -> bytes:
    return hashlib.sha256(f"lamppost test key {kind} {name}".encode()).digest()
