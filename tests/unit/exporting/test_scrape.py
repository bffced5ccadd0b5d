"""The state of the run, its limits, its verdict, and its processes."""

import time

import gevent
import pytest
from locust import User, task
from locust.env import Environment

from loadtest.exporting.exposition import Exposition
from loadtest.exporting.run_progress import RunProgress
from loadtest.exporting.scrape import MAX_RULES, RUN_STATES, Scrape
from loadtest.judging.outcome import Outcome, Verdict
from loadtest.judging.threshold_parser import parse
from loadtest.measuring.collector import Collector, Worker
from loadtest.measuring.health import Health
from loadtest.measuring.record import RunRecord
from loadtest.measuring.recorder import Recorder
from loadtest.profiles.curve import Stage
from loadtest.profiles.load import Load
from loadtest.profiles.profile import LoadProfile
from loadtest.session import Session
from loadtest.settings.config import Config
from loadtest.swarm.session import ControllingSwarm
from tests.swarms import record_keeper
from tests.unit.exporting.samples import samples_of, scrape, total, value


def test_the_memory_of_the_master_is_known(environment: Environment) -> None:
    """It keeps its last value, also between two runs; processes that did not report theirs are left out."""
    assert total(scrape(environment), "loadtest_process_memory_bytes") == 0
    record_keeper(environment)._collector.observe_master(Health(memory_bytes=2.0**27), 1.0)
    assert value(scrape(environment), "loadtest_process_memory_bytes", process="master") == 2**27


def test_the_network_is_that_of_the_busiest_machine(environment: Environment) -> None:
    """Workers on one machine report the same bytes, so the maximum is shown, not the sum; nothing between runs."""
    now = Scrape(environment, {})
    assert now.network_bytes_per_s() == {"received": 0, "sent": 0}
    now.reporting = {
        "0": Worker(0, "running", 0.0, received_bytes_per_s=5.0, sent_bytes_per_s=9.0),
        "1": Worker(1, "running", 0.0, received_bytes_per_s=7.0, sent_bytes_per_s=2.0),
    }
    assert now.network_bytes_per_s() == {"received": 7, "sent": 9}


def test_a_real_run_is_followed_and_the_next_one_goes_on() -> None:
    """State, users and run are Locust's; a second run continues the counters of the first."""

    class Recording(User):
        scenario = "mine"

        @task
        def request(self) -> None:
            now_s = time.perf_counter()
            Recorder.of(self.environment).series("mine", "GET", "run").success(now_s, now_s, now_s + 0.001, 5)
            gevent.sleep(0.01)

    made = Environment(user_classes=[Recording])
    runner = made.create_local_runner()
    record_keeper(made)
    exposed = Exposition(made)
    seen = []
    for _ in range(2):
        runner.start(3, spawn_rate=100)
        gevent.sleep(2.2)
        running = samples_of(exposed.text().decode())
        assert value(running, "loadtest_run_state", state="running") == 1
        assert total(running, "loadtest_run_state") == 1
        assert value(running, "loadtest_users", scenario="mine") == 3
        assert value(running, "loadtest_users_target", scenario="mine") == 3
        assert total(running, "loadtest_workers") == 1
        assert value(running, "loadtest_worker_users", worker="0") == 3
        assert 0 <= value(running, "loadtest_worker_cpu_ratio", worker="0") < 4
        assert 0 <= value(running, "loadtest_worker_event_loop_lag_seconds", worker="0") < 2
        assert value(running, "loadtest_process_memory_bytes", process="worker 0") > 2**20
        runner.stop()
        stopped = samples_of(exposed.text().decode())
        record = record_keeper(made).record
        assert record is not None
        run = {"run_id": record.run_id}
        assert value(stopped, "loadtest_run_info", **run, scenario="", profile="") == 1
        assert value(stopped, "loadtest_run_start_time_seconds", **run) == pytest.approx(time.time(), abs=60)
        assert value(running, "loadtest_run_end_time_seconds", **run) == 0
        assert value(stopped, "loadtest_run_end_time_seconds", **run) == pytest.approx(time.time(), abs=10)
        assert value(stopped, "loadtest_run_completeness_ratio", **run) == 1
        assert total(stopped, "loadtest_run_requests", **run) == record.requests
        for q in (0.5, 0.95, 0.99, 0.999):
            of_record_s = pytest.approx(record.total().response_time.quantile(q))
            assert value(stopped, "loadtest_run_response_time_seconds", **run, quantile=f"{q}") == of_record_s
        assert (
            0 < value(running, "loadtest_run_load_seconds", **run) <= value(stopped, "loadtest_run_load_seconds", **run)
        )
        assert value(stopped, "loadtest_run_users_peak", **run) == 3
        assert value(stopped, "loadtest_users_target", scenario="mine") == 0
        seen.append((record.requests, total(stopped, "loadtest_requests_total")))
    runner.quit()
    (first, first_total), (second, second_total) = seen
    assert min(first, second) > 10  # a busy machine takes few
    assert (first, first + second) == (first_total, second_total)
    assert {dict(labels)["state"] for (name, labels) in stopped if name == "loadtest_run_state"} == set(RUN_STATES)


def run_with(environment: Environment, rules: str) -> None:
    """Make these the thresholds of the current run."""
    Session.of(environment).put(Load, Load(Config(), tuple(parse(rules, "here"))))


def test_limits_of_the_run_are_lines(environment: Environment) -> None:
    """Each threshold is a gauge in seconds, as a ratio, or per second; those on counts or on the set-up have none."""
    assert not [key for key in scrape(environment) if key[0] == "loadtest_threshold_limit"]
    text = 'p99{name="read"} < 50ms, error_ratio < 1%, requests > 5, requests_per_s{scenario="mine"} > 9/s, '
    text += 'p95(transaction_time){name="buy"} < 2s, max(tls_time) < 1s, error_ratio{phase="setup"} < 2%'
    run_with(environment, text)
    limits = {
        tuple(dict(labels)[label] for label in ("rule", "metric", "aggregate", "scenario", "method", "name")): number
        for (name, labels), number in scrape(environment).items()
        if name == "loadtest_threshold_limit"
    }
    assert limits == {
        ("1", "response_time", "p99", "", "", "read"): pytest.approx(0.05),
        ("2", "error_ratio", "", "", "", ""): pytest.approx(0.01),
        ("3", "requests_per_s", "", "mine", "", ""): 9,
        ("4", "transaction_time", "p95", "", "", "buy"): 2,
        ("5", "tls_time", "max", "", "", ""): 1,
    }


@pytest.mark.parametrize(("is_open", "wanted"), [(True, 0), (False, 7)])
def test_an_open_run_asks_for_no_number_of_users(
    environment: Environment, monkeypatch: pytest.MonkeyPatch, is_open: bool, wanted: int
) -> None:
    """Its maximum number of users is not a target, whether before, during or after the arrivals."""
    runner = environment.runner
    assert runner is not None
    monkeypatch.setattr(runner, "state", "running")
    monkeypatch.setattr(runner, "target_user_count", 7, raising=False)
    monkeypatch.setattr(ControllingSwarm.of(environment), "is_open", is_open)
    assert Scrape(environment, {"mine": 1}).target_users == wanted


def test_limits_are_bounded(environment: Environment) -> None:
    """Only the first of very many thresholds are shown."""
    run_with(environment, ", ".join(f"p99 < {n}ms" for n in range(1, MAX_RULES + 9)))
    limits = [key for key in scrape(environment) if key[0] == "loadtest_threshold_limit"]
    assert len(limits) == MAX_RULES


def test_stage_and_verdict_of_the_run_are_reported(environment: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a run is open, its stage, the stage's start and the current verdict are exported; the verdict remains."""
    before = scrape(environment)
    assert total(before, "loadtest_run_verdict") == 0
    assert len(Outcome) == len([key for key in before if key[0] == "loadtest_run_verdict"])
    stages = (Stage(10, 5), Stage(20, 9), Stage(5, 0))
    began_at = time.time() - 12
    verdict = Verdict(Outcome.FAILED, ())
    Session.of(environment).put(
        RunProgress, RunProgress(lambda: verdict, LoadProfile("mine", "closed", stages), began_at)
    )
    between = scrape(environment)
    assert (value(between, "loadtest_run_stage"), value(between, "loadtest_run_stage_start_time_seconds")) == (0, 0)
    monkeypatch.setattr(type(record_keeper(environment)), "running", True)
    during = scrape(environment)
    assert value(during, "loadtest_run_stage") == 2
    assert value(during, "loadtest_run_stage_start_time_seconds") == pytest.approx(began_at + 10)
    assert value(during, "loadtest_run_verdict", run_id="", verdict="failed") == 1
    assert total(during, "loadtest_run_verdict") == 1
    taken = Session.of(environment).find(RunProgress)
    assert taken is not None
    assert [taken.stage(began_at + s)[0] for s in (-1, 0, 9.9, 10, 29.9, 30, 35)] == [0, 1, 1, 2, 2, 3, 0]


def test_changes_in_the_history_of_a_run_are_reported(environment: Environment) -> None:
    """Each is at the start of the first run after it; of two in one direction of a figure the later one is kept."""
    kinds = [("2026-01-01T00:00:00+00:00", "worse"), ("2026-01-02T00:00:00+00:00", "worse")]
    kinds += [("2026-01-01T12:00:00+00:00", "better")]
    labels = {"scenario": "", "method": "GET", "name": "a"}
    changed = [
        {"first": {"started_at": started_at}, "changes": [{**labels, "metric": "p50", "finding": finding}]}
        for started_at, finding in kinds
    ]
    metric = "loadtest_run_change_time_seconds"
    assert total(scrape(environment), metric) == 0
    progress = RunProgress(lambda: Verdict(Outcome.PASSED, ()), None, 0.0, changed=changed)
    Session.of(environment).put(RunProgress, progress)
    seen = scrape(environment)
    days = {
        finding: value(seen, metric, run_id="", **labels, metric_="p50", finding=finding) / 86_400
        for finding in ("worse", "better")
    }
    assert days == {"worse": 20_455.0, "better": 20_454.5}


def test_a_verdict_is_of_the_run_that_is_named(environment: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    """It stays until the next run has a record, so that the last value of a run's series is its final verdict."""
    verdict = Verdict(Outcome.PASSED, ())
    progress = RunProgress(lambda: verdict, None, 0.0, "first")
    Session.of(environment).put(RunProgress, progress)
    for run_id, expected in (("first", 1), ("second", 0)):
        monkeypatch.setattr(type(record_keeper(environment)), "record", RunRecord(run_id))
        assert total(scrape(environment), "loadtest_run_verdict") == expected


def test_a_lost_worker_is_counted_once(environment: Environment) -> None:
    """A worker that stops responding counts once until it is back; one that leaves does not count."""
    collector = Collector()
    assert (collector.lost.workers, collector.lost.noticed_at) == (0, 0.0)
    for state in ("ready", "running", "missing", "missing"):
        collector.join("one", state, 1.0)
    collector.join("two", "running", 1.0)
    collector.leave(["one"], 2.0)
    assert collector.lost.workers == 1
    assert collector.lost.noticed_at == pytest.approx(time.time(), abs=10)
    collector.join("one", "running", 3.0)
    collector.join("one", "missing", 4.0)
    assert collector.lost.workers == 2
    assert value(scrape(environment), "loadtest_workers_lost_total") == 0
