"""ThresholdParser: the language in which rules are written.

    p99(response_time){name="documents/get"} < 50ms warm_up=10s delay=5s abort_on_fail

    rule        metric [selector] comparison number unit option*
    metric      aggregate(distribution) | aggregate | figure
    aggregate   p0 … p100 (also p99.9), mean, min, max; alone it is of response_time
    selector    {label="value", …}: name, scenario, method, phase, result, equal to the value; without a selector,
                the whole load
    comparison  <  <=  >  >=
    option      warm_up=DURATION | delay=DURATION | abort_on_fail

Several rules are separated by commas. docs/reference/thresholds.md explains each word with its limits.
"""

from __future__ import annotations

import math
import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from loadtest.exceptions import UsageError, nearest_name
from loadtest.judging.metric import DISTRIBUTIONS, FIGURES, METRICS, RANGES, UNITS, VALUES
from loadtest.judging.threshold import COMPARISONS, Threshold
from loadtest.settings.value_types import duration_s

if TYPE_CHECKING:
    from collections.abc import Iterable

    from loadtest.judging.metric import Metric

AGGREGATES: Final = ("p0 to p100 such as p99 or p99.9", "mean", "min", "max")
OPTIONS: Final = ("warm_up=DURATION", "delay=DURATION", "abort_on_fail")
LONGEST_S: Final = 7 * 24 * 3600.0
"""The longest run, and the longest warm-up or delay, in seconds."""
_EXAMPLE_UNITS: Final = {"time": "ms", "ratio": "%", "rate": "/s", "count": "", "size": "MB"}
_RANGE: Final = {
    "time": "0 s to 1 h", "ratio": "0% to 100%", "rate": "0/s or more", "count": "0 or more", "size": "0 B or more",
}  # fmt: skip
_MEASURED: Final = {"time": "time", "ratio": "a ratio", "rate": "a rate", "count": "a count", "size": "a size"}
_SUBJECT = re.compile(r"([A-Za-z_][\w.]*)\s*(?:\(([^(){}<>=]*)\))?\s*")
_PAIR = re.compile(r'\s*([A-Za-z_]\w*)\s*=\s*"((?:[^"\\]|\\["\\])*)"\s*')
_COMPARISON = re.compile(r"\s*([<>=!≤≥~]+)\s*")
_NUMBER = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*")
_WORD = re.compile(r"([^\s=]+)(=?)\s*")
_VALUE = re.compile(r"(\S+)\s*")
_PERCENTILE = re.compile(r"p(\d{1,9}(?:\.\d{1,9})?)")


def parse(text: str, where: str) -> list[Threshold]:
    """Return the rules in a text, which are separated by commas.

    Args:
        text: the text that a person wrote.
        where: where it was written, for messages.

    Raises:
        UsageError: with a line for each invalid rule.
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
    """Return the texts of the rules: the parts between commas that are outside quotes and braces."""
    parts, start, depth = [], 0, 0
    for match in re.finditer(r'"(?:[^"\\]|\\.)*"?|[{},]', text, re.DOTALL):
        depth += {"{": 1, "}": -1}.get(match[0], 0)
        if match[0] == "," and depth <= 0:
            parts.append(text[start : match.start()])
            start = match.end()
    return [part.strip() for part in [*parts, text[start:]]]


class _WrongError(Exception):
    """An invalid rule. The text says what is wrong, what is allowed, and the next step."""


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
        if rule.abort_on_fail and metric.kind in {"count", "size"} and comparison.startswith(">"):
            raise _WrongError(
                f"abort_on_fail would end the run immediately: {name} starts at 0. Allowed: on a rule that is not "
                "violated from the start. Next: leave abort_on_fail out, or use requests_per_s."
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
        """Read the metric; return its aggregate (empty if none) and its name."""
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
        if not metric.labels:
            raise _WrongError(f"{name} has no labels. Allowed: {name} < …. Next: leave the braces out.")
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
        """Read the unit after the number, unless the next word is an option."""
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
    """Refuse a rule that no measurement can break, or that none can meet."""
    lowest, highest = (rule.holds(value) for value in RANGES[rule.kind])
    if lowest is highest:
        ending = rule.comparison.startswith(">")
        raise _WrongError(
            f"no run can {'violate' if lowest else 'meet'} it: {_MEASURED[rule.kind]} is {_RANGE[rule.kind]}. "
            f"Allowed: a limit that some runs meet and others do not. Next: "
            f"{'raise' if ending is lowest else 'lower'} the limit, or reverse the comparison."
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
