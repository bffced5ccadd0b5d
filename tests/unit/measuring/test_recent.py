"""The last seconds of a run, whose quantiles are those of its samples."""

import random

import pytest

from loadtest.measuring.collector import Collector
from loadtest.measuring.labels import Labels
from loadtest.measuring.measurements import Measurements
from loadtest.measuring.recent import RECENT_S, Recent
from loadtest.measuring.record import RunRecord
from loadtest.measuring.recorder import Recorder
from tests.unit.measuring.test_collector import delta, started


def measured(times_s: list[float], name: str = "buy") -> Measurements:
    """The counts of one second."""
    recorder = Recorder()
    for took_s in times_s:
        recorder.series("shop", "GET", name).success(1.0, 1.0, 1.0 + took_s, 10)
    return recorder.take()


def test_only_the_last_seconds_are_kept() -> None:
    """Each second is dropped once ten later ones have come, and a second that is too late is not added."""
    recent = Recent()
    for second in range(25):
        recent.add(second, measured([0.001 * (second + 1)]))
    recent.add(24 - RECENT_S, measured([9.0]))
    total = recent.record(Labels()).total()
    assert total.requests == RECENT_S
    assert (total.response_time.min_s, total.response_time.max_s) == pytest.approx((0.016, 0.025))


def test_parts_of_a_second_and_late_ones_are_added() -> None:
    """Several flushes for one second are merged by name."""
    recent = Recent()
    recent.add(5, measured([0.1]))
    recent.add(6, measured([0.2], "pay"))
    recent.add(5, measured([0.3]))
    counts = {view.name: view.requests for view in recent.record(Labels()).series()}
    assert counts == {"buy": 2, "pay": 1}


def test_the_slowest_of_a_thousand_is_found_to_one_percent() -> None:
    """The p99.9 of ten seconds is within the record's bound of that of the samples themselves."""
    chance = random.Random(3)
    recent, kept = Recent(), []
    for second in range(30):
        times_s = [chance.lognormvariate(-5, 0.7) for _ in range(2_000)]
        kept.append(times_s)
        recent.add(second, measured(times_s))
    expected_s = sorted(took_s for times_s in kept[-RECENT_S:] for took_s in times_s)[19_980 - 1]
    assert recent.record(Labels()).total().response_time.quantile(0.999) == pytest.approx(expected_s, rel=0.0079)


def test_the_collector_keeps_those_of_the_open_run() -> None:
    """They exist while a run is open; a reset and the next run start from zero, and the end removes them."""
    collector = started("a")

    def requests(of: Collector = collector) -> int:
        return of.recent.record(of.labels).requests

    for sequence in (1, 2):
        collector.take("a", delta(sequence), 100.0)
    collector.flush()
    assert requests() == 20
    collector.reset(102.5)
    assert requests() == 0
    collector.take("a", delta(3), 100.0)
    collector.flush()
    assert requests() == 10
    collector.end()
    assert requests() == 0
    collector.begin(RunRecord("next", 2_000.0), 200.0)
    assert requests() == 0


def test_seconds_without_requests_let_go_of_what_was_before() -> None:
    """If the run continues but its service does not respond, nothing is shown as recent."""
    collector = started("a")
    collector.take("a", delta(1), 100.0)
    collector.flush()
    for second in range(1, RECENT_S + 1):
        assert collector.recent.record(collector.labels).requests == 10
        collector.flush(complete_s=100.5 + second)
    assert collector.recent.record(collector.labels).requests == 0
