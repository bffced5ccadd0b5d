"""The text of samples: one line, one histogram, or all metrics of one series.

A template is made once and filled with numbers at each scrape: that costs a tenth of building each line anew.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np
from prometheus_client.utils import floatToGoString

from loadtest.exporting.metrics import ERRORS, REQUESTS, RESPONSE_BYTES, RESPONSE_TIME, SERVICE_TIME, Metric
from loadtest.measuring.histogram import EDGES_NS, Histogram, snapped_bounds_s
from loadtest.measuring.labels import OTHER

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from loadtest.measuring.measurements import SeriesKey
    from loadtest.measuring.record import SeriesView

BOUNDS_S: Final = snapped_bounds_s()
"""Upper bounds of the buckets in seconds: 36 from 100 µs to 60 s, on edges of the record's bins: counts are exact."""
OF_SERIES: Final = (REQUESTS, RESPONSE_TIME, SERVICE_TIME, RESPONSE_BYTES, ERRORS)
"""The metrics of a series, in the order of the exposition."""
HISTOGRAM_LINES: Final = len(BOUNDS_S) + 3
"""Of one histogram: its buckets, the one of +Inf, sum and count."""

_LAST_BINS: Final = np.searchsorted(EDGES_NS, np.rint(np.multiply(BOUNDS_S, 1e9))) - 1
"""The last bin that lies below each bound: as `Histogram.counts_le`, at a fifth of its cost."""


class Room:
    """How many more time series there may be.

    Attributes:
        left: so many.
    """

    def __init__(self, left: int) -> None:
        self.left = left

    def take(self, lines: int) -> bool:
        """Take room for so many; False, and nothing is taken, when there is not enough."""
        if lines > self.left:
            return False
        self.left -= lines
        return True


@dataclass(slots=True)
class Sum:
    """Several series under one name."""

    requests: int = 0
    failures: int = 0
    response_bytes: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    response_time: Histogram = field(default_factory=Histogram)
    service_time: Histogram = field(default_factory=Histogram)

    def add(self, view: SeriesView) -> None:
        """Add a series."""
        self.requests += view.requests
        self.failures += view.failures
        self.response_bytes += view.response_bytes
        self.errors.update(view.errors)
        self.response_time.merge(view.response_time)
        self.service_time.merge(view.service_time)


class SeriesText:
    """The samples of one series.

    Args:
        key: its labels.
        error_classes: those that are there from the start, at 0.
        room: for further classes; one that finds none counts as `other`.

    Attributes:
        texts: by metric.
    """

    def __init__(self, key: SeriesKey, error_classes: Collection[str], room: Room) -> None:
        self._requests_template = "".join(
            f"{REQUESTS.name}{template(label_text(REQUESTS, (*key, result)))} %d\n" for result in ("success", "failure")
        )
        self._bytes_template = f"{RESPONSE_BYTES.name}{template(label_text(RESPONSE_BYTES, key))} %d\n"
        self._response = HistogramText(RESPONSE_TIME, key)
        self._service = HistogramText(SERVICE_TIME, key)
        self._key = key
        self._room = room
        self._errors = dict.fromkeys(error_classes, 0)
        self._errors_text = self._all_errors()
        self._requests = -1
        self.texts: dict[Metric, str] = {}
        self.update(Sum())

    @staticmethod
    def lines(error_classes: Collection[str]) -> int:
        """Return how many time series one takes, the class `other` included, which it may need at any time."""
        return 2 + 1 + 2 * HISTOGRAM_LINES + len({*error_classes, OTHER})

    def update(self, view: SeriesView | Sum) -> None:
        """Take over the present numbers; nothing to do when no request was counted since the last time."""
        if view.requests == self._requests:
            return
        self._requests = view.requests
        if view.errors:
            self._count_errors(view.errors)
        self.texts = {
            REQUESTS: self._requests_template % (view.requests - view.failures, view.failures),
            RESPONSE_TIME: self._response.filled(view.response_time),
            SERVICE_TIME: self._service.filled(view.service_time),
            RESPONSE_BYTES: self._bytes_template % view.response_bytes,
            ERRORS: self._errors_text,
        }

    def _count_errors(self, errors: Mapping[str, int]) -> None:
        counts: Counter[str] = Counter()
        for error_class, count in errors.items():
            known = error_class in self._errors or error_class == OTHER or self._room.take(1)
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

    def filled(self, histogram: Histogram) -> str:
        """Return the samples with the histogram's numbers."""
        cumulated = np.cumsum(histogram.counts)
        count = int(cumulated[-1])
        return self._text % (*cumulated[_LAST_BINS].tolist(), count, histogram.sum_s, count)


def head(metric: Metric) -> str:
    """Return the two lines that come before a metric's samples."""
    return f"# HELP {metric.name} {metric.meaning}\n# TYPE {metric.name} {metric.kind}\n"


def samples(metric: Metric, values: Mapping[str, float]) -> list[str]:
    """Return one line for each value of the metric's only label."""
    return [sample(metric, (label,), value) for label, value in values.items()]


def sample(metric: Metric, labels: Iterable[str], value: float) -> str:
    """Return one line."""
    return f"{metric.name}{label_text(metric, labels)} {floatToGoString(value)}\n"


def label_text(metric: Metric, values: Iterable[str]) -> str:
    """Return the labels of a line in braces; nothing for a metric without any."""
    pairs = [f'{name}="{_escaped(value)}"' for name, value in zip(metric.labels, values, strict=True)]
    return "{" + ",".join(pairs) + "}" if pairs else ""


def template(text: str) -> str:
    """Return the template of a text that is to stand there as it is."""
    return text.replace("%", "%%")


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
