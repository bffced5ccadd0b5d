"""Plan: whether the requested load was generated, second by second.

A run with fewer users than it says, or with fewer or more arrivals, measures another load. The plan is in the record's
context. The users are those that the workers counted themselves, so a worker that only sends heartbeats adds none.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from loadtest.measuring.labels import ITERATION, LATE_START_S, STARTING
from loadtest.measuring.record import RATE, USERS
from loadtest.progress import counted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from loadtest.measuring.record import RunRecord

LAG_S: Final = LATE_START_S
"""Seconds that users may lag behind the plan: they are started in steps of a second and counted once a second. The
on_start of each may also take this long."""
SHORTFALL_RATIO: Final = 0.05
"""The missing share of the planned users or arrivals, 0 to 1, from which the load differs from the plan."""
SURPLUS_RATIO: Final = 0.05
"""Iterations beyond the planned arrivals, divided by these, from which the load differs from the plan."""
_ONE_USER: Final = 0.5
"""The level from which it is rounded to whole users."""
_MIN_RATE: Final = 1e-9
_TICK_S: Final = 1.0
"""Seconds between two calls of a load shape by Locust, unless Locust is still starting the users of an earlier call."""
_MAX_LEVELS: Final = 1_200
"""The maximum number of levels of a load shape that are kept; beyond it, every second level is dropped."""
_DEVIATIONS: Final = 4.0
"""Standard deviations of the number of random arrivals that do not count as a shortfall."""


_FEW_ARRIVALS: Final = 25.0
"""Minimum number of planned arrivals for a surplus: a run that was interrupted at once planned a fraction of one."""


class Shortfall(NamedTuple):
    """The part of a plan that was not carried out."""

    ratio: float
    """The missing share, 0 to 1."""
    what: str
    """What was missing, as the beginning of a sentence."""


class Surplus(NamedTuple):
    """The load beyond the plan."""

    ratio: float
    """The surplus divided by the planned arrivals, 0 or more."""
    iterations: int
    """The number of iterations that were made."""
    planned: float
    """The number of arrivals in the plan."""


def shortfall(record: RunRecord) -> Shortfall:
    """Compare the plan with the load; without a plan nothing is missing."""
    plan: dict[str, Any] = record.context.get("plan") or record.context.get("shape") or {}
    levels: list[tuple[float, float]] = [(t_s, level) for t_s, level in plan.get("levels") or ()]
    if not levels or not plan.get("stages"):
        return Shortfall(0.0, "")
    if plan["model"] == "open":
        return _missing_arrivals(record, _arrivals(plan, _until_s(record)))
    until_s = _until_s(record)
    return max(_ramp(plan), _users(record, levels, begins_s(record), until_s), _late_starts(record, levels, until_s))


def surplus(record: RunRecord) -> Surplus | None:
    """Compare the completed iterations with the planned arrivals; None if there are not more.

    Users that loop without a pause turn an open model into a closed one: what the service cannot handle is not
    requested, and no response time counts from an intended start.
    """
    plan: dict[str, Any] = record.context.get("plan") or {}
    if plan.get("model") != "open" or not plan.get("levels"):
        return None
    planned = _arrivals(plan, _until_s(record, lag_s=0.0))
    made = record.of_phase(ITERATION).total().requests
    beyond = made - planned
    if beyond <= _DEVIATIONS * max(planned, _FEW_ARRIVALS) ** 0.5:
        return None
    return Surplus(beyond / max(planned, 1.0), made, planned)


def change_users(record: RunRecord, second: float, users: float, spawn_rate_per_s: float) -> None:
    """Replace the plan of a run of users from the moment at which a person changed their number.

    Args:
        record: the run's record, which notes the change.
        second: when, in seconds since the run's first second.
        users: the new number of users.
        spawn_rate_per_s: how many users are started or stopped per second.
    """
    plan: dict[str, Any] = record.context.get("plan") or {}
    is_limit = plan.get("model") == "open"
    what = "largest number of users" if is_limit else "number of users"
    record.note(second, USERS, f"the {what} was changed to {users:g}, at {spawn_rate_per_s:g} per second")
    if is_limit or not plan.get("levels"):
        return
    at_s = second - begins_s(record)
    before = [[t_s, level] for t_s, level in plan["levels"] if t_s < at_s]
    level = before[-1][1] if before else 0.0
    step = math.copysign(spawn_rate_per_s, users - level)
    reach = min if users > level else max
    after = [[t_s, reach(users, level + step * (t_s - at_s))] for t_s, _ in plan["levels"] if t_s >= at_s]
    peak = max(stage["level"] for stage in plan["stages"])  # the rest of the ramp was cancelled
    record.context["plan"] = {**plan, "levels": before + after, "peak": peak}


def change_rate(record: RunRecord, second: float, rate_per_s: float) -> None:
    """Replace the plan of a run of arrivals from the moment at which a person changed their rate.

    Args:
        record: the run's record, which notes the change.
        second: when, in seconds since the run's first second.
        rate_per_s: the arrivals per second from then on, to the end of the plan.
    """
    record.note(second, RATE, f"the arrival rate was changed to {rate_per_s:g} per second")
    plan: dict[str, Any] = record.context["plan"]
    levels: list[tuple[float, float]] = [(t_s, level) for t_s, level in plan["levels"]]
    at_s, end_s = max(0.0, second - begins_s(record)), plan["run_time_s"]  # a change may precede the first arrival
    sampled = _area(_to_end(levels, end_s), end_s)
    before = [[t_s, level] for t_s, level in levels if t_s < at_s]
    begun = _area(_to_end(levels, end_s), at_s) * (plan["arrivals_total"] / sampled if sampled else 1.0)
    steps = [[at_s, before[-1][1] if before else rate_per_s], [at_s, rate_per_s]]
    after = [[t_s, rate_per_s] for t_s, _ in levels if t_s > at_s]
    total = round(begun + rate_per_s * max(0.0, end_s - at_s), 3)
    record.context["plan"] = {**plan, "levels": [*before, *steps, *after], "arrivals_total": total}


class RequestedByShape:
    """The load that a locustfile's load shape requested, known only from its ticks: the run's plan so far."""

    def __init__(self, record: RunRecord) -> None:
        self.record = record
        self._users, self._rate_per_s = 0.0, 0.0
        self._level, self._at_s = 0.0, 0.0
        self._levels: list[tuple[float, float]] = []
        self._skipped, self._every = 0, 1
        self._least: tuple[float, float, float] | None = None
        self._late_s, self._late_after = 0.0, ""

    def follow(self, second: float, users: float | None, spawn_rate_per_s: float = 0.0) -> None:
        """Record one tick.

        Args:
            second: when, in seconds since the run's first second.
            users: the number of users that it requests; None if it ends the run.
            spawn_rate_per_s: how many users are started or stopped per second.
        """
        at_s = max(0.0, second - begins_s(self.record))
        self._note_late(at_s - self._at_s - _TICK_S, users, spawn_rate_per_s)
        step = (self._rate_per_s or spawn_rate_per_s) * (at_s - self._at_s)
        target = self._users if self._rate_per_s else users or 0.0
        self._level += max(-step, min(step, target - self._level))
        self._at_s = at_s
        if self._rate_per_s and (users is None or users < self._users):
            self._leave_behind()
            self._level = max(users or 0.0, self._level - spawn_rate_per_s)  # the first of them stop immediately
        self._keep(at_s)
        if users is not None:
            self._users, self._rate_per_s = users, spawn_rate_per_s
        self.record.context["shape"] = self._plan()

    def _note_late(self, late_s: float, users: float | None, spawn_rate_per_s: float) -> None:
        """Record the longest time between two ticks after which the shape requested something else."""
        before = (self._users, self._rate_per_s)
        if self._rate_per_s and late_s >= max(LAG_S, self._late_s) and (users, spawn_rate_per_s) != before:
            self._late_s, self._late_after = late_s, f"{before[0]:g} users at {before[1]:g} per second"

    def _leave_behind(self) -> None:
        """Record how much of a request was carried out before the next one replaced it; the smallest share counts.

        Locust starts a second's users at once, so the last of them start up to a second early.
        """
        if self._level + self._rate_per_s >= self._users:
            return
        if self._least is None or self._level * self._least[1] < self._least[0] * self._users:
            self._least = (self._level, self._users, self._rate_per_s)

    def _keep(self, at_s: float) -> None:
        self._skipped += 1
        if self._skipped >= self._every:
            self._levels.append((round(at_s, 3), round(self._level, 3)))
            self._skipped = 0
        if len(self._levels) > _MAX_LEVELS:
            del self._levels[::2]
            self._every *= 2

    def _plan(self) -> dict[str, Any]:
        peak, asked, rate_per_s = self._least or (self._level, self._level, self._rate_per_s)
        return {
            "model": "closed",
            "stages": [{"level": asked}],
            "peak": peak,
            "spawn_rate_per_s": rate_per_s,
            "levels": self._levels,
            "late_s": round(self._late_s, 3),
            "late_after": self._late_after,
        }


def begins_s(record: RunRecord) -> float:
    """Return when the load began, in seconds since the run's first second."""
    return next((event.second for event in record.events if event.kind == "start"), 0.0)


def _ramp(plan: dict[str, Any]) -> Shortfall:
    """The part of a ramp that a run shorter than the ramp leaves out."""
    asked = max(stage["level"] for stage in plan["stages"])
    peak = plan.get("peak", asked)
    return Shortfall(
        1 - peak / asked if asked else 0.0,
        f"at {plan['spawn_rate_per_s']:g} users per second the run reached {peak:.0f} of the {asked:.0f} requested "
        "users",
    )


def _users(record: RunRecord, levels: list[tuple[float, float]], from_s: float, until_s: float) -> Shortfall:
    points = {point.second: point for point in record.timeline}
    running = {second: point.users for point in points.values() for second in range(point.second, point.end)}
    planned = missing = 0.0
    for t_s, _ in levels:
        second = int(from_s + t_s)
        if LAG_S <= t_s < until_s - 1.0 and second in running:
            wanted = min(math.floor(level + _ONE_USER) for at_s, level in levels if t_s - LAG_S <= at_s <= t_s)
            planned += wanted
            missing += max(0.0, wanted - running[second])
    ratio = missing / planned if planned else 0.0
    return Shortfall(ratio, f"{ratio:.0%} of the users of the profile did not run")


def _late_starts(record: RunRecord, levels: list[tuple[float, float]], until_s: float) -> Shortfall:
    """Compare the time that users spent in on_start with the planned time of all users."""
    took = record.of_phase(STARTING).total().response_time
    planned_s = _area(_to_end(levels, until_s), until_s)
    return Shortfall(
        (took.sum_s - LAG_S * took.count) / planned_s if planned_s else 0.0,
        f"{counted(took.count, 'user')} took up to {took.max_s:.1f} s for on_start, and generated no load meanwhile: "
        f"{took.sum_s:,.0f} s of the {planned_s:,.0f} s that the profile plans for all users together",
    )


def _to_end(levels: list[tuple[float, float]], end_s: float) -> list[tuple[float, float]]:
    """Return the samples of a curve, extended to its end."""
    return [*levels, (end_s, levels[-1][1])]


def _area(levels: list[tuple[float, float]], until_s: float) -> float:
    return sum(
        (min(to_s, until_s) - from_s) * (first + last) / 2
        for (from_s, first), (to_s, last) in pairwise(levels)
        if from_s < until_s
    )


def _until_s(record: RunRecord, lag_s: float = LAG_S) -> float:
    """Return the length of the load in seconds; for an unfinished run, up to `lag_s` before the last known second."""
    return record.load_s if record.load_s is not None else record.timeline.end - begins_s(record) - lag_s


def _arrivals(plan: dict[str, Any], until_s: float) -> float:
    """Return the arrivals planned up to a moment. Levels are samples of a curve that varies between them."""
    levels = _to_end([(t_s, level) for t_s, level in plan["levels"]], plan["run_time_s"])
    sampled, total = _area(levels, math.inf), plan.get("arrivals_total")
    return _area(levels, until_s) * (total / sampled if total and sampled else 1.0)


def _missing_arrivals(record: RunRecord, planned: float) -> Shortfall:
    missing = planned - sum(record.tasks.values()) - sum(record.dropped.values())
    if missing <= _DEVIATIONS * planned**0.5:
        return Shortfall(0.0, "")
    return Shortfall(
        missing / planned,
        f"{missing:.0f} of the {planned:.0f} arrivals of the profile were neither started nor dropped",
    )


def notes(record: RunRecord) -> Iterator[str]:
    """Say for how long the plan has no load, so nothing is measured, and where a load shape was not followed."""
    shape: dict[str, Any] = record.context.get("shape") or {}
    if shape.get("late_s"):
        yield (
            f"the load shape requested {shape['late_after']}, and Locust started all of them before it called the "
            f"shape again, {shape['late_s']:.0f} s late: the run is up to that much longer than the shape, and lacks "
            "its load for that time. Next: let the shape request no more users than Locust can start within a second, "
            "or a higher spawn rate"
        )
    plan: dict[str, Any] = record.context.get("plan") or {}
    stages: list[dict[str, Any]] = plan.get("stages") or []
    least, asked = (_ONE_USER, "users") if plan.get("model") == "closed" else (_MIN_RATE, "arrivals")
    none_s, before = 0.0, 0.0
    for stage in stages:
        if stage["level"] < least and (stage["ramp"] == "step" or before < least):  # a ramp to zero still has some
            none_s += stage["duration_s"]
        before = stage["level"]
    if none_s:
        yield (
            f"the profile has no {asked} for {none_s:g} s: nothing is measured then, but rates cover the whole run. "
            "Next: if this is not intended, raise the level of the stage, or the peak that scales all stages"
        )
