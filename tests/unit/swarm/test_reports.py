"""The master's handling of its workers' reports, and its responses, on a real link."""

from collections.abc import Iterator
from typing import Any

import gevent
import pytest
from locust.rpc import Message
from locust.runners import STATE_MISSING, MasterRunner

from loadtest.measuring.health import Health
from loadtest.measuring.packed import PackedMeasurements
from loadtest.measuring.record import SOFTWARE
from loadtest.measuring.recorder import Recorder
from loadtest.measuring.wire import Delta
from loadtest.session import Session
from loadtest.swarm.messages import ACKNOWLEDGEMENT, DRAIN, REPORT
from loadtest.swarm.software import Software
from tests.link_peers import Peer, eventually, master
from tests.swarms import record_keeper

OWN = Software("0.1.0 aa", "mine bb")


class Hearing(Peer):
    """A worker that keeps the messages it receives."""

    def _listen(self) -> None:
        self.heard: list[tuple[str, Any]] = []
        while True:
            message = Message.unserialize(self.socket.recv())
            self.heard.append((message.type, message.data))

    def report(self, *deltas: bytes, heartbeat: dict[str, Any] | None = None, users: Any = None) -> None:
        """Send a report."""
        self.say(REPORT.name, (1.0, deltas, heartbeat, users))

    def was_asked(self) -> bool:
        """Whether it was asked to stop and to send its last delta."""
        return DRAIN.name in [kind for kind, _ in self.heard]

    def answers(self) -> list[Any]:
        """The acknowledgements of its deltas."""
        return [data for kind, data in self.heard if kind == ACKNOWLEDGEMENT.name]


@pytest.fixture
def runner() -> Iterator[MasterRunner]:
    """A master that measures, with no run open."""
    with master() as runner:
        record_keeper(runner.environment)
        yield runner


def heartbeat(cpu: float = 5.0, state: str = "running") -> dict[str, Any]:
    """A heartbeat."""
    return {"state": state, "current_cpu_usage": cpu, "current_memory_usage": 7}


def delta(run: str, sequence: int, final: bool = False, end_s: float = 1.0) -> bytes:
    """A delta of one request."""
    recorder = Recorder()
    recorder.series("shop", "GET", "buy").success(1.0, 1.0, 1.5, 10)
    packed = PackedMeasurements.of(recorder.take())
    return Delta(run, sequence, end_s - 1.0, end_s, final, {"shop": 1}, Health(), packed).to_bytes()


def test_a_delta_that_ends_after_its_report_is_refused(runner: MasterRunner) -> None:
    """By its worker's clock it was sent before it ended; the next one counts."""
    with Hearing(runner, "w") as worker:
        worker.report(heartbeat=heartbeat())
        eventually(lambda: len(worker.answers()) == 1)
        runner.environment.events.test_start.fire(environment=runner.environment)
        run = record_keeper(runner.environment).record.run_id
        worker.report(delta(run, 1, end_s=9e9), delta(run, 2))
        worker.report(heartbeat=heartbeat())
        eventually(lambda: len(worker.answers()) >= 2)
    assert worker.answers()[-1][1:3] == [0, [2]]


def test_a_heartbeat_is_answered_with_what_is_held(runner: MasterRunner) -> None:
    """One message says that the master is alive and which deltas it has; without a run, only that it is alive."""
    with Hearing(runner, "w") as worker:
        worker.report(heartbeat=heartbeat())
        eventually(lambda: len(worker.answers()) == 1)
        runner.environment.events.test_start.fire(environment=runner.environment)
        run = record_keeper(runner.environment).record.run_id
        worker.report(delta(run, 1))
        worker.report(delta(run, 2), heartbeat=heartbeat())
        eventually(lambda: len(worker.answers()) == 2)
        gevent.sleep(0.3)
        assert worker.answers() == [None, [run, 2, [], False]]
        assert (
            runner.clients["w"].state,
            runner.clients["w"].cpu_usage,
            runner.clients["w"].memory_usage,
        ) == ("running", 5.0, 7)


def test_a_last_delta_is_answered_at_once(runner: MasterRunner) -> None:
    """The end of a worker's run, and a run that is not open, wait for no heartbeat, and do not hide each other."""
    with Hearing(runner, "w") as worker:
        eventually(lambda: "w" in runner.clients)
        runner.environment.events.test_start.fire(environment=runner.environment)
        run = record_keeper(runner.environment).record.run_id
        worker.report(delta("before", 1), delta(run, 1, final=True))
        eventually(lambda: len(worker.answers()) == 2)
        assert worker.answers() == [["before", 0, [], True], [run, 1, [], False]]


def test_a_worker_taken_for_lost_heals_as_locust_heals_it(runner: MasterRunner) -> None:
    """The heartbeat of a missing worker goes to Locust's own handler, and so does one of a busy worker."""
    with Hearing(runner, "w") as worker:
        runner.clients["w"].state = STATE_MISSING
        worker.report(heartbeat=heartbeat())
        eventually(lambda: runner.clients["w"].state == "running")
        assert not runner.worker_cpu_warning_emitted
        worker.report(heartbeat=heartbeat(cpu=95.0))
        eventually(lambda: runner.worker_cpu_warning_emitted)


def test_a_worker_that_has_stopped_is_answered(runner: MasterRunner, caplog: pytest.LogCaptureFixture) -> None:
    """Locust forgets it until it is ready again; its delta is refused with a reply, and not repeated."""
    with Hearing(runner, "w") as worker:
        worker.say("client_stopped")
        eventually(lambda: "w" not in runner.clients)
        worker.report(delta("before", 1), users={"user_classes_count": {}, "user_count": 0})
        eventually(lambda: worker.answers() == [["before", 0, [], True]])
    assert "Discarded report" not in caplog.text


def test_a_worker_with_other_code_is_noted_once_a_run() -> None:
    """It is known from its first heartbeat on; a worker that takes no part in the run is not named."""
    with master() as runner:
        environment = runner.environment
        Session.of(environment).put(Software, OWN)
        keeper = record_keeper(environment)
        with Hearing(runner, "same") as same, Hearing(runner, "older") as older, Hearing(runner, "idle") as idle:
            environment.events.test_start.fire(environment=environment)
            record = keeper.record
            same.report(delta(record.run_id, 1), heartbeat={**heartbeat(), "software": list(OWN)})
            older.report(delta(record.run_id, 1), heartbeat=heartbeat())
            idle.report(heartbeat=heartbeat())
            eventually(lambda: SOFTWARE in {event.kind for event in record.events}, 30)
            second = record.timeline.end
            eventually(lambda: record.timeline.end >= second + 2, 30)  # two more looks
            index = next(one.index for name, one in keeper._collector.workers.items() if name == "older")
    noted = [event.text for event in record.events if event.kind == SOFTWARE]
    assert noted == [f"worker {index} ran another version of loadtest than the master"]


def test_users_of_locusts_own_report_reach_its_listeners(runner: MasterRunner) -> None:
    """A worker's report of its users reaches the listeners of Locust's own event."""
    with Hearing(runner, "w") as worker:
        worker.report(users={"user_classes_count": {"Idle": 3}, "user_count": 3})
        eventually(lambda: runner.clients["w"].user_classes_count == {"Idle": 3})


def test_a_worker_that_joins_while_a_run_drains_is_asked_too(runner: MasterRunner) -> None:
    """The run's end waits for each worker's response to the drain, including one that joined meanwhile."""
    runner.environment.stop_timeout = 1
    environment = runner.environment
    with Hearing(runner, "early") as early:
        environment.events.test_start.fire(environment=environment)
        run = record_keeper(environment).record.run_id
        draining = gevent.spawn(environment.events.test_stopping.fire, environment=environment)
        eventually(early.was_asked)
        with Hearing(runner, "late") as late:
            eventually(late.was_asked)
            early.report(delta(run, 1, final=True))
            gevent.sleep(0.3)
            assert not draining.dead
            late.report(delta(run, 1, final=True))
            draining.join(timeout=5)
            assert draining.dead
    assert (record_keeper(environment).record.requests, record_keeper(environment).record.completeness) == (2, 1.0)
