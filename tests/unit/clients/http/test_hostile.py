"""Servers that misbehave: every malformed response is an error with a class, and no user hangs."""

import gevent
import pytest

from tests.http_harness import HEAD, Peer, ScriptedServer, answering, counts, error_classes, ok, running_user

# In the spirit of the response cases of llhttp and h11: a response, and the class of its error.
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
    """A response that is not HTTP/1.1 fails the request under its class, on a new connection and on a kept one."""
    response, expected = MALFORMED[case]
    # Kept: two good responses come first, the first on the general path, the second on the fast one.
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
    """Content-Length and Transfer-Encoding of a response to HEAD announce no body; the connection stays usable."""
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
    """Bytes after a response are discarded with their connection."""

    def script(peer: Peer) -> None:
        while peer.read_request()[0]:
            peer.send(response if peer.number == 1 else ok(b"second"))

    with ScriptedServer(script) as server, running_user(server.url) as user:
        assert user.client.get("/").content == b"first"
        assert user.client.get("/").content == b"second"
        assert server.connections == 2


def test_late_smuggled_response_never_answers_the_next_request():
    """Bytes that arrive while the connection is idle make it stale."""

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
