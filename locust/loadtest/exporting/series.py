"""The text of samples: of one line, of one histogram, or of all metrics of one series.

A template is built once and filled with values at each scrape, which takes a tenth of the time of building the lines.

Tested in tests/unit/exporting/test_series.py and tests/contracts/test_metrics.py.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np
from prometheus_client.utils import floatToGoString

from loadtest.exporting.metrics import (
    ERRORS,
    RECENT,
    REQUEST_BYTES,
    REQUESTS,
    RESPONSE_BYTES,
    RESPONSE_TIME,
    SERVICE_TIME,
    Metric,
)
from loadtest.exporting.scrape import QUANTILES
from loadtest.measuring.histogram import EDGES_NS, Histogram, snapped_bounds_s
from loadtest.measuring.labels import OTHER

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from loadtest.measuring.labels import SeriesKey
    from loadtest.measuring.record_rows import SeriesView
    from loadtest.measuring.traces import Trace

BOUNDS_S: Final = snapped_bounds_s()
"""The buckets' upper bounds in seconds: 36 from 100 µs to 60 s, at edges of the record's bins, so counts are exact."""
HISTOGRAM_LINES: Final = len(BOUNDS_S) + 3
"""The number of lines per histogram: its buckets, the +Inf bucket, sum and count."""
RECENT_LINES: Final = 2 * len(QUANTILES)
"""The number of recent quantiles of the response time and the service time together."""
EXTREMES: Final = 2
"""The number of lines for the lowest and the highest response time of a name in the run."""

_LAST_BINS: Final = np.searchsorted(EDGES_NS, np.rint(np.multiply(BOUNDS_S, 1e9))) - 1
"""The last bin below each bound: the rule of `Histogram.counts_le`, at a fifth of its cost."""


class SeriesBudget:
    """The number of time series that may still be created.

    Attributes:
        left: the remaining number.
    """

    def __init__(self, left: int) -> None:
        self.left = left

    def take(self, lines: int) -> bool:
        """Use up this many and return True; if fewer are left, use none and return False."""
        if lines > self.left:
            return False
        self.left -= lines
        return True


@dataclass(slots=True)
class Sum:
    """Several series, summed under one name."""

    requests: int = 0
    failures: int = 0
    response_bytes: int = 0
    request_bytes: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    response_time: Histogram = field(default_factory=Histogram)
    service_time: Histogram = field(default_factory=Histogram)

    def add(self, view: SeriesView | Sum) -> None:
        """Add a series."""
        self.requests += view.requests
        self.failures += view.failures
        self.response_bytes += view.response_bytes
        self.request_bytes += view.request_bytes
        self.errors.update(view.errors)
        self.response_time.merge(view.response_time)
        self.service_time.merge(view.service_time)


class SeriesText:
    """The samples of one series.

    Args:
        key: its labels.
        error_classes: the classes that exist from the start, at 0.
        budget: for further classes; those beyond it count as `other`.

    Attributes:
        texts: the rendered text by metric.
    """

    def __init__(self, key: SeriesKey, error_classes: Collection[str], budget: SeriesBudget) -> None:
        labels = key[:3]  # every series here is of the load phase
        self._requests_template = "".join(
            f"{REQUESTS.name}{template(label_text(REQUESTS, (*labels, result)))} %d\n"
            for result in ("success", "failure")
        )
        self._bytes_templates = {
            metric: f"{metric.name}{template(label_text(metric, labels))} %d\n"
            for metric in (RESPONSE_BYTES, REQUEST_BYTES)
        }
        self._response = HistogramText(RESPONSE_TIME, labels)
        self._service = HistogramText(SERVICE_TIME, labels)
        self._key = labels
        self._budget = budget
        self._errors = dict.fromkeys(error_classes, 0)
        self._errors_text = self._all_errors()
        self._requests = -1
        self.texts: dict[Metric, str] = {}
        self.update(Sum())

    @staticmethod
    def lines(error_classes: Collection[str]) -> int:
        """Return the number of time series of one series, including the class `other`, which may always be needed."""
        return 2 + 2 + 2 * HISTOGRAM_LINES + RECENT_LINES + EXTREMES + len({*error_classes, OTHER})

    def update(self, view: SeriesView | Sum) -> None:
        """Render the current values. Does nothing if no request was counted since the last call."""
        if view.requests == self._requests:
            return
        self._requests = view.requests
        if view.errors:
            self._count_errors(view.errors)
        self.texts = {
            REQUESTS: self._requests_template % (view.requests - view.failures, view.failures),
            RESPONSE_TIME: self._response.fill(view.response_time),
            SERVICE_TIME: self._service.fill(view.service_time),
            RESPONSE_BYTES: self._bytes_templates[RESPONSE_BYTES] % view.response_bytes,
            REQUEST_BYTES: self._bytes_templates[REQUEST_BYTES] % view.request_bytes,
            ERRORS: self._errors_text,
        }

    def _count_errors(self, errors: Mapping[str, int]) -> None:
        counts: Counter[str] = Counter()
        for error_class, count in errors.items():
            known = error_class in self._errors or error_class == OTHER or self._budget.take(1)
            counts[error_class if known else OTHER] += count
        if any(self._errors.get(error_class) != count for error_class, count in counts.items()):
            self._errors.update(counts)
            self._errors_text = self._all_errors()

    def _all_errors(self) -> str:
        return "".join(sample(ERRORS, (*self._key, name), count) for name, count in self._errors.items())


class HistogramText:
    """The template of a histogram's samples."""

    def __init__(self, metric: Metric, values: Iterable[str]) -> None:
        labels = template(label_text(metric, values)[1:-1])
        buckets = [f'{metric.name}_bucket{{{labels},le="{bound}"}} %d\n' for bound in (*BOUNDS_S, "+Inf")]
        self._text = f"{''.join(buckets)}{metric.name}_sum{{{labels}}} %r\n{metric.name}_count{{{labels}}} %d\n"

    def fill(self, histogram: Histogram) -> str:
        """Return the samples of a histogram."""
        cumulated = np.cumsum(histogram.counts)
        count = int(cumulated[-1])
        return self._text % (*cumulated[_LAST_BINS].tolist(), count, histogram.sum_s, count)


class RecentText:
    """The template for the recent quantiles of a series, of a scenario, or of everything.

    Args:
        labels: scenario, method and name; empty where they do not apply.
    """

    def __init__(self, labels: Iterable[str]) -> None:
        self._templates = {
            metric: "".join(f"{metric.name}{template(label_text(metric, (*labels, str(q))))} %r\n" for q in QUANTILES)
            for metric in (RECENT[RESPONSE_TIME], RECENT[SERVICE_TIME])
        }

    def fill(self, view: SeriesView | Sum) -> dict[Metric, str]:
        """Return the samples by metric; empty if no time was counted."""
        times = zip(self._templates.items(), (view.response_time, view.service_time), strict=True)
        return {
            metric: text % tuple(histogram.quantiles(QUANTILES)) if histogram.count else ""
            for (metric, text), histogram in times
        }


def header(metric: Metric, *, openmetrics: bool = False) -> str:
    """Return the two lines before the samples of a metric. OpenMetrics omits a counter's suffix there."""
    name = metric.name.removesuffix("_total") if openmetrics and metric.kind == "counter" else metric.name
    return f"# HELP {name} {metric.meaning}\n# TYPE {name} {metric.kind}\n"


def with_exemplars(text: str, traces: Iterable[Trace]) -> str:
    """Return the samples of a histogram with traces as exemplars at the buckets of their times, as in OpenMetrics."""
    lines = text.split("\n")
    for bucket, trace in {bisect_left(BOUNDS_S, trace.response_s): trace for trace in traces}.items():
        lines[bucket] += f' # {{trace_id="{trace.trace_id}"}} {floatToGoString(trace.response_s)}'
    return "\n".join(lines)


def text_of(metric: Metric, labels: Iterable[str], value: float | Histogram) -> str:
    """Return the line of a number or the lines of a histogram."""
    if isinstance(value, Histogram):
        return HistogramText(metric, labels).fill(value)
    return sample(metric, labels, value)


def sample(metric: Metric, labels: Iterable[str], value: float) -> str:
    """Return one line."""
    return f"{metric.name}{label_text(metric, labels)} {floatToGoString(value)}\n"


def label_text(metric: Metric, values: Iterable[str]) -> str:
    """Return the labels of a line in braces; empty for a metric without labels."""
    pairs = [f'{name}="{_escaped(value)}"' for name, value in zip(metric.labels, values, strict=True)]
    return "{" + ",".join(pairs) + "}" if pairs else ""


def template(text: str) -> str:
    """Return a template that renders to this text."""
    return text.replace("%", "%%")


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
