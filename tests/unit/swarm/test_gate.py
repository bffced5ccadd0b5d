"""Messages that pass the gates, that are refused and counted, and that reach Locust."""

import subprocess
import sys
from collections.abc import Iterator

import gevent
import pytest
import zmq.green as zmq
from locust.env import Environment
from locust.rpc import Message
from locust.runners import MasterRunner, WorkerRunner

from loadtest.swarm import refusals
from loadtest.swarm.gate import MasterGate, WorkerGate
from loadtest.swarm.messages import DONE, DRAIN, NO_RUN, RunOptions
from tests.link_peers import Peer, eventually, master
from tests.locust_runners import Idle, end
from tests.swarms import started


@pytest.fixture
def runner() -> Iterator[MasterRunner]:
    """A master."""
    with master() as runner:
        yield runner


def test_a_message_reaches_its_handler_with_its_payload_read(runner: MasterRunner) -> None:
    """A service gets the sender and the parsed payload of its kind."""
    received: list[tuple[str, int]] = []
    MasterGate.of(runner).on(DONE, lambda worker, number: received.append((worker, number)))
    with Peer(runner, "w") as worker:
        worker.say(DONE.name, 7)
        eventually(lambda: received == [("w", 7)])


def test_a_message_that_is_not_as_its_kind_says_is_refused(runner: MasterRunner) -> None:
    """It is counted, and no handler gets it."""
    received: list[int] = []
    MasterGate.of(runner).on(DONE, lambda _worker, number: received.append(number))
    before = refusals.counts[refusals.MALFORMED]
    with Peer(runner, "w") as worker:
        worker.say(DONE.name, "all")
        eventually(lambda: refusals.counts[refusals.MALFORMED] == before + 1)
    assert received == []


def test_an_unknown_kind_is_refused_unless_somebody_registered_it(runner: MasterRunner) -> None:
    """Locust's own way to add kinds, `register_message`, still works."""
    received: list[str] = []
    runner.register_message("greeting", lambda msg, **_: received.append(msg.data))
    before = refusals.counts[refusals.UNKNOWN]
    with Peer(runner, "w") as worker:
        worker.say("greetings", "nobody")
        worker.say("greeting", "hello")
        eventually(lambda: received == ["hello"])
    assert refusals.counts[refusals.UNKNOWN] == before + 1


def test_a_handler_that_fails_does_not_end_receiving(runner: MasterRunner, caplog: pytest.LogCaptureFixture) -> None:
    """The failure is logged and counted, and the next message is received."""
    received: list[int] = []

    def handle(_worker: str, number: int) -> None:
        received.append(number)
        raise LookupError("nothing there")

    MasterGate.of(runner).on(DONE, handle)
    before = refusals.counts[refusals.MALFORMED]
    refusals._logged_at_s.clear()
    with Peer(runner, "w") as worker:
        worker.say(DONE.name, 1)
        worker.say(DONE.name, 2)
        eventually(lambda: received == [1, 2])
    assert refusals.counts[refusals.MALFORMED] == before + 2
    assert "of a pacing_done message could not be handled: LookupError" in caplog.text


def test_a_kind_of_a_service_that_is_not_there_is_ignored(runner: MasterRunner) -> None:
    """It is not an error: the sender has a service that this process lacks."""
    before = dict(refusals.counts)
    with Peer(runner, "w") as worker:
        worker.say(DONE.name, 1)
        worker.say("quit")
        eventually(lambda: "w" not in runner.clients)
    assert refusals.counts == before


def test_the_greenlet_that_receives_is_known(runner: MasterRunner) -> None:
    """Within a handler, the gate says that the caller receives; elsewhere that it does not."""
    gate, within = MasterGate.of(runner), []
    gate.on(DONE, lambda _worker, _number: within.append(gate.is_receiving))
    with Peer(runner, "w") as worker:
        worker.say(DONE.name, 1)
        eventually(lambda: within)
    assert (within, gate.is_receiving) == ([True], False)


def test_a_worker_sends_no_log_of_another(runner: MasterRunner) -> None:
    """It is refused as forged; the worker's own log is kept."""
    before = refusals.counts[refusals.FORGED]
    with Peer(runner, "w") as worker:
        worker.say("logs", {"worker_id": "other", "logs": ["all is well"]})
        worker.say("logs", {"worker_id": "w", "logs": ["hello"]})
        eventually(lambda: runner.environment.worker_logs)
    assert runner.environment.worker_logs == {"w": ["hello"]}
    assert refusals.counts[refusals.FORGED] == before + 1


@pytest.mark.parametrize("kind", ["nobody knows it", "spawning", "pacing_ready"])
def test_a_flood_of_messages_leaves_time_for_others(runner: MasterRunner, kind: str) -> None:
    """Timers continue while messages arrive faster than they are handled, of any kind."""
    flood = subprocess.Popen([sys.executable, "-m", "tests.link_floods", str(runner.server.port), kind])
    eventually(lambda: runner.server.socket.get(zmq.EVENTS) & zmq.POLLIN, 60.0)  # it has started
    ticks = 0
    while flood.poll() is None:
        gevent.sleep(0.01)
        ticks += 1
    assert flood.returncode == 0
    assert ticks >= 5


@pytest.fixture
def worker(runner: MasterRunner) -> Iterator[WorkerRunner]:
    """A worker of that master, once Locust has been set up."""
    environment = Environment(user_classes=[Idle])
    made = environment.create_worker_runner("127.0.0.1", runner.server.port)
    started(environment)
    yield made
    end(runner, made)


def spawn(timestamp: float, options: RunOptions) -> Message:
    """A message that starts a user."""
    data = {
        "timestamp": timestamp,
        "user_classes_count": {"Idle": 1},
        "host": None,
        "stop_timeout": 0.0,
        "parsed_options": {"loadtest_run": list(options)},
    }
    return Message("spawn", data, "w")


def test_no_users_start_for_a_run_that_was_asked_to_end(worker: WorkerRunner) -> None:
    """A spawn message of an ended run starts no users; one of the current run does."""
    worker.handle_message(spawn(1.0, RunOptions(NO_RUN)))
    gevent.sleep(0.1)
    assert worker.user_count == 0
    worker.handle_message(spawn(2.0, RunOptions("a run")))
    eventually(lambda: worker.user_count == 1)


def test_a_worker_that_ends_starts_no_users(worker: WorkerRunner) -> None:
    """A process that is ending accepts no more work, whatever its master says."""
    WorkerGate.of(worker).is_closing = True
    worker.handle_message(spawn(1.0, RunOptions("a run")))
    gevent.sleep(0.1)
    assert worker.user_count == 0


def test_what_takes_long_does_not_delay_other_messages(worker: WorkerRunner) -> None:
    """A concurrent handler does not keep the worker from receiving."""
    gate, ended = WorkerGate.of(worker), []

    def handle(_master: str, run: str) -> None:
        gevent.sleep(0.2)
        ended.append(run)

    gate.on(DRAIN, handle, concurrent=True)
    worker.handle_message(Message(DRAIN.name, "a run", "w"))
    assert (ended, gate.is_handling) == ([], False)
    eventually(lambda: ended == ["a run"])
