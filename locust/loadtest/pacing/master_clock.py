"""MasterClock: a worker's estimate of the master's `time.perf_counter`.

Arrivals are fixed on the master's clock. Processes of one machine share that clock (CLOCK_MONOTONIC), also across
containers, so their offset is exactly 0; they recognise each other by the kernel's boot id. A worker on another machine
measures the offset over the Locust link: it records when it sends a request and receives the answer, and assigns the
master's time to the middle. The error is at most half the round trip; of the last `KEPT` exchanges the one with the
shortest round trip is used (the clock filter of NTP, RFC 5905, section 10). Repeated exchanges track the drift between
the two machines' clocks, about ten microseconds per second.
"""

from __future__ import annotations

import os
from collections import deque
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

KEPT: Final = 8


class _Exchange(NamedTuple):
    round_trip_s: float
    offset_s: float


class MasterClock:
    """The offset between this process's clock and the master's."""

    def __init__(self) -> None:
        """Start without any exchange."""
        self._shared = False
        self._exchanges: deque[_Exchange] = deque(maxlen=KEPT)

    def learn(self, sent_s: float, master_s: float, received_s: float, master_identity: str) -> None:
        """Take in one exchange.

        Args:
            sent_s: when the request left, on this clock.
            master_s: the master's clock when it answered.
            received_s: when the answer came, on this clock.
            master_identity: the master's `clock_identity`.
        """
        self._shared = bool(master_identity) and master_identity == clock_identity()
        self._exchanges.append(_Exchange(received_s - sent_s, master_s - (sent_s + received_s) / 2))

    @property
    def is_known(self) -> bool:
        """Whether there have been enough exchanges for a reliable offset."""
        return self._shared or len(self._exchanges) == KEPT

    @property
    def offset_s(self) -> float:
        """The seconds to add to this process's time to get the master's."""
        return 0.0 if self._shared or not self._exchanges else min(self._exchanges).offset_s

    @property
    def error_s(self) -> float:
        """The largest error of the offset, in seconds."""
        return 0.0 if self._shared or not self._exchanges else min(self._exchanges).round_trip_s / 2


@cache
def clock_identity() -> str:
    """Return an id shared by all processes with the same monotonic clock, or "" if unknown."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {os.readlink('/proc/self/ns/time')}"  # noqa: PTH115 - a name, not a path
    except OSError:
        return ""
