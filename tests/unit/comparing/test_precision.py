"""Precision: the differences that runs can detect, checked against comparisons of simulated runs."""

import io
import math
import statistics
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from bench.compare.simulation import System, run
from loadtest.comparing import precision, text
from loadtest.comparing.comparison import compare
from loadtest.comparing.difference import Conclusion
from loadtest.comparing.outlook import Outlook, Precision, outlook
from loadtest.estimating.blocked_run import ALL

SYSTEM = System(names=1, requests_per_s=60, weather=0.02, memory=0.0, spread=0.3)


def test_a_longer_run_is_more_precise_by_the_square_root() -> None:
    """A run four times as long has half the error."""
    assert precision.decided_after_s(60, 0.02, 3.0, 0.05) == pytest.approx(
        4 * precision.decided_after_s(60, 0.01, 3.0, 0.05)
    )
    whole, half = (math.log1p(precision.resolution(error, 3.0, 10)) for error in (0.02, 0.01))
    assert whole == pytest.approx(2 * half)


@pytest.mark.parametrize("degrees", [6, 20])
def test_a_difference_as_large_as_is_named_is_found_in_95_of_100(degrees: int) -> None:
    """Differences are normal; each is as large as one comparison's error names, and met by the interval of another."""
    random, t, count = np.random.default_rng(9), 3.5, 20_000
    named, other = np.sqrt(random.chisquare(degrees, (2, count)) / degrees)
    found = precision.detectable(t, degrees) * named + random.normal(size=count) > t * other
    assert found.mean() == pytest.approx(0.95, abs=0.012)


def test_what_is_said_to_be_found_is_found() -> None:
    """A slow-down of the size in the outlook is called worse in at least 10 of 12 comparisons."""
    random = np.random.default_rng(6)
    found = 0
    for _ in range(12):
        base = run(SYSTEM, random)
        (name,) = base.series
        factor = 1 + outlook(base, 0.05).names[name]["p50"].found_from
        (compared,) = [one for one in compare(base, run(SYSTEM, random, {0: factor})).names if one.name == name]
        found += next(one for one in compared.differences if one.metric == "p50").conclusion is Conclusion.WORSE
    assert found >= 10


def test_runs_of_the_length_that_decides_decide() -> None:
    """Equal runs of that length are the same in at least 9 of 12 comparisons; it is the median of 5 runs' results."""
    random = np.random.default_rng(7)
    answers = []
    for _ in range(5):
        base = run(SYSTEM, random)
        (name,) = base.series
        answers.append(outlook(base, 0.05).names[name]["p50"].decided_after_s)
    longer = replace(SYSTEM, seconds=math.ceil(statistics.median(answers)))
    same = 0
    for _ in range(12):
        (compared,) = compare(run(longer, random), run(longer, random)).names
        same += next(one for one in compared.differences if one.metric == "p50").conclusion is Conclusion.SAME
    assert same >= 9


def test_a_plan_names_no_absurd_numbers() -> None:
    """A run that shows next to nothing has no changes of thousands of percent, nor runs of weeks."""
    figures = {"p50": Precision(151.3, 40.0), "p95": Precision(9.9, 24 * 86_400.0)}
    sentences = text.outlook_sentences(Outlook("r", 60, 0.05, {ALL: figures}))
    assert "changes of over 1000% (p50), 990.0% (p95) or more" in sentences[0]
    assert sentences[1].endswith("both runs need: p50 40 s, p95 over a day")


def test_a_plan_with_a_run_that_shows_nothing_says_what_to_do() -> None:
    """It has no table, and names the run that would show something."""
    console = Console(width=200, record=True, file=io.StringIO())
    text.show_outlook(Outlook("r", 10, 0.05, {}), console)
    (line,) = console.export_text().splitlines()
    assert line.endswith("too short. Next: make a run of a minute or more, with at least 20 requests")
