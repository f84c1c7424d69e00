"""Time and chance, asked for and never taken."""

from __future__ import annotations

from typing import Protocol

from appliance.model.units import BootNs, UnixMs


class Clock(Protocol):
    """The two clocks of the product. Deadlines use :meth:`boot_ns`; statements carry :meth:`wall_ms`."""

    def boot_ns(self) -> BootNs:
        """Return CLOCK_BOOTTIME in nanoseconds."""
        ...

    def wall_ms(self) -> UnixMs:
        """Return CLOCK_REALTIME in milliseconds since 1970. Distrust it."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait for ``seconds`` (0 or more)."""
        ...


class Entropy(Protocol):
    """Unpredictable bytes."""

    def token(self, size: int) -> bytes:
        """Return ``size`` (1 to 64) fresh random bytes."""
        ...
