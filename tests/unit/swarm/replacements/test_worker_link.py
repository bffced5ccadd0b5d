"""What a worker takes for a lost master, over a real link with shorter limits, and what it does then."""

import time
from collections.abc import Iterator
from dataclasses import dataclass

import gevent
import pytest
from locust.env import Environment
from locust.runners import MasterRunner, WorkerRunner

from loadtest.swarm.replacements import worker_link
from tests.link_peers import eventually
from tests.locust_runners import Idle, end

LOST = "no word from the master"
STOP_TIMEOUT_S = 1.5


@dataclass
class Pair:
    """A master and its worker, whose users run."""

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
        """Wait until the worker runs no user."""
        began_s = time.monotonic()
        while self.worker.user_count and time.monotonic() < began_s + limit_s:
            gevent.sleep(0.05)
        return time.monotonic() - began_s


@pytest.fixture
def pair(monkeypatch: pytest.MonkeyPatch) -> Iterator[Pair]:
    """A worker that takes a second of silence for a lost master, or half a second after its connection closed."""
    for name in ("connect_to_master", "heartbeat_timeout_checker", "heartbeat", "stats_reporter"):
        monkeypatch.setattr(WorkerRunner, name, getattr(WorkerRunner, name))  # put back after the test
    monkeypatch.setattr(worker_link, "SILENCE_S", 1.0)
    monkeypatch.setattr(worker_link, "CLOSED_S", 0.5)
    worker_link.keep(wait_s=2.0)
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
    """The users stop when the limit is reached; the master that is there after all hears of it and deals them anew."""
    caplog.set_level("INFO")
    stopped: list[int] = []
    pair.worker.environment.events.test_stop.add_listener(lambda **_: stopped.append(pair.worker.user_count))
    gevent.sleep(0.5)
    assert not stopped
    eventually(lambda: "the master is there again" in caplog.text)
    assert stopped[:1] == [0]
    assert LOST in caplog.text


def test_every_message_is_a_word(pair: Pair, caplog: pytest.LogCaptureFixture) -> None:
    """A master that says anything at all is there, be it no heartbeat."""
    pair.say("ack", 2.5)
    assert (pair.worker.user_count, LOST in caplog.text) == (1, False)


def test_a_closed_connection_shortens_the_wait(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker whose connection closed waits for the shorter limit only."""
    monkeypatch.setattr(worker_link, "SILENCE_S", 60.0)
    pair.master.greenlet.kill()
    pair.master.server.socket.close(linger=0)
    assert pair.users_stopped_after_s() < 3.0


def test_the_end_of_a_test_is_no_silence(pair: Pair, caplog: pytest.LogCaptureFixture) -> None:
    """Locust's worker hears nothing for the stop timeout after a test; the next test does not suffer from that."""
    pair.say("heartbeat", 0.2)
    stopping = gevent.spawn(pair.master.stop)
    pair.say("heartbeat", STOP_TIMEOUT_S + 1.0)
    stopping.join()
    starting = gevent.spawn(pair.master.start, 1, 10)
    pair.say("heartbeat", 1.0)
    starting.kill()
    assert (pair.worker.user_count, LOST in caplog.text) == (1, False)
