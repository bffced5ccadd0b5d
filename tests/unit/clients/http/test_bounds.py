"""Limits for heads, bodies and times, which a server would otherwise extend without end."""

import socket

import gevent
import pytest

from loadtest.clients.http import sender
from loadtest.clients.http.head import MAX_HEAD_BYTES
from tests.http_harness import HEAD, Peer, ScriptedServer, always, answering, error_classes, ok, running_user


def test_endless_head_is_cut_off():
    """A head without end is an error once it exceeds its limit."""

    def script(peer: Peer) -> None:
        peer.read_request()
        peer.send(HEAD)
        while True:
            peer.send(b"X-Filler: " + b"x" * 1000 + b"\r\n")

    with ScriptedServer(script) as server, running_user(server.url) as user:
        assert user.client.get("/").status_code == 0
        assert error_classes(user) == {"too_large": 1}


def test_large_head_within_the_limit_is_read():
    """A head just below the limit is accepted."""
    field = "X: " + "x" * (MAX_HEAD_BYTES - 200)
    with ScriptedServer(always(ok(b"ok", field))) as server, running_user(server.url) as user:
        assert user.client.get("/").content == b"ok"
        assert user.client.get("/").content == b"ok"


def test_endless_and_announced_huge_bodies_are_cut_off(monkeypatch):
    """A body beyond the limit is an error, whether it is announced, chunked, or simply does not end."""
    monkeypatch.setattr(sender, "MAX_BODY_BYTES", 100_000)

    def script(peer: Peer) -> None:
        peer.read_request()
        peer.send([ok(b"x" * 200_000), HEAD + b"\r\n", HEAD + b"Transfer-Encoding: chunked\r\n\r\n"][peer.number - 1])
        while True:
            peer.send(b"%x\r\n" % 65536 + b"x" * 65536 + b"\r\n")

    with ScriptedServer(script) as server, running_user(server.url) as user:
        for _ in range(3):
            user.client.get("/")
            assert error_classes(user) == {"too_large": 1}


def test_decompression_bomb_is_cut_off(monkeypatch):
    """A small body that decodes to more than the limit is an error."""
    import gzip  # noqa: PLC0415

    monkeypatch.setattr(sender, "MAX_BODY_BYTES", 1_000_000)
    bomb = ok(gzip.compress(b"\0" * 50_000_000), "Content-Encoding: gzip")
    with ScriptedServer(always(bomb)) as server, running_user(server.url) as user:
        user.client.get("/")
        assert error_classes(user) == {"too_large": 1}


def test_byte_per_moment_ends_with_the_read_timeout():
    """A server that drips its head byte by byte cannot hold a user longer than the read timeout."""

    def script(peer: Peer) -> None:
        peer.read_request()
        for byte in HEAD * 1000:
            peer.send(bytes([byte]))
            gevent.sleep(0.05)

    with ScriptedServer(script) as server, running_user(server.url, network_timeout=0.3) as user:
        response = user.client.get("/")
        assert 0.25 < response.elapsed.total_seconds() < 1.5
        assert error_classes(user) == {"timeout_read": 1}


def test_dripping_body_ends_with_the_total_timeout():
    """A body that drips within the read timeout ends when the total timeout is over."""

    def script(peer: Peer) -> None:
        peer.read_request()
        peer.send(HEAD + b"Content-Length: 100000\r\n\r\n")
        while True:
            peer.send(b"x")
            gevent.sleep(0.05)

    with ScriptedServer(script) as server, running_user(server.url, total_timeout=0.4) as user:
        response = user.client.get("/")
        assert 0.35 < response.elapsed.total_seconds() < 1.5
        assert response.status_code == 200
        assert error_classes(user) == {"timeout_total": 1}


@pytest.mark.parametrize("timeout", [0.2, (5, 0.2), (None, 0.2), (5, 5, 0.2), [5, 5, 0.2]])
def test_timeout_of_one_request(timeout):
    """timeout= bounds one request on a new and on a kept connection; the next request is not affected."""

    def script(peer: Peer) -> None:
        while head := peer.read_request()[0]:
            if b"/slow" in head:
                gevent.sleep(0.6)
            peer.send(ok())

    total = isinstance(timeout, tuple | list) and len(timeout) == 3
    with ScriptedServer(script) as server, running_user(server.url) as user:
        for _ in range(2):
            user.client.get("/slow", timeout=timeout)
            assert {"timeout_total" if total else "timeout_read": 1} == error_classes(user)
            assert user.client.get("/").ok
            user.recorder.take()


def test_silent_server_on_a_kept_connection_times_out():
    """The fast path's wait is bounded as well, and the request is not repeated."""
    script = answering(ok())

    def silent(peer: Peer) -> None:
        script(peer)
        peer.read_request()
        gevent.sleep(2)

    with ScriptedServer(silent) as server, running_user(server.url, network_timeout=0.2) as user:
        assert user.client.get("/").ok
        user.client.get("/")
        assert error_classes(user) == {"timeout_read": 1}
        assert server.connections == 1


def test_host_that_does_not_answer_times_out_on_connect():
    """A full backlog is a connect timeout, not a hang."""

    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    port = listener.getsockname()[1]
    fillers = [socket.socket() for _ in range(3)]
    for filler in fillers:
        filler.setblocking(False)
        filler.connect_ex(("127.0.0.1", port))
    with running_user(f"http://127.0.0.1:{port}", connection_timeout=0.3) as user:
        user.client.get("/")
        assert error_classes(user) == {"timeout_connect": 1}
    for sock in [listener, *fillers]:
        sock.close()
