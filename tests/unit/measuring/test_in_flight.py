"""Requests that wait for a response."""

import time

import gevent
import pytest

from loadtest.clients.transport.deadlines import DeadlineSweeper
from loadtest.measuring.collector import Collector
from loadtest.measuring.health import Health
from loadtest.measuring.in_flight import NONE_IN_FLIGHT, InFlight, InFlightProbe
from loadtest.measuring.measurements import Accumulator
from loadtest.measuring.packed import PackedMeasurements
from loadtest.measuring.record import RunRecord
from loadtest.measuring.wire import Delta
from tests.http_harness import ScriptedServer, running_user
from tests.link_peers import eventually


def test_a_wait_is_as_old_as_it_was_seen() -> None:
    """The age of a wait grows with each observation; another wait on the same connection starts at 0."""
    waits: list[tuple[int, float]] = [(1, 60.0), (2, 61.0)]
    probe = InFlightProbe(lambda: waits, {})
    assert probe.look() == (2, 0.0, 0)
    time.sleep(0.05)
    seen = probe.look()
    assert (seen.requests, 0.05 <= seen.oldest_s < 1) == (2, True)
    waits[:] = [(1, 62.0)]
    assert probe.look() == (1, 0.0, 0)
    waits.clear()
    assert probe.look() == NONE_IN_FLIGHT


def test_requests_of_other_clients_are_as_old_as_they_are() -> None:
    """A stock client's requests are registered with the time at which they were sent."""
    probe = InFlightProbe(list, {7: time.perf_counter() - 3.0, 8: time.perf_counter()})
    seen = probe.look()
    assert (seen.requests, round(seen.oldest_s)) == (2, 3)


def test_a_request_of_our_client_is_seen_while_it_hangs() -> None:
    """A connection without a response is in flight, and open; once its user is stopped it is neither."""
    sweeper = DeadlineSweeper.current()
    before, opened_before = set(sweeper.waiting()), len(sweeper.watched)
    probe = InFlightProbe(sweeper.waiting, {}, sweeper.watched)
    with (
        ScriptedServer(lambda peer: (peer.read_request(), gevent.sleep(5))) as server,
        running_user(server.url) as user,
    ):
        victim = gevent.spawn(user.client.get, "/")
        eventually(lambda: len(set(sweeper.waiting()) - before) == 1)
        assert probe.look().connections == opened_before + 1
        victim.kill()
        assert set(sweeper.waiting()) <= before
        assert probe.look().connections == opened_before


def test_the_master_adds_up_what_its_workers_last_said() -> None:
    """Requests and connections are summed, and the oldest age counts; workers that left, and ended runs, have none."""
    collector = Collector()
    for worker in ("a", "b"):
        collector.join(worker, "running", 0.0)
    collector.begin(RunRecord("r1", 0.0), 0.0)
    packed = PackedMeasurements.of(Accumulator().take())
    for worker, in_flight in (("a", InFlight(3, 1.5, 5)), ("b", InFlight(4, 12.0, 60))):
        delta = Delta("r1", 1, 0.0, 1.0, False, {"shop": 5}, Health(), packed, in_flight)
        collector.take(worker, delta.to_bytes(), 0.0)
    assert collector.in_flight() == (7, 12.0, 65)
    collector.leave(["a"], 2.0)
    assert collector.in_flight() == (3, 1.5, 5)
    collector.end()
    assert collector.in_flight() == NONE_IN_FLIGHT


@pytest.mark.parametrize(
    "wrong",
    [(-1, 0.0), (1.5, 0.0), (1, -1.0), (1, float("nan")), (1, float("inf")), (1, 2), (1, 0.0, -1), (1, 0.0, 1.5)],
)
def test_impossible_numbers_are_refused(wrong: tuple) -> None:
    """A delta with impossible values is not counted."""
    collector = Collector()
    collector.join("a", "running", 0.0)
    collector.begin(RunRecord("r1", 0.0), 0.0)
    packed = PackedMeasurements.of(Accumulator().take())
    delta = Delta("r1", 1, 0.0, 1.0, False, {"shop": 5}, Health(), packed, InFlight(*wrong))
    collector.take("a", delta.to_bytes(), 0.0)
    assert (collector.refused, collector.in_flight()) == (1, NONE_IN_FLIGHT)
