"""The master's time, as known to a worker."""

import os

import pytest

from loadtest.pacing.master_clock import KEPT, MasterClock, clock_identity


def test_a_master_elsewhere_is_followed_by_the_best_exchange() -> None:
    """The offset is that of the shortest round trip, and its error is at most half of it."""
    clock = MasterClock()
    true_offset_s = 123.4
    for number in range(KEPT):
        assert not clock.is_known
        there_s, back_s = 0.001 + abs(number - 3) * 0.003, 0.002
        sent_s = float(number)
        clock.learn(sent_s, sent_s + there_s + true_offset_s, sent_s + there_s + back_s, "another machine")
    assert clock.is_known
    assert abs(clock.offset_s - true_offset_s) <= clock.error_s == pytest.approx(0.0015)


def test_a_master_on_this_machine_has_the_same_clock() -> None:
    """Processes on one machine share the monotonic clock: the offset is exactly 0 after one exchange."""
    clock = MasterClock()
    clock.learn(1.0, 99.0, 2.0, clock_identity())
    assert (clock.is_known, clock.offset_s, clock.error_s) == (True, 0.0, 0.0)
    assert clock_identity() or not os.path.exists("/proc/sys/kernel/random/boot_id")  # noqa: PTH110
