"""Judge: evaluates the thresholds of a run on its record, during the run and at its end.

A threshold with a warm-up is evaluated on a separate record without the warm-up: counts, percentiles and extremes are
those of the remaining time, not differences. That record begins at the first whole second of the time line after the
warm-up.

Percentiles come from the histogram, within 0.79 % of the true ones. Ratios, rates, means and extremes are exact.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from loadtest.judging import certainty, steady
from loadtest.judging.metric import METRICS
from loadtest.judging.outcome import Outcome, Result
from loadtest.measuring.histogram import Histogram
from loadtest.measuring.labels import LOAD

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from loadtest.judging.threshold import Threshold
    from loadtest.measuring.record import RunRecord
    from loadtest.measuring.record_rows import SeriesView


class Judge:
    """The thresholds of one run, evaluated on its record.

    Create it when the load begins, before anything is counted.

    Args:
        rules: the thresholds of the run.
        record: the run's growing record.
        started_at: when the load begins, in seconds since the epoch; by default now.
        longest_s: the longest duration of the load in seconds, however long its last requests take; None if unknown.
        now: the wall clock, in seconds since the epoch.
        finds_warm_up_in_s: the planned length, in seconds, of a load whose warm-up is to be detected; None not to
            detect it.
    """

    def __init__(
        self,
        rules: Sequence[Threshold],
        record: RunRecord,
        started_at: float | None = None,
        longest_s: float | None = None,
        now: Callable[[], float] = time.time,
        *,
        finds_warm_up_in_s: float | None = None,
    ) -> None:
        self._rules = tuple(rules)
        self._record = record
        self._now = now
        self._started_at = now() if started_at is None else started_at
        self._longest_s = math.inf if longest_s is None else longest_s
        self._ended_at: float | None = None
        self._failing_since: dict[Threshold, float] = {}
        self._aborted_by: Result | None = None
        self._candidates_s = steady.candidates_s(finds_warm_up_in_s) if finds_warm_up_in_s else []
        warm_ups_s = {*(rule.warm_up_s for rule in self._rules), *self._candidates_s}
        self._cuts = {warm_up_s: self._cut(warm_up_s) for warm_up_s in warm_ups_s}

    def _cut(self, warm_up_s: float) -> _Cut:
        """Return the record from the end of the warm-up on."""
        origin = math.floor(self._record.started_at)
        begins = self._started_at + warm_up_s
        if not warm_up_s:
            return _Cut(self._record, begins - origin)
        second = math.ceil(begins) - origin
        return _Cut(self._record.since(second), second)

    def tick(self) -> Result | None:
        """Evaluate the thresholds that may end the run. Call this once a second.

        Returns:
            The result of the first threshold that has failed for its whole delay, which ends the run; None if there is
            none.
        """
        now = self._now()
        for result in self._judge([rule for rule in self._rules if rule.abort_on_fail]):
            if result.outcome is not Outcome.FAILED:
                self._failing_since.pop(result.threshold, None)
            elif now - self._failing_since.setdefault(result.threshold, now) >= result.threshold.delay_s:
                self._aborted_by = result
                return result
        return None

    def end(self) -> None:
        """Record that the load has ended, which is the end of the time for rates. Calling it again changes nothing."""
        self._ended_at = self._ended_at or self._now()

    def leave_out(self, warm_up_s: float) -> float:
        """Exclude a detected warm-up from every rule about the load that has no warm-up of its own.

        Args:
            warm_up_s: the length of the warm-up in seconds.

        Returns:
            The seconds that are excluded: as many, or a few more.
        """
        longer = [candidate_s for candidate_s in self._candidates_s if candidate_s >= warm_up_s > 0]
        if not longer:
            return 0.0
        self._rules = tuple(
            rule if rule.warm_up_s or rule.is_of_setup else replace(rule, warm_up_s=longer[0]) for rule in self._rules
        )
        return longer[0]

    @property
    def load_s(self) -> float:
        """The seconds of load until now, or until its end."""
        return min((self._ended_at or self._now()) - self._started_at, self._longest_s)

    @property
    def began_at(self) -> float:
        """When the load began, in seconds since the epoch."""
        return self._started_at

    @property
    def counted_s(self) -> float:
        """The seconds of load since its beginning, or since the last reset of the statistics."""
        return self._cut(0.0).seconds_until(self._until_s)

    @property
    def _until_s(self) -> float:
        """The end of the load, or now, in seconds since the run's first second."""
        return self._started_at + self.load_s - math.floor(self._record.started_at)

    def results(self) -> list[Result]:
        """Evaluate every threshold on the record so far. The outcome of one that ended the run is final."""
        results, ended = self._judge(self._rules), self._aborted_by
        if ended is None:
            return results
        condition = ended.threshold.condition
        return [ended if result.threshold.condition == condition else result for result in results]

    def final_results(self) -> list[Result]:
        """Evaluate every threshold at the end of the run: each value with its 95 % interval, if it has one."""
        results = self.results()
        kinds = {certainty.kept_as(result.threshold) for result in results}
        blocks = {kind: certainty.blocks_of(self._record, *kind) for kind in kinds}
        return [
            certainty.with_interval(
                result,
                *blocks[certainty.kept_as(result.threshold)],
                self._cuts[result.threshold.warm_up_s].start_s if result.threshold.warm_up_s else 0.0,
            )
            for result in results
        ]

    def _judge(self, rules: Iterable[Threshold]) -> list[Result]:
        until_s = self._until_s
        views: dict[tuple[float, str, tuple[tuple[str, str], ...]], _View] = {}
        results = []
        for rule in rules:
            key = (rule.warm_up_s, rule.phase, rule.selector)
            if key not in views:
                views[key] = _View(self._cuts[rule.warm_up_s], rule, until_s)
            results.append(views[key].result(rule))
        return results


@dataclass(frozen=True)
class _Cut:
    """A record from a moment on, in seconds since the run's first second."""

    record: RunRecord
    start_s: float

    def seconds_until(self, until_s: float) -> float:
        """The counted seconds: since the cut, or since a later reset of the statistics."""
        return until_s - max(self.start_s, self.record.reset_at_s or 0)


class _View:
    """The part of a record that a selector selects."""

    def __init__(self, cut: _Cut, rule: Threshold, until_s: float) -> None:
        record = self._record = cut.record.of_phase(rule.phase)
        self._seconds = cut.seconds_until(until_s)
        self._series: list[SeriesView] = (
            list(record.series(lambda key: rule.selects(**key._asdict()))) if rule.selector else [record.total()]
        )
        setup = cut.record.setup if rule.phase == LOAD and not self._series else None
        self._is_of_setup = setup is not None and any(setup.series(lambda key: rule.selects(**key._asdict())))

    def result(self, rule: Threshold) -> Result:
        """Evaluate a rule."""
        return replace(self._evaluated(rule), is_of_setup=self._is_of_setup)

    def _evaluated(self, rule: Threshold) -> Result:
        if not rule.aggregate:
            result = Result.of(rule, self._figure(rule))
            requests = sum(view.requests for view in self._series)
            return replace(result, samples=requests) if requests < rule.samples_needed else result
        histograms = self._lags(rule)
        if rule.metric != "schedule_lag":
            whole = "response_time" if METRICS[rule.metric].phase != LOAD else rule.metric  # of all that is kept apart
            metric = f"{rule.result}_time" if rule.result else whole
            histograms = [getattr(view, metric) for view in self._series]
        times = _merged(histograms)
        if times.count < rule.samples_needed:
            return Result(rule, None, Outcome.NO_DATA, times.count)
        return Result.of(rule, _aggregated(rule, times))

    def _figure(self, rule: Threshold) -> float | None:
        """Return the value of the rule's figure; None without samples."""
        if rule.metric == "dropped_ratio":
            dropped = sum(count for name, count in self._record.dropped.items() if rule.selects(scenario=name))
            intended = dropped + sum(lag.count for lag in self._lags(rule))
            return dropped / intended if intended else None
        if rule.metric == "connections_open":
            return self._record.connections_peak or None  # those of other clients are unknown
        requests = sum(view.requests for view in self._series)
        if not requests:
            return None
        if rule.kind in {"count", "size"}:  # requests, or what is counted like them in a phase of its own
            return requests if rule.kind == "count" else float(sum(getattr(view, rule.metric) for view in self._series))
        if rule.metric == "requests_per_s":
            return requests / self._seconds if self._seconds > 0 else None
        failures = sum(view.failures for view in self._series)
        return (requests - failures if rule.metric == "check_ratio" else failures) / requests

    def _lags(self, rule: Threshold) -> list[Histogram]:
        return [lag for name, lag in self._record.schedule_lag.items() if rule.selects(scenario=name)]


def _merged(histograms: Sequence[Histogram]) -> Histogram:
    if len(histograms) == 1:
        return histograms[0]
    merged = Histogram()
    for histogram in histograms:
        merged.merge(histogram)
    return merged


def _aggregated(rule: Threshold, times: Histogram) -> float:
    """Return the rule's aggregate of a non-empty histogram, in seconds."""
    if rule.quantile is not None:
        return times.quantile(rule.quantile)
    return {"mean": times.mean_s, "min": times.min_s, "max": times.max_s}[rule.aggregate]
