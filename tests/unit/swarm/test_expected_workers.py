"""If not all workers connect, an error says how many did, or the run continues with those."""

from collections.abc import Iterator
from contextlib import contextmanager

import gevent
import pytest
from locust.runners import MasterRunner

from loadtest.swarm import expected_workers
from tests.link_peers import Peer, master

SOON_S = 1.05
"""Decided a second before: at once."""


@contextmanager
def waiting(came: int, wait_s: float = SOON_S, *, go_on: bool) -> Iterator[MasterRunner]:
    """A master that waits for two workers, when its time is over."""
    with master(expect_workers=2, expect_workers_max_wait=wait_s) as runner:
        peers = [Peer(runner, f"worker {number}") for number in range(came)]
        expected_workers.watch(runner.environment, runner, go_on=go_on)
        gevent.sleep(0.2)
        yield runner
        for peer in peers:
            peer.cut()


def test_a_run_goes_on_with_those_that_came(caplog: pytest.LogCaptureFixture) -> None:
    """On request, fewer workers are expected from then on, and the log says so."""
    with waiting(1, go_on=True) as runner:
        assert runner.environment.parsed_options.expect_workers == 1
    assert "1 of 2 workers connected within 1 s: continuing with these" in caplog.text


@pytest.mark.parametrize(("came", "go_on"), [(1, False), (0, False), (0, True)])
def test_missing_workers_are_said(caplog: pytest.LogCaptureFixture, came: int, go_on: bool) -> None:
    """Otherwise, or if none connected, the expected number is unchanged, and the log gives advice."""
    with waiting(came, go_on=go_on) as runner:
        assert runner.environment.parsed_options.expect_workers == 2
    assert f"{came} of 2 workers connected within 1 s. Allowed: all that are expected. Next: " in caplog.text
    assert "LOADTEST_FEWER_WORKERS=1" in caplog.text


@pytest.mark.parametrize(("came", "wait_s"), [(2, SOON_S), (1, 0), (1, 60)])
def test_nothing_is_decided_without_need(caplog: pytest.LogCaptureFixture, came: int, wait_s: float) -> None:
    """All came, or Locust waits for ever, or the time is not over: nothing changes, and nothing is logged."""
    with waiting(came, wait_s, go_on=True) as runner:
        assert runner.environment.parsed_options.expect_workers == 2
    assert "workers connected within" not in caplog.text
