"""Whether the wall clock can be believed. Boxes boot in 1970, and whoever owns the network may own NTP.

Rules of this module:
    1. The floor is the newest instant that is known to be past: build time, newest verified signed time, last
       persisted time. It only grows.
    2. A wall clock behind the floor is wrong, and not trusted.
    3. The wall clock is anchored to CLOCK_BOOTTIME when it is first believed. All steps since then, added up, stay
       within ``STEP_BACK_MS_MAX`` and ``STEP_FORWARD_MS_MAX``; beyond that it is not trusted. (Slewing moves both
       clocks alike, so an honest clock shows no step at all.)
    4. Distrust after a step sticks, also when the clock steps back again: only a verified statement that was signed
       within ``VOUCH_MS_MAX`` of what the clock now says ends it.
    5. A signed instant never puts the floor ahead of the clock that it agreed with, or an operator could lock a
       device with an order from the far future.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from appliance.errors import TrustError
from appliance.model.units import BootNs, UnixMs

STEP_BACK_MS_MAX = 5_000
STEP_FORWARD_MS_MAX = 60_000
SKEW_MS_MAX = 30_000
"""How far the clocks of two honest machines may lie apart."""

VOUCH_MS_MAX = 300_000
"""An order lives at most this long, so one that is accepted was signed within it."""

_NS_PER_MS = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustedTime:
    """One reading of the clocks, judged. Make it with :func:`judge_time`.

    Attributes:
        wall_ms: What the wall clock says.
        boot_ns: What CLOCK_BOOTTIME said at the same moment.
        floor_ms: Known to be past.
        anchor_ms: Wall clock minus boot clock when the wall clock was first believed; None: never so far.
        stepped: The wall clock stepped too far, and nobody has vouched for it since.
    """

    wall_ms: UnixMs
    boot_ns: BootNs
    floor_ms: UnixMs
    anchor_ms: int | None
    stepped: bool

    @property
    def behind(self) -> bool:
        """Whether the wall clock is behind the floor, that is: certainly wrong."""
        return self.wall_ms < self.floor_ms

    @property
    def trusted(self) -> bool:
        """Whether windows, leases and ages may be judged by :attr:`wall_ms`."""
        return not self.behind and not self.stepped

    @property
    def latest_ms(self) -> UnixMs:
        """The later of clock and floor: what has expired by this instant has expired for certain or in doubt."""
        return UnixMs(max(self.wall_ms, self.floor_ms))


def judge_time(*, wall_ms: UnixMs, boot_ns: BootNs, previous: TrustedTime | None, floor_ms: UnixMs) -> TrustedTime:
    """Judge one reading of both clocks.

    Args:
        wall_ms: CLOCK_REALTIME.
        boot_ns: CLOCK_BOOTTIME, read right beside it.
        previous: The last judgement of this boot. None at boot, and wherever nothing depends on continuity: a
            dormant device may start anew, which gives nobody more than pulling its plug would.
        floor_ms: The floor as known to the caller; the previous one counts as well.
    """
    offset_ms = wall_ms - boot_ns // _NS_PER_MS
    if previous is None:
        anchor_ms, stepped, floor = None, False, floor_ms
    else:
        anchor_ms, stepped = previous.anchor_ms, previous.stepped or boot_ns < previous.boot_ns
        floor = UnixMs(max(floor_ms, previous.floor_ms))  # rule 1
    if anchor_ms is not None:  # rules 3 and 4
        stepped = stepped or not -STEP_BACK_MS_MAX <= offset_ms - anchor_ms <= STEP_FORWARD_MS_MAX
    elif wall_ms >= floor:
        anchor_ms = offset_ms
    return TrustedTime(wall_ms=wall_ms, boot_ns=boot_ns, floor_ms=floor, anchor_ms=anchor_ms, stepped=stepped)


def vouch_for_time(now: TrustedTime, *, signed_ms: UnixMs) -> TrustedTime:
    """Return ``now`` believed again, when a statement that was verified at ``now`` was signed at about this instant.

    The warden calls it for each accepted ``resume``. A clock behind its floor stays distrusted, and so does one that
    is further than ``VOUCH_MS_MAX`` from ``signed_ms``.
    """
    if now.behind or abs(now.wall_ms - signed_ms) > VOUCH_MS_MAX:
        return now
    floor = UnixMs(max(now.floor_ms, min(signed_ms, now.wall_ms)))  # rule 5
    return replace(now, floor_ms=floor, anchor_ms=now.wall_ms - now.boot_ns // _NS_PER_MS, stepped=False)


def raise_floor(now: TrustedTime, *, signed_ms: UnixMs) -> TrustedTime:
    """Return ``now`` with the floor that a verified *roster* or *authority* gives (less the skew of honest clocks).

    Never for an order: one operator's signature must not be able to make a device believe that it is later.
    """
    return replace(now, floor_ms=UnixMs(max(now.floor_ms, signed_ms - SKEW_MS_MAX)))


def require_trusted(now: TrustedTime) -> None:
    """Return if ``now`` is trusted.

    Raises:
        TrustError: ``time-behind-floor`` or ``time-stepped``.
    """
    if now.behind:  # rule 2
        raise TrustError("time-behind-floor", "the wall clock is behind an instant that is known to be past")
    if now.stepped:  # rules 3 and 4
        raise TrustError("time-stepped", "the wall clock stepped relative to the boot clock and nobody vouched for it")
