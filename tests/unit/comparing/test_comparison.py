"""Comparison: better, same, worse or inconclusive, and each of them only when it is true."""

import dataclasses
import json
from dataclasses import replace
from io import StringIO

import numpy as np
import pytest
from rich.console import Console

from bench.compare.simulation import System, run
from loadtest.comparing import page, text
from loadtest.comparing.commands import exit_code
from loadtest.comparing.comparison import Comparison, compare
from loadtest.comparing.difference import Conclusion
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
    """A name that became 15 % slower is worse, a faster one is better, and an unchanged one is the same."""
    random = np.random.default_rng(1)
    base, new = run(BUSY, random), run(BUSY, random, {1: factor})
    assert conclusions(base, new)["p50"] is expected
    assert conclusions(base, new, "name 0")["p50"] is Conclusion.SAME
    assert (expected if factor != 1 else Conclusion.INCONCLUSIVE) in {
        compare(base, new).conclusion,
        Conclusion.INCONCLUSIVE,
    }


def test_equal_runs_raise_no_alarm() -> None:
    """In 8 pairs of runs of the same system, nothing is worse or better."""
    random = np.random.default_rng(2)
    system = System(names=4, weather=0.05, memory=0.6)
    called = [compare(run(system, random), run(system, random)).conclusion for _ in range(8)]
    assert {Conclusion.WORSE, Conclusion.BETTER} & set(called) == set()


def test_more_errors_are_worse() -> None:
    """An error ratio that rose from 1 % to 5 % is worse, though all times are the same."""
    random = np.random.default_rng(3)
    base = run(BUSY, random)
    new = run(dataclasses.replace(BUSY, failing=0.05), random)
    found = conclusions(base, new)
    assert (found["error_ratio"], found["p50"]) == (Conclusion.WORSE, Conclusion.SAME)


def test_no_errors_in_few_requests_say_little() -> None:
    """Without failures in 120 requests, the ratios may still differ by more than half a point."""
    random = np.random.default_rng(4)
    system = System(names=2, requests_per_s=2, failing=0.0)
    found = compare(run(system, random), run(system, random))
    one = next(one for one in found.names[0].differences if one.metric == "error_ratio")
    assert (one.conclusion, one.high > 0.005) == (Conclusion.INCONCLUSIVE, True)


def test_a_name_of_one_run_only_cannot_be_told() -> None:
    """A request that the other run lacks is listed with the reason."""
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
    """If no more is known than that errors are the same, a gate ends with the code of no data."""
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


def test_an_inconclusive_comparison_ends_with_the_next_step() -> None:
    """It recommends a duet, and the length of two runs that would decide all requests, if that is an hour or less."""
    random, system = np.random.default_rng(9), replace(BUSY, names=1, weather=0.06)
    (one,) = compare(run(system, random), run(system, random)).names
    steps = []
    for longest_s in (3600.0, 3601.0):
        known = [d if d.decided_after_s is None else replace(d, decided_after_s=longest_s) for d in one.differences]
        found = Comparison("a", "b", 0.05, (replace(one, name=ALL, differences=tuple(known)),), (1, 1), 5)
        assert found.conclusion is Conclusion.INCONCLUSIVE
        console = Console(file=StringIO(), width=80)
        text.show(found, console)
        _, line = console.file.getvalue().split("\ncomparison   inconclusive\nnext         ")
        steps.append(" ".join(line.split()))
    assert ["`loadtest duet BASE_URL NEW_URL`" in step for step in steps] == [True] * 2
    assert ["two runs of about 60 min each" in step for step in steps] == [True, False]
    assert text.next_step(compare(run(BUSY, random), run(BUSY, random, {1: 1.15}))) == ""


def test_no_run_of_more_than_a_day_is_recommended() -> None:
    """The lengths are those that decide single names; if some take longer than a day, that of the others is shown."""
    (name,) = compare(*(run(replace(BUSY, names=1), np.random.default_rng(1)) for _ in range(2))).names
    told = []
    for lengths_s in ((600.0, 3600.0), (600.0, 86_300.0), (600.0, 86_500.0), (86_500.0, 1e6)):
        names = tuple(
            replace(name, name=Name("s", "GET", f"name {number}"), differences=(
                replace(name.differences[2], conclusion=Conclusion.INCONCLUSIVE, decided_after_s=length_s),
            ))
            for number, length_s in enumerate(lengths_s)
        )  # fmt: skip
        told.append(text.undecided(Comparison("a", "b", 0.05, (replace(name, name=ALL), *names), (1, 1), 5)))
    assert [one.split("; ")[-1].split(": ")[0] for one in told] == [
        "runs of about 10 min each would decide half of them, 60 min would decide all",
        "runs of about 10 min each would decide half of them, 24 h would decide all",
        "runs of about 10 min each would decide 1, the others would take more than a day",
        "they would take more than a day",
    ]


def test_documents_become_blocks_without_their_edges() -> None:
    """The seconds of a document are available by name and in total, except the first and the last."""
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
    """Seconds that thresholds leave out are left out here too, counted from the load's start, not the record's."""
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
    """This holds from record.json to the verdict, and as JSON."""
    blocked = BlockedRun.of(reports.run_document(reports.record(60, per_s=60)))
    document = json.loads(json.dumps(compare(blocked, blocked).as_dict(), allow_nan=False))
    assert document["verdict"] == "same"
    assert [one["change"] for one in document["names"][0]["differences"]] == [0.0] * 5


def test_of_many_clear_differences_ten_are_described_in_words() -> None:
    """Worse ones come first; the table has all of them, and the number of the others is given."""
    base, new = (
        run(replace(BUSY, names=8), np.random.default_rng(2), factors)
        for factors in ({}, dict(enumerate([0.8, *[1.3] * 7])))
    )
    found = compare(base, new)
    clear = text.clear(found)
    kinds = [difference.conclusion for _, difference in clear]
    assert kinds == sorted(kinds, key=lambda kind: kind is not Conclusion.WORSE)
    assert set(kinds) == {Conclusion.WORSE, Conclusion.BETTER}
    assert len(clear) > text.MAX_CLEAR + 1
    console = Console(file=StringIO(), width=200)
    text.show(found, console)
    lines = console.file.getvalue().splitlines()
    assert sum("→" in line and " worse, " in line for line in lines) == text.MAX_CLEAR
    assert f"and {len(clear) - text.MAX_CLEAR} more, in the table" in lines
    shown = page.html(found, *(reports.run_document(),) * 2)
    listed = shown[: shown.index("By request name")].count("<li>")
    assert listed == text.MAX_CLEAR + 1
    assert f"<li>and {len(clear) - text.MAX_CLEAR} more, in the table</li>" in shown


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(119, "119 s"), (120, "2 min"), (7_199, "120 min"), (7_200, "2 h"), (172_799, "48 h"), (172_800, "2 d")],
)
def test_a_length_is_shown_in_the_nearest_unit(seconds: float, told: str) -> None:
    """A unit is used from two on."""
    assert text.duration(seconds) == told


def test_no_absurd_size_is_reported() -> None:
    """Two runs that show nothing would have revealed changes of thousands of percent only."""
    (name,) = compare(*(run(replace(BUSY, names=1), np.random.default_rng(1)) for _ in range(2))).names
    p50 = next(one for one in name.differences if one.metric == "p50")
    told = [text.found_from(replace(p50, found_from=size)) for size in (0.071, 9.99, 760.6, None)]
    assert told == ["7.1%", "999.0%", "over 1000%", "-"]
