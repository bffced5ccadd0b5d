"""A worker is killed, and another joins, during a run that is also scraped one byte at a time."""

import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import gevent
import pytest

from loadtest.exceptions import ExitCode

from .swarm import USERS, FaultySwarm, Sight, Witness, end

pytestmark = [pytest.mark.native, pytest.mark.timeout(180)]

COUNTERS = ("loadtest_requests_total", "loadtest_response_time_seconds_count", "loadtest_response_bytes_total")


@dataclass
class History:
    """What happened in the run, as seen from outside."""

    seen_after_s: float = 0.0
    dealt_after_s: float = 0.0
    joined_after_s: float = 0.0
    users_of_joined: int = 0
    sights: list[Sight] = field(default_factory=list)
    drip_bytes: int = 0
    exit_code: int = -1
    witnessed: int = 0
    record: dict[str, Any] = field(default_factory=dict)
    logs: str = ""


def drip(port: int, history: History) -> None:
    """Scrape at a byte a second."""
    with socket.create_connection(("127.0.0.1", port)) as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        slow.sendall(b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        while slow.recv(1):
            history.drip_bytes += 1
            gevent.sleep(1.0)


def watch(swarm: FaultySwarm, history: History) -> None:
    """Scrape as Prometheus does, more often."""
    while True:
        if (sight := swarm.look()) is not None:
            history.sights.append(sight)
        gevent.sleep(0.5)


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Iterator[History]:
    """Run it."""
    history, witness = History(), Witness()
    with FaultySwarm(tmp_path_factory.mktemp("workers"), witness.url) as swarm:
        master = swarm.master()
        first, _ = swarm.worker(), swarm.worker()
        swarm.wait_for_load()
        watching = [gevent.spawn(watch, swarm, history), gevent.spawn(drip, swarm.exporter, history)]
        gevent.sleep(2.0)

        killed_s = time.monotonic()
        first.kill()
        seen = swarm.wait_for(lambda s: s.workers == 1, "the loss is seen")
        history.seen_after_s = seen.at_s - killed_s
        history.dealt_after_s = swarm.wait_for_load(workers=1).at_s - killed_s
        gevent.sleep(1.0)

        swarm.worker()
        ready = swarm.wait_for(lambda s: s.workers == 2, "the new worker is connected")
        shared = swarm.wait_for_load()
        history.joined_after_s = shared.at_s - ready.at_s
        history.users_of_joined = min(shared.users.values())
        gevent.sleep(1.0)

        history.exit_code = end(master)
        gevent.killall(watching)
        history.witnessed, history.record, history.logs = len(witness.requests), swarm.record(), swarm.logs()
    witness.close()
    yield history


def test_a_killed_worker_is_seen_and_its_users_go_to_the_others(history: History) -> None:
    """The loss of a worker shows in the metrics within 4 s, and all users run again within 6 s."""
    assert history.seen_after_s < 4
    assert history.dealt_after_s < 6


def test_a_killed_worker_loses_at_most_its_current_interval(history: History) -> None:
    """The record names one missing interval, and what the target saw beyond the record fits into it."""
    (missing,) = history.record["delivery"]["missing"]
    assert missing["deltas"] == 1
    requests = sum(series["requests"] for series in history.record["series"])
    # One interval of half the users, of two requests a second each, and their requests in flight.
    assert 0 <= history.witnessed - requests <= 2 * USERS, history.logs


def test_a_worker_that_joins_gets_its_share(history: History) -> None:
    """A worker that joins during the run gets half of the users within 6 s."""
    assert history.users_of_joined == USERS // 2
    assert history.joined_after_s < 6


@pytest.mark.parametrize("name", COUNTERS)
def test_no_counter_goes_down(history: History, name: str) -> None:
    """However workers come and go, no counter of the exporter goes down."""
    series: dict[str, float] = {}
    for sight in history.sights:
        for (one, labels), value in sight.samples.items():
            if one == name:
                assert value >= series.get(labels, 0.0)
                series[labels] = value
    assert sum(series.values()) > 0


def test_a_scraper_that_reads_a_byte_a_second_holds_nothing_up(history: History) -> None:
    """A very slow scraper delays neither other scrapes nor the master's event loop."""
    assert history.drip_bytes > 3
    assert len(history.sights) > history.drip_bytes
    (master,) = [one for one in history.record["workers"] if one["subject"] == "master"]
    assert master["mean"]["loop_lag_s"] < 0.5  # it would be a second for each byte


def test_the_run_goes_on_to_its_report(history: History) -> None:
    """After the loss, SIGTERM to the master still ends the run with a report, which says what is missing."""
    assert history.exit_code == ExitCode.INTERRUPTED, history.logs
    assert "completeness" in [finding["rule"] for finding in history.record["findings"]]
    assert sum(series["failures"] for series in history.record["series"]) == 0
