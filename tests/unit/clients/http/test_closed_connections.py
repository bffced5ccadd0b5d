"""Connections that the server closes, resets or keeps, and requests that are repeated."""

import io
import socket
from typing import Any
from urllib.parse import quote

import gevent
import pytest

from tests.http_harness import Peer, ScriptedServer, always, counts, error_classes, ok, running_user
from tests.unit.clients.http.test_tls import server_context, trusting


def test_errors_of_connecting_have_their_classes():
    """A refused port counts as connect, an unknown name as dns."""
    with ScriptedServer(always(ok())) as server:
        dead = server.url
    with running_user(dead) as user:
        response = user.client.get("/")
        assert (response.status_code, response.content, response.text, dict(response.headers)) == (0, None, None, {})
        assert error_classes(user) == {"connect": 1}
        user.client.get("http://no-such-host.invalid/")
        assert error_classes(user) == {"dns": 1}


def test_reset_has_its_class():
    """A TCP reset before the response counts as reset."""

    def script(peer: Peer) -> None:
        peer.read_request()
        peer.reset()

    with ScriptedServer(script) as server, running_user(server.url) as user:
        user.client.get("/")
        assert error_classes(user) == {"reset": 1}


@pytest.mark.parametrize("ending", ["close", "reset"])
def test_idle_connection_closed_by_the_server_is_replaced(ending):
    """A connection that the server closed while it was idle is replaced without an error, even for a POST."""

    def script(peer: Peer) -> None:
        peer.read_request()
        peer.send(ok())
        gevent.sleep(0.01)
        if ending == "reset":
            peer.reset()

    with ScriptedServer(script) as server, running_user(server.url) as user:
        for method in ("GET", "POST", "POST", "GET"):
            assert user.client.request(method, "/").ok
            gevent.sleep(0.05)
        assert counts(user) == (4, 0)
        assert server.connections == 4


@pytest.mark.parametrize(("method", "repeats"), [("GET", True), ("PUT", True), ("POST", False), ("PATCH", False)])
@pytest.mark.parametrize("ending", ["close", "reset"])
def test_only_what_is_safe_is_repeated(method, repeats, ending):
    """When a kept connection breaks before the response begins, idempotent requests are repeated, others fail."""

    def script(peer: Peer) -> None:
        peer.read_request()
        peer.send(ok())
        if peer.number == 1:
            peer.read_request()
            if ending == "reset":
                peer.reset()
        elif peer.read_request()[0]:
            peer.send(ok())

    with ScriptedServer(script) as server, running_user(server.url) as user:
        assert user.client.get("/").ok
        assert counts(user) == (1, 0)
        response = user.client.request(method, "/")
        assert repeats is response.ok
        assert (1, 0 if repeats else 1) == counts(user)
        assert server.connections == (2 if repeats else 1)


def test_request_is_not_repeated_once_an_answer_began():
    """A connection that breaks within the response fails even a GET, since the server has acted."""

    def script(peer: Peer) -> None:
        peer.read_request()
        peer.send(ok())
        peer.read_request()
        peer.send(b"HTTP/1.1 2")

    with ScriptedServer(script) as server, running_user(server.url) as user:
        user.client.get("/")
        user.recorder.take()
        user.client.get("/")
        assert error_classes(user) == {"closed": 1}
        assert server.connections == 1


def test_new_connection_that_closes_at_once_fails_and_is_not_repeated():
    """A server that accepts and closes is an error on the first connection, without a loop."""
    with ScriptedServer(lambda _peer: None) as server, running_user(server.url) as user:
        user.client.get("/")
        assert set(error_classes(user)) <= {"closed", "reset"}
        assert server.connections == 1


def test_early_answer_to_an_upload_counts():
    """When a server refuses an upload early, its response counts, and the connection is not reused."""

    def script(peer: Peer) -> None:
        peer.read_head()
        peer.send(ok(b"too big", status="413 Content Too Large"))
        gevent.sleep(0.3)

    with ScriptedServer(script) as server, running_user(server.url, network_timeout=5) as user:
        response = user.client.post("/", data=b"x" * 30_000_000)
        assert (response.status_code, response.content) == (413, b"too big")
        response = user.client.post("/", data=(b"x" * 65536 for _ in range(500)))
        assert (response.status_code, response.content) == (413, b"too big")
        assert server.connections == 2


@pytest.mark.parametrize("transport", ["tcp", "tls", "unix"])
@pytest.mark.parametrize("arguments", [{"data": b"x"}, {"data": io.BytesIO(b"x")}, {"json": 1, "stream": True}])
def test_post_without_pause_over_a_connection_just_closed_is_no_failure(transport, arguments, tmp_path):
    """A POST sent right after a response does not fail although the server closed the connection unannounced.

    The end of the stream is in the kernel, but the event loop has not noticed it yet.
    """
    arrived = []

    def script(peer: Peer) -> None:
        arrived.append(peer.read_request()[1])
        peer.send(ok())

    options = {"ssl_context": server_context()} if transport == "tls" else {}
    address: Any = "127.0.0.1"
    if transport == "unix":
        address = socket.socket(socket.AF_UNIX)
        address.bind(str(tmp_path / "s"))
        address.listen(50)
    with ScriptedServer(script, address, **options) as server:
        host = {
            "tcp": "http://127.0.0.1:{port}",
            "tls": "https://localhost:{port}",
            "unix": f"http+unix://{quote(str(tmp_path / 's'), safe='')}",
        }[transport].format(port="" if transport == "unix" else server.port)
        with running_user(host, ssl_context_factory=trusting) as user:
            for _ in range(50):
                for each in arguments.values():
                    each.seek(0) if isinstance(each, io.BytesIO) else None
                assert user.client.post("/", **arguments).content == b"hello"
            assert counts(user) == (50, 0)
            assert (server.connections, arrived) == (50, [b"1" if "json" in arguments else b"x"] * 50)


UPLOAD = b"0123456789abcdef" * 500_000


@pytest.mark.parametrize("kind", ["bytes", "file"])
@pytest.mark.parametrize("server_does", ["answers first", "echoes"])
def test_early_good_answer_does_not_cut_the_upload(kind, server_does):
    """A success that arrives before the upload ends does not stop it, is read meanwhile, and keeps the connection."""
    arrived = []

    def script(peer: Peer) -> None:
        while peer.read_head():
            size = len(UPLOAD)
            if server_does == "echoes":
                peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
            else:
                peer.send(ok(b"early"))
            pieces = []
            for at in range(0, size, 65536):
                pieces.append(peer.read(min(65536, size - at)))
                if server_does == "echoes":
                    peer.send(pieces[-1])
                else:
                    gevent.sleep(0.0005)
            arrived.append(b"".join(pieces))

    with ScriptedServer(script) as server, running_user(server.url, network_timeout=5) as user:
        for _ in range(2):
            response = user.client.post("/", data=UPLOAD if kind == "bytes" else io.BytesIO(UPLOAD))
            assert response.error is None
            assert response.content == (UPLOAD if server_does == "echoes" else b"early")
        with gevent.Timeout(5):
            while len(arrived) < 2:
                gevent.sleep(0.01)
        assert arrived == [UPLOAD] * 2
        assert (counts(user), server.connections) == ((2, 0), 1)


@pytest.mark.parametrize("kind", ["bytes", "iterable"])
def test_answer_of_a_server_that_closes_within_the_upload_counts(kind):
    """A response sent before the server closes within an upload counts, even if the close was not announced."""

    def script(peer: Peer) -> None:
        peer.read_head()
        peer.send(ok(b"enough"))
        gevent.sleep(0.1)

    with ScriptedServer(script) as server, running_user(server.url, network_timeout=5) as user:
        response = user.client.post("/", data=UPLOAD if kind == "bytes" else (UPLOAD[:65536] for _ in range(200)))
        assert (response.status_code, response.error) == (200, None)
        assert counts(user) == (1, 0)


def test_connection_close_is_respected():
    """After Connection: close, and after HTTP/1.0 without keep-alive, the next request uses a new connection."""
    responses = [ok(b"1", "Connection: close"), b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\n2", ok(b"3")]

    def script(peer: Peer) -> None:
        while peer.read_request()[0]:
            peer.send(responses[peer.number - 1])

    with ScriptedServer(script) as server, running_user(server.url) as user:
        assert [user.client.get("/").content for _ in range(4)] == [b"1", b"2", b"3", b"3"]
        assert server.connections == 3


def test_http_1_0_with_keep_alive_is_kept():
    """HTTP/1.0 with Connection: keep-alive serves the next request, too."""
    response = b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\n1"
    with ScriptedServer(always(response)) as server, running_user(server.url) as user:
        assert [user.client.get("/").content for _ in range(3)] == [b"1"] * 3
        assert server.connections == 1


def test_killed_user_leaves_no_half_read_connection():
    """A request that is interrupted from outside counts and closes its connection; the next one is unaffected."""

    def script(peer: Peer) -> None:
        while head := peer.read_request()[0]:
            if b"/slow" in head:
                gevent.sleep(0.2)
            peer.send(ok(head.split()[1]))

    with ScriptedServer(script) as server, running_user(server.url) as user:
        for _ in range(3):
            with gevent.Timeout(0.05, False):
                user.client.get("/slow")
            assert user.client.get("/next").text == "/next"
        assert counts(user) == (6, 3)
