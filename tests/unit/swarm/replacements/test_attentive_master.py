"""A worker that comes back does not make the master deaf."""

from collections.abc import Iterator
from dataclasses import dataclass

import gevent
import pytest
from locust import __version__
from locust.env import Environment
from locust.rpc import Message
from locust.runners import STATE_RUNNING, MasterRunner, WorkerRunner

from loadtest.swarm.replacements import attentive_master
from tests.link_peers import eventually
from tests.locust_runners import Idle, end


@dataclass
class Swarm:
    """A master and its worker, in this process."""

    master: MasterRunner
    worker: WorkerRunner


@pytest.fixture
def swarm() -> Iterator[Swarm]:
    """A master that runs two users on its worker."""
    master = Environment(user_classes=[Idle]).create_master_runner("127.0.0.1", 0)
    attentive_master.keep(master)
    worker = Environment(user_classes=[Idle]).create_worker_runner("127.0.0.1", master.server.port)
    gevent.spawn(master.start, 2, 10)
    eventually(lambda: master.user_count == 2 and master.state == STATE_RUNNING)
    yield Swarm(master, worker)
    end(master, worker)


def test_a_worker_that_comes_back_makes_the_master_not_deaf(swarm: Swarm) -> None:
    """What is said right after a worker reported anew is heard at once, and its users are dealt anew all the same."""
    heard: list[str] = []
    swarm.master.register_message("word", lambda msg, **_: heard.append(msg.node_id))
    swarm.worker.client.send(Message("client_ready", __version__, swarm.worker.client_id))
    swarm.worker.send_message("word", None)
    assert eventually(lambda: heard) < 0.9  # a master that is deaf hears after a second
    eventually(lambda: swarm.master.user_count == 2)


def test_the_first_start_waits_for_the_workers_reports(swarm: Swarm) -> None:
    """Where waiting makes nobody deaf, Locust waits as before, and says how many users run."""
    told: list[int] = []
    swarm.master.environment.events.spawning_complete.add_listener(lambda **_: told.append(swarm.master.user_count))
    swarm.master.start(3, 10)
    assert told == [3]
