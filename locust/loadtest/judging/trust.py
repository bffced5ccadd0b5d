"""Was the generator fit to measure? Rules over what each process observed about itself, and over the record.

A run whose generator was the bottleneck says something about the generator, not about the system under test: it is
*not trustworthy*, whatever its numbers are. Every rule has a stated limit (docs/measuring.md shows them in a table,
which is made from `SUSTAINED`, `PEAKS` and the constants here). A rule about load must be broken for
`SUSTAINED_S` consecutive seconds, since one slow second on a shared machine moves no percentile of a run. Only
intervals in which users ran are looked at: a master that loads data before a run may be as busy as it likes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from loadtest.measuring.health import Health

if TYPE_CHECKING:
    from collections.abc import Iterator

    from loadtest.measuring.record import RunRecord

MASTER: Final = "master"

SUSTAINED_S: Final = 5.0


class HealthRule(NamedTuple):
    """A rule over one field of `Health`; breaking it means reaching the limit."""

    name: str
    limit: float
    message: str
    """The sentence's middle; ``{value}`` and ``{seconds}`` are filled in."""
    advice: str


SUSTAINED: Final = {
    "cpu_ratio": HealthRule(
        "cpu", 0.90, "was at {value:.0%} CPU for {seconds:.0f} s", "add a worker or lower the rate"
    ),
    "loop_lag_s": HealthRule(
        "event_loop_lag",
        0.100,
        "woke its event loop {value:.3f} s late (p99) for {seconds:.0f} s",
        "add a worker, lower the rate, or take blocking calls out of the scenario",
    ),
    "throttled_ratio": HealthRule(
        "cpu_throttling",
        0.05,
        "was throttled by its cgroup {value:.0%} of the time for {seconds:.0f} s",
        "raise its CPU limit or add a worker",
    ),
    "gc_ratio": HealthRule(
        "garbage_collection",
        0.10,
        "spent {value:.0%} of the time in garbage collection for {seconds:.0f} s",
        "add a worker, or keep fewer objects in the scenario",
    ),
}
"""Rules that must be broken for `SUSTAINED_S` consecutive seconds. The value said is the mean of those seconds."""

PEAKS: Final = {
    "gc_pause_s": HealthRule(
        "gc_pause",
        1.0,
        "stood still for {value:.2f} s in one garbage collection",
        "keep fewer objects in the scenario, or add a worker",
    ),
    "clock_step_s": HealthRule(
        "clock_step",
        1.0,
        "saw its wall clock step by {value:.1f} s",
        "let the clock settle, do not suspend the machine, and make the run again",
    ),
    "descriptors_ratio": HealthRule(
        "file_descriptors",
        0.90,
        "used {value:.0%} of the file descriptors that it may open",
        "raise the limit (ulimit -n) or add a worker",
    ),
    "ports_ratio": HealthRule(
        "ephemeral_ports",
        0.90,
        "used {value:.0%} of the ephemeral ports",
        "keep connections alive, widen net.ipv4.ip_local_port_range, or add a machine",
    ),
}
"""Rules that are broken by a single interval. The value said is the highest."""

SCHEDULE_LAG_P99_S: Final = 0.100
LATE_ITERATIONS: Final = 5
"""So many iterations at least must be late, too: among a dozen, one late start would be the 99th percentile already."""
DROPPED_RATIO: Final = 0.01
COMPLETENESS: Final = 0.99
REFUSED_RATIO: Final = 0.001


_SUSTAINED_LIMITS: Final = [(name, Health._fields.index(name), rule.limit) for name, rule in SUSTAINED.items()]


@dataclass(frozen=True, slots=True)
class Violation:
    """A trust check that failed."""

    rule: str
    subject: str
    """Who broke it: ``worker 3``, ``master``, ``scenario documents``, ``run``."""
    value: float
    limit: float
    sentence: str
    """What was wrong and what to do, for people."""


@dataclass(slots=True)
class _Streak:
    """Consecutive seconds in which a limit was reached."""

    seconds: float = 0.0
    weighted: float = 0.0

    @property
    def mean(self) -> float:
        return self.weighted / self.seconds if self.seconds else 0.0


@dataclass(slots=True)
class _Subject:
    name: str
    seconds: float = 0.0
    sums: list[float] = field(default_factory=lambda: [0.0] * len(Health._fields))
    highest: list[float] = field(default_factory=lambda: [0.0] * len(Health._fields))
    streaks: dict[str, _Streak] = field(default_factory=dict)
    longest: dict[str, _Streak] = field(default_factory=lambda: {name: _Streak() for name in SUSTAINED})

    def add(self, health: Health, seconds: float) -> None:
        self.seconds += seconds
        highest = self.highest
        for index, value in enumerate(health):
            if value:  # most are 0 in most seconds, and the master adds every worker's
                self.sums[index] += value * seconds
                highest[index] = max(highest[index], value)
        for name, index, limit in _SUSTAINED_LIMITS:
            value = health[index]
            if value < limit:
                self.streaks.pop(name, None)
                continue
            streak = self.streaks.setdefault(name, _Streak())
            streak.seconds += seconds
            streak.weighted += value * seconds
            if streak.seconds >= self.longest[name].seconds:
                self.longest[name] = streak

    def findings(self) -> Iterator[Violation]:
        for name, rule in SUSTAINED.items():
            streak = self.longest[name]
            if streak.seconds >= SUSTAINED_S:
                yield self._violation(rule, streak.mean, streak.seconds)
        for name, rule in PEAKS.items():
            value = self.highest[Health._fields.index(name)]
            if value >= rule.limit:
                yield self._violation(rule, value, 0.0)

    def _violation(self, rule: HealthRule, value: float, seconds: float) -> Violation:
        message = rule.message.format(value=value, seconds=seconds)
        return Violation(rule.name, self.name, value, rule.limit, f"{self.name} {message}: {rule.advice}")


class Watch:
    """What the processes of a run observed about themselves, in constant memory per process."""

    def __init__(self) -> None:
        """Nothing was observed yet."""
        self._subjects: dict[str, _Subject] = {}

    def add(self, subject: str, health: Health, seconds: float, users: int) -> None:
        """Add an interval.

        Args:
            subject: ``worker 3`` or ``master``.
            health: what it observed.
            seconds: how long the interval was.
            users: the users that ran; an interval without users is left out.
        """
        if users > 0 and seconds > 0:
            known = self._subjects.get(subject)
            if known is None:
                known = self._subjects[subject] = _Subject(subject)
            known.add(health, seconds)

    def findings(self) -> list[Violation]:
        """The broken rules about processes."""
        return [finding for subject in self._subjects.values() for finding in subject.findings()]

    def summary(self) -> tuple[dict[str, Any], ...]:
        """Per process: seconds observed, mean and highest of each field of `Health`."""
        return tuple(
            {
                "subject": subject.name,
                "seconds": round(subject.seconds, 3),
                "mean": _rounded(total / subject.seconds for total in subject.sums),
                "highest": _rounded(subject.highest),
            }
            for subject in self._subjects.values()
        )


def _rounded(values: Any) -> dict[str, float]:
    return {name: round(value, 6) for name, value in zip(Health._fields, values, strict=True)}


def violations(record: RunRecord, watch: Watch) -> list[Violation]:
    """Every broken rule of a run."""
    return [*watch.findings(), *_record_violations(record)]


def _record_violations(record: RunRecord) -> Iterator[Violation]:
    yield from _completeness(record)
    for scenario, lag in record.schedule_lag.items():
        if lag.count < LATE_ITERATIONS:
            continue
        p99_s = lag.quantile(min(0.99, 1 - (LATE_ITERATIONS - 0.5) / lag.count))
        if p99_s >= SCHEDULE_LAG_P99_S:
            yield Violation(
                "schedule_lag",
                f"scenario {scenario}",
                p99_s,
                SCHEDULE_LAG_P99_S,
                f"scenario {scenario} sent its requests {p99_s:.3f} s after their intended start (p99): "
                "add users or workers, or lower the rate",
            )
    yield from _dropped(record)
    yield from _refused(record)


def _completeness(record: RunRecord) -> Iterator[Violation]:
    if record.completeness < COMPLETENESS:
        missing = "; ".join(map(str, record.delivery.missing[:3]))
        yield Violation(
            "completeness",
            "run",
            record.completeness,
            COMPLETENESS,
            f"the record holds {record.completeness:.1%} of what the workers measured ({missing}): look into the "
            "workers' logs, and make the run again",
        )


def _dropped(record: RunRecord) -> Iterator[Violation]:
    begun: dict[str, int] = {}
    for view in record.series():
        begun[view.scenario] = begun.get(view.scenario, 0) + view.requests
    for scenario, dropped in record.dropped.items():
        # Every iteration sends at least one request, so this share is never too high a guess.
        ratio = dropped / (dropped + begun.get(scenario, 0)) if dropped else 0.0
        if ratio >= DROPPED_RATIO:
            yield Violation(
                "dropped_iterations",
                f"scenario {scenario}",
                ratio,
                DROPPED_RATIO,
                f"scenario {scenario} never began {dropped} of its iterations ({ratio:.1%}): add users or workers, "
                "or lower the rate",
            )


def _refused(record: RunRecord) -> Iterator[Violation]:
    times = record.total().response_time
    bad = times.refused + times.above
    ratio = bad / (times.count + times.refused) if bad else 0.0
    if ratio >= REFUSED_RATIO:
        yield Violation(
            "durations",
            "run",
            ratio,
            REFUSED_RATIO,
            f"{times.refused} durations were negative or not a number and {times.above} were above an hour "
            f"({ratio:.1%}): look into the scenario's client and the machine's clock",
        )
