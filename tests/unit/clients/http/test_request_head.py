"""The head of a request and its cache: the lines of headers in addition to the default ones."""

import pytest
from locust.env import Environment

from loadtest.clients.http import HttpUser
from loadtest.clients.http.request import Request
from loadtest.clients.http.request_body import encode_body
from loadtest.clients.http.routes import _CACHED_HEADS, HttpRoutes
from loadtest.measuring.recorder import Recorder
from tests.http_harness import Peer, ScriptedServer, ok, running_user

KEPT = ok(b"{}")


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Bearer t"},
        {"x-d": "e", "ACCEPT-ENCODING": None, "N": 5, "B": b"\xfc", "L": ["1", 2]},
        {"content-type": "text/csv", "Accept": "*/*"},
        {"X-A": "1", "x-a": "2"},
        {"Content-Length": "7", "transfer-encoding": "chunked", "X-A": "1"},
        {"Cookie": "own=1"},
        {"cookie": None, "X-A": "1"},
        {"Host": "other.example", "X-A": "1"},
    ],
)
def test_headers_are_encoded_as_without_what_is_remembered(headers):
    """The cached route sends the same lines, at the first request and later, as a request that encodes its own."""
    routes = HttpRoutes(Recorder(), "S", "http://h:1", (("User-Agent", "a"), ("Accept-Encoding", "gzip"), ("X-D", "d")))
    for method, data in (("GET", None), ("POST", {"id": 1})):
        route = routes.make(method, "/", None, "/")
        body, fields = encode_body(None, data, None)
        for _ in range(2):
            request = Request(method, route.url, headers, fields, body)
            sent = route.encode(request, b"Cookie: jar=1\r\n")
            alone = request.encode(route.lines, b"Cookie: jar=1\r\n")
            assert sorted(sent.split(b"\r\n")) == sorted(alone.split(b"\r\n"))
            assert sent.endswith(body or b"\r\n\r\n")
            assert sent.lower().count(b"\r\ncontent-length:") == (method == "POST")


def test_a_name_that_is_no_longer_remembered_is_encoded_again():
    """A scenario that generates header names loses none of the earlier ones, and does not fill the memory."""
    route = HttpRoutes(Recorder(), "S", "http://h:1", ()).make("GET", "/", None, "/")
    for name in ("X-First", *(f"X-{number}" for number in range(2000)), "X-First"):
        sent = route.encode(Request("GET", route.url, {name: "1"}, {}, None), b"")
        assert len(route._heads) <= _CACHED_HEADS
        assert sent == f"GET / HTTP/1.1\r\nHost: h:1\r\n{name}: 1\r\n\r\n".encode()


def test_a_default_cookie_header_takes_the_place_of_the_cookies():
    """A request has at most one Cookie line (RFC 6265, section 5.4), with headers of its own or without."""
    seen = []

    def script(peer: Peer) -> None:
        while head := peer.read_request()[0]:
            seen.append([line for line in head.split(b"\r\n") if line.startswith(b"Cookie")])
            peer.send(KEPT)

    with ScriptedServer(script) as server, running_user(server.url, default_headers={"Cookie": "mine=1"}) as user:
        user.client.cookies["jar"] = "1"
        user.client.get("/")
        user.client.get("/")  # as it is cached
        user.client.get("/", headers={"X-A": "1"})
        user.client.post("/", json={})
        user.client.get("/", headers={"Cookie": None})
    assert seen == [[b"Cookie: mine=1"]] * 4 + [[b"Cookie: jar=1"]]


def test_default_headers_that_are_equal_numbers_are_sent_as_they_are():
    """Users whose defaults are 1, 1.0 and True do not share an encoded head."""
    seen = []

    def script(peer: Peer) -> None:
        seen.append(peer.read_head().split(b"X-N: ")[1].split(b"\r\n")[0])
        peer.send(KEPT)

    with ScriptedServer(script) as server:
        environment = Environment()
        for number in (1, 1.0, True):
            kind = type("Numbered", (HttpUser,), {"host": server.url, "default_headers": {"X-N": number}})
            kind(environment).client.get("/")
    assert seen == [b"1", b"1.0", b"True"]
