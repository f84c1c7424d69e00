"""When a clock is believed, and what makes it believed again."""

from __future__ import annotations

import pytest
from deployment_for_tests import NOW_MS, time_at
from hypothesis import given
from hypothesis import strategies as st

from appliance.authority.trusted_time import (
    STEP_BACK_MS_MAX,
    STEP_FORWARD_MS_MAX,
    VOUCH_MS_MAX,
    TrustedTime,
    judge_time,
    raise_floor,
    require_trusted,
    vouch_for_time,
)
from appliance.errors import TrustError
from appliance.model.units import BootNs, UnixMs

MS = 1_000_000


def later(now: TrustedTime, *, by_ms: int, step_ms: int = 0, floor_ms: int = 0) -> TrustedTime:
    """Let ``by_ms`` pass, during which the wall clock also steps."""
    return judge_time(
        wall_ms=UnixMs(now.wall_ms + by_ms + step_ms),
        boot_ns=BootNs(now.boot_ns + by_ms * MS),
        previous=now,
        floor_ms=UnixMs(floor_ms),
    )


def test_a_clock_behind_the_floor_is_not_trusted() -> None:
    now = time_at(NOW_MS - 1, floor_ms=NOW_MS)
    assert not now.trusted
    with pytest.raises(TrustError, match="time-behind-floor"):
        require_trusted(now)


def test_a_clock_at_the_floor_is_trusted() -> None:
    require_trusted(time_at(NOW_MS, floor_ms=NOW_MS))


def test_a_box_that_boots_in_1970_is_believed_once_it_has_found_the_time() -> None:
    booted = time_at(0, floor_ms=NOW_MS)
    assert not booted.trusted
    assert later(booted, by_ms=1_000, step_ms=NOW_MS).trusted


@pytest.mark.parametrize(
    ("step_ms", "trusted"),
    [
        (0, True),
        (STEP_FORWARD_MS_MAX, True),
        (STEP_FORWARD_MS_MAX + 1, False),
        (-STEP_BACK_MS_MAX, True),
        (-STEP_BACK_MS_MAX - 1, False),
    ],
)
def test_a_step_of_the_wall_clock_is_believed_up_to_the_bound(step_ms: int, trusted: bool) -> None:
    assert later(time_at(), by_ms=1_000, step_ms=step_ms).trusted is trusted


def test_a_suspend_is_no_step() -> None:
    assert later(time_at(), by_ms=86_400_000).trusted


def test_many_small_steps_add_up() -> None:
    now = time_at()
    for _ in range(3):
        now = later(now, by_ms=1_000, step_ms=-2_000)
    assert not now.trusted


def test_distrust_sticks_when_the_clock_steps_back_to_where_it_was() -> None:
    away = later(time_at(), by_ms=0, step_ms=3_600_000)
    back = later(away, by_ms=0, step_ms=-3_600_000)
    assert not back.trusted
    with pytest.raises(TrustError, match="time-stepped"):
        require_trusted(back)


def test_a_boot_clock_that_runs_backwards_is_not_trusted() -> None:
    assert not time_at(NOW_MS, boot_ns=0, previous=time_at(NOW_MS, boot_ns=1)).trusted


def test_a_dormant_device_may_judge_anew() -> None:
    stepped = later(time_at(), by_ms=0, step_ms=3_600_000)
    assert judge_time(wall_ms=stepped.wall_ms, boot_ns=stepped.boot_ns, previous=None, floor_ms=UnixMs(0)).trusted


@pytest.mark.parametrize("off_ms", [-VOUCH_MS_MAX, 0, VOUCH_MS_MAX])
def test_a_signed_instant_near_the_clock_vouches_for_it(off_ms: int) -> None:
    stepped = later(time_at(), by_ms=0, step_ms=3_600_000)
    vouched = vouch_for_time(stepped, signed_ms=UnixMs(stepped.wall_ms + off_ms))
    assert vouched.trusted
    assert later(vouched, by_ms=1_000).trusted


@pytest.mark.parametrize("off_ms", [-VOUCH_MS_MAX - 1, VOUCH_MS_MAX + 1])
def test_a_signed_instant_far_from_the_clock_changes_nothing(off_ms: int) -> None:
    stepped = later(time_at(), by_ms=0, step_ms=3_600_000)
    assert vouch_for_time(stepped, signed_ms=UnixMs(stepped.wall_ms + off_ms)) == stepped


def test_nobody_vouches_for_a_clock_behind_the_floor() -> None:
    behind = time_at(NOW_MS, floor_ms=NOW_MS + 1)
    assert vouch_for_time(behind, signed_ms=UnixMs(NOW_MS)) == behind


def test_a_roster_raises_the_floor_less_the_skew_of_honest_clocks() -> None:
    assert raise_floor(time_at(), signed_ms=UnixMs(NOW_MS + 30_000)).trusted
    assert not raise_floor(time_at(), signed_ms=UnixMs(NOW_MS + 30_001)).trusted
    assert raise_floor(time_at(floor_ms=NOW_MS), signed_ms=UnixMs(0)).floor_ms == NOW_MS


passing = st.tuples(st.integers(0, 10**7), st.integers(-(10**8), 10**8), st.integers(0, 2 * NOW_MS))


@given(st.lists(passing, max_size=20))
def test_the_floor_only_grows_and_trust_is_never_regained_by_itself(steps: list[tuple[int, int, int]]) -> None:
    now = time_at()
    for by_ms, step_ms, floor_ms in steps:
        after = later(now, by_ms=by_ms, step_ms=step_ms, floor_ms=floor_ms)
        assert after.floor_ms >= now.floor_ms
        assert after.stepped or not now.stepped
        assert not (after.trusted and after.wall_ms < after.floor_ms)
        now = after


@given(st.integers(0, 2 * NOW_MS), st.integers(0, 2 * NOW_MS))
def test_vouching_never_puts_the_floor_ahead_of_the_clock(wall_ms: int, signed_ms: int) -> None:
    now = vouch_for_time(time_at(wall_ms), signed_ms=UnixMs(signed_ms))
    assert now.floor_ms <= now.wall_ms
