"""Users of workers that leave together move to those that stay, in a real master with real sockets."""

from collections.abc import Iterator
from contextlib import ExitStack

import gevent
import pytest
from locust.runners import STATE_RUNNING, MasterRunner

from loadtest.swarm import rebalancing
from tests.link_peers import Peer, eventually, master

USERS = 6
PATIENCE_S = 60.0


@pytest.fixture
def swarm(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[MasterRunner, list[Peer]]]:
    """A master whose users run on three workers; the rebalancing runs five times a second."""
    monkeypatch.setenv("LOCUST_WAIT_FOR_WORKERS_REPORT_AFTER_RAMP_UP", "0.1")
    monkeypatch.setattr(rebalancing, "LOOK_EVERY_S", 0.2)
    with ExitStack() as stack:
        runner = stack.enter_context(master())
        peers = [stack.enter_context(Peer(runner, f"worker {number}")) for number in range(3)]
        for client in runner.clients.all:
            client.heartbeat = 1000  # they send none
        looking = rebalancing.keep(runner)
        stack.callback(looking.kill)
        starting = gevent.spawn(runner.start, USERS, 100)
        stack.callback(starting.kill)
        eventually(lambda: runner.state == STATE_RUNNING and runner.spawning_completed, PATIENCE_S)
        assert [peer.spawned[-1] for peer in peers] == [2, 2, 2]
        yield runner, peers


def test_users_of_workers_that_leave_together_are_dealt_anew(swarm: tuple[MasterRunner, list[Peer]]) -> None:
    """When two of three leave together, the third soon runs all users."""
    _, peers = swarm
    for peer in peers[:2]:
        peer.say("quit")
    eventually(lambda: peers[2].spawned[-1] == USERS, PATIENCE_S)


def test_a_worker_that_ends_is_dealt_no_users(swarm: tuple[MasterRunner, list[Peer]]) -> None:
    """From the moment it starts to end, the others run its users, in this test and the next."""
    runner, peers = swarm
    rebalancing.stop_assigning(runner, runner.clients["worker 0"])
    told = len(peers[0].spawned)
    eventually(lambda: [peer.spawned[-1] for peer in peers[1:]] == [3, 3], PATIENCE_S)
    runner._users_dispatcher = None
    runner.start(USERS + 2, 100)
    eventually(lambda: [peer.spawned[-1] for peer in peers[1:]] == [4, 4], PATIENCE_S)
    assert len(peers[0].spawned) == told
    assert "worker 0" in runner.clients  # it counts there until it has ended


def test_nothing_is_dealt_that_nobody_owes(swarm: tuple[MasterRunner, list[Peer]]) -> None:
    """While all stay, no message is sent."""
    _, peers = swarm
    told = [len(peer.spawned) for peer in peers]
    gevent.sleep(0.5)
    assert [len(peer.spawned) for peer in peers] == told


def test_a_ramp_up_is_left_to_locust(swarm: tuple[MasterRunner, list[Peer]]) -> None:
    """While users are still being started, Locust itself moves those of a worker that left."""
    runner, peers = swarm
    start, starts = runner.start, []

    def counted(*arguments: float) -> None:
        starts.append(arguments)
        start(*arguments)

    runner.start = counted
    ramping = gevent.spawn(runner.start, USERS + 4, 2)
    gevent.sleep(0.1)
    peers[0].say("quit")
    ramping.join()
    eventually(lambda: sum(peer.spawned[-1] for peer in peers[1:]) == USERS + 4, PATIENCE_S)
    assert starts == [(USERS + 4, 2)]
