"""One Prometheus disappears in the middle of its scrapes and returns, another one does not: neither affects the run."""

import contextlib
import socket
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gevent
import pytest

from loadtest.exceptions import ExitCode
from loadtest.exporting.exporter import FINAL_SCRAPES, LINGER_S

from .swarm import FaultySwarm, Sight, Witness, end

pytestmark = [pytest.mark.native, pytest.mark.timeout(120)]

PROMETHEUS = {"X-Prometheus-Scrape-Timeout-Seconds": "2"}
LOOKS_EVERY_S = 0.5
STRETCH_S = 2.0
PROFILE = '[steady]\nusers = 8\nspawn_rate_per_s = 8\nthink_time = "1s"\nrun_time = "1m"\n'
COUNTERS = ("loadtest_requests_total", "loadtest_response_time_seconds_count", "loadtest_response_bytes_total")
ABANDONED = 8
"""Connections of each kind that the vanished scraper leaves behind."""


@dataclass
class History:
    """What happened, as seen from outside."""

    before: list[Sight] = field(default_factory=list)
    after: list[Sight] = field(default_factory=list)
    periods: list[int] = field(default_factory=list)
    witnessed: int = 0
    exit_code: int = -1
    ended_after_s: float = 0.0
    record: dict[str, Any] = field(default_factory=dict)
    logs: str = ""
    left_exit_code: int = -1
    left_logs: str = ""
    left_ended_after_s: float = 0.0


def scrape(swarm: FaultySwarm, sights: list[Sight]) -> None:
    """Look again and again, as Prometheus does, until the greenlet is killed."""
    while True:
        if (sight := swarm.look(PROMETHEUS)) is not None:
            sights.append(sight)
        gevent.sleep(LOOKS_EVERY_S)


def vanish(port: int, left: contextlib.ExitStack) -> None:
    """Abort responses that have begun, as a killed process does, and leave connections open."""
    reset, asking, waiting = ([socket.create_connection(("127.0.0.1", port)) for _ in range(ABANDONED)] for _ in "123")
    for connection in (*reset, *waiting):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        connection.sendall(b"GET /metrics HTTP/1.1\r\nHost: prometheus\r\n\r\n")
    for connection in reset:
        assert connection.recv(100).startswith(b"HTTP/1.1 200 OK")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # close with a reset
        connection.close()
    for connection in asking:
        connection.sendall(b"GET /metrics HT")
    for connection in (*asking, *waiting):
        left.enter_context(connection)


def steady(folder: Path, witness: Witness) -> FaultySwarm:
    """Return a swarm whose load is even enough to compare one period with the next."""
    profiles = folder / "profiles.toml"
    profiles.write_text(PROFILE)
    return FaultySwarm(
        folder, witness.url, variables={"LOADTEST_PROFILES_FILE": str(profiles), "LOADTEST_PROFILE": "steady"}
    )


def run(swarm: FaultySwarm, witness: Witness, history: History, left: contextlib.ExitStack) -> None:
    """Load for three periods: before, without, and after."""
    master = swarm.master()
    workers = [swarm.worker(), swarm.worker()]
    swarm.wait_for_load()
    scraping = gevent.spawn(scrape, swarm, history.before)
    began_s = time.monotonic()
    gevent.sleep(STRETCH_S)
    scraping.kill()
    vanish(swarm.exporter, left)
    gevent.sleep(STRETCH_S)
    scraping = gevent.spawn(scrape, swarm, history.after)
    gevent.sleep(STRETCH_S)
    history.periods = [
        witness.between(began_s + number * STRETCH_S, began_s + (number + 1) * STRETCH_S) for number in range(3)
    ]
    history.exit_code = end(master)
    history.ended_after_s = time.monotonic() - witness.requests[-1][0]
    scraping.kill()
    for worker in workers:
        worker.wait()
    history.witnessed, history.record, history.logs = len(witness.requests), swarm.record(), swarm.logs()


def run_unseen(swarm: FaultySwarm, witness: Witness, history: History) -> None:
    """Generate load in one process, which is scraped while every user runs, and then never again."""
    process = swarm.start("--headless")
    swarm.wait_for(lambda sight: sum(sight.users.values()) == swarm.users, "every user runs")
    assert swarm.look(PROMETHEUS) is not None
    history.left_exit_code = end(process)
    history.left_logs = swarm.logs()
    history.left_ended_after_s = time.monotonic() - witness.requests[-1][0]


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Iterator[History]:
    """Make both runs, in parallel."""
    history = History()
    with contextlib.ExitStack() as stack:
        swarms = []
        for name in ("back", "away"):
            witness = Witness()
            stack.callback(witness.close)
            swarms.append((stack.enter_context(steady(tmp_path_factory.mktemp(name), witness)), witness))
        unseen = gevent.spawn(run_unseen, *swarms[1], history)
        run(*swarms[0], history, stack)
        unseen.get()
        yield history


def test_the_load_goes_on_without_prometheus(history: History) -> None:
    """The request rate stays the same during its absence; each request is recorded, and the run ends with a report."""
    before, away, after = history.periods
    assert 0.75 < away / before < 1.25, history.periods
    assert 0.75 < after / before < 1.25, history.periods
    assert history.exit_code == ExitCode.INTERRUPTED, history.logs
    assert (history.record["delivery"]["completeness"], history.record["delivery"]["missing"]) == (1.0, [])
    assert sum(series["requests"] for series in history.record["series"]) == history.witnessed


@pytest.mark.parametrize("name", COUNTERS)
def test_counters_went_on_meanwhile(history: History, name: str) -> None:
    """After its return each counter is at least where it was, and higher by the requests in between."""
    last, first = history.before[-1], history.after[0]
    series = [labels for (one, labels) in last.samples if one == name]
    assert series
    for labels in series:
        assert first.samples[name, labels] >= last.samples[name, labels]
    assert first.value("loadtest_requests_total") - last.value("loadtest_requests_total") > history.periods[1] / 2


def test_final_values_are_fetched_after_it_is_back(history: History) -> None:
    """The last scrapes get the record's final values, and the process does not wait for more scrapes."""
    final = {series["name"]: series["requests"] for series in history.record["series"]}
    for sight in history.after[-FINAL_SCRAPES:]:
        for name, requests in final.items():
            assert sight.value("loadtest_requests_total", f'name="{name}"') == requests
    assert history.ended_after_s < history.left_ended_after_s - LINGER_S / 4


def test_a_prometheus_that_stays_away_delays_the_end_by_seconds_only(history: History) -> None:
    """A run whose scraper does not return waits for the documented time, and then ends normally."""
    assert history.left_exit_code == ExitCode.INTERRUPTED, history.left_logs
    assert LINGER_S <= history.left_ended_after_s < LINGER_S + 15
