"""Difference: the meaning of its interval, and the smallest change that it would have detected."""

from dataclasses import replace

import numpy as np
import pytest

from bench.compare.simulation import System, run
from loadtest.comparing import text
from loadtest.comparing.comparison import Comparison, compare
from loadtest.comparing.difference import Conclusion, Difference, conclude
from loadtest.estimating.blocked_run import ALL, BlockedRun

BUSY = System(names=1, requests_per_s=150, weather=0.02, memory=0.3, spread=0.3)


@pytest.mark.parametrize(
    ("low", "measured", "high", "of_runs", "of_a_duet"),
    [
        (0.02, 0.03, 0.04, Conclusion.WORSE, Conclusion.WORSE),
        (0.002, 0.02, 0.04, Conclusion.INCONCLUSIVE, Conclusion.WORSE),
        (0.002, 0.009, 0.04, Conclusion.INCONCLUSIVE, Conclusion.INCONCLUSIVE),
        (-0.001, 0.02, 0.04, Conclusion.INCONCLUSIVE, Conclusion.INCONCLUSIVE),
        (-0.04, -0.02, -0.002, Conclusion.INCONCLUSIVE, Conclusion.BETTER),
        (-0.04, -0.02, 0.001, Conclusion.INCONCLUSIVE, Conclusion.INCONCLUSIVE),
        (0.001, 0.005, 0.009, Conclusion.SAME, Conclusion.SAME),
    ],
)
def test_what_an_interval_says(
    low: float, measured: float, high: float, of_runs: Conclusion, of_a_duet: Conclusion
) -> None:
    """Runs differ if the whole interval is beyond the margin; a duet if the difference is, and is certain."""
    assert conclude(low, high, -0.01, 0.01, more_is_better=False) is of_runs
    assert conclude(low, high, -0.01, 0.01, more_is_better=False, measured=measured) is of_a_duet


def test_too_few_requests_for_a_percentile_are_said() -> None:
    """p99 needs 1,000 requests in each run."""
    random = np.random.default_rng(5)
    found = compare(*(run(System(requests_per_s=5), random) for _ in range(2)))
    p99 = found.names[0].differences[-1]
    assert p99.conclusion is Conclusion.INCONCLUSIVE
    assert p99.reason.startswith("needs 1,000 requests in each run, but the base run has ")


def test_a_percentile_that_too_few_requests_show_is_no_number() -> None:
    """With 150 requests p95 is shown, though it cannot be compared; p99 needs 299."""
    random = np.random.default_rng(5)
    found = compare(*(run(System(names=1, requests_per_s=2.5), random) for _ in range(2)))
    p95, p99 = found.names[-1].differences[-2:]
    assert (p95.metric, p95.base is None, p95.change) == ("p95", False, None)
    assert (p99.metric, p99.base, p99.new) == ("p99", None, None)


def p50_of(base: BlockedRun, new: BlockedRun) -> Difference:
    """Return the difference of the median of the only name."""
    return next(one for one in compare(base, new).names[0].differences if one.metric == "p50")


def test_a_change_of_the_size_that_is_named_is_found() -> None:
    """A change as large as comparisons of equal runs claim to detect is detected in the next one; half of it is not."""
    random = np.random.default_rng(7)
    found = {1.0: 0, 0.5: 0}
    for _ in range(12):
        named = p50_of(run(BUSY, random), run(BUSY, random)).found_from
        assert named is not None
        for part in found:
            compared = p50_of(run(BUSY, random), run(BUSY, random, {0: 1 + part * named}))
            found[part] += compared.conclusion is Conclusion.WORSE
    assert found[1.0] >= 10
    assert found[0.5] <= 2


def test_a_figure_that_a_comparison_could_not_see_is_not_the_same() -> None:
    """With few requests in 20 s, p99 is inconclusive, and the comparison names the smallest change that it would have
    detected; with too few, it says that it could have detected none."""
    random = np.random.default_rng(8)
    for per_s, known in ((80, True), (20, False)):
        system = System(names=1, seconds=20, requests_per_s=per_s)
        compared = compare(*(run(system, random) for _ in range(2)))
        p99 = compared.names[0].differences[-1]
        assert (p99.conclusion, p99.found_from is not None) == (Conclusion.INCONCLUSIVE, known)
        assert ("no change of p99 would have been found" in text.precision(all_of(compared))) is not known
        if p99.found_from is not None:
            assert p99.found_from > 0.10
            assert f"{p99.found_from:.1%} (p99) or more would have been found" in text.precision(all_of(compared))


def all_of(compared: Comparison) -> Comparison:
    """Return a comparison whose only name is that of all requests."""
    return replace(compared, names=(replace(compared.names[0], name=ALL),))
