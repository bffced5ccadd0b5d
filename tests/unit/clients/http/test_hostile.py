"""Servers that misbehave: every malformed answer is an error with a class, and no user hangs."""

import io
import socket
from typing import Any
from urllib.parse import quote

import gevent
import pytest

from loadtest.clients.http import sender
from loadtest.clients.http.head import MAX_HEAD_BYTES
from tests.http_harness import Peer, ScriptedServer, always, answering, counts, error_classes, ok, running_user
from tests.unit.clients.http.test_tls import server_context, trusting

HEAD = b"HTTP/1.1 200 OK\r\n"

# In the spirit of the response cases of llhttp and h11: what comes, and the class it must count under.
MALFORMED = {
    "garbage": (b"\x00\x01\x02garbage\r\n\r\n", "protocol"),
    "another protocol": (b"SSH-2.0-OpenSSH_9.2\r\n", "protocol"),
    "HTTP/0.9": (b"<html>hello</html>", "protocol"),
    "HTTP/2.0": (b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n", "protocol"),
    "HTTP/1.9": (b"HTTP/1.9 200 OK\r\nContent-Length: 0\r\n\r\n", "protocol"),
    "lower case protocol": (b"http/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "protocol"),
    "status of two digits": (b"HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n", "protocol"),
    "status of letters": (b"HTTP/1.1 abc OK\r\nContent-Length: 0\r\n\r\n", "protocol"),
    "status of four digits": (b"HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n", "protocol"),
    "no status": (b"HTTP/1.1 \r\nContent-Length: 0\r\n\r\n", "protocol"),
    "header without colon": (HEAD + b"Nonsense\r\nContent-Length: 0\r\n\r\n", "protocol"),
    "space before colon": (HEAD + b"Content-Length : 0\r\n\r\n", "protocol"),
    "space in a name": (HEAD + b"Bad Name: x\r\nContent-Length: 0\r\n\r\n", "protocol"),
    "empty name": (HEAD + b": x\r\nContent-Length: 0\r\n\r\n", "protocol"),
    "NUL in a value": (HEAD + b"X: a\x00b\r\nContent-Length: 0\r\n\r\n", "protocol"),
    "bare CR in a value": (HEAD + b"X: a\rb\r\nContent-Length: 0\r\n\r\n", "protocol"),
    "line feeds only": (b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok", "protocol"),
    "negative length": (HEAD + b"Content-Length: -1\r\n\r\n", "protocol"),
    "signed length": (HEAD + b"Content-Length: +2\r\n\r\nok", "protocol"),
    "hexadecimal length": (HEAD + b"Content-Length: 0x2\r\n\r\nok", "protocol"),
    "length of letters": (HEAD + b"Content-Length: two\r\n\r\nok", "protocol"),
    "empty length": (HEAD + b"Content-Length: \r\n\r\nok", "protocol"),
    "enormous length": (HEAD + b"Content-Length: 99999999999999999999999\r\n\r\nok", "protocol"),
    "two lengths": (HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nokk", "protocol"),
    "list of lengths": (HEAD + b"Content-Length: 2, 2\r\n\r\nok", "protocol"),
    "length and chunks": (
        HEAD + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        "protocol",
    ),
    "chunks and length": (
        HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        "protocol",
    ),
    "unknown transfer coding": (HEAD + b"Transfer-Encoding: gzip\r\n\r\nxx", "protocol"),
    "transfer coding in disguise": (HEAD + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", "protocol"),
    "chunked twice": (HEAD + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", "protocol"),
    "chunk size of letters": (HEAD + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\nok\r\n0\r\n\r\n", "protocol"),
    "negative chunk size": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n-2\r\nok\r\n0\r\n\r\n", "protocol"),
    "enormous chunk size": (
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nok\r\n0\r\n\r\n",
        "protocol",
    ),
    "chunk longer than it says": (
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\nokay\r\n0\r\n\r\n",
        "protocol",
    ),
    "chunk size with 0x": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n0x2\r\nok\r\n0\r\n\r\n", "protocol"),
    "malformed trailer": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\nbad trailer\r\n\r\n", "protocol"),
    "switching protocols": (b"HTTP/1.1 101 Go\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", "protocol"),
    "body that is not gzip": (ok(b"nogzip", "Content-Encoding: gzip"), "protocol"),
    "body that is not deflate": (ok(b"\xff\xfe", "Content-Encoding: deflate"), "protocol"),
    "body that is not Brotli": (ok(b"\xff\xfe\xff", "Content-Encoding: br"), "protocol"),
    "cut gzip": (ok(b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\xcb", "Content-Encoding: gzip"), "protocol"),
    "nothing": (b"", "closed"),
    "half a status line": (b"HTTP/1.1 2", "closed"),
    "half a head": (HEAD + b"Content-Le", "closed"),
    "half a body": (HEAD + b"Content-Length: 10\r\n\r\nhalf", "closed"),
    "half a chunk": (HEAD + b"Transfer-Encoding: chunked\r\n\r\na\r\nhalf", "closed"),
    "no last chunk": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n", "closed"),
    "no end of trailers": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\nA: b\r\n", "closed"),
    "interim responses without end": (b"HTTP/1.1 100 Continue\r\n\r\n" * 100, "protocol"),
}


@pytest.mark.parametrize("case", MALFORMED)
@pytest.mark.parametrize("kept", [False, True], ids=["first", "kept"])
def test_malformed_response_is_an_error_of_its_class(case, kept):
    """What is not HTTP/1.1 fails the request under its class, on a new connection and on a kept one."""
    response, expected = MALFORMED[case]
    # Kept: two good responses before, the first on the general path, the second on the fast one.
    script = answering(ok(), ok(), response) if kept else answering(response)
    with ScriptedServer(script) as server, running_user(server.url, network_timeout=5) as user:
        if kept:
            assert [user.client.post("/").ok for _ in range(2)] == [True, True]
            assert counts(user) == (2, 0)
        got = user.client.post("/")
        assert not got.ok
        assert error_classes(user) == {expected: 1}
        assert got.error is not None
        assert got.error.error_class == expected


ODD_BUT_VALID = {
    "no reason": (b"HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nok", b"ok"),
    "no space after the status": (b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok", b"ok"),
    "reason in Latin-1": (b"HTTP/1.1 200 Gr\xfcn\r\nContent-Length: 2\r\n\r\nok", b"ok"),
    "tabs and spaces around a value": (HEAD + b"Content-Length:\t 2 \t\r\n\r\nok", b"ok"),
    "empty value": (HEAD + b"X:\r\nContent-Length: 2\r\n\r\nok", b"ok"),
    "Latin-1 in a value": (HEAD + b"X: \xe4\r\nContent-Length: 2\r\n\r\nok", b"ok"),
    "leading zeros": (HEAD + b"Content-Length: 0002\r\n\r\nok", b"ok"),
    "HTTP/1.0 until the end": (b"HTTP/1.0 200 OK\r\n\r\nuntil the end", b"until the end"),
    "HTTP/1.1 until the end": (HEAD + b"\r\nuntil the end", b"until the end"),
    "HTTP/1.0 with length": (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", b"ok"),
    "chunks in upper case": (HEAD + b"transfer-encoding: CHUNKED\r\n\r\nA\r\n0123456789\r\n0\r\n\r\n", b"0123456789"),
    "chunk extensions": (
        HEAD + b'Transfer-Encoding: chunked\r\n\r\n2;a=b;c="d"\r\nok\r\n0;e\r\n\r\n',
        b"ok",
    ),
    "leading zeros of a chunk": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n0002\r\nok\r\n000\r\n\r\n", b"ok"),
    "trailers": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 1\r\nY: 2\r\n\r\n", b"ok"),
    "empty chunked body": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", b""),
    "100 before": (b"HTTP/1.1 100 Continue\r\n\r\n" + ok(b"ok"), b"ok"),
    "103 and 102 before": (
        b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n" + ok(b"ok"),
        b"ok",
    ),
    "204 with a length": (b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", b""),
    "205": (b"HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n", b""),
    "304 with a length": (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", b""),
    "304 with chunks": (b"HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n", b""),
    "folded value": (HEAD + b"X: a\r\n b\r\nContent-Length: 2\r\n\r\nok", b"ok"),
    "no body, no length, closed": (HEAD + b"Connection: close\r\n\r\n", b""),
}


@pytest.mark.parametrize("case", ODD_BUT_VALID)
@pytest.mark.parametrize("step", [1, 7, 100_000])
def test_odd_but_valid_response_is_read_in_any_pieces(case, step):
    """Rare but allowed forms are understood, whole or byte by byte."""
    response, body = ODD_BUT_VALID[case]

    def script(peer: Peer) -> None:
        peer.read_request()
        for at in range(0, len(response), step):
            peer.send(response[at : at + step])
            gevent.sleep(0)

    with ScriptedServer(script) as server, running_user(server.url, network_timeout=5) as user:
        got = user.client.get("/")
        assert (None, body) == (got.error, got.content)


def test_answer_to_head_has_no_body():
    """HEAD's Content-Length and Transfer-Encoding announce no body; the connection serves on."""
    script = answering(
        b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", HEAD + b"Transfer-Encoding: chunked\r\n\r\n", ok(b"ok")
    )
    with ScriptedServer(script) as server, running_user(server.url) as user:
        assert user.client.head("/").content == b""
        assert user.client.head("/").headers["transfer-encoding"] == "chunked"
        assert user.client.get("/").content == b"ok"
        assert server.connections == 1


@pytest.mark.parametrize(
    "response",
    [
        ok(b"first") + ok(b"smuggled"),
        ok(b"first") + b"x",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n0\r\n\r\n" + ok(b"smuggled"),
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n0\r\n\r\ngarbage",
    ],
)
def test_smuggled_response_never_answers_the_next_request(response):
    """Bytes behind a response are thrown away with their connection."""

    def script(peer: Peer) -> None:
        while peer.read_request()[0]:
            peer.send(response if peer.number == 1 else ok(b"second"))

    with ScriptedServer(script) as server, running_user(server.url) as user:
        assert user.client.get("/").content == b"first"
        assert user.client.get("/").content == b"second"
        assert server.connections == 2


def test_late_smuggled_response_never_answers_the_next_request():
    """Bytes that come while the connection is idle make it stale."""

    def script(peer: Peer) -> None:
        peer.read_request()
        peer.send(ok(b"first") if peer.number == 1 else ok(b"second"))
        gevent.sleep(0.02)
        peer.send(ok(b"smuggled"))
        peer.read_request()

    with ScriptedServer(script) as server, running_user(server.url) as user:
        assert user.client.get("/").content == b"first"
        gevent.sleep(0.1)
        assert user.client.post("/").content == b"second"


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
    """A server that drips its head byte by byte cannot hold a user beyond the read timeout."""

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
    """A body that drips within the read timeout ends when the whole request's time is over."""

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
    import socket  # noqa: PLC0415

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


def test_errors_of_connecting_have_their_classes():
    """A refused port is connect, an unknown name is dns."""
    with ScriptedServer(always(ok())) as server:
        dead = server.url
    with running_user(dead) as user:
        response = user.client.get("/")
        assert (response.status_code, response.content, response.text, dict(response.headers)) == (0, None, None, {})
        assert error_classes(user) == {"connect": 1}
        user.client.get("http://no-such-host.invalid/")
        assert error_classes(user) == {"dns": 1}


def test_reset_has_its_class():
    """A TCP reset before the answer is counted as reset."""

    def script(peer: Peer) -> None:
        peer.read_request()
        peer.reset()

    with ScriptedServer(script) as server, running_user(server.url) as user:
        user.client.get("/")
        assert error_classes(user) == {"reset": 1}


@pytest.mark.parametrize("ending", ["close", "reset"])
def test_idle_connection_closed_by_the_server_is_replaced(ending):
    """A connection that the server closed while it was idle is replaced without an error, for POST too."""

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
    """When a kept connection breaks before a byte of the answer, idempotent requests go out again, others fail."""

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
    """A connection that breaks within the answer fails even a GET: the server did act."""

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
    """A server that accepts and closes is an error on the first connection, not a loop."""
    with ScriptedServer(lambda _peer: None) as server, running_user(server.url) as user:
        user.client.get("/")
        assert set(error_classes(user)) <= {"closed", "reset"}
        assert server.connections == 1


def test_early_answer_to_an_upload_counts():
    """A server that refuses an upload before it has it all is listened to, and its connection is not used again."""

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
    """A server that closes after each answer, without saying so, fails no POST that is sent at once after it.

    The end of the stream lies in the kernel, and the event loop has not noticed it yet.
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
    """A good answer that comes before the upload's end leaves it whole, is read beside it, and keeps the connection."""
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
    """What a server says before it closes within an upload is the response, also where it does not announce the end."""

    def script(peer: Peer) -> None:
        peer.read_head()
        peer.send(ok(b"enough"))
        gevent.sleep(0.1)

    with ScriptedServer(script) as server, running_user(server.url, network_timeout=5) as user:
        response = user.client.post("/", data=UPLOAD if kind == "bytes" else (UPLOAD[:65536] for _ in range(200)))
        assert (response.status_code, response.error) == (200, None)
        assert counts(user) == (1, 0)


def test_connection_close_is_respected():
    """After Connection: close, and after HTTP/1.0 without keep-alive, the next request opens a new connection."""
    responses = [ok(b"1", "Connection: close"), b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\n2", ok(b"3")]

    def script(peer: Peer) -> None:
        while peer.read_request()[0]:
            peer.send(responses[peer.number - 1])

    with ScriptedServer(script) as server, running_user(server.url) as user:
        assert [user.client.get("/").content for _ in range(4)] == [b"1", b"2", b"3", b"3"]
        assert server.connections == 3


def test_http_1_0_with_keep_alive_is_kept():
    """HTTP/1.0 with Connection: keep-alive serves the next request too."""
    response = b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\n1"
    with ScriptedServer(always(response)) as server, running_user(server.url) as user:
        assert [user.client.get("/").content for _ in range(3)] == [b"1"] * 3
        assert server.connections == 1


def test_killed_user_leaves_no_half_read_connection():
    """A request that is interrupted from outside closes its connection and counts; the next one is right."""

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
