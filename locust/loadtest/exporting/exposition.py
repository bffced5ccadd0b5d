"""Exposition: the master's metrics in Prometheus' text format 0.0.4, or in OpenMetrics 1.0.0 if requests were traced.

Only OpenMetrics has exemplars, which link a bucket of the response times to a trace.

Counters and histograms come from the swarm's totals, which live as long as the process, so no counter decreases between
two runs. The requests that a scenario declares are exported at 0 before load begins: if a counter first appears with a
value, Prometheus misses the increase up to it.

A scrape shares the event loop with the merging of measurements. So the text of a series is a template filled with
values, rendered only if the series counted something since, and other greenlets run after every `SLICE_S` of work. The
values of one series are always from the same moment; those of two series may be some milliseconds apart.

There are at most `MAX_SERIES` time series, whatever names arrive: names beyond the budget count as `other`.

Tested in tests/unit/exporting/test_series.py and tests/contracts/test_metrics.py.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, TypeVar

from loadtest import scenarios
from loadtest.exporting import compatibility
from loadtest.exporting.metrics import METRICS, RECENT, RESPONSE_TIME, SERVICE_TIME, Metric
from loadtest.exporting.run_names import MAX_FAILURES
from loadtest.exporting.scrape import MAX_RULES, MAX_SCENARIOS, MAX_STEPS, MAX_WORKERS, Scrape
from loadtest.exporting.series import (
    HISTOGRAM_LINES,
    RECENT_LINES,
    RecentText,
    SeriesBudget,
    SeriesText,
    Sum,
    header,
    text_of,
    with_exemplars,
)
from loadtest.measuring.error_classes import ERROR_CLASSES
from loadtest.measuring.labels import CONNECTION_PHASES, ENDED_BY, OTHER, SeriesKey
from loadtest.measuring.streams import StreamView
from loadtest.measuring.turn import end_turn
from loadtest.measuring.users import scenario_of
from loadtest.swarm.record_keeper import RecordKeeper

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from locust.env import Environment

    from loadtest.measuring.record import RunRecord
    from loadtest.measuring.record_rows import SeriesView

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS: Final = "application/openmetrics-text"
OPENMETRICS_TYPE: Final = f"{OPENMETRICS}; version=1.0.0; charset=utf-8"
MAX_SERIES: Final = 12_000
"""The maximum number of time series in one exposition."""
MAX_OTHERS: Final = 5
"""The maximum number of combinations of scenario and method with an `other` of their own."""
SLICE_S: Final = 0.001
"""Seconds of work per turn of the event loop."""

_PER_SCENARIO: Final = 6 + 2 * HISTOGRAM_LINES + RECENT_LINES
_PER_STEP: Final = 4 + HISTOGRAM_LINES
"""The number of lines for the counts of a transaction and of a check, and the transaction's times."""
_PER_STREAM: Final = 2 + len(ENDED_BY) + 3 * HISTOGRAM_LINES
_SINGLE: Final = 40
"""The number of time series that exist once: states, verdicts, the run's times."""
_Item = TypeVar("_Item")
_OTHER_KEY: Final = SeriesKey(OTHER, OTHER, OTHER)
_ALL: Final = SeriesKey("", "", "")


class Exposition:
    """The current text of an Environment's metrics, rendered on each call."""

    def __init__(self, environment: Environment, max_series: int = MAX_SERIES, *, compatible: bool = False) -> None:
        """Create the series that the scenarios of the Environment's User classes declare.

        Args:
            environment: a master's Environment.
            max_series: the most time series.
            compatible: add the names of `loadtest.exporting.compatibility`.
        """
        self._environment = environment
        self._keeper = RecordKeeper.of(environment)
        self._compatible = compatible
        self._weights = {
            scenario: sum(cls.weight for cls in environment.user_classes if scenario_of(cls) == scenario)
            for scenario in dict.fromkeys(map(scenario_of, environment.user_classes))
        }
        others = (MAX_OTHERS + 1) * self._lines(ERROR_CLASSES)
        steps = (MAX_STEPS + 1) * _PER_STEP
        extra = steps + _PER_STREAM + len(CONNECTION_PHASES) * HISTOGRAM_LINES
        once = MAX_RULES + MAX_FAILURES + 1 + _SINGLE + RECENT_LINES
        fixed = (MAX_SCENARIOS + 1) * _PER_SCENARIO + 3 * MAX_WORKERS + once + extra + others
        self._budget = SeriesBudget(max_series - fixed - (compatibility.FIXED_LINES if compatible else 0))
        self._series: dict[SeriesKey, SeriesText] = {}
        self._recent: dict[SeriesKey, RecentText] = {}
        for scenario in self._weights:
            for method, name in scenarios.requests_of(scenario):
                self._admit(SeriesKey(scenario, method, name), sorted(ERROR_CLASSES))
        self._streams: list[tuple[str, str, str]] = []
        for scenario in self._weights:
            for method, name in scenarios.streams_of(scenario):
                self._admit_stream((scenario, method, name))

    @property
    def has_exemplars(self) -> bool:
        """Whether there are exemplars. With names for other dashboards there are none: that text is not OpenMetrics."""
        return bool(self._keeper.totals.latest_traces()) and not self._compatible

    def text(self, *, openmetrics: bool = False) -> bytes:
        """Return the whole exposition, with exemplars if it is in OpenMetrics format.

        Other greenlets run meanwhile, but only one may call this at a time.
        """
        totals, last_seconds = self._keeper.totals, self._keeper.recent()
        for key, counted in self._shown(totals):
            self._series[key].update(counted)
        end_turn()
        series = list(self._series.items())
        traces = totals.latest_traces() if openmetrics else {}
        recent = Scrape(self._environment, self._weights, self._streamed(last_seconds), last_seconds)
        streamed, shown = self._streamed(totals), self._own_or_other
        scrape = Scrape(self._environment, self._weights, streamed, totals, recent=recent, shown=shown)
        quantiles = self._quantiles(last_seconds, recent)
        parts: list[bytes] = []
        for metric in _in_turns(METRICS):
            if metric in quantiles:
                lines = quantiles[metric]
            elif metric.values is None:
                lines = [text.texts[metric] for _, text in series]
                if metric is RESPONSE_TIME and traces:
                    lines = [with_exemplars(text.texts[metric], traces.get(key, ())) for key, text in series]
            else:
                lines = [text_of(metric, labels, value) for labels, value in metric.values(scrape).items()]
            parts.append("".join((header(metric, openmetrics=openmetrics), *lines)).encode())
        if self._compatible:
            parts.append("".join(compatibility.lines(self._environment, self._shown_name)).encode())
        if openmetrics:
            parts.append(b"# EOF\n")
        return b"".join(parts)

    def _lines(self, error_classes: Collection[str]) -> int:
        return SeriesText.lines(error_classes) + (compatibility.LINES_PER_NAME if self._compatible else 0)

    def _admit(self, key: SeriesKey, error_classes: list[str]) -> bool:
        """Give a series metrics of its own if the budget allows it."""
        if key not in self._series:
            if not self._budget.take(self._lines(error_classes)):
                return False
            self._series[key] = SeriesText(key, error_classes, self._budget)
        return True

    def _admit_stream(self, labels: tuple[str, str, str]) -> bool:
        """Give the streamed responses to a request metrics of their own if the budget allows it."""
        if labels not in self._streams:
            if not self._budget.take(_PER_STREAM):
                return False
            self._streams.append(labels)
        return True

    def _streamed(self, record: RunRecord) -> dict[tuple[str, str, str], StreamView]:
        """Return the streamed responses by request name; the budget includes `other`."""
        shown = {labels: StreamView(*labels) for labels in self._streams}
        for view in record.streams():
            labels = (view.scenario, view.method, view.name)
            if not self._admit_stream(labels):
                labels = (OTHER, OTHER, OTHER)
            shown.setdefault(labels, StreamView(*labels)).add(view)
        return shown

    def _shown_name(self, method: str, name: str) -> str:
        """Return the name under which a request in Locust's statistics is exported."""
        known = any(SeriesKey(scenario, method, name) in self._series for scenario in self._weights)
        return name if known else OTHER

    def _shown(self, record: RunRecord) -> Iterator[tuple[SeriesKey, SeriesView | Sum]]:
        """Yield the counts of each series, with those without metrics of their own merged; let other greenlets run."""
        folded: dict[SeriesKey, Sum] = {}
        for view in _in_turns(record.series()):
            key = SeriesKey(view.scenario, view.method, view.name)
            if key.name != OTHER and self._admit(key, []):
                yield key, view
            else:
                folded.setdefault(self._other(key), Sum()).add(view)
        yield from folded.items()

    def _quantiles(self, record: RunRecord, scrape: Scrape) -> dict[Metric, list[str]]:
        """Return the recent quantiles of each series, of each scenario, and of everything."""
        sums: dict[SeriesKey, Sum] = {}
        lines: dict[Metric, list[str]] = {RECENT[RESPONSE_TIME]: [], RECENT[SERVICE_TIME]: []}
        for key, counted in self._shown(record):
            sums_of = {SeriesKey(scrape.shown_scenario(key.scenario), "", ""), _ALL}
            if key not in sums_of:  # the series of requests without method and name is one already
                self._add_quantiles(lines, key, counted)
            for each in sums_of:
                sums.setdefault(each, Sum()).add(counted)
        for key, total in sums.items():
            self._add_quantiles(lines, key, total)
        return lines

    def _add_quantiles(self, lines: dict[Metric, list[str]], key: SeriesKey, counted: SeriesView | Sum) -> None:
        if key not in self._recent:
            self._recent[key] = RecentText(key[:3])
        for metric, text in self._recent[key].fill(counted).items():
            lines[metric].append(text)

    def _own_or_other(self, key: SeriesKey) -> SeriesKey:
        """Return the series under which a counted name is exported."""
        return key if key in self._series else self._other(key)

    def _other(self, key: SeriesKey) -> SeriesKey:
        """Return the series that sums names without one of their own; the budget includes it."""
        other = key._replace(name=OTHER)
        if other not in self._series:
            if sum(known.name == OTHER for known in self._series) >= MAX_OTHERS:
                other = _OTHER_KEY
            if other not in self._series:
                self._series[other] = SeriesText(other, sorted(ERROR_CLASSES), self._budget)
        return other


def _in_turns(items: Iterable[_Item]) -> Iterator[_Item]:
    """Yield items, and let other greenlets run after every `SLICE_S` of work."""
    turn_ends_s = time.perf_counter() + SLICE_S
    for item in items:
        yield item
        if time.perf_counter() > turn_ends_s:
            end_turn()
            turn_ends_s = time.perf_counter() + SLICE_S
