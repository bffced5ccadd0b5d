"""Threshold: one rule over a run, and the small language that it is written in.

    p99(response_time){name="documents/get"} < 50ms warm_up=10s delay=5s abort_on_fail

    rule        metric [selector] comparison number unit option*
    metric      aggregate(distribution) | aggregate | figure
    aggregate   p0 … p100 (also p99.9), mean, min, max; alone it is of response_time
    selector    {label="value", …}: name, scenario, method, phase, result, equal to the value; without one, all of the
                load
    comparison  <  <=  >  >=
    option      warm_up=DURATION | delay=DURATION | abort_on_fail

Several rules are separated by commas. docs/reference/thresholds.md explains each word with its limits.
"""

from __future__ import annotations

import math
import operator
import re
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from loadtest.exceptions import UsageError, nearest_name
from loadtest.measuring import labels
from loadtest.measuring.histogram import HIGHEST_NS
from loadtest.measuring.labels import LOAD, SETUP
from loadtest.settings.config import duration_s

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


@dataclass(frozen=True)
class Metric:
    """A figure that a rule can limit.

    Attributes:
        kind: determines the units: "time", "ratio", "rate" or "count".
        labels: those that a selector can use.
        meaning: for people.
        phase: what it is about, unless a selector says another phase.
    """

    kind: str
    labels: tuple[str, ...]
    meaning: str
    phase: str = LOAD


_ALL_LABELS: Final = ("phase", "scenario", "method", "name")
_STREAM_LABELS: Final = ("scenario", "method", "name")
_HOST_LABELS: Final = ("scenario", "name")
"""Of connections: their name is the host and port."""
VALUES: Final = {"phase": (LOAD, SETUP), "result": ("success", "failure")}
"""The labels that have only some values."""

DISTRIBUTIONS: Final = {
    "response_time": Metric("time", ("result", *_ALL_LABELS), "from the intended start to the end of the response"),
    "service_time": Metric("time", _ALL_LABELS, "from sending to the end of the response"),
    "schedule_lag": Metric("time", ("scenario",), "from the intended start to sending, by iteration"),
    "transaction_time": Metric(
        "time", ("scenario", "name"), "from the intended start of a transaction to its end", labels.TRANSACTION
    ),
    "first_byte": Metric(
        "time", _STREAM_LABELS, "of streamed responses: from the intended start to the head", labels.FIRST_BYTE
    ),
    "first_event": Metric(
        "time", _STREAM_LABELS, "of streamed responses: from the intended start to the first event", labels.FIRST_EVENT
    ),
    "event_gap": Metric("time", _STREAM_LABELS, "of streamed responses: between two events", labels.EVENT_GAP),
    "dns_time": Metric("time", _HOST_LABELS, "of new connections: the lookup of the host's name", labels.DNS),
    "connect_time": Metric("time", _HOST_LABELS, "of new connections: TCP", labels.CONNECT),
    "tls_time": Metric("time", _HOST_LABELS, "of new connections: the TLS handshake", labels.TLS),
    "waiting_time": Metric(
        "time", _HOST_LABELS, "of responses in several parts: from sending to the first byte", labels.WAITING
    ),
    "receiving_time": Metric(
        "time", _HOST_LABELS, "of responses in several parts: from the first byte to the last", labels.RECEIVING
    ),
}
"""Metrics that need an aggregate."""
FIGURES: Final = {
    "error_ratio": Metric("ratio", _ALL_LABELS, "failed requests, of all requests"),
    "dropped_ratio": Metric("ratio", ("scenario",), "iterations that never started, of all intended ones"),
    "requests_per_s": Metric("rate", _ALL_LABELS, "requests per second, failed ones included"),
    "requests": Metric("count", _ALL_LABELS, "requests, failed ones included"),
    "transaction_error_ratio": Metric("ratio", ("scenario", "name"), "failed transactions, of all", labels.TRANSACTION),
    "check_ratio": Metric("ratio", ("scenario", "name"), "checks that were met, of all", labels.CHECK),
}
METRICS: Final = {**DISTRIBUTIONS, **FIGURES}
UNITS: Final = {
    "time": {"us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0},
    "ratio": {"%": 1e-2},
    "rate": {"/s": 1.0},
    "count": {"": 1.0},
}
"""By kind: each unit in seconds, as a ratio from 0 to 1, per second, or as a plain number."""
RANGES: Final = {
    "time": (0.0, HIGHEST_NS / 1e9),
    "ratio": (0.0, 1.0),
    "rate": (0.0, math.inf),
    "count": (0.0, math.inf),
}
"""By kind: the lowest and the highest value that can be measured, in the unit of `Threshold.limit`."""
COMPARISONS: Final[dict[str, Callable[[float, float], bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
AGGREGATES: Final = ("p0 to p100 such as p99 or p99.9", "mean", "min", "max")
OPTIONS: Final = ("warm_up=DURATION", "delay=DURATION", "abort_on_fail")
LONGEST_S: Final = 7 * 24 * 3600.0
"""The longest run, and the longest warm-up or delay."""
_CHANCE_OF_NO_SAMPLE_BEYOND: Final = 0.05
_WHOLE_FROM: Final = 10_000  # up to here, four significant digits; from here on, they would come with an exponent
_EXAMPLE_UNITS: Final = {"time": "ms", "ratio": "%", "rate": "/s", "count": ""}
_RANGE: Final = {"time": "0 s to 1 h", "ratio": "0% to 100%", "rate": "0/s or more", "count": "0 or more"}
_MEASURED: Final = {"time": "time", "ratio": "a ratio", "rate": "a rate", "count": "a count"}


def told_apart(value: float, limit: float) -> str:
    """Return a number with four significant digits, or as many as show on which side of a limit it is.

    "Failed with 100%" would be no reason where the rule asks for 100 %.
    """
    value, limit = (float(f"{one:.12g}") for one in (value, limit))
    texts = [f"{value:.0f}"] if value >= _WHOLE_FROM else []
    texts += [f"{value:.{digits}g}" for digits in range(4, 13) if value < 10**digits]
    return next((text for text in texts if _side(float(text), limit) == _side(value, limit)), f"{value:.12g}")


def _side(value: float, limit: float) -> int:
    return (value > limit) - (value < limit)


def samples_needed(quantile: float) -> int:
    """Return the number of samples from which on a quantile, above 0 and below 1, can be judged.

    With fewer, the chance that all samples are on one side of it is more than 5 %: a slow 99th percentile then passes,
    because no sample shows it. Of n samples all are below the quantile q with the chance q**n.
    """
    further = max(quantile, 1 - quantile)
    return math.ceil(math.log(_CHANCE_OF_NO_SAMPLE_BEYOND) / math.log(further))


@dataclass(frozen=True)
class Threshold:
    """One rule; `str` gives its canonical text, which parses to an equal rule.

    Attributes:
        metric: a key of `METRICS`.
        comparison: a key of `COMPARISONS`.
        number: what follows the comparison, at least 0, in `unit`.
        unit: a key of the metric's `UNITS`.
        aggregate: "p99", "mean", "min", "max"; empty for a figure.
        selector: pairs of label and value, in the order of the metric's labels.
        warm_up_s: seconds at the beginning of the run that do not count.
        delay_s: with `abort_on_fail`: how long the rule must have failed without interruption.
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
        """The limit in seconds, as a ratio from 0 to 1, per second, or as a plain number."""
        return self.number * UNITS[self.kind][self.unit]

    @property
    def quantile(self) -> float | None:
        """The quantile from 0 to 1 when the aggregate is a percentile."""
        return float(Decimal(self.aggregate[1:]) / 100) if self.aggregate.startswith("p") else None

    @property
    def samples_needed(self) -> int:
        """The number of samples from which on the aggregate can be judged; 1 for all but percentiles and error ratios.

        The extremes p0 and p100 are, like min and max, those of the samples that there are. An upper limit of an error
        ratio is met by a run without a failure from there on, as a percentile of 0 or 1 would be.
        """
        if self.metric == "error_ratio" and self.comparison.startswith("<") and 0 < self.limit < 1:
            return samples_needed(1 - self.limit)
        quantile = self.quantile
        return 1 if quantile in {None, 0.0, 1.0} else samples_needed(quantile)

    @property
    def phase(self) -> str:
        """What the rule is about: the load, requests of set-up, transactions, or checks."""
        return dict(self.selector).get("phase", METRICS[self.metric].phase)

    @property
    def is_of_setup(self) -> bool:
        """Whether the rule is about the requests of on_start and on_stop, which no warm-up is cut off."""
        return self.phase == SETUP

    @property
    def result(self) -> str:
        """Which requests' times the rule is about: ``success``, ``failure``, or empty for all."""
        return dict(self.selector).get("result", "")

    @property
    def judges_all_times(self) -> bool:
        """Whether the rule is about times of requests that succeeded and of those that failed together."""
        return self.metric in {"response_time", "service_time"} and not self.result

    def selects(self, **labels: str) -> bool:
        """Whether the selector selects a series with these labels; labels that are not given do not matter."""
        return all(labels.get(label, value) == value for label, value in self.selector)

    def holds(self, value: float) -> bool:
        """Whether a value, in the unit of `limit`, meets the rule."""
        return COMPARISONS[self.comparison](value, self.limit)

    def format(self, value: float) -> str:
        """Return a value, given in the unit of `limit`, as text; a time in milliseconds, as in every table."""
        unit = "ms" if self.kind == "time" else self.unit
        size = UNITS[self.kind][unit]
        digits = f"{value:.0f}" if self.kind == "count" else told_apart(value / size, self.limit / size)
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


def parse(text: str, where: str) -> list[Threshold]:
    """Return the rules of a text, which are separated by commas.

    Args:
        text: what a person wrote.
        where: where it was written, for messages.

    Raises:
        UsageError: with a line for each wrong rule.
    """
    rules, problems = [], []
    for part in split(text):
        try:
            rules.append(_Reader(part).rule())
        except _WrongError as error:
            problems.append(f"{where}: {part!r}: {error}")
    if problems:
        raise UsageError("\n".join(problems))
    return rules


def split(text: str) -> list[str]:
    """Return the texts of the rules: the parts between the commas that are in no quotes and no braces."""
    parts, start, depth = [], 0, 0
    for match in re.finditer(r'"(?:[^"\\]|\\.)*"?|[{},]', text, re.DOTALL):
        depth += {"{": 1, "}": -1}.get(match[0], 0)
        if match[0] == "," and depth <= 0:
            parts.append(text[start : match.start()])
            start = match.end()
    return [part.strip() for part in [*parts, text[start:]]]


class _WrongError(Exception):
    """A rule is wrong; the text says what, what is allowed, and the next step."""


_SUBJECT = re.compile(r"([A-Za-z_][\w.]*)\s*(?:\(([^(){}<>=]*)\))?\s*")
_PAIR = re.compile(r'\s*([A-Za-z_]\w*)\s*=\s*"((?:[^"\\]|\\["\\])*)"\s*')
_COMPARISON = re.compile(r"\s*([<>=!≤≥~]+)\s*")
_NUMBER = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*")
_WORD = re.compile(r"([^\s=]+)(=?)\s*")
_VALUE = re.compile(r"(\S+)\s*")
_PERCENTILE = re.compile(r"p(\d{1,9}(?:\.\d{1,9})?)")


class _Reader:
    """Reads one rule from left to right."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._position = 0

    def rule(self) -> Threshold:
        aggregate, name = self._subject()
        metric = METRICS[name]
        selector = self._selector(name, metric)
        comparison = self._comparison()
        number, unit = self._limit(metric)
        options = self._options()
        rule = Threshold(name, comparison, number, unit, aggregate, selector, **options)
        if rule.abort_on_fail and name == "requests" and comparison.startswith(">"):
            raise _WrongError(
                "abort_on_fail would end the run at once: the number of requests starts at 0. Allowed: with every "
                "rule that is not violated from the start. Next: leave abort_on_fail out, or use requests_per_s."
            )
        _refuse_without_effect(rule)
        if rule.delay_s and not rule.abort_on_fail:
            raise _WrongError(
                "delay sets how long a rule must have failed before it ends the run, but this rule does not end it. "
                "Allowed: with abort_on_fail. Next: add abort_on_fail, or leave delay out."
            )
        return rule

    def _take(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        match = pattern.match(self._text, self._position)
        if match:
            self._position = match.end()
        return match

    @property
    def _rest(self) -> str:
        return self._text[self._position :]

    def _subject(self) -> tuple[str, str]:
        """Read the metric; return its aggregate (or nothing) and its name."""
        match = self._take(_SUBJECT)
        if not match:
            raise _WrongError(
                f"a rule must begin with a metric. Allowed: AGGREGATE(METRIC) of {', '.join(DISTRIBUTIONS)}, or "
                f"{', '.join(FIGURES)}. Next: write, for example, p99(response_time) < 50ms."
            )
        first, inner = (group and group.strip() for group in match.groups())
        if first in FIGURES and inner is None:
            return "", first
        if first in METRICS:
            raise _WrongError(
                f"{first} does not take parentheses. Allowed: {first} < …. Next: remove them."
                if first in FIGURES
                else f"{first} is a distribution. Allowed: {_listed(AGGREGATES)} of it. Next: write p99({first})."
            )
        aggregate = _aggregate(first, inner)
        if inner is None:
            return aggregate, "response_time"
        if inner not in DISTRIBUTIONS:
            raise _WrongError(
                f"{inner!r} has no {aggregate}. Allowed: {_listed(DISTRIBUTIONS)}. "
                f"Next: {_advice(inner, DISTRIBUTIONS, f'write {aggregate}(response_time)')}"
            )
        return aggregate, inner

    def _selector(self, name: str, metric: Metric) -> tuple[tuple[str, str], ...]:
        if not self._take(re.compile(r"\{\s*")):
            return ()
        chosen: dict[str, str] = {}
        while True:
            pair = self._take(_PAIR)
            if not pair:
                raise _WrongError(
                    f"the selector is wrong at {self._rest[:20]!r}. Allowed: "
                    f'{{label="value", …}} with {_listed(metric.labels)}. Next: write {{{metric.labels[-1]}="…"}}.'
                )
            label, value = pair[1], re.sub(r"\\(.)", r"\1", pair[2])
            if label not in metric.labels:
                raise _WrongError(
                    f"{name} has no label {label!r}. Allowed: {_listed(metric.labels)}. "
                    f"Next: {_advice(label, metric.labels, 'leave it out')}"
                )
            if label in chosen:
                raise _WrongError(f"{label} is given twice. Allowed: once. Next: write a rule for each value.")
            if value not in (allowed := VALUES.get(label, (value,))):
                raise _WrongError(
                    f"there is no {label} {value!r}. Allowed: {_listed(allowed)}. Next: write one of them."
                )
            chosen[label] = value
            if self._take(re.compile(r"\}")):
                return tuple((label, chosen[label]) for label in metric.labels if label in chosen)
            if not self._take(re.compile(",")):
                raise _WrongError(
                    f"the selector does not end at {self._rest[:20]!r}. Allowed: a comma and the next label, or "
                    "a closing brace. Next: add one."
                )

    def _comparison(self) -> str:
        match = self._take(_COMPARISON)
        if not match or match[1] not in COMPARISONS:
            found = repr(match[1]) if match else repr(self._rest[:20]) if self._rest else "the end"
            raise _WrongError(
                f"expected a comparison, not {found}. Allowed: {' '.join(COMPARISONS)}. Next: write one of them."
            )
        return match[1]

    def _limit(self, metric: Metric) -> tuple[float, str]:
        """Read the number and its unit."""
        units = UNITS[metric.kind]
        match = self._take(_NUMBER)
        if not match:
            raise _WrongError(
                f"expected a number, not {self._rest[:20]!r}. Allowed: 0 or more, with its unit. "
                f"Next: write, for example, 50{_EXAMPLE_UNITS[metric.kind]}."
            )
        number = float(match[1])
        if match[1].startswith("-") or not math.isfinite(number):
            raise _WrongError(f"the limit {match[1]} is out of range. Allowed: 0 or more. Next: correct it.")
        unit = self._unit()
        if unit not in units:
            wrong = f"{unit!r} is not a unit of {_MEASURED[metric.kind]}" if unit else f"{match[1]} has no unit"
            allowed = _listed(units) if "" not in units else "a plain number"
            raise _WrongError(
                f"{wrong}. Allowed: {allowed}. Next: write {match[1]}{_EXAMPLE_UNITS[metric.kind]}, if you mean that."
            )
        if metric.kind == "ratio" and number > 100:  # noqa: PLR2004 - the whole
            raise _WrongError(f"{match[1]}% is more than 100%. Allowed: 0% to 100%. Next: correct it.")
        return number + 0.0, "us" if unit == "µs" else unit

    def _unit(self) -> str:
        """Read what follows the number, unless it is an option already."""
        position = self._position
        word = self._take(_WORD)
        if word and (word[2] or word[1] == "abort_on_fail"):
            self._position = position
            return ""
        return word[1].replace("\u03bc", "\u00b5") if word else ""  # a Greek mu, which looks like the micro sign

    def _options(self) -> dict[str, Any]:
        options: dict[str, Any] = {}
        while self._rest:
            word = self._take(_WORD)
            name = word[1] if word else self._rest
            key = {"warm_up": "warm_up_s", "delay": "delay_s", "abort_on_fail": "abort_on_fail"}.get(name)
            takes_duration = name != "abort_on_fail"
            if key is None or word is None or bool(word[2]) != takes_duration:
                raise _WrongError(
                    f"{name + word[2] if word else name!r} is not an option. Allowed: {_listed(OPTIONS)}. "
                    f"Next: {_advice(name, ('warm_up', 'delay', 'abort_on_fail'), 'remove it')}"
                )
            if key in options:
                raise _WrongError(f"{name} is given twice. Allowed: once. Next: remove one.")
            options[key] = self._duration(name) if takes_duration else True
        return options

    def _duration(self, name: str) -> float:
        match = self._take(_VALUE)
        value = match[1] if match else ""
        try:
            seconds = duration_s(value)
        except ValueError:
            seconds = math.inf
        if seconds > LONGEST_S:
            raise _WrongError(
                f"{name}={value} is not allowed. Allowed: a duration up to 7 days, such as 20s or 1m30s. "
                "Next: correct it."
            )
        return seconds


def _refuse_without_effect(rule: Threshold) -> None:
    """Refuse a rule that no measurement can break, or none can meet."""
    lowest, highest = (rule.holds(value) for value in RANGES[rule.kind])
    if lowest is highest:
        ending = rule.comparison.startswith(">")
        raise _WrongError(
            f"no run can {'violate' if lowest else 'meet'} it: {_MEASURED[rule.kind]} is {_RANGE[rule.kind]}. "
            f"Allowed: a limit that some runs meet and others do not. Next: "
            f"{'raise' if ending is lowest else 'lower'} the limit, or turn the comparison round."
        )


def _aggregate(text: str, inner: str | None) -> str:
    """Return an aggregate in canonical form, such as p99.9 for p99.90."""
    if text in {"mean", "min", "max"}:
        return text
    percentile = _PERCENTILE.fullmatch(text)
    if percentile and (rank := Decimal(percentile[1])) <= 100:  # noqa: PLR2004 - percent
        return f"p{rank.normalize():f}"
    if percentile:
        advice = f"did you mean p99.{text[3:]}?" if re.fullmatch(r"p999+", text) else "correct it."
        raise _WrongError(f"{text} is not a percentile. Allowed: p0 to p100. Next: {advice}")
    known = ["mean", "min", "max", "p50", "p99", *([] if inner is not None else METRICS)]
    what = "a metric" if inner is None else "an aggregate"
    allowed = _listed(AGGREGATES) if inner is not None else f"AGGREGATE({'|'.join(DISTRIBUTIONS)}), {_listed(FIGURES)}"
    raise _WrongError(
        f"{text!r} is not {what}. Allowed: {allowed}. Next: {_advice(text, known, 'write p99(response_time)')}"
    )


def _advice(name: str, known: Iterable[str], otherwise: str) -> str:
    nearest = nearest_name(name, list(known))
    return f"did you mean {nearest}?" if nearest else f"{otherwise}."


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"')
