"""Runs and processes that end while Locust is still starting users, between a real master and a real worker."""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import gevent
import pytest
from gevent.event import Event
from gevent.monkey import get_original
from locust import User, constant, task
from locust.env import Environment
from locust.rpc import Message
from locust.runners import MasterRunner, WorkerRunner

from loadtest.measuring.recorder import Recorder
from loadtest.swarm import delta_sender
from loadtest.swarm.session import ControllingSwarm
from tests.link_peers import Peer, eventually
from tests.locust_runners import end
from tests.swarms import record_keeper, started

DISPATCH_EVERY_S = 1.0
"""Locust tells the workers of more users so often, at one user a second."""
PATIENCE_S = 30.0


class Leisurely(User):
    """Records a made-up request every 10 ms, and stops so slowly that Locust distributes users meanwhile."""

    scenario = "leisurely"
    wait_time = constant(0.01)
    made = 0

    @task
    def request(self) -> None:
        """Count one."""
        now_s = time.perf_counter()
        Recorder.of(self.environment).series(self.scenario, "GET", "leisurely").success(now_s, now_s, now_s + 0.001, 3)
        type(self).made += 1

    def on_stop(self) -> None:
        """Stop slowly."""
        gevent.sleep(1.2 * DISPATCH_EVERY_S)


@dataclass
class Pair:
    """A master and its worker, in this process."""

    master: MasterRunner
    worker: WorkerRunner

    def start(self, users: int, per_s: float) -> gevent.Greenlet:
        """Start users as Locust's command line does: in a greenlet that nothing ends."""
        return gevent.spawn(self.master.start, users, per_s)


@pytest.fixture
def pair() -> Iterator[Pair]:
    """A master and a worker that measure."""
    Leisurely.made = 0
    master = Environment(user_classes=[Leisurely]).create_master_runner("127.0.0.1", 0)
    record_keeper(master.environment)
    worker = Environment(user_classes=[Leisurely]).create_worker_runner("127.0.0.1", master.server.port)
    started(worker.environment)
    eventually(lambda: master.clients.ready, PATIENCE_S)
    yield Pair(master, worker)
    for runner in (worker, master):
        runner.environment.events.quitting.fire(environment=runner.environment, reverse=True)
    end(master, worker)


def test_a_run_that_ends_during_its_ramp_up_is_counted_to_the_last_request(pair: Pair) -> None:
    """However long the ramp-up takes, no user starts after the run was told to end; the next run has users again."""
    ramping = pair.start(30, 1.0)
    eventually(lambda: Leisurely.made > 50, PATIENCE_S)
    pair.master.stop()
    assert record_keeper(pair.master.environment).record.requests == Leisurely.made
    gevent.sleep(1.2 * DISPATCH_EVERY_S)
    assert (pair.worker.user_count, record_keeper(pair.master.environment).record.requests) == (0, Leisurely.made)
    ramping.kill()
    eventually(lambda: pair.master.clients.ready, PATIENCE_S)
    before, next_one = Leisurely.made, pair.start(2, 10.0)
    eventually(lambda: Leisurely.made > before + 50, PATIENCE_S)
    next_one.join()
    pair.master.stop()
    assert record_keeper(pair.master.environment).record.requests == Leisurely.made - before


def test_a_worker_that_was_held_up_says_at_once_that_it_lives(pair: Pair) -> None:
    """Its users run elsewhere by then, so the master is notified before the next heartbeat would be due."""
    hold_up, heard = get_original("time", "sleep"), []
    pair.master.environment.events.heartbeat_sent.add_listener(lambda **_: heard.append(time.time()))
    hold_up(4.1 - time.time() % 2)  # until an even second, when the next heartbeat would be due in any case
    gevent.sleep(0.5)
    heard.clear()
    hold_up(3.1 - time.time() % 2)  # until an odd one
    gevent.sleep(0.6)
    assert heard


def test_a_worker_that_was_told_to_end_starts_none_of_the_users_that_come_yet(pair: Pair) -> None:
    """When workers are scaled down together, an ending one does not start users that the master still assigns to it."""
    quitting = pair.worker.environment.events.quitting
    quitting.fire(environment=pair.worker.environment, reverse=True)
    pair.start(2, 10.0).join()
    gevent.sleep(0.2)
    assert (pair.worker.user_count, Leisurely.made) == (0, 0)


def test_the_master_deals_a_worker_that_ends_no_users(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """While its users finish their tasks, the others run the requested number, and it is assigned none."""
    master, worker, may_end, told = pair.master, pair.worker, Event(), list[str]()
    monkeypatch.setattr(Leisurely, "on_stop", lambda _user: may_end.wait())
    monkeypatch.setattr(delta_sender, "HEARTBEAT_EVERY_S", 10**12)  # it says so at once
    master.environment.stop_timeout = PATIENCE_S
    with Peer(master, "stays") as stays, ExitStack() as at_the_end:
        at_the_end.callback(may_end.set)
        master.clients[stays.name].heartbeat = 1000  # it sends none
        pair.start(4, 100.0)
        eventually(
            lambda: (worker.user_count, stays.spawned[-1:]) == (2, [2]) and master.spawning_completed, PATIENCE_S
        )
        send = master.server.send_to_client

        def noted(message: Message) -> None:
            told.append(f"{message.type} to {message.node_id}")
            send(message)

        monkeypatch.setattr(master.server, "send_to_client", noted)
        quitting = worker.environment.events.quitting
        ending = gevent.spawn(quitting.fire, environment=worker.environment, reverse=True)
        eventually(lambda: stays.spawned[-1] == 4, PATIENCE_S)
        pair.start(6, 100.0)
        eventually(lambda: stays.spawned[-1] == 6, PATIENCE_S)
        assert worker.client_id in master.clients
        assert (f"spawn to {stays.name}" in told, f"spawn to {worker.client_id}" in told) == (True, False)
        may_end.set()
        ending.join()
        stays.say("quit")
        eventually(lambda: not len(master.clients), PATIENCE_S)


def test_the_master_decides_what_is_kept_of_requests() -> None:
    """The settings for failed requests and traces that it sends before a run apply to the users of the run."""
    environment = Environment(user_classes=[Leisurely])
    environment.create_local_runner()
    started(environment)
    swarm = ControllingSwarm.of(environment)
    swarm.keeps_evidence, swarm.trace_ratio = False, 0.25
    environment.events.test_start.fire(environment=environment)
    assert Recorder.of(environment).sampler.ratio == 0.25
    Recorder.of(environment).series("s", "GET", "n").failure(
        1.0, 1.0, 2.0, 0, "check", "no", lambda: pytest.fail("it is made")
    )
    environment.events.test_stop.fire(environment=environment)
    (error,) = record_keeper(environment).record.errors()
    assert (error.occurrences, error.evidence) == (1, None)
    environment.runner.quit()
