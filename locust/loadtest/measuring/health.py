"""Health of the load generator: what each of its processes observes about itself.

A `HealthProbe` runs in each worker and in the master. It costs a timer that fires 50 times a second and a few reads of
/proc once a second. What a system does not offer (no cgroup, no /proc) reads as 0. File descriptors are counted every 5
s only, because the cost grows with their number. The master aggregates the reports of all processes in a `Watch`.
Whether such a run can be trusted is decided in `loadtest.judging`.
"""

from __future__ import annotations

import gc
import math
import random
import resource
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

import gevent
import numpy as np
import psutil

from loadtest.measuring import machine
from loadtest.measuring.cgroup import Groups
from loadtest.measuring.histogram import Histogram
from loadtest.measuring.machine import CpuTime

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from loadtest.measuring.machine import Peers, Reading

MASTER: Final = "master"
"""The subject of the master's own health; workers are ``worker 0``, ``worker 1`` …"""
LOOP_PROBE_S: Final = 0.02
"""The mean interval, in seconds, at which a greenlet measures how late the event loop wakes it. Each interval is drawn
from half to one and a half times the mean. With equal intervals the probes would synchronise with periodic stalls,
because the end of a stall wakes the greenlet too, and would then see only the ends of the stalls."""
LATE_S: Final = 0.005
"""The smallest wake-up delay, in seconds, that is kept for the distribution over the run; shorter ones are irrelevant
to any judgement."""
DESCRIPTORS_EVERY_S: Final = 5.0
SATURATED: Final = {
    "cpu_ratio": 0.90,
    "loop_lag_s": 0.100,
    "throttled_ratio": 0.05,
    "gc_ratio": 0.10,
    "page_waits_per_s": 20.0,
}
"""The values from which a process is saturated, by field of `Health`. A `Watch` keeps the longest period at or above
them."""

OTHERS: Final = 0.10
"""The share of the machine's cores from which processes outside the run can crowd the machine."""
BUSY: Final = 0.90
"""The utilisation of the cores, 0 to 1, from which the machine is crowded."""
PRESSURE: Final = 0.50
"""The share of time in which a process waits for a core, from which the machine is crowded at any utilisation."""

_SOCKETS: Final = Path("/proc/net/sockstat")


class Health(NamedTuple):
    """The health of one process over one interval, usually a second."""

    cpu_ratio: float = 0.0
    """CPU time of the process divided by wall time; 1.0 is one core."""
    loop_lag_s: float = 0.0
    """The 99th percentile (nearest rank) of the event loop's wake-up delay, in seconds."""
    throttled_ratio: float = 0.0
    """The share of the interval in which a cgroup of the process had exhausted its CPU quota."""
    gc_ratio: float = 0.0
    """The share of the interval spent in garbage collection."""
    gc_pause_s: float = 0.0
    """The longest garbage collection, in seconds."""
    clock_step_s: float = 0.0
    """How far the wall clock moved relative to the monotonic clock, in seconds; absolute value."""
    descriptors_ratio: float = 0.0
    """Open file descriptors divided by their limit."""
    ports_ratio: float = 0.0
    """TCP sockets in use or in TIME_WAIT, divided by the number of ephemeral ports."""
    run_delay_ratio: float = 0.0
    """The share of the interval in which the process was runnable and waited for a core."""
    turns_per_s: float = 0.0
    """How often it was given a core, per second."""
    machine_cpu_ratio: float = 0.0
    """The utilisation of the machine's cores by any process, 0 to 1."""
    pressure_ratio: float = 0.0
    """The share of the interval in which at least one process on the machine waited for a core."""
    others_cpu_ratio: float = 0.0
    """The share of the cores' time used by processes outside the run; reported by the master."""
    target_cpu_ratio: float = 0.0
    """The share of the cores' time used by the system under test, if it is on this machine; reported by the master."""
    crowded_ratio: float = 0.0
    """1 if others used at least `OTHERS` of the cores while these were crowded by `BUSY` or `PRESSURE`; otherwise 0."""
    memory_ratio: float = 0.0
    """Memory in use divided by its limit: that of the fullest limited cgroup of the process, or else the machine's."""
    page_waits_per_s: float = 0.0
    """How often the process waited for a page of its memory to be read from disk because it had been swapped out, per
    second."""
    memory_bytes: float = 0.0
    """Resident memory of the process, in bytes."""
    received_bytes_per_s: float = 0.0
    """Bytes per second received through the network interfaces of its machine or container, without the loopback."""
    sent_bytes_per_s: float = 0.0
    """Bytes per second sent through them."""
    late_s: tuple[float, ...] = ()
    """The event loop's wake-up delays of `LATE_S` or more, in seconds: a list, not a single figure."""

    @property
    def delay_per_turn_s(self) -> float:
        """The mean time for which the process waited for a core before it was given one, in seconds."""
        return self.run_delay_ratio / self.turns_per_s if self.turns_per_s else 0.0

    @classmethod
    def of(cls, figures: Sequence[float], late_s: Iterable[float] = ()) -> Self:
        """Create a Health from its figures, in order. An older worker sends fewer.

        Raises:
            ValueError: when there are more figures than are known.
        """
        if len(figures) > len(FIGURES):
            raise ValueError(f"its health has {len(figures)} figures; known are {len(FIGURES)}")
        return cls._make((*figures, *_NO_FIGURES[len(figures) :], tuple(late_s)))

    @property
    def figures(self) -> tuple[float, ...]:
        """All figures except the single delays."""
        figures: tuple[Any, ...] = self[:-1]
        return figures


FIGURES: Final = Health._fields[:-1]
"""The names of the figures of a Health."""
_NO_FIGURES: Final = (0.0,) * len(FIGURES)


class HealthProbe:
    """Observes its own process. `start` it, `take` the Health of each interval, then `stop` it."""

    def __init__(self) -> None:
        """Create a probe that has not started."""
        self._process = psutil.Process()
        self._descriptor_limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        self._ports = machine.port_count()
        self._lags: list[float] = []
        self._gc_began_s = self._gc_sum_s = self._gc_longest_s = 0.0
        self._descriptors_ratio = 0.0
        self._descriptors_due_s = 0.0
        self._intervals = random.Random()  # noqa: S311 - separate: a scenario may have seeded the shared one
        self._not_before_s = 0.0
        self._due_s = math.inf
        self._run: CpuTime | None = None
        self._target: CpuTime | None = None
        self._greenlet: gevent.Greenlet[..., None] | None = None
        self._remember()

    def separate_usage(self, peers: Peers) -> None:
        """Measure these processes' use of the machine separately from that of all others from now on."""
        self._run = CpuTime(peers.run) if peers.run else None
        self._target = CpuTime(peers.target) if peers.target else None
        self._remember()

    def start(self) -> None:
        """Start observing."""
        gc.callbacks.append(self._on_gc)
        self._greenlet = gevent.spawn(self._probe_loop)
        self._remember()

    def restart(self) -> None:
        """Discard all observations, and the delay of a wake-up that is already due."""
        self._remember()
        self._not_before_s = self._began_s

    def stop(self) -> None:
        """Stop observing."""
        if self._greenlet is not None:
            gc.callbacks.remove(self._on_gc)
            self._greenlet.kill(block=False)
            self._greenlet = None

    def take(self) -> Health:
        """Return the Health since the last call."""
        self._note_overdue()
        wall_s, began_s, cpu_s, throttled_s = self._wall_s, self._began_s, self._cpu_s, self._throttled_s
        lags, gc_sum_s, gc_longest_s = sorted(self._lags), self._gc_sum_s, self._gc_longest_s
        reading, run_cpu_s, target_cpu_s = self._reading, self._run_cpu_s, self._target_cpu_s
        self._remember()
        elapsed_s = max(self._began_s - began_s, 1e-6)
        passed = _Passed(reading, self._reading, elapsed_s)
        others = passed.others(self._run_cpu_s - run_cpu_s) if self._run is not None else 0.0
        crowded = others >= OTHERS and (passed.busy >= BUSY or passed.pressure >= PRESSURE)
        return Health(
            cpu_ratio=(self._cpu_s - cpu_s) / elapsed_s,
            loop_lag_s=lags[-(-99 * len(lags) // 100) - 1] if lags else 0.0,
            throttled_ratio=min(1.0, max(0.0, self._throttled_s - throttled_s) / elapsed_s),
            gc_ratio=gc_sum_s / elapsed_s,
            gc_pause_s=gc_longest_s,
            clock_step_s=abs((self._wall_s - wall_s) - elapsed_s),
            descriptors_ratio=self._open_descriptors(),
            ports_ratio=_sockets_in_use() / self._ports if self._ports else 0.0,
            run_delay_ratio=passed.run_delay,
            turns_per_s=passed.turns_per_s,
            machine_cpu_ratio=passed.busy,
            pressure_ratio=passed.pressure,
            others_cpu_ratio=others,
            target_cpu_ratio=passed.share(self._target_cpu_s - target_cpu_s),
            crowded_ratio=float(crowded),
            memory_ratio=_memory_in_use(self._groups),
            page_waits_per_s=passed.page_waits_per_s,
            memory_bytes=machine.resident_bytes(),
            received_bytes_per_s=passed.received_bytes_per_s,
            sent_bytes_per_s=passed.sent_bytes_per_s,
            late_s=tuple(round(lag_s, 6) for lag_s in lags if lag_s >= LATE_S),
        )

    def _remember(self) -> None:
        self._wall_s, self._began_s, self._cpu_s = time.time(), time.perf_counter(), time.process_time()
        self._groups = Groups()  # a process can be moved to other groups
        self._throttled_s = self._groups.throttled_s()
        self._reading = machine.read()
        self._run_cpu_s = self._run.read_s() if self._run is not None else 0.0
        self._target_cpu_s = self._target.read_s() if self._target is not None else 0.0
        self._lags = []
        self._gc_sum_s = self._gc_longest_s = 0.0

    def _probe_loop(self) -> None:
        while True:
            interval_s = LOOP_PROBE_S * self._intervals.uniform(0.5, 1.5)
            self._due_s = time.perf_counter() + interval_s
            gevent.sleep(interval_s)
            self._lags.append(max(0.0, time.perf_counter() - max(self._due_s, self._not_before_s)))

    def _note_overdue(self) -> None:
        """Count a wake-up that is overdue, so that its delay belongs to the interval in which it occurred."""
        now_s = time.perf_counter()
        overdue_s = now_s - max(self._due_s, self._not_before_s)
        if self._greenlet is not None and overdue_s >= LATE_S:
            self._lags.append(overdue_s)
            self._not_before_s = now_s

    def _on_gc(self, phase: str, _info: dict[str, int]) -> None:
        if phase == "start":
            self._gc_began_s = time.perf_counter()
        elif self._gc_began_s:
            pause_s = time.perf_counter() - self._gc_began_s
            self._gc_sum_s += pause_s
            self._gc_longest_s = max(self._gc_longest_s, pause_s)

    def _open_descriptors(self) -> float:
        now_s = time.perf_counter()
        if now_s >= self._descriptors_due_s and self._descriptor_limit > 0:
            self._descriptors_due_s = now_s + DESCRIPTORS_EVERY_S
            try:
                self._descriptors_ratio = self._process.num_fds() / self._descriptor_limit
            except OSError:  # counting them needs a free one
                self._descriptors_ratio = 1.0
        return self._descriptors_ratio


class _Passed:
    """The machine's activity between two readings."""

    def __init__(self, before: Reading, after: Reading, elapsed_s: float) -> None:
        self._busy_s = after.busy_s - before.busy_s
        self._cores_s = after.cores_s - before.cores_s
        self.busy = self.share(self._busy_s)
        # The counters of an interface that is removed disappear with it.
        self.received_bytes_per_s = max(0, after.received_bytes - before.received_bytes) / elapsed_s
        self.sent_bytes_per_s = max(0, after.sent_bytes - before.sent_bytes) / elapsed_s
        self.pressure = min(1.0, (after.pressure_s - before.pressure_s) / elapsed_s)
        self.run_delay = (after.run_delay_s - before.run_delay_s) / elapsed_s
        self.turns_per_s = (after.turns - before.turns) / elapsed_s
        self.page_waits_per_s = (after.page_waits - before.page_waits) / elapsed_s

    def share(self, cpu_s: float) -> float:
        """Convert seconds of CPU time to a share of the cores' time."""
        return min(1.0, max(0.0, cpu_s / self._cores_s)) if self._cores_s > 0 else 0.0

    def others(self, run_cpu_s: float) -> float:
        """The share of the cores' time used outside the run's processes."""
        return self.share(self._busy_s - run_cpu_s)


def _memory_in_use(groups: Groups) -> float:
    try:
        machines = psutil.virtual_memory()
    except OSError:  # no file can be opened
        return 0.0
    limited, of_machine = groups.memory(), 1 - machines.available / machines.total
    return of_machine if limited is None else max(of_machine, limited.used / limited.limit)


def _sockets_in_use() -> float:
    words = _words(_SOCKETS)
    if "TCP:" not in words:
        return 0.0
    tcp = words[words.index("TCP:") :]
    return float(tcp[tcp.index("inuse") + 1]) + float(tcp[tcp.index("tw") + 1])


def _words(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="ascii").split()
    except OSError:
        return []


@dataclass(slots=True)
class Period:
    """Consecutive seconds in which a figure was at or above its limit in `SATURATED`."""

    seconds: float = 0.0
    weighted: float = 0.0
    """The sum of the values, each multiplied by its seconds."""

    @property
    def mean(self) -> float:
        """The figure's mean over the period; 0 if there was none."""
        return self.weighted / self.seconds if self.seconds else 0.0


_SATURATED_FIELDS: Final = [(name, FIGURES.index(name), value) for name, value in SATURATED.items()]


@dataclass(slots=True)
class Observed:
    """One process over the run. Entry *i* of each list belongs to figure *i* of `Health`."""

    subject: str
    seconds: float = 0.0
    sums: list[float] = field(default_factory=lambda: [0.0] * len(FIGURES))
    """The sums of the values, each multiplied by its seconds."""
    highest: list[float] = field(default_factory=lambda: [0.0] * len(FIGURES))
    longest: dict[str, Period] = field(default_factory=lambda: {name: Period() for name in SATURATED})
    """The longest period of each figure in `SATURATED`."""
    late: Histogram = field(default_factory=Histogram)
    """The wake-ups that were late by `LATE_S` or more: see `lag_s`."""
    requests: int = 0
    """The worker's requests, including failed ones."""
    response_s: float = 0.0
    """The sum of the requests' response times, in seconds."""
    user_seconds: float = 0.0
    _current: dict[str, Period] = field(default_factory=dict)

    def mean(self) -> Health:
        """The means over the run."""
        return Health.of([total / self.seconds for total in self.sums])

    def lag_s(self, q: float) -> float:
        """The quantile of the event loop's delay over the run, in seconds; 0 if it is below `LATE_S`.

        The loop is probed every `LOOP_PROBE_S` on average, but not while it is blocked. So one delay stands for all
        probes that would have fallen into it, each with the remaining delay.
        """
        late, beyond = self.late.count, (1 - q) * self.seconds / LOOP_PROBE_S
        return self.late.quantile(1 - beyond / late) if late > beyond else 0.0

    def add(self, health: Health, seconds: float) -> None:
        """Add an interval of this many seconds."""
        self.seconds += seconds
        room = round(seconds / LOOP_PROBE_S)  # the interval has no room for more probes
        for delay_s in health.late_s:
            fell_in = min(room, int((delay_s - LATE_S) / LOOP_PROBE_S) + 1)
            self.late.add_many(delay_s - LOOP_PROBE_S * np.arange(fell_in, dtype=np.float64))
            room -= fell_in
        figures, highest = health.figures, self.highest
        for index, value in enumerate(figures):
            if value:  # most are 0 in most seconds, and the master adds those of every worker
                self.sums[index] += value * seconds
                highest[index] = max(highest[index], value)
        for name, index, limit in _SATURATED_FIELDS:
            value = figures[index]
            if value < limit:
                self._current.pop(name, None)
                continue
            period = self._current.setdefault(name, Period())
            period.seconds += seconds
            period.weighted += value * seconds
            if period.seconds >= self.longest[name].seconds:
                self.longest[name] = period


class Watch:
    """The observations of all processes of a run, in constant memory per process."""

    def __init__(self) -> None:
        """Create a watch without observations."""
        self._observed: dict[str, Observed] = {}

    def __iter__(self) -> Iterator[Observed]:
        """Iterate over the processes in the order of their first reports."""
        return iter(self._observed.values())

    def add(  # noqa: PLR0917 - an interval of a worker has that many parts
        self, subject: str, health: Health, seconds: float, users: int, requests: int = 0, response_s: float = 0.0
    ) -> None:
        """Add an interval.

        Args:
            subject: ``worker 3`` or ``master``.
            health: the process's observation.
            seconds: the length of the interval.
            users: the running users. Intervals without users are left out, because a process that loads data before a
                run may be busy.
            requests: the worker's requests in the interval.
            response_s: the sum of their response times, in seconds.
        """
        if users > 0 and seconds > 0:
            known = self._observed.get(subject)
            if known is None:
                known = self._observed[subject] = Observed(subject)
            known.add(health, seconds)
            known.requests += requests
            known.response_s += response_s
            known.user_seconds += users * seconds

    def summary(self) -> tuple[dict[str, Any], ...]:
        """The seconds observed, and the mean and highest value of each figure of `Health`, per process."""
        return tuple(
            {
                "subject": observed.subject,
                "seconds": round(observed.seconds, 3),
                "mean": _by_field(total / observed.seconds for total in observed.sums),
                "highest": _by_field(observed.highest),
            }
            for observed in self
        )


def _by_field(values: Iterable[float]) -> dict[str, float]:
    return {name: round(value, 6) for name, value in zip(FIGURES, values, strict=True)}
