"""Memory for what must never lie in a file, in swap, in a core dump or in a second process: the opened watchlist."""

from __future__ import annotations

from typing import Literal, Protocol

SecretKind = Literal["memfd-secret", "locked-memory"]
"""``memfd-secret``: not even the kernel maps it. ``locked-memory``: never swapped or dumped, yet readable by whoever
may read this process (root, ptrace); a device that has only this reports ``no-secret-memory``."""


class SecretRegion(Protocol):
    """Pages that are overwritten before they are given back."""

    @property
    def view(self) -> memoryview:
        """All ``size`` bytes: writable until :meth:`freeze`, read-only after it. Let go of it before :meth:`close`."""
        ...

    @property
    def descriptor(self) -> int:
        """What another process maps, sent over SCM_RIGHTS. Owned by the region: send it, never close it."""
        ...

    @property
    def size(self) -> int:
        """Bytes."""
        ...

    @property
    def kind(self) -> SecretKind:
        """How well it is kept."""
        ...

    def freeze(self) -> None:
        """Make the pages read-only in this process; where the kernel can, nobody may map them writable after that."""
        ...

    def close(self) -> None:
        """Overwrite with zeros, for every process that maps them, and unmap. Safe to call twice.

        The region of a process that only reads (``map_readonly``) unmaps without overwriting: it cannot write.

        Raises:
            InvariantError: Somebody still holds a view. The pages are zeros by then, but still mapped.
        """
        ...


class SecretMemory(Protocol):
    """Where secret regions come from."""

    def allocate(self, size: int) -> SecretRegion:
        """Return ``size`` (1 or more) zero bytes.

        Raises:
            ConfigError: The limit on locked memory is too low, or the machine has none of it left.
        """
        ...

    def map_readonly(self, descriptor: int, size: int) -> SecretRegion:
        """Map the first ``size`` bytes of a region that another process allocated, to read only.

        Takes the descriptor over in every case: :meth:`SecretRegion.close` closes it, and so does a refusal.

        Raises:
            TrustError: ``memory-not-secret``: the descriptor is no such region, or shorter than ``size``.
            ConfigError: The limit on locked memory is too low.
        """
        ...
