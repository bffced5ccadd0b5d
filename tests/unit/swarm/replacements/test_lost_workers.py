"""A worker whose connection closed is lost within about a second, and one that comes back at once is not."""

from collections.abc import Iterator

import gevent
import pytest
from locust.runners import STATE_MISSING, MasterRunner

from loadtest.swarm.replacements import lost_workers
from tests.link_peers import Peer, eventually, master


@pytest.fixture
def runner() -> Iterator[MasterRunner]:
    """A master that is watched."""
    with master() as runner:
        lost_workers.watch(runner)
        yield runner


def test_a_worker_whose_connection_closed_is_lost_soon(runner: MasterRunner) -> None:
    """It is missing at Locust's next look, not after its heartbeats ran out; the others are not."""
    with Peer(runner, "stays"):
        Peer(runner, "goes").cut()
        assert eventually(lambda: runner.clients["goes"].state == STATE_MISSING) < lost_workers.RETURN_S + 2.5
        assert runner.clients["stays"].state != STATE_MISSING
        assert runner.clients["stays"].heartbeat >= 0


def test_a_worker_that_comes_back_at_once_is_not_lost(runner: MasterRunner) -> None:
    """Between the end of one connection and the next there is some time to come back."""
    with Peer(runner, "returns") as returns:
        returns.cut()
        gevent.sleep(lost_workers.RETURN_S / 5)
        returns.come_back()
        gevent.sleep(lost_workers.RETURN_S + 0.2)
        assert runner.clients["returns"].heartbeat >= 0


def test_a_worker_that_is_missing_stays_as_it_is(runner: MasterRunner) -> None:
    """Locust counts how long a worker is missing, and forgets it then: that is not begun anew."""
    Peer(runner, "missing").cut()
    runner.clients["missing"].state, runner.clients["missing"].heartbeat = STATE_MISSING, -30
    Peer(runner, "goes").cut()
    eventually(lambda: runner.clients["goes"].heartbeat < 0)
    assert runner.clients["missing"].heartbeat <= -30
