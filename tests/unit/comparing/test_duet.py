"""Duet: a small difference under large common noise is found, and none where there is none."""

import json
from pathlib import Path
from random import Random

import gevent
import pytest

from loadtest.comparing import duet
from loadtest.comparing.blocked_run import BlockedRun
from loadtest.comparing.comparison import Comparison, Conclusion, compare
from loadtest.comparing.greenlet_random import GreenletRandom
from loadtest.measuring.record import RunRecord
from loadtest.measuring.recorder import Recorder
from loadtest.reporting.document import Document
from tests import reports

URLS = ("http://old", "http://new")


def document(slower: float, seconds: int = 60) -> Document:
    """Return a run of 60 iterations a second on each side, whose machine halves its speed now and then."""
    record, recorder, random = RunRecord("duet", 1_700_000_000.0), Recorder(), Random(8)
    weather = 1.0
    for second in range(seconds):
        weather = 1.0 + 0.8 * (weather - 1.0) + random.choice((0.0, 0.0, 0.3))
        for side, factor in (("base", 1.0), ("new", slower)):
            series = recorder.series(side, "GET", "a")
            for _ in range(60):
                series.success(0.0, 0.0, 0.010 * weather * factor * random.lognormvariate(0, 0.05), 100)
        record.add(recorder.take(), second)
    record.load_s, record.ended = float(seconds), True
    return reports.run_document(record)


def conclusions(comparison: Comparison) -> dict[str, Conclusion]:
    """Return the conclusions on all requests."""
    return {one.metric: one.conclusion for one in comparison.names[0].differences}


def test_a_small_slow_down_is_found_under_common_noise() -> None:
    """4 % slower, on a machine that varies by a factor of two: worse as pairs, and inconclusive as two runs."""
    made = document(1.04)
    found = duet.compare_sides(made, URLS, duet.MARGIN)
    assert (found.base, found.new) == URLS
    assert conclusions(found)["p50"] is Conclusion.WORSE
    alone = compare(*(BlockedRun.of(made, side) for side in duet.SIDES), duet.MARGIN)
    assert conclusions(alone)["p50"] is Conclusion.INCONCLUSIVE


def test_equal_versions_raise_no_alarm() -> None:
    """Nothing is better or worse; the throughput of pairs is none of the figures."""
    found = conclusions(duet.compare_sides(document(1.0), URLS, duet.MARGIN))
    assert {Conclusion.WORSE, Conclusion.BETTER} & set(found.values()) == set()
    assert list(found) == ["error_ratio", "p50", "p95", "p99"]


@pytest.mark.parametrize(
    ("base_failed", "new_failed", "chance"),
    [(0, 0, 1.0), (1, 1, 1.0), (0, 10, 2 / 1024), (10, 0, 2 / 1024), (3, 9, 0.1460), (950, 1050, 0.0269)],
)
def test_the_chance_of_discordant_pairs_is_that_of_mcnemar(base_failed: int, new_failed: int, chance: float) -> None:
    """Exact for few, by the normal distribution for many."""
    assert duet.Pairs(base_failed=base_failed, new_failed=new_failed).chance == pytest.approx(chance, rel=0.01)


def test_the_pairs_of_all_workers_are_added(tmp_path: Path) -> None:
    """Each worker leaves a file."""
    for worker in (1, 2):
        rows = [{"method": "GET", "name": "a", "both_succeeded": 5, "new_failed": 1}, {"name": "b", "alone": 2}]
        (tmp_path / f"pairs-{worker}.json").write_text(json.dumps(rows))
    found = duet.Pairs.read(tmp_path)
    assert found == duet.Pairs(both_succeeded=10, new_failed=2, alone=4)
    assert found.sentence() == (
        "12 pairs of requests: both failed in 0, only the base in 0, only the new one in 2 (chance of this, if both "
        "fail alike: 0.5); 4 requests had no counterpart"
    )


@pytest.mark.parametrize(
    ("rules", "outcome", "fair"),
    [
        (["other_processes"], "passed", True),
        (["other_processes"], "failed", False),
        (["other_processes", "dropped_iterations"], "passed", False),
        (["late_wake_ups"], "passed", False),
    ],
)
def test_only_what_both_sides_meet_alike_leaves_a_duet_fair(rules: list[str], outcome: str, fair: bool) -> None:
    """Other work on the machine does; what hides a difference, such as a late generator, does not."""
    made = {"findings": [{"rule": rule} for rule in rules], "thresholds": [{"outcome": outcome}]}
    assert duet.is_fair(made) is fair


def test_greenlets_that_seed_alike_draw_alike() -> None:
    """Whatever the other one draws in between; a greenlet without a state of its own has the shared generator's."""
    shared = GreenletRandom(3)

    def draw(kind: int) -> list[float]:
        shared.seed_own(5)
        drawn = []
        for _ in range(20):
            drawn += [shared.random(), shared.randrange(10**9), shared.gauss(0, 1), shared.choice("abc")]
            gevent.sleep(0)
            if kind:
                gevent.spawn(shared.random).join()
        return drawn

    one, other = (gevent.spawn(draw, kind) for kind in (0, 1))
    gevent.joinall([one, other])
    assert one.value == other.value
    assert len(set(map(str, one.value))) > 60
