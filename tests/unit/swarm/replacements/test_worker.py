"""The replacements in Locust's worker, with each replacement and without it."""

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import gevent
import gevent.server
import pytest
from gevent.event import Event
from gevent.socket import socket
from locust import User, argument_parser, task
from locust.env import Environment
from locust.rpc import Message
from locust.runners import MasterRunner, WorkerRunner
from locust.user.task import LOCUST_STATE_STOPPING

from loadtest.local.process import free_port
from loadtest.session import Session
from loadtest.swarm import presence
from loadtest.swarm.replacements.worker import set_connect_timeout
from loadtest.swarm.session import Swarm
from tests.link_peers import eventually
from tests.locust_runners import Idle, end

pytestmark = pytest.mark.usefixtures("locust")
STOP_TIMEOUT_S = 30.0


class Held(User):
    """Stays in its task until the test releases it."""

    begun = 0
    stop_assigning = Event()

    @task
    def hold(self) -> None:
        """Wait, as for a response."""
        Held.begun += 1
        self.stop_assigning.wait()


@dataclass
class Pair:
    """A master and its worker, and the number of messages of each kind from the worker."""

    master: MasterRunner
    worker: WorkerRunner
    received: Counter[str]

    def spawn(self, timestamp: float, users: int, kind: str = "Idle", stop_timeout_s: float = 0.0) -> None:
        """Send the worker a message to run some users, at a time of the master's clock."""
        data = {
            "timestamp": timestamp,
            "user_classes_count": {kind: users},
            "host": None,
            "stop_timeout": stop_timeout_s,
            "parsed_options": {},
        }
        self.master.server.send_to_client(Message("spawn", data, self.worker.client_id))


@pytest.fixture
def pair(locust: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pair]:  # noqa: ARG001 - it comes first
    """A master and its worker, in this process."""
    monkeypatch.setattr(presence, "SILENCE_S", 1.0)
    received: Counter[str] = Counter()
    handle = MasterRunner.handle_message

    def handle_message(self: MasterRunner, client_id: str, msg: Message) -> None:
        received.update([msg.type])
        handle(self, client_id, msg)

    monkeypatch.setattr(MasterRunner, "handle_message", handle_message)
    master = Environment(user_classes=[Idle]).create_master_runner("127.0.0.1", 0)
    worker = Environment(user_classes=[Idle, Held]).create_worker_runner("127.0.0.1", master.server.port)
    yield Pair(master, worker, received)
    end(master, worker)


@pytest.fixture
def held(pair: Pair) -> Iterator[Pair]:
    """A pair whose worker runs three users, each in its task until the end of the test."""
    Held.begun = 0
    Held.stop_assigning.clear()
    pair.spawn(time.time(), 3, "Held", STOP_TIMEOUT_S)
    eventually(lambda: Held.begun == 3)
    yield pair
    Held.stop_assigning.set()


def leaving(worker: WorkerRunner) -> int:
    """The number of users that finish their task before they stop."""
    users = [user for one in worker.user_greenlets for user in one.args[:1]]
    return sum(user._state == LOCUST_STATE_STOPPING for user in users)


def test_a_clock_that_was_set_back_does_not_keep_users_from_starting(pair: Pair) -> None:
    """A spawn message from an hour ago is still the latest one (replaces WorkerRunner.handle_message)."""
    now = time.time()
    pair.spawn(now, 1)
    eventually(lambda: pair.worker.user_count == 1)
    pair.spawn(now - 3600, 3)
    eventually(lambda: pair.worker.user_count == 3, 2.0)


def test_a_service_that_starts_users_itself_gets_their_number_for_a_limit(pair: Pair) -> None:
    """No user is spawned, and the running users are reported to the master (replaces WorkerRunner.start_worker)."""
    swarm, limits = Swarm(pair.worker.environment), []
    swarm.limit_users = limits.append
    Session.of(pair.worker.environment).put(Swarm, swarm)
    pair.spawn(time.time(), 7)
    eventually(lambda: pair.received["spawning_complete"])
    assert (limits, pair.worker.user_count, pair.worker.target_user_count) == ([{"Idle": 7}], 0, 7)


def test_a_worker_without_a_master_says_where_it_looked() -> None:
    """The error names address and time (replaces WorkerRunner.connect_to_master)."""
    set_connect_timeout(0.3)
    port = free_port()
    with pytest.raises(ConnectionError, match=rf"no master answered at 127.0.0.1:{port} within 0.3 s. Allowed: "):
        Environment(user_classes=[Idle]).create_worker_runner("127.0.0.1", port)


def test_a_worker_without_a_key_does_not_wait_for_a_master_that_has_one() -> None:
    """The error says so, instead of Locust's failed send (replaces WorkerRunner.connect_to_master)."""
    set_connect_timeout(10)
    peer = gevent.server.StreamServer(("127.0.0.1", 0), greet_with_curve)
    peer.start()
    with pytest.raises(ConnectionError, match=rf"only one of .* its master at 127.0.0.1:{peer.server_port} has a link"):
        Environment(user_classes=[Idle]).create_worker_runner("127.0.0.1", peer.server_port)
    peer.stop()


def greet_with_curve(connection: socket, _address: object) -> None:
    """Send the greeting of a peer with a key, and keep the connection open: a real one may close it too early.

    ZMTP 3.1: https://rfc.zeromq.org/spec/37/
    """
    connection.sendall(b"\xff" + bytes(8) + b"\x7f" + b"\x03\x01" + b"CURVE".ljust(20, b"\0") + b"\x01" + bytes(31))
    while connection.recv(64):
        pass


def test_a_worker_stops_its_users_soon_after_its_master_fell_silent(pair: Pair) -> None:
    """It makes no load that is not measured (replaces WorkerRunner.heartbeat_timeout_checker)."""
    pair.spawn(time.time(), 1)
    eventually(lambda: pair.worker.user_count == 1)
    pair.master.greenlet.kill()
    eventually(lambda: pair.worker.user_count == 0, 5.0)


def test_heartbeats_ride_in_reports(pair: Pair) -> None:
    """A worker sends no heartbeat of its own (replaces WorkerRunner.heartbeat)."""
    gevent.sleep(1.5)
    assert pair.received["heartbeat"] == 0


def test_numbers_of_users_ride_in_reports(pair: Pair) -> None:
    """A worker sends no report of Locust's own (replaces WorkerRunner.stats_reporter)."""
    gevent.sleep(0.5)
    assert pair.received["stats"] == 0


def test_the_default_options_are_built_once() -> None:
    """For two spawn messages, 20 ms are enough (replaces argument_parser.default_args_dict)."""
    argument_parser.default_args_dict()
    began_s = time.process_time()
    answers = [argument_parser.default_args_dict() for _ in range(100)]
    assert time.process_time() - began_s < 0.02
    assert all(answer == answers[0] for answer in answers)


def test_users_that_are_asked_for_while_others_leave_are_made(held: Pair) -> None:
    """One of three leaves when three are requested: a fourth starts at once (replaces Runner.user_classes_count)."""
    held.spawn(time.time(), 2, "Held", STOP_TIMEOUT_S)
    eventually(lambda: leaving(held.worker) == 1)
    told = held.received["spawning_complete"]
    held.spawn(time.time(), 3, "Held", STOP_TIMEOUT_S)
    eventually(lambda: held.received["spawning_complete"] > told)
    assert (held.worker.user_count, leaving(held.worker)) == (4, 1)


def test_a_user_is_asked_to_stop_once(held: Pair) -> None:
    """Two users to stop stay two, even while the first one finishes its task (replaces Runner.stop_users)."""
    for _ in range(2):
        gevent.spawn(held.worker.stop_users, {"Held": 1})
    for _ in range(20):  # turns of the event loop, however long they take
        gevent.sleep(0.005)
    assert (held.worker.user_count, leaving(held.worker)) == (3, 2)
