"""Presence: workers that join, leave and return on a real link, and a master that a worker loses and finds again."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import gevent
import pytest
import zmq.green as zmq
from locust.env import Environment
from locust.rpc import Message
from locust.runners import STATE_MISSING, MasterRunner, WorkerRunner

from loadtest.swarm import presence
from loadtest.swarm.presence import RETURN_S, WorkerPresence
from tests.link_peers import Peer, eventually, master
from tests.locust_runners import Idle, end

STOP_TIMEOUT_S = 1.5
LOST = "nothing received from the master"


@dataclass
class Listener:
    """A service that records its notifications."""

    told: list[str] = field(default_factory=list)

    def begin(self) -> None:
        """Begin."""

    def joined(self, peer: str) -> None:
        """Note it."""
        self.told.append(f"{peer} joined")

    def lost(self, peer: str) -> None:
        """Note it."""
        self.told.append(f"{peer} lost")

    def drain(self) -> None:
        """Drain."""


@dataclass
class Watched:
    """A master whose workers are watched."""

    runner: MasterRunner
    presence: WorkerPresence
    listener: Listener


@pytest.fixture
def watched() -> Iterator[Watched]:
    """A master without workers."""
    with master() as runner:
        listener = Listener()
        made = Watched(runner, WorkerPresence(runner, lambda: [listener]), listener)
        made.presence.begin()
        yield made


def test_a_worker_that_joins_is_told_once(watched: Watched) -> None:
    """However many messages it sends, it joins once."""
    with Peer(watched.runner, "new") as worker:
        worker.say("spawning")
        worker.say("stats", {"user_classes_count": {}, "user_count": 0})
        gevent.sleep(0.1)
        assert watched.listener.told == ["new joined"]
        assert watched.presence.peers() == ["new"]


def test_a_worker_whose_connection_closes_is_lost_at_once(watched: Watched) -> None:
    """The services are notified soon, and Locust with its next check; other workers are not lost."""
    with Peer(watched.runner, "stays"):
        Peer(watched.runner, "goes").cut()
        assert eventually(lambda: "goes lost" in watched.listener.told) < RETURN_S + 1.0
        assert eventually(lambda: watched.runner.clients["goes"].state == STATE_MISSING) < RETURN_S + 2.5
        assert "stays lost" not in watched.listener.told
        assert watched.presence.peers() == ["stays"]


def test_a_closed_connection_that_the_socket_has_not_noticed_yet_is_looked_at_again(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ZeroMQ reports the end of a connection before sending over it fails; the worker is still lost."""
    answers, is_connected = [True], watched.presence.is_connected
    monkeypatch.setattr(
        watched.presence, "is_connected", lambda worker: answers.pop() if answers else is_connected(worker)
    )
    Peer(watched.runner, "goes").cut()
    eventually(lambda: "goes lost" in watched.listener.told)
    assert answers == []


@pytest.mark.xfail(strict=True, reason="stock Locust waits for heartbeats, for four to five seconds")
@pytest.mark.usefixtures("stock_locust")
def test_stock_locust_notices_a_closed_connection_soon() -> None:
    """This is the purpose of the presence."""
    with master() as runner:
        Peer(runner, "goes").cut()
        assert eventually(lambda: runner.clients["goes"].state == STATE_MISSING, RETURN_S + 2.5)


def test_a_worker_that_returns_at_once_joins_again(watched: Watched) -> None:
    """Locust is not told of a worker that reconnects within half a second; the services get both notifications."""
    with Peer(watched.runner, "returns") as returns:
        returns.cut()
        eventually(lambda: "returns lost" in watched.listener.told)
        returns.come_back()
        returns.say("spawning")
        eventually(lambda: watched.listener.told[-1] == "returns joined")
        gevent.sleep(RETURN_S + 0.2)
        assert watched.runner.clients["returns"].heartbeat >= 0


def test_a_worker_that_says_goodbye_is_gone(watched: Watched) -> None:
    """A worker that quits is lost immediately, and once."""
    with Peer(watched.runner, "leaves") as worker:
        worker.say("quit")
        eventually(lambda: "leaves lost" in watched.listener.told)
    watched.presence.look()
    assert watched.listener.told == ["leaves joined", "leaves lost"]


def test_a_worker_that_locust_gives_up_is_lost(watched: Watched) -> None:
    """A worker that is silent on an open connection is lost when Locust says so."""
    with Peer(watched.runner, "silent"):
        watched.runner.clients["silent"].state = STATE_MISSING
        watched.presence.look()
        assert watched.listener.told == ["silent joined", "silent lost"]
        assert watched.presence.is_connected("silent")


def test_locusts_count_of_a_missing_worker_goes_on(watched: Watched) -> None:
    """Locust counts how long a worker is missing until it forgets it: the count is not restarted."""
    Peer(watched.runner, "missing").cut()
    watched.runner.clients["missing"].state, watched.runner.clients["missing"].heartbeat = STATE_MISSING, -30
    Peer(watched.runner, "goes").cut()
    eventually(lambda: watched.runner.clients["goes"].heartbeat < 0)
    assert watched.runner.clients["missing"].heartbeat <= -30


def test_a_worker_that_reads_nothing_is_connected(watched: Watched) -> None:
    """A full queue means a slow worker, not a lost one."""
    socket: Any = watched.runner.server.socket
    with Peer(watched.runner, "slow") as slow:
        slow._listening.kill()
        socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        with pytest.raises(zmq.Again):
            for _ in range(100_000):
                socket.send_multipart([b"slow", b"x" * 10_000], zmq.NOBLOCK)
        assert watched.presence.is_connected("slow")


def test_asking_leaves_the_socket_as_locust_wants_it(watched: Watched) -> None:
    """After a probe, a message to a lost worker still disappears without an error."""
    assert not watched.presence.is_connected("nobody")
    watched.runner.server.send_to_client(Message("stop", None, "nobody"))


@dataclass
class Pair:
    """A master and its worker with running users."""

    master: MasterRunner
    worker: WorkerRunner

    def say(self, word: str, seconds: float) -> None:
        """Send the worker this message ten times a second, as long as the master knows it."""
        until_s = time.monotonic() + seconds
        while time.monotonic() < until_s:
            if self.worker.client_id in self.master.clients:
                self.master.send_message(word, None, self.worker.client_id)
            gevent.sleep(0.1)

    def users_stopped_after_s(self, limit_s: float = 5.0) -> float:
        """Wait until the worker runs no user; return the time in seconds."""
        began_s = time.monotonic()
        while self.worker.user_count and time.monotonic() < began_s + limit_s:
            gevent.sleep(0.05)
        return time.monotonic() - began_s


@pytest.fixture
def pair(monkeypatch: pytest.MonkeyPatch) -> Iterator[Pair]:
    """A worker with a timeout of a second of silence, or half a second after its connection closed."""
    monkeypatch.setattr(presence, "SILENCE_S", 1.0)
    monkeypatch.setattr(presence, "CLOSED_S", 0.5)
    master = Environment(user_classes=[Idle]).create_master_runner("127.0.0.1", 0)
    worker = Environment(user_classes=[Idle]).create_worker_runner("127.0.0.1", master.server.port)
    made = Pair(master, worker)
    made.master.environment.stop_timeout = STOP_TIMEOUT_S
    starting = gevent.spawn(master.start, 1, 10)
    made.say("heartbeat", 0.5)
    assert worker.user_count == 1
    yield made
    starting.kill()
    end(master, worker)


def test_a_silent_master_is_lost_and_found_again(pair: Pair, caplog: pytest.LogCaptureFixture) -> None:
    """The users stop when the limit is reached; a master that reappears starts them again."""
    caplog.set_level("INFO")
    stopped: list[int] = []
    pair.worker.environment.events.test_stop.add_listener(lambda **_: stopped.append(pair.worker.user_count))
    gevent.sleep(0.5)
    assert not stopped
    eventually(lambda: "the master is back" in caplog.text)
    assert stopped[:1] == [0]
    assert LOST in caplog.text


def test_every_message_is_a_sign_of_life(pair: Pair, caplog: pytest.LogCaptureFixture) -> None:
    """A master that sends anything is alive, even without heartbeats."""
    pair.say("ack", 2.5)
    assert (pair.worker.user_count, LOST in caplog.text) == (1, False)


def test_a_closed_connection_shortens_the_wait(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker whose connection closed waits for the shorter limit only."""
    monkeypatch.setattr(presence, "SILENCE_S", 60.0)
    pair.master.greenlet.kill()
    pair.master.server.socket.close(linger=0)
    assert pair.users_stopped_after_s() < 3.0


def test_the_end_of_a_test_is_no_silence(pair: Pair, caplog: pytest.LogCaptureFixture) -> None:
    """Locust's worker receives nothing for the stop timeout after a test; the next test is not affected."""
    pair.say("heartbeat", 0.2)
    stopping = gevent.spawn(pair.master.stop)
    pair.say("heartbeat", STOP_TIMEOUT_S + 1.0)
    stopping.join()
    starting = gevent.spawn(pair.master.start, 1, 10)
    pair.say("heartbeat", 1.0)
    starting.kill()
    assert (pair.worker.user_count, LOST in caplog.text) == (1, False)
