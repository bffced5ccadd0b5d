"""The bytes on the wire, requests and responses, compared with those of FastHttpUser and its geventhttpclient.

Method, target, headers and body must be the same. What differs on purpose: the User-Agent names this product; JSON is
compact and keeps its UTF-8, which means the same; a multipart boundary is random; a repeated response header is joined
by a comma, as RFC 9110 has it, where geventhttpclient hands out a list.
"""

import json
import re

import pytest
from locust import FastHttpUser

from loadtest.clients.http import HttpUser
from loadtest.clients.http.expect import Expect
from loadtest.clients.http.head import UNKNOWN_HEAD, HeadCache
from tests.http_harness import Peer, ScriptedServer, counted, ok, running_user

CALLS = {
    "get": ("GET", "/small", {}),
    "query": ("GET", "/a?x=1&y=2", {}),
    "params": ("GET", "/a", {"params": {"x": "1", "y": "a b"}}),
    "params and query": ("GET", "/a?z=0", {"params": {"x": "1"}}),
    "space": ("GET", "/a b", {}),
    "umlaut": ("GET", "/ä", {}),
    "escapes": ("GET", "/a%20b%2Fc", {}),
    "fragment": ("GET", "/a#b", {}),
    "headers": ("GET", "/", {"headers": {"X-One": "1", "Accept": "text/html"}}),
    "replaced headers": ("GET", "/", {"headers": {"accept-encoding": "gzip"}}),
    "auth": ("GET", "/", {"auth": ("u", "p")}),
    "head": ("HEAD", "/", {}),
    "options": ("OPTIONS", "/", {}),
    "delete": ("DELETE", "/", {}),
    "delete with body": ("DELETE", "/", {"data": "x"}),
    "post nothing": ("POST", "/", {}),
    "post text": ("POST", "/", {"data": "text"}),
    "post umlauts": ("POST", "/", {"data": "ü"}),
    "post bytes": ("POST", "/", {"data": b"\x00\x01"}),
    "post form": ("POST", "/", {"data": {"a": "1", "b": "x y"}}),
    "post json": ("POST", "/", {"json": {"a": [1, None, "ü"]}}),
    "post json of another type": ("POST", "/", {"json": 1, "headers": {"Content-Type": "application/x"}}),
    "put json": ("PUT", "/", {"json": {"a": 1}}),
    "put nothing": ("PUT", "/", {}),
    "patch": ("PATCH", "/", {"data": "x", "headers": {"Content-Type": "t/p"}}),
    "files": ("POST", "/", {"files": {"f": ("n.txt", b"content", "text/plain")}}),
}


def sent_by(base: type, method: str, path: str, arguments: dict) -> tuple[str, str, dict[str, str], bytes]:
    """The request of a user of this class: method, target, headers, body."""
    requests = []

    def script(peer: Peer) -> None:
        requests.append(peer.read_request())
        peer.send(ok(b"" if method == "HEAD" else b"x"))

    with ScriptedServer(script) as server, running_user(server.url, base) as user:
        user.client.request(method, path, **arguments)
        authority = server.url.removeprefix("http://")
    head, body = requests[0]
    first, *lines = head.decode("latin-1").split("\r\n")
    fields = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
    assert len(lines) == len(fields)
    assert authority == fields.pop("host")
    fields.pop("user-agent")
    boundary = re.search("boundary=(.*)", fields.get("content-type", ""))
    if boundary:
        fields["content-type"] = "multipart/form-data"
        fields["content-length"] = str(len(body) - 3 * len(boundary[1]))
        body = body.replace(boundary[1].encode(), b"")
    if "json" in arguments:
        fields.pop("content-length")
        body = json.loads(body)
    method, target, version = first.split(" ")
    assert version == "HTTP/1.1"
    return method, target, fields, body


@pytest.mark.parametrize("call", CALLS)
def test_request_is_what_fast_http_user_sends(call):
    """Method, target, headers and body equal those of FastHttpUser."""
    assert sent_by(FastHttpUser, *CALLS[call]) == sent_by(HttpUser, *CALLS[call])


@pytest.mark.parametrize("body_bytes", [0, 5, 100_000])
def test_heads_that_vary_are_each_their_own(body_bytes):
    """Where each head differs, each response has its own status, headers, body and length, even at the end."""

    def script(peer: Peer) -> None:
        for number in range(20):
            body = b"x" * (body_bytes + number)
            fields = [f"X-Request-Id: {number}-{'a' * (number % 7)}", "Vary: a", "vary: b"]
            if not peer.read_head():
                return
            if number == 18:
                peer.send(ok(b"gone", *fields, status="503 X"))
            else:
                peer.send(ok(body, *fields, *["Connection: close"] * (number == 19)))

    with ScriptedServer(script) as server, running_user(server.url) as user:
        for number in range(20):
            response = user.client.get("/")
            assert response.headers["x-request-id"] == f"{number}-{'a' * (number % 7)}"
            assert response.headers.get_all("Vary") == ["a", "b"]
            assert (response.status_code, response.reason) == ((503, "X") if number == 18 else (200, "OK"))
            assert response.content == (b"gone" if number == 18 else b"x" * (body_bytes + number))
            assert int(response.headers["content-length"]) == response.wire_bytes == len(response.content)
        assert user.client.get("/").headers["x-request-id"] == "0-"
        taken = counted(user.recorder)
        assert (int(sum(taken.requests)), int(sum(taken.failures)), server.connections) == (21, 1, 2)
        assert int(sum(taken.response_bytes)) == body_bytes * 20 + sum(range(18)) + 4 + 19


def test_the_bytes_sent_are_those_that_came():
    """This holds for each path of a request: kept, caught, failed, redirected, chunked, repeated, unanswered."""
    came: list[int] = []

    def script(peer: Peer) -> None:
        while head := peer.read_head():
            fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
            is_chunked = fields.get(b"transfer-encoding") == b"chunked"
            size = int(fields.get(b"content-length", b"0"))
            body = peer.read_until(b"0\r\n\r\n") if is_chunked else peer.read(size)
            came.append(len(head) + 4 + len(body))
            if b"/silent" in head or (b"/again" in head and server.connections == 1):
                return  # and the connection closes
            if b"/moved" in head:
                peer.send(ok(b"", "Location: /there", status="302 Found"))
            else:
                peer.send(ok(status="500 Internal Server Error") if b"/bad" in head else ok())

    with ScriptedServer(script) as server, running_user(server.url) as user:
        for path in ("/first", "/kept", "/bad", "/moved", "/again"):
            user.client.get(path, name="one")
        with user.client.get("/caught", name="one", catch_response=True) as response:
            response.failure("no")
        user.client.get("/checked", name="one", expect=Expect(status=200))
        user.client.post("/json", name="one", json={"a": "b" * 100_000})
        user.client.post("/pieces", name="one", data=iter([b"abc" * 1_000, b"d"]))
        user.client.post("/silent", name="one", data=b"x")
        taken = counted(user.recorder)
        assert (int(sum(taken.requests)), int(sum(taken.request_bytes))) == (10, sum(came))
        assert len(came) == 12


@pytest.mark.parametrize("content_first", [False, True])
def test_heads_of_one_length_are_each_their_own_when_looked_at_late(content_first):
    """Responses whose heads differ in one value keep their own fields, even after the next ones have arrived."""

    def script(peer: Peer) -> None:
        for number in range(10):
            if peer.read_head():
                peer.send(ok(b"body%d" % number, f"X-Request-Id: {number}"))

    with ScriptedServer(script) as server, running_user(server.url) as user:
        responses = [user.client.get("/") for _ in range(10)]
        for number, response in enumerate(responses):
            body = response.content if content_first else None
            assert response.headers["X-Request-Id"] == str(number)
            assert (response.headers["X-Request-Id"], body or response.content) == (str(number), b"body%d" % number)
            assert (response.status_code, response.wire_bytes) == (200, 5)


def test_heads_of_several_kinds_in_turns_are_recognised():
    """Where two servers respond alternately, with different fields, their heads are not parsed one by one."""
    cache, last = HeadCache(), UNKNOWN_HEAD
    for number in range(50):
        kind = f"X-{'AB'[number % 2]}: {number}"
        last = cache.find(ok(b"x" * number, kind), last)
        assert (last.content_length, last.headers.fields[0]) == (number, (kind[:3].encode(), str(number).encode()))
    assert len(cache._heads) == 4


RESPONSES = {
    "length": ok(b"hello", "X-A: 1"),
    "empty": ok(b""),
    "chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n",
    "trailers": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX: y\r\n\r\n",
    "until close": b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello",
    "HTTP/1.0": b"HTTP/1.0 200 OK\r\n\r\nhello",
    "204": b"HTTP/1.1 204 No Content\r\n\r\n",
    "404": ok(b"no", status="404 Not Found"),
    "500": ok(b"no", status="500 Internal Server Error"),
    "Latin-1": ok("grün".encode("latin-1"), "Content-Type: text/html; charset=iso-8859-1"),
    "UTF-8": ok("grün".encode(), "Content-Type: text/html; charset=utf-8"),
    "JSON": ok('{"ü": [1, 2]}'.encode(), "Content-Type: application/json"),
}


def read_by(base: type, response: bytes) -> tuple[object, ...]:
    """The response that a user of this class sees."""

    def script(peer: Peer) -> None:
        peer.read_request()
        peer.send(response)

    with ScriptedServer(script) as server, running_user(server.url, base) as user:
        got = user.client.get("/")
        fields = {name.lower(): got.headers[name] for name in got.headers}
        return got.status_code, got.ok, got.content, got.text, fields, got.url.replace(server.url, "")


@pytest.mark.parametrize("response", RESPONSES)
def test_response_is_what_fast_http_user_reads(response):
    """Status, body, text and headers equal those of FastHttpUser."""
    assert read_by(FastHttpUser, RESPONSES[response]) == read_by(HttpUser, RESPONSES[response])
