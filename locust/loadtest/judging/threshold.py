"""Threshold: one rule over a run; `loadtest.judging.threshold_parser` reads it from text."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from loadtest.judging.metric import METRICS, UNITS
from loadtest.measuring.histogram import samples_needed
from loadtest.measuring.labels import SETUP

if TYPE_CHECKING:
    from collections.abc import Callable

COMPARISONS: Final[dict[str, Callable[[float, float], bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_WHOLE_FROM: Final = 10_000  # from this value on, four significant digits would need an exponent


def rounded_for_limit(value: float, limit: float) -> str:
    """Return a number with four significant digits, or as many as are needed to see on which side of a limit it is.

    "Failed with 100%" would not be a reason for a rule that requires 100 %.
    """
    value, limit = (float(f"{one:.12g}") for one in (value, limit))
    texts = [f"{value:.0f}"] if value >= _WHOLE_FROM else []
    texts += [f"{value:.{digits}g}" for digits in range(4, 13) if value < 10**digits]
    return next((text for text in texts if _side(float(text), limit) == _side(value, limit)), f"{value:.12g}")


def _side(value: float, limit: float) -> int:
    return (value > limit) - (value < limit)


@dataclass(frozen=True)
class Threshold:
    """One rule. `str` returns its canonical text, which parses to an equal rule.

    Attributes:
        metric: a key of `METRICS`.
        comparison: a key of `COMPARISONS`.
        number: the number after the comparison, at least 0, in `unit`.
        unit: a key of the metric's `UNITS`.
        aggregate: "p99", "mean", "min", "max"; empty for a figure.
        selector: pairs of label and value, in the order of the metric's labels.
        warm_up_s: seconds at the beginning of the run that do not count.
        delay_s: with `abort_on_fail`: seconds for which the rule must have failed without interruption.
        abort_on_fail: end the run when the rule fails.
    """

    metric: str
    comparison: str
    number: float
    unit: str
    aggregate: str = ""
    selector: tuple[tuple[str, str], ...] = ()
    warm_up_s: float = 0.0
    delay_s: float = 0.0
    abort_on_fail: bool = False

    @property
    def kind(self) -> str:
        """The metric's kind."""
        return METRICS[self.metric].kind

    @property
    def limit(self) -> float:
        """The limit in seconds, as a ratio from 0 to 1, per second, in bytes, or as a plain number."""
        return self.number * UNITS[self.kind][self.unit]

    @property
    def quantile(self) -> float | None:
        """The quantile, 0 to 1, if the aggregate is a percentile; otherwise None."""
        return float(Decimal(self.aggregate[1:]) / 100) if self.aggregate.startswith("p") else None

    @property
    def samples_needed(self) -> int:
        """Minimum number of samples from which the aggregate can be judged; 1 for all but percentiles and error ratios.

        The extremes p0 and p100 are, like min and max, those of the existing samples. For an upper limit of an error
        ratio, it is the number of requests from which a run without failures meets the rule, as for a percentile of 0
        or 1.
        """
        if self.metric == "error_ratio" and self.comparison.startswith("<") and 0 < self.limit < 1:
            return samples_needed(1 - self.limit)
        quantile = self.quantile
        return 1 if quantile in {None, 0.0, 1.0} else samples_needed(quantile)

    @property
    def phase(self) -> str:
        """The phase that the rule is about: the load, requests of set-up, transactions, or checks."""
        return dict(self.selector).get("phase", METRICS[self.metric].phase)

    @property
    def is_of_setup(self) -> bool:
        """Whether the rule is about requests in on_start and on_stop, from which no warm-up is excluded."""
        return self.phase == SETUP

    @property
    def result(self) -> str:
        """The requests whose times the rule is about: ``success``, ``failure``, or empty for all."""
        return dict(self.selector).get("result", "")

    @property
    def judges_all_times(self) -> bool:
        """Whether the rule is about the times of successful and failed requests together."""
        return self.metric in {"response_time", "service_time"} and not self.result

    def selects(self, **labels: str) -> bool:
        """Whether the selector matches a series with these labels. Labels that are not given match."""
        return all(labels.get(label, value) == value for label, value in self.selector)

    def holds(self, value: float) -> bool:
        """Whether a value, in the unit of `limit`, meets the rule."""
        return COMPARISONS[self.comparison](value, self.limit)

    def format(self, value: float) -> str:
        """Return a value, given in the unit of `limit`, as text; a time in milliseconds, as in every table."""
        unit = "ms" if self.kind == "time" else self.unit
        size = UNITS[self.kind][unit]
        digits = f"{value:.0f}" if self.kind == "count" else rounded_for_limit(value / size, self.limit / size)
        return f"{digits}{unit}"

    @property
    def condition(self) -> str:
        """The rule without its options."""
        subject = f"{self.aggregate}({self.metric})" if self.aggregate else self.metric
        pairs = ", ".join(f'{label}="{_escaped(value)}"' for label, value in self.selector)
        number = repr(self.number).removesuffix(".0")
        return f"{subject}{f'{{{pairs}}}' if pairs else ''} {self.comparison} {number}{self.unit}"

    def __str__(self) -> str:
        """The canonical text."""
        options = [
            f"{name}={Decimal(repr(seconds)).normalize():f}s"
            for name, seconds in (("warm_up", self.warm_up_s), ("delay", self.delay_s))
            if seconds
        ]
        return " ".join([self.condition, *options, *(["abort_on_fail"] if self.abort_on_fail else [])])


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"')
