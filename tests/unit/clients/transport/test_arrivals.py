"""The time at which a response reached this machine, when the process read it too late."""

import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import closing

import gevent.monkey
import pytest
import trustme

from loadtest.clients.transport.stream import Stream
from loadtest.measuring.record import RunRecord
from loadtest.scenarios.assistant import AssistantUser
from tests.http_harness import Peer, ScriptedServer, ok, running_user

BLOCKED_S = 0.5
block = gevent.monkey.get_original("time", "sleep")
AUTHORITY = trustme.CA()


def trusting() -> ssl.SSLContext:
    """A client's context that trusts the test's authority."""
    context = ssl.create_default_context()
    AUTHORITY.configure_trust(context)
    return context


def tls() -> dict[str, ssl.SSLContext]:
    """The options of a server with TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    AUTHORITY.issue_cert("localhost").configure_cert(context)
    return {"ssl_context": context}


@pytest.fixture(autouse=True)
def noting() -> Iterator[None]:
    """The kernel notes arrivals: it begins some time after the first socket asks, and stops with the last one."""
    with socket.create_server(("127.0.0.1", 0)) as server, closing(Stream()) as stream:
        stream.connect(server.getsockname())
        stream.setblocking(True)
        peer, _ = server.accept()
        stream.time_arrivals()
        with peer:
            noted = False
            while not noted:
                peer.sendall(b"x")
                noted = bool(stream.recvmsg(1, 64)[1])
            yield


def script(peer: Peer) -> None:
    """Respond, then keep the whole process from reading; the second response comes in two parts."""
    peer.read_head()
    peer.send(ok(b"a"))
    block(BLOCKED_S)
    peer.read_head()
    peer.send(ok(b"bb")[:-1])
    gevent.sleep(0.01)
    peer.send(b"b")
    block(BLOCKED_S)
    peer.read_head()
    peer.send(ok(b"c"))
    block(BLOCKED_S)
    peer.read_head()  # the end of the stream would count as an arrival, too


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("timed", [True, False])
def test_a_response_ends_when_it_reached_the_machine(scheme: str, timed: bool) -> None:
    """On a new connection, in parts, and on a kept one; otherwise the time includes that in which nobody read."""
    with (
        ScriptedServer(script, **(tls() if scheme == "https" else {})) as server,
        running_user(f"{scheme}://localhost:{server.port}", times_arrivals=timed, ssl_context_factory=trusting) as user,
    ):
        begun_s = time.perf_counter()
        responses = [user.client.get("/") for _ in range(3)]
        took_s = time.perf_counter() - begun_s
    assert [response.content for response in responses] == [b"a", b"bb", b"c"]
    late = [response.end_s - response.sent_s > BLOCKED_S for response in responses]
    assert late == [not timed] * 3
    assert took_s > 3 * BLOCKED_S
    assert all(response.end_s >= response.sent_s for response in responses)


@pytest.mark.parametrize("timed", [True, False])
def test_an_event_is_timed_when_it_reached_the_machine(timed: bool) -> None:
    """This holds however late the process reads the event, and for the end of the stream."""

    def stream(peer: Peer) -> None:
        peer.read_head()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        gevent.sleep(0.05)  # the client has read the head
        for data in (b"8\r\ndata: 1\n\r\n1\r\n\n\r\n", b"9\r\ndata: 2\n\n\r\n0\r\n\r\n"):
            peer.send(data)
            block(BLOCKED_S)
            gevent.sleep(0.05)

    with ScriptedServer(stream) as server, running_user(server.url, times_arrivals=timed) as user:
        with user.client.stream("GET", "/") as answer:
            assert [event.data for event in answer.events()] == ["1", "2"]
        record = RunRecord()
        record.add(user.recorder.take(), 0)
    (view,), (request,) = record.streams(), record.series()
    gap_s = 0.05 + BLOCKED_S
    assert (view.first_event.max_s > BLOCKED_S) is not timed
    assert gap_s <= view.event_gap.max_s < gap_s + BLOCKED_S
    assert (request.response_time.max_s > 0.05 + gap_s + BLOCKED_S) is not timed


def test_the_scenario_of_streams_times_arrivals() -> None:
    """Tokens arrive some milliseconds apart."""
    assert AssistantUser.times_arrivals


def test_an_arrival_across_a_step_of_the_wall_clock_is_not_before_the_last_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """The wall clock is then useless: the arrival counts as between the last read and now."""
    real = time.time_ns
    for step_s in (3600, -3600):
        monkeypatch.setattr(time, "time_ns", lambda step_s=step_s: real() + step_s * 1_000_000_000)
        with ScriptedServer(script) as server, running_user(server.url, times_arrivals=True) as user:
            response = user.client.get("/")
        assert response.sent_s - 1 < response.end_s <= time.perf_counter()
