"""Steady clock: seconds since the epoch that go on evenly when somebody sets the machine's clock.

A run's times are told in seconds since the epoch, and its durations are differences of them. So they come from here:
what the machine's clock said at first use, moved on by the monotonic clock. A step of the machine's clock during a run
is a finding of the trust check `clock_step`, and moves nothing else.
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
