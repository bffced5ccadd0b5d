"""Wake-ups at an absolute time."""

import time

import gevent
import pytest

from loadtest.pacing.alarm import LoopAlarm, TimerfdAlarm
from tests.link_peers import eventually


@pytest.mark.parametrize("kind", [TimerfdAlarm, LoopAlarm])
def test_an_alarm_wakes_at_its_time(kind: type) -> None:
    """An alarm goes off once, never early, and soon after its time even on a busy machine."""
    alarms: list[float] = []
    alarm = kind(lambda: alarms.append(time.perf_counter()))
    late_s = []
    while len(late_s) < 20 or (min(late_s) >= 2e-3 and len(late_s) < 500):  # a busy machine may be very late
        at_s = time.perf_counter() + 0.003
        alarm.set(at_s)
        eventually(lambda: alarms)
        late_s.append(alarms.pop() - at_s)
        gevent.sleep(0.01)
        assert alarms == []
    alarm.close()
    assert min(late_s) > -1e-6
    assert min(late_s) < 2e-3


@pytest.mark.parametrize("kind", [TimerfdAlarm, LoopAlarm])
def test_an_alarm_can_be_moved_and_taken_back(kind: type) -> None:
    """Only the latest time counts; a cancelled alarm is silent; a time in the past goes off immediately."""
    alarms: list[float] = []
    alarm = kind(lambda: alarms.append(time.perf_counter()))
    began_s = time.perf_counter()
    alarm.set(began_s + 0.01)
    alarm.set(began_s + 0.06)
    eventually(lambda: alarms)
    assert alarms.pop() >= began_s + 0.06
    alarm.set(time.perf_counter() + 0.01)
    alarm.cancel()
    gevent.sleep(0.06)
    assert alarms == []
    alarm.set(0.0)
    eventually(lambda: alarms)
    gevent.sleep(0.02)
    alarm.close()
    assert len(alarms) == 1
