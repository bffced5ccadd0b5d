"""Charts of a capacity search: latency against rate with the knee, in the terminal and as an HTML page.

The knee is the point from which more load costs disproportionate latency. On the curve of the median latency at each
rate, with both axes scaled to 0 … 1, it is the point farthest below the diagonal (the Kneedle method for a convex,
rising curve: Satopää, Albrecht, Irwin and Raghavan, *ICDCS Workshops*, 2011).
"""

from __future__ import annotations

import html
import math
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

from loadtest.judging.outcome import Outcome
from loadtest.progress import milliseconds

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from loadtest.capacity.search import Capacity, StepResult
    from loadtest.capacity.usl import UslFit
    from loadtest.judging.threshold import Threshold

_MARKS = {Outcome.PASSED: "o", Outcome.FAILED: "x", Outcome.NOT_TRUSTWORTHY: "?", Outcome.NO_DATA: "-"}
_COLOURS = {
    Outcome.PASSED: "#1a7f37",
    Outcome.FAILED: "#cf222e",
    Outcome.NOT_TRUSTWORTHY: "#9a6700",
    Outcome.NO_DATA: "#6e7781",
}
_MIN_KNEE_POINTS = 3


class Point(NamedTuple):
    """A rate and its latency."""

    rate_per_s: float
    p99_s: float


class Limit(NamedTuple):
    """A limit of the objective on a time."""

    condition: str
    """The rule as text for people."""
    seconds: float

    @classmethod
    def all_of(cls, rules: Iterable[Threshold]) -> list[Limit]:
        """Return the limits on times among the rules."""
        return [cls(rule.condition, rule.limit) for rule in rules if rule.kind == "time" and rule.limit > 0]


def knee(steps: Iterable[StepResult]) -> Point | None:
    """Return the knee of p99 against rate; None with fewer than three rates, or if latency does not rise."""
    by_rate: dict[float, list[float]] = {}
    for step in _drawable(steps):
        by_rate.setdefault(step.rate_per_s, []).append(step.p99_s)
    points = [Point(rate, median(times)) for rate, times in sorted(by_rate.items())]
    if len(points) < _MIN_KNEE_POINTS or points[-1].p99_s <= points[0].p99_s:
        return None
    width = points[-1].rate_per_s - points[0].rate_per_s
    lowest, highest = points[0].p99_s, max(point.p99_s for point in points)

    def below_diagonal(point: Point) -> float:
        return (point.rate_per_s - points[0].rate_per_s) / width - (point.p99_s - lowest) / (highest - lowest)

    return max(points, key=below_diagonal)


def _drawable(steps: Iterable[StepResult]) -> list[StepResult]:
    return [step for step in steps if step.outcome is not Outcome.NOT_TRUSTWORTHY and step.p99_s > 0]


class _Axes:
    """Maps rates (linear) and latencies (logarithmic) to 0 … 1."""

    def __init__(self, steps: Sequence[StepResult], limits: Sequence[Limit]) -> None:
        limits_s = [limit.seconds for limit in limits]
        self.highest_per_s = max(step.rate_per_s for step in steps) * 1.02
        self.low_s = min(*(step.p50_s if step.p50_s > 0 else step.p99_s for step in steps), math.inf, *limits_s) / 1.1
        self.high_s = max(*(step.p99_s for step in steps), 0.0, *limits_s) * 1.1

    def x(self, rate_per_s: float) -> float:
        return rate_per_s / self.highest_per_s

    def y(self, latency_s: float) -> float:
        return math.log(latency_s / self.low_s) / math.log(self.high_s / self.low_s)


def terminal_chart(found: Capacity, limits: Sequence[Limit] = (), width: int = 72, height: int = 14) -> str:
    """Return p99 against rate as lines of characters: o met, x missed, - limits, | the capacity, K the knee."""
    steps = _drawable(found.steps)
    if not steps:
        return ""
    axes, bend = _Axes(steps, limits), knee(steps)
    cells = [[" "] * width for _ in range(height)]

    def row_of(latency_s: float) -> int:
        return height - 1 - round(axes.y(latency_s) * (height - 1))

    def put(rate_per_s: float, latency_s: float, mark: str) -> None:
        cells[row_of(latency_s)][round(axes.x(rate_per_s) * (width - 1))] = mark

    for limit in limits:
        cells[row_of(limit.seconds)][:] = "-" * width
    if 0 < found.rate_per_s <= axes.highest_per_s:
        for row in cells:
            row[round(axes.x(found.rate_per_s) * (width - 1))] = "|"
    for step in steps:
        put(step.rate_per_s, step.p99_s, _MARKS[step.outcome])
    if bend:
        put(*bend, "K")
    labels = {0: milliseconds(axes.high_s), height - 1: milliseconds(axes.low_s)}
    lines = [f"{labels.get(number, ''):>8} |{''.join(row).rstrip()}" for number, row in enumerate(cells)]
    below = [" "] * (width + 8)
    for rate_per_s in round_ticks(axes.highest_per_s):
        at = round(axes.x(rate_per_s) * (width - 1))
        below[at : at + len(f"{rate_per_s:g}")] = f"{rate_per_s:g}"
    legend = f"p99 in ms against arrivals/s   o met   x missed   | capacity{'   K knee' if bend else ''}"
    legend += f"   - {limits[0].condition}" if limits else ""
    return "\n".join([legend, *lines, f"{'':>8} +{'-' * width}", f"{'':>10}{''.join(below).rstrip()}"])


def html_page(found: Capacity, title: str, sentence: str, fit: UslFit | None, limits: Sequence[Limit] = ()) -> str:
    """Return a self-contained page with the chart, the result, and every step with its reasons."""
    rows = "\n".join(
        f'<tr><td>{number}</td><td>{step.rate_per_s:g}</td><td style="color:{_COLOURS[step.outcome]}">'
        f"{step.outcome.value}</td><td>{_number(step.requests_per_s)}</td><td>{_ms(step.p50_s)}</td>"
        f"<td>{_ms(step.p99_s)}</td><td>{_number(step.concurrency)}</td>"
        f"<td>{html.escape('; '.join(step.reasons))}</td></tr>"
        for number, step in enumerate(found.steps, 1)
    )
    law = f"<p>{html.escape(usl_sentence(fit))}</p>" if fit else ""
    return f"""<!DOCTYPE html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{html.escape(title)}</title>
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #1f2328 }}
table {{ border-collapse: collapse; width: 100% }}
td, th {{ border-bottom: 1px solid #d0d7de; padding: .2rem .5rem; text-align: right }}
td:last-child, th:last-child {{ text-align: left }}
h1 {{ overflow-wrap: anywhere }}
.wide {{ overflow-x: auto }}
.wide > svg {{ min-width: 48rem }}
</style>
<h1>{html.escape(title)}</h1>
<p><strong>{html.escape(sentence)}</strong></p>
{law}
{_svg(found, limits)}
<div class="wide" tabindex="0">
<table><tr><th>step</th><th>arrivals/s</th><th>outcome</th><th>responses/s</th><th>p50, ms</th><th>p99, ms</th>
<th>concurrent</th><th>reason</th></tr>
{rows}</table></div></html>
"""


def usl_sentence(fit: UslFit) -> str:
    """Return the fitted law as a sentence."""
    peak = f"; its highest throughput {fit.peak_per_s:.4g}/s" if math.isfinite(fit.peak_per_s) else ""
    return (
        f"Universal Scalability Law: contention (alpha) {fit.contention:.4g}, coherency (beta) {fit.coherency:.4g}, "
        f"{fit.gamma_per_s:.4g}/s with one concurrent request{peak}; R² {fit.r_squared:.3f}"
    )


def _svg(found: Capacity, limits: Sequence[Limit]) -> str:
    steps = _drawable(found.steps)
    if not steps:
        return ""
    picture = _Picture(steps, limits)
    parts = [*picture.grid(), *picture.limits(limits), *picture.capacity(found), *picture.points(steps)]
    if bend := knee(steps):
        parts.append(picture.text(bend.rate_per_s, picture.y(bend.p99_s) - 8, f"knee {bend.rate_per_s:.4g}/s"))
    label = "p99 and median latency against the arrival rate"
    head = f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{label}" font-size="12" fill="#57606a">'
    caption = (
        "<p>Filled: p99. Hollow: median. Green met the objective, red missed it. "
        "Blue: the capacity with its 95 % interval. Dashed: what the objective allows.</p>"
    )
    return "\n".join(['<div class="wide" tabindex="0">', head, *parts, "</svg></div>", caption])


_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 880, 380, 60, 860, 10, 340


class _Picture:
    """The parts of the chart, in SVG units."""

    def __init__(self, steps: Sequence[StepResult], limits: Sequence[Limit]) -> None:
        self._axes = _Axes(steps, limits)

    def x(self, rate_per_s: float) -> float:
        return _LEFT + min(1.0, self._axes.x(rate_per_s)) * (_RIGHT - _LEFT)

    def y(self, latency_s: float) -> float:
        return _TOP + (1 - self._axes.y(latency_s)) * (_BOTTOM - _TOP)

    def text(self, rate_per_s: float, y: float, text: str, anchor: str = "middle") -> str:
        return f'<text x="{self.x(rate_per_s):.1f}" y="{y:.1f}" text-anchor="{anchor}">{text}</text>'

    def grid(self) -> Iterable[str]:
        for latency_s in _decades(self._axes.low_s, self._axes.high_s):
            y = self.y(latency_s)
            yield f'<line x1="{_LEFT}" x2="{_RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="#d0d7de"/>'
            yield f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{latency_s * 1000:g} ms</text>'
        for rate_per_s in round_ticks(self._axes.highest_per_s):
            yield self.text(rate_per_s, _BOTTOM + 20, f"{rate_per_s:g}")
        yield self.text(self._axes.highest_per_s, _HEIGHT - 2, "arrivals per second", "end")

    def limits(self, limits: Iterable[Limit]) -> Iterable[str]:
        for limit in limits:
            y = self.y(limit.seconds)
            at = f'x1="{_LEFT}" x2="{_RIGHT}" y1="{y:.1f}" y2="{y:.1f}"'
            yield f'<line {at} stroke="#cf222e" stroke-dasharray="6 4"/>'
            yield f'<text x="{_LEFT + 6}" y="{y - 5:.1f}">{html.escape(limit.condition)}</text>'

    def capacity(self, found: Capacity) -> Iterable[str]:
        if not found.rate_per_s:
            return
        low, at, high = self.x(found.low_per_s), self.x(found.rate_per_s), self.x(found.high_per_s)
        area = f'x="{low:.1f}" y="{_TOP}" width="{max(1.0, high - low):.1f}" height="{_BOTTOM - _TOP}"'
        yield f'<rect {area} fill="#0969da" opacity="0.15"/>'
        yield f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{_TOP}" y2="{_BOTTOM}" stroke="#0969da"/>'

    def points(self, steps: Iterable[StepResult]) -> Iterable[str]:
        for step in steps:
            colour, at = _COLOURS[step.outcome], f'cx="{self.x(step.rate_per_s):.1f}"'
            yield f'<circle {at} cy="{self.y(step.p99_s):.1f}" r="4" fill="{colour}"/>'
            yield f'<circle {at} cy="{self.y(step.p50_s):.1f}" r="2.5" fill="none" stroke="{colour}"/>'


def _decades(low_s: float, high_s: float) -> list[float]:
    """Return 1, 2 and 5 times the powers of ten between two latencies."""
    first, last = math.floor(math.log10(low_s)), math.ceil(math.log10(high_s))
    ticks = [times * 10.0**power for power in range(first, last + 1) for times in (1, 2, 5)]
    return [tick for tick in ticks if low_s <= tick <= high_s]


def round_ticks(highest: float) -> list[float]:
    """Return 0 and the multiples, up to the highest, of 1, 2 or 5 times a power of ten: five to eleven ticks in all."""
    power = 10.0 ** math.floor(math.log10(highest / 4))
    step = max(times * power for times in (1, 2, 5) if 4 * times * power <= highest)
    return [step * number for number in range(math.floor(highest / step * (1 + 1e-9)) + 1)]


def _number(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.4g}"


def _ms(seconds: float) -> str:
    return "" if math.isnan(seconds) else milliseconds(seconds)
