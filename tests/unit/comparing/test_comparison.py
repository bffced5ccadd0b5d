"""Comparison: better, same, worse or inconclusive, and each of them only when it is so."""

import dataclasses
import json
from dataclasses import replace

import numpy as np
import pytest

from bench.compare.simulation import System, run
from loadtest.comparing import text
from loadtest.comparing.commands import exit_code
from loadtest.comparing.comparison import Comparison, Conclusion, Difference, compare, conclude
from loadtest.estimating.blocked_run import ALL, BlockedRun, Name
from loadtest.exceptions import ExitCode
from loadtest.measuring.record import RunRecord
from tests import reports

BUSY = System(names=2, requests_per_s=150, weather=0.02, memory=0.3, spread=0.3)


def conclusions(base: BlockedRun, new: BlockedRun, name: str = "name 1") -> dict[str, Conclusion]:
    """Return the conclusions on one name."""
    (found,) = [one for one in compare(base, new).names if one.name.name == name]
    return {one.metric: one.conclusion for one in found.differences}


@pytest.mark.parametrize(
    ("factor", "expected"), [(1.15, Conclusion.WORSE), (0.85, Conclusion.BETTER), (1.0, Conclusion.SAME)]
)
def test_a_true_change_is_found(factor: float, expected: Conclusion) -> None:
    """A name that became 15 % slower is worse, quicker is better, and one that stayed is the same."""
    random = np.random.default_rng(1)
    base, new = run(BUSY, random), run(BUSY, random, {1: factor})
    assert conclusions(base, new)["p50"] is expected
    assert conclusions(base, new, "name 0")["p50"] is Conclusion.SAME
    assert (expected if factor != 1 else Conclusion.INCONCLUSIVE) in {
        compare(base, new).conclusion,
        Conclusion.INCONCLUSIVE,
    }


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
    """Two runs differ where the whole interval is beyond the margin; a duet where the difference is, and surely one."""
    assert conclude(low, high, -0.01, 0.01, more_is_better=False) is of_runs
    assert conclude(low, high, -0.01, 0.01, more_is_better=False, measured=measured) is of_a_duet


def test_equal_runs_raise_no_alarm() -> None:
    """Over 8 pairs of runs of the same system, nothing is worse or better."""
    random = np.random.default_rng(2)
    system = System(names=4, weather=0.05, memory=0.6)
    called = [compare(run(system, random), run(system, random)).conclusion for _ in range(8)]
    assert {Conclusion.WORSE, Conclusion.BETTER} & set(called) == set()


def test_more_errors_are_worse() -> None:
    """A share of failures that rose from 1 % to 5 % is worse, though every time is the same."""
    random = np.random.default_rng(3)
    base = run(BUSY, random)
    new = run(dataclasses.replace(BUSY, failing=0.05), random)
    found = conclusions(base, new)
    assert (found["error_ratio"], found["p50"]) == (Conclusion.WORSE, Conclusion.SAME)


def test_no_errors_in_few_requests_say_little() -> None:
    """No failure among 120 requests does not show that the ratios are within half a point of each other."""
    random = np.random.default_rng(4)
    system = System(names=2, requests_per_s=2, failing=0.0)
    found = compare(run(system, random), run(system, random))
    one = next(one for one in found.names[0].differences if one.metric == "error_ratio")
    assert (one.conclusion, one.high > 0.005) == (Conclusion.INCONCLUSIVE, True)


def test_too_few_requests_for_a_percentile_are_said() -> None:
    """p99 needs 1,000 requests in each run."""
    random = np.random.default_rng(5)
    found = compare(*(run(System(requests_per_s=5), random) for _ in range(2)))
    p99 = found.names[0].differences[-1]
    assert p99.conclusion is Conclusion.INCONCLUSIVE
    assert p99.reason.startswith("needs 1,000 requests in each run, but the base run has ")


def test_a_name_of_one_run_only_cannot_be_told() -> None:
    """A request that the other run does not have is listed, with the reason."""
    random = np.random.default_rng(6)
    base, new = run(BUSY, random), run(BUSY, random)
    gone = BlockedRun("new", 1, new.blocks, {name: one for name, one in new.series.items() if name.name != "name 1"})
    found = compare(base, gone)
    (missing,) = [one for one in found.names if one.name.name == "name 1"]
    assert {one.reason for one in missing.differences} == {"the new run does not have it"}
    assert missing.conclusion is Conclusion.INCONCLUSIVE


def test_an_empty_run_is_void() -> None:
    """Without requests everything is inconclusive."""
    empty = BlockedRun.of(reports.run_document(RunRecord("none", 0.0)))
    found = compare(empty, empty)
    assert (found.conclusion, found.is_void, found.tests) == (Conclusion.INCONCLUSIVE, True, 0)


def test_a_comparison_that_knows_no_response_time_is_void() -> None:
    """Runs of which no more than the errors are known to be the same end a gate with the code of no data."""
    found = compare(*(run(BUSY, np.random.default_rng(1)) for _ in range(2)))
    of_errors = ("throughput", "error_ratio")
    undecided = tuple(
        replace(
            name,
            differences=tuple(
                one if one.metric in of_errors else replace(one, conclusion=Conclusion.INCONCLUSIVE)
                for one in name.differences
            ),
        )
        for name in found.names
    )
    known = {one.metric for name in undecided for one in name.differences if one.conclusion is Conclusion.SAME}
    assert (known, found.is_void) == (set(of_errors), False)
    void = replace(found, names=undecided)
    assert (void.is_void, exit_code(void), exit_code(found)) == (True, ExitCode.NO_DATA, ExitCode.PASSED)


def p50_of(base: BlockedRun, new: BlockedRun) -> Difference:
    """Return the difference of the median of the only name."""
    return next(one for one in compare(base, new).names[0].differences if one.metric == "p50")


def test_a_change_of_the_size_that_is_named_is_found() -> None:
    """What comparisons of equal runs say that they are sure to find is found in the next one; half of it is not."""
    random, system = np.random.default_rng(7), replace(BUSY, names=1)
    found = {1.0: 0, 0.5: 0}
    for _ in range(12):
        named = p50_of(run(system, random), run(system, random)).found_from
        assert named is not None
        for part in found:
            compared = p50_of(run(system, random), run(system, random, {0: 1 + part * named}))
            found[part] += compared.conclusion is Conclusion.WORSE
    assert found[1.0] >= 10
    assert found[0.5] <= 2


def test_a_figure_that_a_comparison_could_not_see_is_not_the_same() -> None:
    """Of 20 s of few requests p99 is inconclusive, and the comparison says from which size on it was sure to find one;
    where it has too few of them, that it would have found none."""
    random = np.random.default_rng(8)
    for per_s, known in ((80, True), (20, False)):
        system = System(names=1, seconds=20, requests_per_s=per_s)
        compared = compare(*(run(system, random) for _ in range(2)))
        p99 = compared.names[0].differences[-1]
        assert (p99.conclusion, p99.found_from is not None) == (Conclusion.INCONCLUSIVE, known)
        assert ("no change of p99 would have been found" in text.precision(all_of(compared))) is not known
        if p99.found_from is not None:
            assert p99.found_from > 0.10
            assert f"p99 from {p99.found_from:.1%} on" in text.precision(all_of(compared))


def all_of(compared: Comparison) -> Comparison:
    """Return a comparison whose only name is that of all requests."""
    return replace(compared, names=(replace(compared.names[0], name=ALL),))


def test_documents_become_blocks_without_their_edges() -> None:
    """A document's seconds are there by name and all together, but the first and the last."""
    blocked = BlockedRun.of(reports.run_document(reports.record(20, names=("a", "b"), failing="b")))
    name = Name("documents", "GET", "b")
    assert (
        blocked.blocks,
        blocked.width_s,
        blocked.series[name].requests.sum(),
        blocked.series[name].failures.sum(),
    ) == (18, 1, 18 * 20.0, 18 * 4.0)
    assert 2 * 18 * 20.0 == blocked.series[ALL].times.sum() == blocked.series[ALL].requests.sum()


def test_a_warm_up_is_compared_with_nothing() -> None:
    """What the thresholds leave out is left out here too: from the load's begin, not from the record's."""
    record = reports.record(20)
    record.events = ()
    record.note(1.5, "start", "load begins")
    record.warm_up_s = 5.0
    left = BlockedRun.of(reports.run_document(record))
    record.warm_up_s = 0.0
    assert BlockedRun.of(reports.run_document(record)).blocks - left.blocks == 6  # 7 s, of which the first block is one
    record.warm_up_s = 1_000.0
    assert BlockedRun.of(reports.run_document(record)).blocks == 0


def test_a_document_compared_with_itself_is_the_same() -> None:
    """From record.json to the verdict, and as JSON."""
    blocked = BlockedRun.of(reports.run_document(reports.record(60, per_s=60)))
    document = json.loads(json.dumps(compare(blocked, blocked).as_dict(), allow_nan=False))
    assert document["verdict"] == "same"
    assert [one["change"] for one in document["names"][0]["differences"]] == [0.0] * 5
