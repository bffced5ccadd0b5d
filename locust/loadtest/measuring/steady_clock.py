"""Steady clock: seconds since the epoch that advance evenly even when the system clock is set.

A run's times are seconds since the epoch, and its durations are differences of such times. Both are taken from this
clock: the system clock at first use, advanced by the monotonic clock. If the system clock steps during a run, the trust
check `clock_step` reports it, and no time of the run is affected.
"""

from __future__ import annotations

import functools
import time


def now() -> float:
    """Return the seconds since the epoch."""
    return at(time.perf_counter())


def at(moment_s: float) -> float:
    """Return a moment of ``time.perf_counter`` in seconds since the epoch."""
    return _epoch_s() + moment_s


@functools.cache
def _epoch_s() -> float:
    """Return the epoch time at which the monotonic clock was 0."""
    return time.time() - time.perf_counter()
