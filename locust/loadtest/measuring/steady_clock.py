"""Steady clock: seconds since the epoch that advance evenly even when the machine's clock is set.

A run's times are given in seconds since the epoch, and its durations are differences of such times. So they are taken
from here: the machine's clock at first use, advanced by the monotonic clock. When the machine's clock steps during a
run, the trust check `clock_step` reports it, and no time of the run is affected.
"""

from __future__ import annotations

import functools
import time


def now() -> float:
    """Return the seconds since the epoch."""
    return _epoch_s() + time.perf_counter()


@functools.cache
def _epoch_s() -> float:
    """Return when the monotonic clock was 0."""
    return time.time() - time.perf_counter()
