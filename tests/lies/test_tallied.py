"""Time and requests that are not the service's own: connections, resolvers, caches, redirects and retries."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from loadtest.exceptions import ExitCode
from tests.http_harness import Peer, ok

from .conftest import Referee

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable

    from .conftest import RunReport

pytestmark = [pytest.mark.native, pytest.mark.timeout(240)]

LOAD = ("--users", "5", "--spawn-rate", "5", "--run-time", "5s")
SLOW_RESOLVER = """
import gevent.socket

look_up = gevent.socket.getaddrinfo


def slow(*arguments, **more):
    gevent.sleep(0.05)
    return look_up(*arguments, **more)


gevent.socket.getaddrinfo = slow

"""
BY_NAME = """
wait_time = constant(0.1)

@task
def get(self):
    self.client.get(self.host.replace("127.0.0.1", "localhost") + "/ok", name="/ok")
"""


class Closing(Referee):
    """A service that closes each connection after one response."""

    def __call__(self, peer: Peer) -> None:
        """Answer once."""
        if peer.read_request()[0]:
            peer.send(ok(b"{}", "Connection: close"))


def tallied_times(report: RunReport, kind: str) -> int:
    """How often something was counted in addition to the requests."""
    return sum(row["times"] for row in report.document["tallies"] if row["kind"] == kind)


def test_new_connections_and_a_slow_resolver_are_not_the_service(run_scenario: Callable[..., RunReport]) -> None:
    """Lies 16 and 17: each request looks its host up and connects, which takes most of its time."""
    report = run_scenario(BY_NAME, *LOAD, service=Closing(), imports=SLOW_RESOLVER)
    assert (report.exit_code, report.outcome) == (ExitCode.NOT_TRUSTWORTHY, "not trustworthy"), report.output
    requests, failures = report.requests("/ok")
    assert (tallied_times(report, "connection"), failures) == (requests, 0)
    assert tallied_times(report, "lookup") == requests
    assert "name_lookups" in report.rules
    assert "look-ups of localhost took" in report.sentence("name_lookups")
    for text in (report.output, report.summary, report.junit):
        assert f"{requests} connections were opened for {requests} requests of GET /ok" in text


EXPECTING = "from loadtest.clients.http import Expect\n"
ONE_FOR_TWO = """
wait_time = constant(0.1)

@task
def get(self):
    self.client.get("/varies", expect=Expect(varies=True))
    self.client.get("/moved")
    self.client.get("/dropped")
    self.client.get("/sizes")
    self.client.get("/list")
"""


class Cached(Referee):
    """A service with the same response for everything; it redirects, drops requests and returns errors as successes."""

    def __call__(self, peer: Peer) -> None:
        """Serve one connection."""
        served = 0
        while head := peer.read_request()[0]:
            path = head.split(b" ", 2)[1].decode()
            self.received[path] += 1
            if path == "/dropped" and served:
                return  # the service closed an idle connection, unnoticed by the client
            served += 1
            if path == "/moved":
                peer.send(ok(b"", "Location: /there", status="302 Found"))
            elif path == "/sizes":
                peer.send(ok(b"x" * (4096 if self.received[path] % 4 else 20)))
            else:
                peer.send(ok(b"[]" if path == "/list" else b"the same for all"))


def test_identical_responses_and_resent_requests_are_reported(run_scenario: Callable[..., RunReport]) -> None:
    """Lies 21, 27 and 42: a cache responds where responses should vary, and one recorded request stands for two."""
    service = Cached()
    report = run_scenario(ONE_FOR_TWO, *LOAD, service=service, imports=EXPECTING)
    assert (report.exit_code, report.outcome) == (ExitCode.NOT_TRUSTWORTHY, "not trustworthy"), report.output
    received: Counter[str] = service.received
    assert "same_answers" in report.rules
    assert "responses of GET /varies were byte-identical to the previous one" in report.sentence("same_answers")
    assert tallied_times(report, "redirect") == received["/there"]
    requests, failures = report.requests("/dropped")
    assert tallied_times(report, "retry") == received["/dropped"] - requests > 0
    assert failures == 0
    assert "were retried because the service closed the connection" in report.sentence("resent_requests")
    for text in (report.output, report.summary, report.junit):
        assert "redirects were followed within" in text
        assert "requests were retried over another connection" in text
        assert "successes of GET /sizes ranged from about 16 to 4,096 bytes" in text
        assert "no response of GET /list had more than 3 bytes, about the size of an empty list" in text


NOTHING = """
wait_time = constant(0.1)

@task
def get(self):
    self.client.head("/page")
    self.client.get("/itself", allow_redirects=False)
    self.client.get("/loop")
"""


class Empty(Referee):
    """A service that reports success and sends no content."""

    def __call__(self, peer: Peer) -> None:
        """Serve one connection."""
        while head := peer.read_request()[0]:
            path = head.split(b" ", 2)[1].decode()
            moved = {"status": "302 Found"} if path in {"/itself", "/loop"} else {}
            peer.send(ok(b"", f"Location: {path}", **moved))


def test_responses_without_content_are_reported(run_scenario: Callable[..., RunReport]) -> None:
    """A redirect to itself is not a success, a redirect loop fails, and responses without a body are reported."""
    report = run_scenario(NOTHING, *LOAD[:-1], "3s", service=Empty())
    assert (report.exit_code, report.outcome) == (ExitCode.NOT_TRUSTWORTHY, "not trustworthy"), report.output
    assert "responses of GET /itself had status 3xx without a usable redirect" in report.sentence("empty_redirects")
    requests, failures = report.requests("/loop")
    assert requests == failures > 0
    for text in (report.output, report.summary, report.junit):
        assert f"every one of the {requests} requests of GET /loop failed, most often with redirect" in text
        assert "no response of HEAD /page, GET /itself had a body" in text


STOCK = """
wait_time = constant(0.1)

@task
def get(self):
    self.client.get("/account")
    self.client.get("/orders")
    self.client.get("/cached")
    self.client.get("/unused", catch_response=True)
"""


class Away(Referee):
    """A service that never logs anybody in, and claims that one page has not changed."""

    def __call__(self, peer: Peer) -> None:
        """Serve one connection."""
        while head := peer.read_request()[0]:
            path = head.split(b" ", 2)[1].decode()
            self.received[path] += 1
            if path in {"/account", "/orders"}:
                peer.send(ok(b"", "Location: /login", status="302 Found"))
            elif path == "/cached":
                peer.send(ok(b"", status="304 Not Modified"))
            else:
                peer.send(ok(b"{}"))


@pytest.mark.parametrize("stock", ["HttpUser", "FastHttpUser"])
def test_a_page_that_is_not_the_requested_one_is_no_success(run_scenario: Callable[..., RunReport], stock: str) -> None:
    """Lie 27 with Locust's own clients: each request ends at the login page, or brings nothing; none is lost."""
    service = Away()
    report = run_scenario(STOCK, *LOAD[:-1], "3s", service=service, imports=f"from locust import {stock} as HttpUser\n")
    assert (report.exit_code, report.outcome) == (ExitCode.NOT_TRUSTWORTHY, "not trustworthy"), report.output
    assert {"redirected_away", "empty_redirects"} <= report.rules
    assert "were redirected to /login, including those of GET /account, GET /orders" in report.sentence(
        "redirected_away"
    )
    assert tallied_times(report, "redirect") == service.received["/login"]
    assert tallied_times(report, "connection") == 5  # one of each user
    assert report.requests("/unused") == (service.received["/unused"], 0)


MISSING = """
wait_time = constant(0.05)

def on_start(self):
    self.client.set("there", "a")
    self.turn = 0

@task
def read(self):
    self.turn += 1
    self.client.labelled("gone").json().get("nobody:1", "$.name")
    with self.client.labelled("batch").pipeline(transaction=False) as batch:
        batch.get("nobody:1").get("nobody:2").execute()
    self.client.labelled("cache").get("there" if self.turn % 2 else "nobody:1")
    self.client.labelled("blocked", must_exist=False).get("nobody:1")
    self.client.labelled("kept").get("there")
"""


def test_reads_of_an_empty_redis_are_reported(run_scenario: Callable[..., RunReport], redis_url: str) -> None:
    """Lie 41: reads of missing data are fast; the report names the requests that found none."""
    redis_user = "from loadtest.clients.redis import RedisJsonUser as HttpUser\n"
    report = run_scenario(MISSING, *LOAD[:-1], "4s", imports=redis_user, REDIS_URL=redis_url)
    assert (report.exit_code, report.outcome) == (ExitCode.NOT_TRUSTWORTHY, "not trustworthy"), report.output
    found = [finding for finding in report.document["findings"] if finding["rule"] == "only_misses"]
    assert {finding["subject"] for finding in found} == {"JSON.GET gone", "PIPELINE batch"}
    assert all("found nothing in Redis (no key, or nothing at the path)" in finding["sentence"] for finding in found)
    assert tallied_times(report, "miss") >= 2 * report.requests("gone")[0]
    for text in (report.output, report.summary, report.junit):
        assert "GET cache found nothing in Redis: its times mix hits and misses" in text
