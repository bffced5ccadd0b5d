"""Quantiles of the last seconds: as exact as the record, by name, by scenario and in total."""

import random
import time
from itertools import pairwise

import gevent
import pytest
from locust.env import Environment

from loadtest.exporting.exposition import MAX_SERIES, Exposition
from loadtest.exporting.scrape import MAX_SCENARIOS, MAX_STEPS, QUANTILES
from loadtest.measuring.labels import ITERATION
from loadtest.measuring.recent import RECENT_S
from loadtest.measuring.recorder import Recorder
from tests import reports
from tests.swarms import record_keeper
from tests.unit.exporting.samples import Samples, scrape, value

GAUGE = "loadtest_response_time_recent_seconds"


def bring(environment: Environment, second: int) -> None:
    """Add the recorded samples to a second of an open run, and to the totals."""
    collector, taken = record_keeper(environment)._collector, Recorder.of(environment).take()
    collector.totals.add(taken)
    collector.recent.add(second, taken)


def quantiles(samples: Samples, **labels: str) -> list[float]:
    """Return all quantiles of a series."""
    return [value(samples, GAUGE, **labels, quantile=str(q)) for q in QUANTILES]


def test_they_are_within_one_percent_of_the_samples(environment: Environment) -> None:
    """The distribution has a long tail, where p99.9 from buckets is far off; only the last ten seconds count."""
    chance = random.Random(5)
    counted: dict[str, list[float]] = {"a": [], "b": []}
    success = {name: Recorder.of(environment).series("mine", "GET", name).success for name in counted}
    for second in range(2 * RECENT_S):
        for name, times_s in counted.items():
            for _ in range(500):
                took_s = chance.lognormvariate(-6, 1) if name == "a" else chance.uniform(0.2, 0.3)
                success[name](1.0, 1.0, 1.0 + took_s, 1)
                if second >= RECENT_S:
                    times_s.append(took_s)
        bring(environment, second)
    samples = scrape(environment)
    rows = {("mine", "GET", name): times_s for name, times_s in counted.items()}
    rows[("mine", "", "")] = rows[("", "", "")] = [*counted["a"], *counted["b"]]
    for labels, times_s in rows.items():
        ranked = sorted(times_s)
        expected = [ranked[round(q * len(ranked)) - 1] for q in QUANTILES]
        found = quantiles(samples, **dict(zip(("scenario", "method", "name"), labels, strict=True)))
        assert found == pytest.approx(expected, rel=0.0079)


def test_nothing_recent_has_no_quantile(environment: Environment) -> None:
    """Before the first request, and after seconds without one, there is a gap, while the counters stay."""
    assert not [name for name, _ in scrape(environment) if "_recent_" in name]
    Recorder.of(environment).series("mine", "GET", "a").success(1.0, 1.0, 2.0, 1)
    bring(environment, 0)
    assert quantiles(scrape(environment), scenario="", method="", name="") == [1.0] * len(QUANTILES)
    bring(environment, RECENT_S)
    samples = scrape(environment)
    assert not [name for name, _ in samples if "_recent_" in name]
    assert value(samples, "loadtest_requests_total", scenario="mine", method="GET", name="a", result="success") == 1


def test_service_time_is_apart_from_response_time(environment: Environment) -> None:
    """A request that was sent late has both, and its schedule lag."""
    Recorder.of(environment).series("mine", "GET", "a").success(1.0, 3.0, 4.0, 1)
    bring(environment, 0)
    samples, all_of_it = scrape(environment), {"scenario": "", "method": "", "name": ""}
    assert value(samples, GAUGE, **all_of_it, quantile="0.5") == 3.0
    assert value(samples, "loadtest_service_time_recent_seconds", **all_of_it, quantile="0.5") == 1.0
    assert value(samples, "loadtest_schedule_lag_recent_seconds", scenario="mine", quantile="0.99") == 2.0


def test_every_histogram_has_them(environment: Environment) -> None:
    """This includes transactions, iterations, phases of connections, and parts of streamed responses."""
    recorder = Recorder.of(environment)
    recorder.series("mine", "", "buy", "transaction").success(1.0, 1.0, 1.5, 0)
    recorder.series("mine", "", "", ITERATION).success(1.0, 1.0, 1.25, 0)
    recorder.series("mine", "GET", "a").tally("connect", "a:80", 0.125)
    reports.stream(recorder, "n", "server")
    bring(environment, 0)
    samples = scrape(environment)
    for metric, labels, expected_s in (
        ("transaction_time", {"scenario": "mine", "name": "buy"}, 0.5),
        ("iteration_time", {"scenario": "mine"}, 0.25),
        ("connection_phase", {"phase": "connect"}, 0.125),
        ("stream_first_event", {"scenario": "documents", "method": "GET", "name": "n"}, 0.05),
    ):
        found = value(samples, f"loadtest_{metric}_recent_seconds", **labels, quantile="0.99")
        assert found == pytest.approx(expected_s, rel=0.01)


def test_they_are_bounded(environment: Environment) -> None:
    """Names, scenarios and transactions beyond their limits are merged, and the total stays within its budget."""
    recorder = Recorder.of(environment)
    for number in range(300):
        recorder.series(f"scenario {number % 30}", "GET", f"name {number}").success(1.0, 1.5, 2.0, 10)
        recorder.series("mine", "", f"buy {number}", "transaction").success(1.0, 1.0, 1.5, 0)
    bring(environment, 0)
    samples = scrape(environment)
    assert len(samples) <= MAX_SERIES
    shown = [dict(labels) for name, labels in samples if name == GAUGE]
    totals = {row["scenario"] for row in shown if not row["name"] and row["scenario"]}
    assert len(totals) <= MAX_SCENARIOS + 1
    assert {row["name"] for row in shown if row["scenario"] == "other"} == {"", "other"}
    steps = {dict(labels)["name"] for name, labels in samples if name == "loadtest_transaction_time_recent_seconds"}
    assert steps == {*(f"buy {number}" for number in range(MAX_STEPS)), "other"}


def test_a_transaction_keeps_its_place_while_others_rest(environment: Environment) -> None:
    """A transaction beyond the limit gets no series of its own in a second in which the first ones were idle."""
    recorder = Recorder.of(environment)
    for number in range(MAX_STEPS + 1):
        recorder.series("mine", "", f"buy {number}", "transaction").success(1.0, 1.0, 1.5, 0)
    bring(environment, 0)
    recorder.series("mine", "", f"buy {MAX_STEPS}", "transaction").success(1.0, 1.0, 1.5, 0)
    bring(environment, RECENT_S)
    samples = scrape(environment)
    assert {dict(labels)["name"] for name, labels in samples if name == "loadtest_transaction_time_recent_seconds"} == {
        "other"
    }


def test_a_request_without_method_and_name_counts_once(environment: Environment) -> None:
    """Its labels are those of its scenario's total: one series, with each request once."""
    recorder = Recorder.of(environment)
    for _ in range(3):
        recorder.series("mine", "", "").success(1.0, 1.0, 2.0, 10)
    for _ in range(4):
        recorder.series("mine", "GET", "a").success(1.0, 1.0, 5.0, 10)
    bring(environment, 0)
    assert value(scrape(environment), GAUGE, scenario="mine", method="", name="", quantile="0.5") == pytest.approx(
        4.0, rel=0.01
    )


def test_a_scrape_of_them_shares_the_event_loop(environment: Environment) -> None:
    """With 200 names in each of ten seconds, it blocks the loop for under 5 ms of CPU at a time."""
    exposed = Exposition(environment, max_series=30_000)
    recorder, times_s = Recorder.of(environment), [0.0001 * 1.2**step for step in range(70)]
    for second in range(RECENT_S):
        for number in range(200):
            success = recorder.series("mine", "GET", f"name {number}").success
            for took_s in times_s:
                success(1.0, 1.0, 1.0 + took_s, 1)
        bring(environment, second)
    held_s = []
    for _ in range(5):
        turns_s: list[float] = []
        watcher = gevent.spawn(_note_turns, turns_s)
        gevent.sleep(0)
        exposed.text()
        gevent.sleep(0)
        watcher.kill()
        held_s.append(max(after - before for before, after in pairwise(turns_s)))
    assert min(held_s) < 0.005


def _note_turns(turns_s: list[float]) -> None:
    while True:
        turns_s.append(time.process_time())
        gevent.sleep(0)
