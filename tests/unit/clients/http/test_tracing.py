"""HttpUser's traced requests: the header on the wire and the id in the record, on every path of a request."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import gevent
import pytest
from locust.env import Environment

from loadtest.clients.http import HttpUser
from loadtest.measuring.recorder import Recorder
from tests.http_harness import Peer, ScriptedServer, close, ok

OWN = f"00-{'ab' * 16}-{'cd' * 8}-01"
SENT = re.compile(rb"\r\n(?i:traceparent): 00-([0-9a-f]{32})-[0-9a-f]{16}-01(?=\r\n|$)")


@contextmanager
def traced_user(url: str, ratio: float = 1.0, **attributes: Any) -> Iterator[Any]:
    """A user whose requests are traced by a ratio."""
    user_class = type("TestUser", (HttpUser,), {"host": url, **attributes})
    environment = Environment(user_classes=[user_class])
    Recorder.of(environment).sampler.ratio = ratio
    user = user_class(environment)
    try:
        yield user
    finally:
        close(user)


class Service:
    """Responds by path, and keeps the requests."""

    def __init__(self) -> None:
        self.heads: list[bytes] = []

    def __call__(self, peer: Peer) -> None:
        """Serve a connection."""
        while head := peer.read_request()[0]:
            self.heads.append(head)
            if b"/silent" in head:
                continue
            if b"/moved" in head:
                peer.send(ok(b"", "Location: /there", status="302 Found"))
            else:
                peer.send(ok(status="500 Internal Server Error") if b"/bad" in head else ok())

    def ids(self) -> list[str]:
        """The trace ids received, empty for a request without one."""
        found = map(SENT.findall, self.heads)
        return [ids[0].decode() if ids else "" for ids in found]


def kept(user: Any) -> list[tuple[str, str, str]]:
    """Name, id and error class of each recorded trace."""
    taken = Recorder.of(user.environment).take()
    return [(taken.series[series].name, trace.trace_id, trace.error_class) for series, trace in taken.traces]


def test_every_way_of_a_request_is_traced() -> None:
    """A first and a kept connection, a body, a caught response, a failure, a redirect: each has its own id."""
    service = Service()
    with ScriptedServer(service) as server, traced_user(server.url) as user:
        user.client.get("/first")
        user.client.get("/kept")
        user.client.post("/post", json={})
        with user.client.get("/caught", catch_response=True) as response:
            response.failure("no")
        user.client.get("/bad")
        user.client.get("/moved")
        first, again, post, caught, bad, moved, there = ids = service.ids()
        assert len(set(ids)) == 6
        assert moved == there  # both belong to one request of the user
        assert kept(user) == [
            ("/first", first, ""), ("/kept", again, ""), ("/post", post, ""), ("/caught", caught, "assertion"),
            ("/bad", bad, "status_5xx"), ("/moved", moved, ""),
        ]  # fmt: skip


def test_a_request_that_got_no_answer_is_traced() -> None:
    """The trace of a request that hung is the one to look at."""
    service = Service()
    with ScriptedServer(service) as server, traced_user(server.url) as user:
        user.client.get("/first")
        request = gevent.spawn(user.client.get, "/silent")
        with gevent.Timeout(30):
            while len(service.heads) < 2:
                gevent.sleep(0.005)
        request.kill()
        assert [(name, trace_id) for name, trace_id, _ in kept(user)] == list(
            zip(("/first", "/silent"), service.ids(), strict=True)
        )


def test_the_time_of_a_trace_is_that_of_its_request() -> None:
    """It begins at the intended start, as in the record."""
    with ScriptedServer(Service()) as server, traced_user(server.url) as user:
        user.client.get("/a")
        user.intended_start_s = user.client.last_answer_s - 100.0
        user.client.get("/a")
        taken = Recorder.of(user.environment).take()
        slowest = max(trace.response_s for _, trace in taken.traces)
        (row,) = [number for number, key in enumerate(taken.series) if key.name == "/a"]
        assert slowest == pytest.approx(taken.response_time.row(row).max_s, abs=1e-6)
        assert slowest > 100


def test_a_header_of_the_scenarios_own_is_kept() -> None:
    """A header of one request or of all is in the record like ours, even if the request was not sampled."""
    service = Service()
    with ScriptedServer(service) as server, traced_user(server.url, 1e-12) as user:
        user.client.get("/none")
        user.client.get("/own", headers={"Traceparent": OWN})
        assert kept(user) == [("/own", "ab" * 16, "")]
    with ScriptedServer(service) as server, traced_user(server.url, default_headers={"traceparent": OWN}) as user:
        user.client.get("/all")
        assert kept(user) == [("/all", "ab" * 16, "")]
    assert service.ids() == ["", "ab" * 16, "ab" * 16]


def test_nothing_is_sent_and_kept_unless_it_is_asked_for() -> None:
    """By default no request is traced, and a request with its own header takes the fast path."""
    service = Service()
    with ScriptedServer(service) as server, traced_user(server.url, 0.0) as user:
        user.client.get("/a")
        user.client.get("/b", headers={"traceparent": OWN})
        assert service.ids() == ["", "ab" * 16]
        assert kept(user) == []
