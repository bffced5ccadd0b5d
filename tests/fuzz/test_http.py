"""Whatever a server sends and a scenario requests, a call counts once and raises only the client's own errors."""

import json
import socket
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import urljoin, urlsplit

import brotli
import gevent.socket
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from loadtest.clients.http import cookies, request
from loadtest.clients.http.client import HttpClient
from loadtest.clients.http.coding import Decoder
from loadtest.clients.http.errors import HttpError, InvalidRequestError, RedirectError
from loadtest.clients.http.head import UNKNOWN_HEAD, HeadCache, ResponseHead
from loadtest.clients.http.reporter import RequestReporter
from loadtest.clients.http.response import Response, new_response
from loadtest.clients.http.url import Url, join
from tests.fuzz.cases import fuzz
from tests.http_harness import Peer, ScriptedServer, counts, ok, running_user

TEXTS = st.text(max_size=30)
NUMBERS = st.one_of(
    st.integers(-5, 50).map(str), st.sampled_from(["9" * 400, "9" * 5000, "-0", "1e9", "0x1", "+5", "٣"])
)
DATES = st.one_of(
    st.sampled_from(
        ["Thu, 01 Jan 1970 00:00:00 GMT", "Thu, 01-Jan-2099 00:00:00 GMT", "Thu, 99 Jan 99999 99:99:99 +9999"]
    ),
    st.builds(
        "{} {} {} {}".format, NUMBERS, st.sampled_from(["Jan", "x"]), NUMBERS, st.sampled_from(["1:2:3", "::", "GMT"])
    ),
)
ATTRIBUTES = st.one_of(
    st.builds("Max-Age={}".format, NUMBERS),
    st.builds("{}={}".format, st.sampled_from(["Max-Age", "Domain", "Path", ""]), TEXTS),
    st.builds("Expires={}".format, st.one_of(DATES, TEXTS)),
    st.sampled_from(["Secure", "Domain=127.0.0.1", "Path=/", "Domain=.", "Path=/a/../b", "="]),
)
COOKIES = st.builds("{}={}; {}".format, TEXTS, TEXTS, st.lists(ATTRIBUTES, min_size=1, max_size=3).map("; ".join))
LOCATIONS = st.one_of(
    st.builds(
        "{}{}{}{}".format,
        st.sampled_from(
            ["http://", "https://", "//", "", "/", "http+unix://", "ftp://", "http:", "?", "#", " http://"]
        ),
        st.sampled_from(
            ["SERVER", "[::1]", "[", "a b", "u:p@SERVER", "%41", "ü", "x" * 300, "127.0.0.1:1", "[v1.a]", ""]
        ),
        st.sampled_from(["", ":0", ":x", ":99999", "/", "/end", "/%", "/ü"]),
        TEXTS,
    ),
    TEXTS,
)
MEANT = st.one_of(
    st.tuples(st.just("Set-Cookie"), COOKIES),
    st.tuples(st.just("Location"), LOCATIONS),
    st.tuples(
        st.just("Content-Encoding"), st.sampled_from(["gzip", "deflate", "br", "gzip, br", "x", "identity", ","])
    ),
    st.tuples(
        st.just("Content-Type"),
        st.builds(
            "text/plain; charset={}".format,
            st.one_of(TEXTS, st.sampled_from(["idna", "hex", "undefined", '"', "utf-16"])),
        ),
    ),
)
"""Fields whose values the client reads."""

FIELDS = st.one_of(
    MEANT,
    st.tuples(st.just("Content-Length"), NUMBERS),
    st.tuples(st.just("Transfer-Encoding"), st.sampled_from(["chunked", "gzip, chunked", "identity", ""])),
    st.tuples(st.just("Connection"), st.sampled_from(["close", "keep-alive", "upgrade", "x"])),
    st.tuples(TEXTS, TEXTS),
)
STATUSES = st.one_of(
    st.sampled_from([100, 101, 200, 204, 206, 301, 302, 303, 304, 307, 308, 404, 503, 999]), st.integers(0, 9999)
)
BODIES = st.one_of(
    st.binary(max_size=60),
    st.sampled_from(
        [
            *(
                b"5\r\nhello\r\n0\r\n\r\n",
                b"ffffffffffffffff1\r\n",
                b"{}",
                b"[" * 3000,
                b"1" * 5000,
                b"\x1f\x8b\x08\x00",
            ),
            ok(b"smuggled"),
        ]
    ),
)


def response(status: int, fields: list[tuple[str, str]], body: bytes) -> bytes:
    """The bytes of a response; its fields go out as UTF-8, line breaks included."""
    lines = [f"HTTP/1.1 {status} X", *(f"{name}: {value}" for name, value in fields), "", ""]
    return "\r\n".join(lines).encode("utf-8", "replace") + body


def well_formed(status: int, fields: Sequence[tuple[str, str]], body: bytes) -> bytes:
    """The bytes of a response whose head is accepted, whatever the values of its fields."""
    lines = [f"{name}: {''.join(filter(str.isprintable, value))}" for name, value in fields]
    return ok(body, *lines, status=f"{status} X")


RESPONSES = st.one_of(
    st.builds(response, STATUSES, st.lists(FIELDS, max_size=5), BODIES),
    st.builds(well_formed, st.sampled_from([200, 302, 307, 404]), st.lists(MEANT, max_size=4), BODIES),
    st.builds(
        well_formed, st.sampled_from([301, 303, 308]), st.tuples(st.tuples(st.just("Location"), LOCATIONS)), BODIES
    ),
    st.binary(max_size=200),
)


class Server:
    """A server that sends the responses of a case."""

    def __init__(self) -> None:
        self.responses: list[bytes] = []

    def __call__(self, peer: Peer) -> None:
        """Answer the requests of a connection while there are responses."""
        while self.responses and peer.read_head():
            peer.send(self.responses.pop(0).replace(b"SERVER", f"127.0.0.1:{self.port}".encode()))

    port = 0


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[Server, str]]:
    """The server and its URL; no other host can be reached."""
    script = Server()

    def resolve(host: str, port: int, *_: Any, **__: Any) -> list[Any]:
        if host not in {"127.0.0.1", "localhost"}:
            raise socket.gaierror(socket.EAI_NONAME, "not in this test")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    with ScriptedServer(script) as scripted, pytest.MonkeyPatch.context() as patch:
        patch.setattr(gevent.socket, "getaddrinfo", resolve)
        script.port = scripted.port
        yield script, scripted.url


@contextmanager
def told(user: Any) -> Iterator[list[Any]]:
    """The errors that a listener receives."""
    errors: list[Any] = []
    user.environment.events.request.add_listener(lambda exception, **_: errors.append(exception))
    yield errors


def look_at(got: Any) -> None:
    """Use every attribute of a response."""
    assert isinstance(got.text, str | None)
    assert isinstance(got.error, HttpError | None)
    assert all(isinstance(name + value, str) for name, value in got.headers.items())
    assert isinstance(repr(got) + got.url + got.reason, str)
    assert (got.request.method, isinstance(dict(got.cookies), dict)) == ("GET", True)
    for passed in got.history:
        assert (isinstance(passed.text, str | None), passed.elapsed.total_seconds()) == (True, 0)
    with suppress(json.JSONDecodeError):
        got.json()


SERIES = {"responses": st.lists(RESPONSES, min_size=1, max_size=4), "caught": st.booleans(), "stream": st.booleans()}


@fuzz
@given(**SERIES)
def test_responses(server: tuple[Server, str], responses: list[bytes], caught: bool, stream: bool) -> None:
    """Any bytes are a response or an error of the client, counted and reported once, and later calls work."""
    script, url = server
    with running_user(url, max_redirects=2, network_timeout=0.5, total_timeout=2) as user, told(user) as errors:
        script.responses = list(responses)
        with user.client.get("/a/b", catch_response=caught, stream=stream) as got:
            try:
                look_at(got)
            except HttpError:
                assert stream
        assert (counts(user)[0], len(errors)) == (1, 1)
        assert isinstance(errors[0], HttpError | None)
        script.responses = [ok(b"after")] * 3
        got = user.client.get("/a/b")
        assert (got.status_code, got.content) in {(0, None), (200, b"after")}
        assert (counts(user)[0], len(errors)) == (1, 2)
        assert len(user.client.cookiejar) <= 300


def counted_twice(client: HttpClient, *call: Any) -> Any:
    """HttpClient._pass_over, but with an additional sample for the redirect itself."""
    client._reporter.report(call[0].route, new_response(Response, call[2], None, 0, call[3], 0.0, 0.0, 0.0))
    return PASS_OVER(client, *call)


def not_counted(reporter: RequestReporter, route: Any, response: Response, context: Any = None) -> None:
    """RequestReporter.report, but without redirects that cannot be followed."""
    if not isinstance(response.error, RedirectError):
        REPORT(reporter, route, response, context)


def unchecked_join(base: Url, location: str) -> Url:
    """url.join, but without the check for an impossible port."""
    assert urlsplit(urljoin(base.text, location)).port != 0
    return join(base, location)


def unguarded(decoder: Decoder, piece: bytes) -> bytes:
    """Decoder.feed, but the decoders' own errors escape."""
    for stage in decoder._stages:
        piece = stage.feed(piece)
    return piece


PASS_OVER, REPORT = HttpClient._pass_over, RequestReporter.report
FAULTS: dict[str, tuple[Any, str, Any]] = {
    "an age of any number of digits": (cookies, "_seconds", lambda text: float(int(text))),
    "an age that is not a number": (cookies, "_seconds", lambda text: float(text[:9])),
    "a redirect to a port that does not exist": (request, "join", unchecked_join),
    "a body that does not decode": (Decoder, "feed", unguarded),
    "a character set that does not exist": (Response, "text", property(lambda self: str(self.content, self.encoding))),
    "a redirect that counts": (HttpClient, "_pass_over", counted_twice),
    "a failure that does not count": (RequestReporter, "report", not_counted),
}
"""Faults by what is wrong with them: where, which name, and what stands there instead."""


@pytest.mark.parametrize("fault", FAULTS)
def test_a_seeded_fault_is_found(server: tuple[Server, str], fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The test above finds each kind of fault that it guards against."""
    monkeypatch.setattr(*FAULTS[fault])
    search = settings(fuzz, max_examples=5_000, phases=[Phase.generate], report_multiple_bugs=False, database=None)(
        given(**SERIES)(test_responses.hypothesis.inner_test)  # type: ignore[attr-defined]
    )
    with pytest.raises((AssertionError, ValueError, TypeError, LookupError, OverflowError, zlib.error, brotli.error)):
        search(server)


PLAIN_HEAD = (
    b"HTTP/1.1 200 OK\r\nServer: nginx\r\nDate: Thu, 26 Nov 2026 16:24:31 GMT\r\nContent-Type: text/plain\r\n"
    b"Content-Length: %b\r\nconnection: %b\r\nX-Request-Id: %b\r\nVary: a\r\nVary: b\r\n\r\n"
)
PIECES = st.one_of(
    st.binary(max_size=6),
    st.sampled_from(
        [b"\r\n", b"\n", b"\r", b":", b" ", b"\t", b"\r\n ", b"\0", b"\x7f", b"\xff", b"5", b"-", b"HTTP/1.1 "]
    ),
    st.builds(
        b"\r\n%b: %b".__mod__,
        st.tuples(
            st.sampled_from(b"Content-Length Transfer-Encoding Connection Upgrade Set-Cookie Content-Encoding".split()),
            st.sampled_from([b"5", b"chunked", b"close", b"upgrade", b"a=b", b"gzip", b"identity", b""]),
        ),
    ),
)
CUTS = st.tuples(st.integers(0, len(PLAIN_HEAD) + 20), st.integers(0, 6), PIECES)
"""A place in a head, how many bytes go there, and what comes instead."""


def verdict(cache: HeadCache, received: bytes, last: ResponseHead = UNKNOWN_HEAD) -> Any:
    """The result of parsing these bytes: everything about the head, or the error."""
    try:
        head = cache.find(received, last)
    except HttpError as error:
        return type(error)
    if head is None:
        return None
    own = {name: getattr(head, name) for name in ResponseHead.__slots__ if name not in {"_headers", "pattern"}}
    return {**own, "fields": head.headers.fields}


@fuzz
@given(
    length=st.one_of(
        st.just(b"5"), st.sampled_from([b" 7\t ", b"007", b"", b"-1", b"+5", b"1_0", b"9" * 16, b"9" * 30])
    ),
    connection=st.one_of(st.just(b"keep-alive"), st.sampled_from([b"close", b"Keep-Alive", b"upgrade", b"x", b""])),
    request_id=st.one_of(st.just(b"f00"), st.binary(max_size=20)),
    cuts=st.lists(CUTS, max_size=2),
)
def test_heads_like_the_last(
    length: bytes, connection: bytes, request_id: bytes, cuts: list[tuple[int, int, bytes]]
) -> None:
    """A changed head counts as equal to the last one only if llhttp parses both alike."""
    cache = HeadCache()
    for number in (b"1", b"2"):
        last = cache.find(PLAIN_HEAD % (number, b"keep-alive", number))
    assert last is not None
    assert last.like(PLAIN_HEAD % (b"3", b"keep-alive", b"3")) is not None
    received = PLAIN_HEAD % (length, connection, request_id)
    for at, size, piece in cuts:
        received = received[:at] + piece + received[at + size :]
    expected = verdict(HeadCache(), received)
    assert (verdict(cache, received, last), verdict(cache, received)) == (expected, expected)


VALUES = st.one_of(TEXTS, st.none(), st.integers(), st.floats(), st.booleans(), st.binary(max_size=9))
ANYTHING = st.one_of(VALUES, st.lists(VALUES, max_size=3), st.dictionaries(VALUES, VALUES, max_size=3))
ARGUMENTS = st.fixed_dictionaries(
    {},
    optional={
        "headers": st.dictionaries(TEXTS, ANYTHING, max_size=3),
        "params": ANYTHING,
        "data": ANYTHING,
        "json": ANYTHING,
        "files": ANYTHING,
        "timeout": st.one_of(ANYTHING, st.floats(0.1, 1)),
        "auth": st.one_of(st.none(), st.tuples(VALUES, VALUES)),
        "name": st.one_of(st.none(), TEXTS),
        "verify": ANYTHING,
    },
)


@fuzz
@given(method=st.sampled_from(["GET", "POST", "PUT", "HEAD", "G T", "ü", ""]), url=LOCATIONS, arguments=ARGUMENTS)
def test_calls(server: tuple[Server, str], method: str, url: str, arguments: dict[str, Any]) -> None:
    """Any call is sent, or refused by InvalidRequestError: counted once either way."""
    script, host = server
    script.responses = [ok()]
    with running_user(host, network_timeout=0.5, connection_timeout=0.5) as user:
        try:
            got = user.client.request(method, url.replace("SERVER", host[7:]), **arguments)
            assert isinstance(got.error, HttpError | None)
        except InvalidRequestError as error:
            assert len(str(error)) > 10
        assert counts(user)[0] == 1
