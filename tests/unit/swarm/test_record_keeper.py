"""The wiring into Locust, in one process: local runs, a full disk, and the figures of a progress line."""

import math
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import gevent
import pytest
from locust import User, constant, task
from locust.env import Environment
from locust.stats import StatsCSV

from loadtest.judging import trust
from loadtest.measuring import locust_statistics, record_dict, record_file
from loadtest.measuring.record import RunRecord
from loadtest.measuring.recorder import Recorder
from loadtest.measuring.snapshot import Snapshot
from tests.endings import BUSY_MACHINE
from tests.swarms import record_keeper


class Steady(User):
    """Records a made-up request every 10 ms, every fourth failing."""

    scenario = "steady"
    wait_time = constant(0.01)
    made = 0

    @task
    def request(self) -> None:
        """Count one."""
        series = Recorder.of(self.environment).series(self.scenario, "GET", "steady/one")
        sent = time.perf_counter()
        type(self).made += 1
        if type(self).made % 4 == 0:
            series.failure(sent, sent, sent + 0.25, 3, "assertion", "not what was asked for")
        else:
            series.success(sent, sent, sent + 0.00035, 3)


class Other(Steady):
    """Another scenario, so that users are counted by class."""

    scenario = "other"


@pytest.fixture
def environment() -> Iterator[Environment]:
    """A local runner, quit after the test."""
    Steady.made = Other.made = 0
    environment = Environment(user_classes=[Steady])
    environment.create_local_runner()
    yield environment
    environment.events.quitting.fire(environment=environment, reverse=True)
    environment.runner.quit()


def run(environment: Environment, seconds: float, users: int = 2) -> None:
    """Run for a while and stop."""
    environment.runner.start(users, 100)
    gevent.sleep(seconds)
    environment.runner.stop()


def test_a_local_run_is_complete_before_anybody_hears_of_its_end(environment: Environment) -> None:
    """A listener of test_stop that was registered earlier reads the complete record, and Locust's statistics agree."""
    seen = []

    def read(**_: object) -> None:
        record, total = own.record, environment.stats.total
        seen.append((record.requests, record.failures, total.num_requests, total.num_failures, record.ended))

    environment.events.test_stop.add_listener(read)
    own = record_keeper(environment)
    assert record_keeper(environment) is own
    run(environment, 1.3)
    assert seen == [(Steady.made, Steady.made // 4, Steady.made, Steady.made // 4, True)]
    assert Steady.made > 10


def test_locusts_reports_show_what_was_measured(environment: Environment) -> None:
    """Percentiles below a millisecond, errors and CSV rows are in Locust's own statistics."""
    record_keeper(environment)
    run(environment, 0.5)
    entry = environment.stats.get("steady/one", "GET")
    assert pytest.approx(entry.get_response_time_percentile(0.5), rel=0.01) == 0.352
    assert pytest.approx(entry.get_response_time_percentile(0.99), rel=0.013) == 250
    assert pytest.approx(environment.stats.total.max_response_time, rel=0.001) == 250
    assert entry.avg_content_length == 3
    [error] = environment.stats.errors.values()
    assert (error.occurrences, error.error) == (Steady.made // 4, "not what was asked for")
    rows: list[list] = []

    class Writer:
        def writerow(self, row: Iterable) -> None:
            rows.append(list(row))

    StatsCSV(environment, [0.5]).requests_csv(Writer())
    assert rows[-1][2:4] == [Steady.made, Steady.made // 4]


def test_a_snapshot_tells_a_progress_line_how_the_run_goes(environment: Environment) -> None:
    """Elapsed time, users, rate, errors and the p95 of the last seconds; zeros before the first run."""
    own = record_keeper(environment)
    before = own.snapshot()
    assert (before.elapsed_s, before.users, before.requests_per_s, before.errors) == (0.0, 0, 0.0, 0)
    assert math.isnan(before.p95_s)
    environment.runner.start(2, 100)
    gevent.sleep(3.2)
    during = own.snapshot()
    assert 3.0 < during.elapsed_s < 5.0
    assert 2 == during.users == dict(own.users)["steady"]
    assert 5 < during.requests_per_s < 220
    assert 0 < during.errors <= Steady.made // 4
    assert pytest.approx(during.p95_s, rel=0.01) == 0.25
    environment.runner.stop()
    assert own.snapshot().errors == Steady.made // 4
    assert {one.rule for one in trust.violations(own.record, own.watch)} <= BUSY_MACHINE


def test_a_snapshot_has_no_percentile_of_too_few_requests() -> None:
    """For 31 requests, as one user may make in ten seconds, there is only the median; without any, nothing."""
    recorder, record = Recorder(), RunRecord("run", 1_700_000_000.0)
    empty = Snapshot.of(record, 1, running=False)
    for _ in range(31):
        recorder.series("steady", "GET", "a").success(0.0, 0.0, 0.01, 0)
    record.add(recorder.take(), 0)
    few = Snapshot.of(record, 1, running=False)
    assert all(map(math.isnan, (empty.p50_s, few.p95_s, few.p99_s)))
    assert pytest.approx(few.p50_s, rel=0.01) == 0.01


def test_users_are_counted_by_scenario() -> None:
    """With several User classes each scenario has its own number."""
    environment = Environment(user_classes=[Steady, Other])
    environment.create_local_runner()
    own = record_keeper(environment)
    environment.runner.start(4, 100)
    gevent.sleep(2.2)
    assert dict(own.users) == {"steady": 2, "other": 2}
    assert {index: worker.state for index, worker in own.workers.items()} == {0: "running"}
    environment.runner.quit()
    assert {view.scenario for view in own.record.series()} == {"steady", "other"}


def test_a_run_whose_record_cannot_be_written_goes_on(
    environment: Environment, caplog: pytest.LogCaptureFixture
) -> None:
    """On a full disk the record on disk is lost, with a clear message, but not the run."""
    own = record_keeper(environment)
    own.stream_to(Path("/dev/full"))
    run(environment, 1.5)
    assert own.record.requests == Steady.made
    assert "No space left on device" in own.record.stream_error
    assert "the run continues" in caplog.text


def test_a_record_that_cannot_even_be_opened_is_said(
    environment: Environment, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    """A path that cannot be created is an error in the log and in the record; the run continues."""
    (tmp_path / "file").write_text("")
    own = record_keeper(environment)
    own.stream_to(tmp_path / "file" / "record.stream")
    run(environment, 0.3)
    assert own.record.requests == Steady.made
    assert "continues without a record on disk" in caplog.text
    assert "give a folder" in own.record.stream_error


def test_the_file_is_at_most_two_seconds_behind(environment: Environment, tmp_path: Path) -> None:
    """During the run, the file has everything up to two seconds ago."""
    own = record_keeper(environment)
    own.stream_to(tmp_path / "record.stream", "named", {"profile": "quick"})
    environment.runner.start(2, 100)
    gevent.sleep(1.5)
    before = Steady.made
    gevent.sleep(2.0)
    read = record_file.read(tmp_path / "record.stream")
    assert before <= read.requests <= Steady.made
    assert (read.run_id, read.configuration, read.ended) == ("named", {"profile": "quick"}, False)
    environment.runner.stop()
    assert record_dict.as_dict(record_file.read(tmp_path / "record.stream")) == record_dict.as_dict(own.record)


def test_finish_ends_a_run_that_is_open(environment: Environment) -> None:
    """Readers at the process's end finish the run first, and get the complete record."""
    own = record_keeper(environment)
    environment.runner.start(2, 100)
    gevent.sleep(0.3)
    assert own.running
    record = own.finish()
    assert (record.requests, record.ended, own.running) == (Steady.made, True, False)
    assert own.finish() is record


def test_a_reset_resets_record_and_locust_alike(environment: Environment) -> None:
    """After Locust's reset button both count from there on, and the totals do not decrease."""
    own = record_keeper(environment)
    environment.runner.start(2, 100)
    gevent.sleep(0.6)
    environment.events.reset_stats.fire()
    environment.stats.reset_all()
    before = Steady.made
    gevent.sleep(0.6)
    environment.runner.stop()
    assert Steady.made - before == own.record.requests == environment.stats.total.num_requests
    assert own.totals.requests == Steady.made


def test_an_error_in_one_second_does_not_end_measuring(
    environment: Environment, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An error while a second is processed is logged, and later seconds are measured."""
    own = record_keeper(environment)
    feed = locust_statistics.feed
    failed = []

    def fail_once(*arguments: object) -> None:
        if not failed:
            failed.append(arguments)
            raise RuntimeError("once")
        feed(*arguments)

    monkeypatch.setattr(locust_statistics, "feed", fail_once)
    run(environment, 4.5)
    assert failed
    assert "measuring failed for one second, and continues" in caplog.text
    assert own.record.requests == Steady.made
    assert own.record.duration_s >= 4


def test_without_a_runner_there_is_no_swarm() -> None:
    """Called too early, it raises an error that says when it may be called."""
    with pytest.raises(RuntimeError, match="from the init event on"):
        record_keeper(Environment())


def test_reset_stats_counts_from_the_end_of_the_first_ramp_up_only(environment: Environment) -> None:
    """--reset-stats resets once per run: users distributed again, as for a new worker, reset nothing."""
    environment.reset_stats = True
    own = record_keeper(environment)
    made_at_ends: list[int] = []
    environment.events.spawning_complete.add_listener(lambda **_: made_at_ends.append(Steady.made))
    for _ in range(2):
        made_at_ends.clear()
        before = Steady.made
        environment.runner.start(4, 2)  # two at once, and two a second later
        gevent.sleep(1.5)
        environment.runner.start(4, 2)
        gevent.sleep(0.4)
        environment.runner.stop()
        assert len(made_at_ends) == 2
        assert made_at_ends[0] > before, "the ramp-up makes requests, which the reset leaves out"
        counted = own.record.requests
        assert (counted, environment.stats.total.num_requests) == (Steady.made - made_at_ends[0],) * 2
