"""One scripted server, three clients: how ours, FastHttpUser and HttpUser handle a response.

A case is a response to GET /start, and the outcome in each client. With a single expectation, all three agree; if they
differ, the case says which is right and by which document. Their requests are in test_differential_sent.py, the life of
their connections in test_differential_connections.py.
"""

import gzip
import zlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import brotli
import pytest
from locust import FastHttpUser
from locust import HttpUser as StockHttpUser

from loadtest.clients.http import HttpUser
from loadtest.measuring.recorder import Recorder
from tests.http_harness import Peer, ScriptedServer, counts, ok, running_user

CLIENTS = {"ours": HttpUser, "fast": FastHttpUser, "requests": StockHttpUser}
CHUNKED = "Transfer-Encoding: chunked"

Seen = tuple[int, bytes, bool] | str
"""Status, body, and whether the status counts as a failure; or the class of another failure; or ``raised`` for what
left the call without being counted. Of the stock clients' failures the class is not compared."""


@dataclass(frozen=True)
class Case:
    """A response, and its outcome.

    Attributes:
        answer: The response to GET /start, after which the server closes; SERVER in it is its host and port. The
            response to GET /end is ``end``, that to any other target ``other``.
        expected: The outcome in our client, and in all clients not in ``others``.
        others: The outcome in clients that differ.
        reason: If the clients differ: which is right, and by which document.
    """

    answer: bytes
    expected: Seen
    others: Mapping[str, Seen] = field(default_factory=dict)
    reason: str = ""


def same(answer: bytes, status: int = 200, body: bytes = b"abc", *, failed: bool = False) -> Case:
    """A case in which all three clients agree."""
    return Case(answer, (status, body, failed))


def fails(answer: bytes, error_class: str) -> Case:
    """A case that fails in all three."""
    return Case(answer, error_class)


def differs(answer: bytes, expected: Seen, reason: str, **others: Seen) -> Case:
    """A case in which ours is right, for the given reason."""
    return Case(answer, expected, others, reason)


def head(*lines: str) -> bytes:
    """A head, its lines as given."""
    return "\r\n".join([*lines, "", ""]).encode()


def good(*lines: str) -> bytes:
    """The head of a 200."""
    return head("HTTP/1.1 200 OK", *lines)


def redirect(location: str, body: bytes = b"", *fields: str, status: int = 302) -> bytes:
    """A redirect."""
    return ok(body, f"Location: {location}", *fields, status=f"{status} X")


ABC = (200, b"abc", False)
END = (200, b"end", False)
TEXT = (200, b"text", False)
OTHER = (200, b"other", False)
PACKED = gzip.compress(b"text")
BROKEN = "RFC 9112, 6.3: a length that cannot be relied on makes the message's end unknown; taking one hides the fault"
LOOSE = "RFC 9112, 2.2 and 5: what is not a field line is malformed; a load test should say so"
UNCOUNTED = "a request that was sent counts"

STATUSES: dict[str, Case] = {
    **{f"status {status}": same(ok(b"abc", status=f"{status} X"), status) for status in (200, 201, 202, 203, 206)},
    **{f"status {status}": same(ok(b"abc", status=f"{status} X"), status, failed=True) for status in range(400, 418)},
    **{f"status {status}": same(ok(b"abc", status=f"{status} X"), status, failed=True) for status in range(500, 512)},
    "status 204": same(head("HTTP/1.1 204 X"), 204, b""),
    "status 204 with a length": same(head("HTTP/1.1 204 X", "Content-Length: 3"), 204, b""),
    "status 205": same(head("HTTP/1.1 205 X", "Content-Length: 0"), 205, b""),
    "status 304": same(head("HTTP/1.1 304 X"), 304, b""),
    "status 304 with a length": same(head("HTTP/1.1 304 X", "Content-Length: 3"), 304, b""),
    **{
        f"status {status}": differs(
            ok(b"abc", status=f"{status} X"),
            (status, b"abc", False),
            "RFC 9110, 15.4: not an error, as in HttpUser",
            fast=(status, b"abc", True),
        )
        for status in (300, 305, 306)
    },
    **{
        f"status {status}": differs(
            ok(b"abc", status=f"{status} X"),
            (status, b"abc", True),
            "RFC 9110, 15: a status of no class is to be treated like 500",
            requests=(status, b"abc", False),
        )
        for status in (600, 999)
    },
    "status 101": differs(
        head("HTTP/1.1 101 X", "Upgrade: x", "Connection: upgrade"),
        "protocol",
        "RFC 9110, 7.8: no server may switch to a protocol that was not asked for",
        requests=(101, b"", False),
    ),
    "status 199": differs(
        head("HTTP/1.1 199 X") + ok(b"abc"), ABC, "RFC 9110, 15.2: not the answer yet", requests=(199, b"", False)
    ),
    "interim": same(head("HTTP/1.1 100 Continue") + ok(b"abc")),
    "two interim": differs(
        head("HTTP/1.1 100 X") + head("HTTP/1.1 103 X", "Link: </x>") + ok(b"abc"),
        ABC,
        "RFC 9110, 15.2: not the answer yet",
        requests=(103, b"", False),
    ),
    "forty interim": differs(
        head("HTTP/1.1 100 X") * 40 + ok(b"abc"),
        "protocol",
        "none forbids it; without a bound a server holds a user for ever",
        fast=ABC,
        requests=ABC,
    ),
    "no reason": same(head("HTTP/1.1 200 ", "Content-Length: 3") + b"abc"),
    "no reason and no space": same(head("HTTP/1.1 200", "Content-Length: 3") + b"abc"),
    "status of two digits": fails(head("HTTP/1.1 20 OK", "Content-Length: 3") + b"abc", "protocol"),
    "status of four digits": fails(head("HTTP/1.1 2000 OK", "Content-Length: 3") + b"abc", "protocol"),
    "status of letters": fails(head("HTTP/1.1 abc OK", "Content-Length: 3") + b"abc", "protocol"),
}

HEADS: dict[str, Case] = {
    "nothing": fails(b"", "closed"),
    "another protocol": fails(b"SSH-2.0-OpenSSH_9\r\n", "protocol"),
    "http 0.9": fails(b"hello", "protocol"),
    "http 1.0": same(head("HTTP/1.0 200 OK", "Content-Length: 3") + b"abc"),
    "lower case": fails(head("http/1.1 200 OK", "Content-Length: 3") + b"abc", "protocol"),
    "no version": fails(head("HTTP 200 OK", "Content-Length: 3") + b"abc", "protocol"),
    "http 2": differs(
        head("HTTP/2.0 200 OK", "Content-Length: 3") + b"abc",
        "protocol",
        "RFC 9112, 2.3: not this protocol",
        fast=ABC,
    ),
    "http 1.2": differs(
        head("HTTP/1.2 200 OK", "Content-Length: 3") + b"abc",
        "protocol",
        "RFC 9110, 2.5 would allow it; no server speaks it, and one that says so is broken",
        requests=ABC,
    ),
    "cut head": differs(
        b"HTTP/1.1 200 OK\r\nContent-Le",
        "closed",
        "RFC 9112, 8: incomplete",
        requests=(200, b"", False),
    ),
    "line feeds only": differs(
        b"HTTP/1.1 200 OK\nContent-Length: 3\n\nabc",
        "protocol",
        "RFC 9112, 2.2 lets a recipient accept it; llhttp does not",
        requests=ABC,
    ),
    "folded value": differs(
        good("X: a", "  b", "Content-Length: 3") + b"abc",
        ABC,
        "RFC 9112, 5.2: a user agent replaces the fold by blanks",
        fast="failed",
    ),
    "space before the colon": differs(good("X : a", "Content-Length: 3") + b"abc", "protocol", LOOSE, requests=ABC),
    "no colon": differs(good("X", "Content-Length: 3") + b"abc", "protocol", LOOSE, requests=ABC),
    "empty name": differs(good(": x", "Content-Length: 3") + b"abc", "protocol", LOOSE, requests=ABC),
    "nul in a value": differs(good("X: a\0b", "Content-Length: 3") + b"abc", "protocol", LOOSE, requests=ABC),
    "latin-1 value": same(b"HTTP/1.1 200 OK\r\nX: \xfc\r\nContent-Length: 3\r\n\r\nabc"),
    "large head": differs(
        good("X: " + "x" * 70000, "Content-Length: 3") + b"abc",
        "too_large",
        "RFC 9110, 5.4: a client may refuse what it does not want to hold",
        fast=ABC,
    ),
    "many fields": differs(
        good(*["X: y"] * 150, "Content-Length: 3") + b"abc",
        ABC,
        "RFC 9110, 5.4: no limit of the number",
        requests="failed",
    ),
}

BODIES: dict[str, Case] = {
    "empty": same(ok(b""), 200, b""),
    "until close": same(good() + b"abc"),
    "chunked": same(good(CHUNKED) + b"3\r\nabc\r\n0\r\n\r\n"),
    "chunked in upper case": same(good(CHUNKED.upper()) + b"3\r\nabc\r\n0\r\n\r\n"),
    "chunked in http 1.0": same(head("HTTP/1.0 200 OK", CHUNKED) + b"3\r\nabc\r\n0\r\n\r\n"),
    "chunk extension": same(good(CHUNKED) + b"3;a=b\r\nabc\r\n0\r\n\r\n"),
    "trailer": same(good(CHUNKED) + b"3\r\nabc\r\n0\r\nA: b\r\n\r\n"),
    "cut body": fails(good("Content-Length: 5") + b"abc", "closed"),
    "cut chunk": fails(good(CHUNKED) + b"5\r\nabc", "closed"),
    "no last chunk": fails(good(CHUNKED) + b"3\r\nabc\r\n", "closed"),
    "chunk size of letters": fails(good(CHUNKED) + b"x\r\nabc\r\n0\r\n\r\n", "protocol"),
    "negative chunk size": fails(good(CHUNKED) + b"-1\r\nabc\r\n0\r\n\r\n", "protocol"),
    "huge chunk size": fails(good(CHUNKED) + b"ffffffffffffffff1\r\nabc", "protocol"),
    "two lengths": fails(good("Content-Length: 3", "Content-Length: 2") + b"abc", "protocol"),
    "huge length": fails(good("Content-Length: " + "9" * 30) + b"abc", "protocol"),
    **{
        f"length {length!r}": differs(good(f"Content-Length: {length}") + b"abc", "protocol", BROKEN, requests=ABC)
        for length in ("-3", "+3", "three", "", "3, 3")
    },
    "two equal lengths": differs(
        good("Content-Length: 3", "Content-Length: 3") + b"abc",
        "protocol",
        "RFC 9110, 8.6 allows either; llhttp refuses",
        requests=ABC,
    ),
    "length and chunks": differs(
        good(CHUNKED, "Content-Length: 3") + b"3\r\nabc\r\n0\r\n\r\n",
        "protocol",
        "RFC 9112, 6.3: ought to be handled as an error",
        requests=ABC,
    ),
    "identity transfer coding": differs(
        good("Transfer-Encoding: identity", "Content-Length: 3") + b"abc",
        "protocol",
        "RFC 9112, 7: no such transfer coding any more",
        requests=ABC,
    ),
    "gzip as a transfer coding": differs(
        good("Transfer-Encoding: gzip, chunked") + b"3\r\nabc\r\n0\r\n\r\n",
        "protocol",
        "RFC 9112, 7: the coded bytes would be handed out as the body; the client never offers it in TE",
        fast=ABC,
        requests=ABC,
    ),
    "bytes behind the body": differs(
        ok(b"abc") + b"more",
        ABC,
        "RFC 9112, 6.3: the answer is complete; the connection is not used again",
        fast="failed",
    ),
    "two answers": differs(
        ok(b"abc") + ok(b"def"),
        ABC,
        "RFC 9112, 6.3: the second belongs to no request and must not pass for a part of this one",
        fast=(200, b"abcdef", False),
    ),
    "charset": same(ok(b"gr\xfcn", "Content-Type: text/plain; charset=iso-8859-1"), 200, b"gr\xfcn"),
}

CODINGS: dict[str, Case] = {
    "gzip": same(ok(PACKED, "Content-Encoding: gzip"), body=b"text"),
    "gzip in upper case": same(ok(PACKED, "Content-Encoding: GZIP"), body=b"text"),
    "gzip in a chunk": same(
        good(CHUNKED, "Content-Encoding: gzip") + b"%x\r\n%b\r\n0\r\n\r\n" % (len(PACKED), PACKED), body=b"text"
    ),
    "gzip with padding": same(ok(PACKED + bytes(8), "Content-Encoding: gzip"), body=b"text"),
    "deflate": same(ok(zlib.compress(b"text"), "Content-Encoding: deflate"), body=b"text"),
    "deflate without its frame": same(ok(zlib.compress(b"text")[2:-4], "Content-Encoding: deflate"), body=b"text"),
    "br": same(ok(brotli.compress(b"text"), "Content-Encoding: br"), body=b"text"),
    "identity": same(ok(b"text", "Content-Encoding: identity"), body=b"text"),
    "not gzip": fails(ok(b"no gzip at all", "Content-Encoding: gzip"), "protocol"),
    "cut gzip": differs(
        ok(gzip.compress(b"text" * 20)[:-10], "Content-Encoding: gzip"),
        "protocol",
        "RFC 1952, 2.3: incomplete",
        requests=(200, b"textt", False),
    ),
    "two gzip members": differs(
        ok(gzip.compress(b"te") + gzip.compress(b"xt"), "Content-Encoding: gzip"),
        TEXT,
        "RFC 1952, 2.2: a series of members is their contents in a row",
        fast=(200, b"te", False),
    ),
    "not br": differs(ok(b"\xff" * 9, "Content-Encoding: br"), "protocol", UNCOUNTED, fast="raised"),
    "cut br": differs(
        ok(brotli.compress(b"text" * 50)[:-3], "Content-Encoding: br"),
        "protocol",
        "RFC 7932, 10: incomplete",
        fast="raised",
        requests=(200, b"", False),
    ),
    "x-gzip": differs(
        ok(PACKED, "Content-Encoding: x-gzip"), TEXT, "RFC 9110, 8.4.1.3: the same as gzip", fast="raised"
    ),
    "unknown coding": differs(
        ok(b"text", "Content-Encoding: x"),
        TEXT,
        "RFC 9110, 8.4: the answer counts; its body stays as it came",
        fast="raised",
    ),
    "two codings": differs(
        ok(gzip.compress(PACKED), "Content-Encoding: gzip, gzip"),
        TEXT,
        "RFC 9110, 8.4: undone in reverse order",
        fast="raised",
    ),
    "coded nothing": differs(
        ok(b"", "Content-Encoding: gzip"),
        (200, b"", False),
        "sent by servers to HEAD, 0 bytes to decode",
        fast="failed",
    ),
}

REDIRECTS: dict[str, Case] = {
    **{f"redirect {status}": Case(redirect("/end", status=status), END) for status in (301, 302, 303, 307, 308)},
    "relative": Case(redirect("end"), END),
    "with dots": Case(redirect("../x/./y/../end"), OTHER),
    "query alone": Case(redirect("?a=b"), OTHER),
    "fragment": Case(redirect("/end#here"), END),
    "scheme-relative": Case(redirect("//SERVER/end"), END),
    "absolute": Case(redirect("http://SERVER/end"), END),
    "scheme in upper case": Case(redirect("HTTP://SERVER/end"), END),
    "space": Case(redirect("/en d"), OTHER),
    "lone percent": Case(redirect("/100%"), OTHER),
    "tab": Case(redirect("\t/end"), END),
    "body": Case(redirect("/end", b"moved"), END),
    "cut redirect": Case(head("HTTP/1.1 302 X", "Location: /end", "Content-Length: 9") + b"abc", END),
    "redirect that is no gzip": Case(redirect("/end", b"no gzip", "Content-Encoding: gzip"), END),
    "redirect until close": Case(head("HTTP/1.1 302 X", "Location: /end") + b"abc", END),
    "redirect of malformed chunks": differs(
        head("HTTP/1.1 302 X", "Location: /end", CHUNKED) + b"x\r\n",
        END,
        "RFC 9110, 15.4: the redirect counts, not its body",
        fast="failed",
    ),
    "escaped letter": differs(
        redirect("/e%6Ed"),
        OTHER,
        "RFC 3986, 6.2.2.2: the same resource; ours sends what the server wrote",
        fast=END,
        requests=END,
    ),
    "two locations": differs(
        redirect("/end", b"", "Location: /other"),
        OTHER,
        "RFC 9110, 5.3: none is right",
        fast=(302, b"", False),
    ),
    "without location": same(ok(b"abc", status="302 X"), 302),
    "empty location": differs(
        redirect(""),
        "redirect",
        "RFC 3986, 4.4: the same document, so it leads in a circle",
        fast=(302, b"", False),
        requests=(302, b"", False),
    ),
    "circle": fails(redirect("/start"), "redirect"),
    "closed port": fails(redirect("http://127.0.0.1:1/"), "connect"),
    **{
        f"redirect to {scheme}": differs(
            redirect(f"{scheme}x"), "redirect", UNCOUNTED + ", also if it leads nowhere", requests="raised"
        )
        for scheme in ("ftp://127.0.0.1/", "file:///etc/", "javascript:")
    },
    "redirect to a socket": fails(redirect("http+unix://%2Ftmp%2Fno.sock/"), "redirect"),
    "port": differs(redirect("http://127.0.0.1:99999/"), "redirect", UNCOUNTED, fast="raised", requests="raised"),
    "host with a space": fails(redirect("http://a b/"), "redirect"),
}

CASES = {**STATUSES, **HEADS, **BODIES, **CODINGS, **REDIRECTS}


_STATUS_ERRORS = {"StatusError", "LocustBadStatusCode", "HTTPError"}


def seen_by(client: str, answer: bytes) -> Seen:
    """The outcome of a response in a client."""

    def script(peer: Peer) -> None:
        while request := peer.read_head():
            target = request.split(b" ")[1]
            if target == b"/start":
                peer.send(answer.replace(b"SERVER", f"127.0.0.1:{server.port}".encode()))
                return
            peer.send(ok(b"end" if target == b"/end" else b"other"))

    errors: list[Any] = []
    response: Any = None
    with ScriptedServer(script) as server, running_user(server.url, CLIENTS[client]) as user:
        Recorder.of(user.environment)
        user.environment.events.request.add_listener(lambda exception, **_: errors.append(exception))
        with suppress(Exception):  # an exception that a stock client does not catch
            response = user.client.get("/start")
        requests, failures = counts(user)
        if not errors:
            assert (client != "ours", requests) == (True, 0)
            return "raised"
        (error,) = errors
        assert (requests, failures) == (1, int(error is not None))
        if error is None or type(error).__name__ in _STATUS_ERRORS:
            return response.status_code, response.content, error is not None
        return getattr(error, "error_class", "failed")


@pytest.mark.parametrize("name", CASES)
def test_clients_agree_or_the_case_says_why_not(name):
    """The outcome in each client is the one in the table; each difference has a reason."""
    case = CASES[name]
    assert bool(case.others) is bool(case.reason)
    assert seen_by("ours", case.answer) == case.expected
    for client in ("fast", "requests"):
        expected = case.others.get(client, "failed" if isinstance(case.expected, str) else case.expected)
        assert (client, seen_by(client, case.answer)) == (client, expected)
        assert expected != case.expected or client not in case.others
