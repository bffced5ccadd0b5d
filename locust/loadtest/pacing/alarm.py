"""Alarm: a wake-up at an absolute time, with a precision of some tens of microseconds.

The event loop's own timers go through epoll_wait, which counts in whole milliseconds and rounds up: a timer wakes up
to 1 ms late. On Linux an Alarm is therefore a timerfd with an absolute time of CLOCK_MONOTONIC, the clock behind
`time.perf_counter`; elsewhere it is a timer of the event loop.
"""

from __future__ import annotations

import ctypes
import os
import sys
import time
from typing import TYPE_CHECKING, Any, Final

from gevent import get_hub

if TYPE_CHECKING:
    from collections.abc import Callable

_CLOCK_MONOTONIC: Final = 1
_ABSOLUTE: Final = 1  # TFD_TIMER_ABSTIME
_NONBLOCK_CLOEXEC: Final = os.O_NONBLOCK | getattr(os, "O_CLOEXEC", 0)
_NANOSECONDS: Final = 1_000_000_000
_READ: Final = 1  # libev's EV_READ


def Alarm(on_alarm: Callable[[], None]) -> TimerfdAlarm | LoopAlarm:  # noqa: N802 - it stands for a class
    """Return an alarm that calls `on_alarm` in the event loop's own greenlet; it must not block.

    Methods: ``set(at_s)`` sets the only pending wake-up to that `time.perf_counter` time, or to now if it is past;
    ``cancel()`` cancels it; ``close()`` releases the alarm.
    """
    return TimerfdAlarm(on_alarm) if sys.platform == "linux" else LoopAlarm(on_alarm)


class _Interval(ctypes.Structure):
    """struct itimerspec: an interval (0: only once) and the first time."""

    _fields_ = (
        ("every_s", ctypes.c_long),
        ("every_ns", ctypes.c_long),
        ("first_s", ctypes.c_long),
        ("first_ns", ctypes.c_long),
    )


class TimerfdAlarm:
    """An alarm with the kernel's timerfd. Python has these calls only since 3.13, hence ctypes."""

    def __init__(self, on_alarm: Callable[[], None]) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self._descriptor = libc.timerfd_create(_CLOCK_MONOTONIC, _NONBLOCK_CLOEXEC)
        if self._descriptor < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create")
        self._settime = libc.timerfd_settime
        self._spec = _Interval()
        self._spec_pointer = ctypes.byref(self._spec)
        self._on_alarm = on_alarm
        self._watcher: Any = get_hub().loop.io(self._descriptor, _READ)
        self._watcher.start(self._wake)

    def set(self, at_s: float) -> None:
        """Wake at that time."""
        # 0 would disarm; a time in the past wakes at once.
        self._spec.first_s, self._spec.first_ns = divmod(max(1, int(at_s * _NANOSECONDS)), _NANOSECONDS)
        self._settime(self._descriptor, _ABSOLUTE, self._spec_pointer, None)

    def cancel(self) -> None:
        """Cancel the wake-up."""
        self._spec.first_s = self._spec.first_ns = 0
        self._settime(self._descriptor, _ABSOLUTE, self._spec_pointer, None)

    def close(self) -> None:
        """Release the kernel's timer."""
        self._watcher.stop()
        self._watcher.close()
        os.close(self._descriptor)

    def _wake(self) -> None:
        try:
            os.read(self._descriptor, 8)
        except BlockingIOError:  # it was set again after the kernel reported it
            return
        self._on_alarm()


class LoopAlarm:
    """An alarm with the event loop's timer: never early, up to 1 ms late."""

    def __init__(self, on_alarm: Callable[[], None]) -> None:
        self._on_alarm = on_alarm
        self._at_s = 0.0
        self._timer: Any = None

    def set(self, at_s: float) -> None:
        """Wake at that time."""
        self.cancel()
        self._at_s = at_s
        self._timer = get_hub().loop.timer(max(0.0, at_s - time.perf_counter()))
        # The loop counts from its cached time, which is as old as the current callback.
        self._timer.start(self._wake, update=True)

    def cancel(self) -> None:
        """Cancel the wake-up."""
        if self._timer is not None:
            self._timer.stop()
            self._timer.close()
            self._timer = None

    def close(self) -> None:
        """Release the timer."""
        self.cancel()

    def _wake(self) -> None:
        if time.perf_counter() < self._at_s:  # the loop reads its clock once per turn, and may be ahead of the timer
            self.set(self._at_s)
        else:
            self._on_alarm()
