"""The presentation of a capacity search: chart, knee, page."""

import math
import xml.etree.ElementTree as ET
from collections.abc import Sequence

import pytest

from loadtest.capacity.chart import Limit, html_page, knee, round_ticks, terminal_chart
from loadtest.capacity.search import Capacity, End, StepResult, find_capacity
from loadtest.capacity.usl import UslFit
from loadtest.judging.outcome import Outcome
from loadtest.judging.threshold_parser import parse


def step(rate_per_s: float, p99_s: float, outcome: Outcome = Outcome.PASSED) -> StepResult:
    """Return a step with these times."""
    return StepResult(rate_per_s, outcome, ("p99 < 100ms & more",), rate_per_s, p99_s / 2, p99_s, p99_s / 2, 1.0)


def queue(rate_per_s: float) -> StepResult:
    """Return the response times of a queue that carries 100/s: 10 ms when idle, longer close to its capacity."""
    p99_s = 0.01 / (1 - rate_per_s / 100) if rate_per_s < 99.9 else 10.0
    return step(rate_per_s, p99_s, Outcome.PASSED if p99_s < 0.1 else Outcome.FAILED)


def test_the_knee_is_where_the_curve_bends() -> None:
    """The knee of a queue is where its latency leaves the flat part."""
    bend = knee([queue(rate) for rate in range(5, 100, 5)])
    assert 60 <= bend.rate_per_s <= 90


def test_no_knee_without_a_rising_curve() -> None:
    """Two rates, or a latency that does not rise, have no knee; refused steps do not count."""
    flat = [step(rate, 0.01) for rate in (1, 2, 3, 4)]
    refused = [*flat[:2], step(8, 9.0, Outcome.NOT_TRUSTWORTHY)]
    assert [knee(flat), knee([step(1, 0.01), step(2, 0.02)]), knee(refused)] == [None, None, None]


def test_the_terminal_chart_shows_each_kind_of_step() -> None:
    """Kept and broken rates, the capacity and the knee are marked; the axes show their ends."""
    chart = terminal_chart(find_capacity(queue))
    assert [mark for mark in ("o", "x", "|", "K", "p99 in ms", "160") if mark not in chart] == []
    assert max(map(len, chart.splitlines())) <= 84


def test_a_search_without_answers_has_no_chart() -> None:
    """Steps without a single response draw nothing, and the page has no picture."""
    found = Capacity(End.NOTHING, (StepResult(10, Outcome.NO_DATA, ("no data",)),), 0, 0, math.inf)
    assert terminal_chart(found) == ""
    assert "<svg" not in html_page(found, "title", "sentence", None)


def test_the_page_holds_the_picture_and_every_step() -> None:
    """The page has a valid SVG, one row per step, escaped reasons and both coefficients, and loads nothing."""
    found = find_capacity(queue)
    page = html_page(found, "Capacity of <x>", "90 arrivals/s", UslFit(100, 0.01, 0.0002, 0.99))
    picture = ET.fromstring(page[page.index("<svg") : page.index("</svg>") + len("</svg>")])  # noqa: S314 - ours
    assert len(picture.findall("circle")) == 2 * len(found.steps)
    assert page.count("<tr><td>") == len(found.steps)
    assert [text for text in ("&lt;x&gt;", "p99 &lt; 100ms &amp; more", "0.01", "0.0002") if text not in page] == []
    assert "http" not in page


@pytest.mark.parametrize(
    ("highest", "ticks"),
    [
        (163.2, range(0, 161, 20)),
        (10.2, range(0, 11, 2)),
        (0.51, (0, 0.1, 0.2, 0.3, 0.4, 0.5)),
        (2_040, range(0, 2_001, 500)),
    ],
)
def test_ticks_are_round(highest: float, ticks: Sequence[float]) -> None:
    """Ticks are multiples of 1, 2 or 5 times a power of ten, and fill the axis."""
    assert round_ticks(highest) == pytest.approx(list(ticks))


def test_the_objective_is_drawn_in_both_charts() -> None:
    """It is drawn with its rule even if no step came near it; a rule that is not about a time has no line."""
    rules = parse("p99(response_time) < 300ms, error_ratio < 1%", "here")
    found, limits = find_capacity(queue), Limit.all_of(rules)
    assert limits == [("p99(response_time) < 300ms", 0.3)]
    rows = terminal_chart(found, limits).splitlines()
    assert [row.count("-") > 60 for row in rows[1:-2]].count(True) == 1
    page = html_page(found, "title", "sentence", None, limits)
    assert page.count("stroke-dasharray") == 1
    assert "p99(response_time) &lt; 300ms" in page
