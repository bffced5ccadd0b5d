"""One scripted server, three clients: where ours, FastHttpUser and HttpUser differ, the case says who is right and why.

A case is a response (or a chain of them) to GET /start, and what each client should make of it: status, body, and
whether the call counts as a failure. Where one expectation stands, all three agree.
"""

import gzip
import zlib
from dataclasses import dataclass, field

import brotli
import pytest
from locust import FastHttpUser
from locust import HttpUser as StockHttpUser
from locust.env import Environment

from loadtest.clients.http import HttpUser
from loadtest.measuring.recorder import Recorder
from tests.http_harness import Peer, ScriptedServer, counts, ok

BASES = {"ours": HttpUser, "fast": FastHttpUser, "requests": StockHttpUser}
Seen = tuple[int, bytes | None, bool]  # status, body, failed


@dataclass
class Case:
    """A scripted answer and what is made of it.

    Attributes:
        answers: What the server sends to each request, by target; it closes the connection afterwards.
        expected: What our client makes of it, and the others too unless they are named.
        others: What another client makes of it.
        reason: Where the clients differ: which is right, and by which document.
    """

    answers: dict[str, bytes]
    expected: Seen
    others: dict[str, Seen] = field(default_factory=dict)
    reason: str = ""


def case(answer: bytes, *expected: object, reason: str = "", **others: Seen) -> Case:
    """A case of a single answer."""
    return Case({"/start": answer}, expected, others, reason)  # type: ignore[arg-type]


def chain(first: bytes, *expected: object, reason: str = "", **others: Seen) -> Case:
    """A case of a redirect, whose end is /end."""
    return Case({"/start": first, "/end": ok(b"end"), "/%C3%BC": ok(b"u")}, expected, others, reason)  # type: ignore[arg-type]


def head(*lines: str) -> bytes:
    """A head, its lines as given."""
    return "\r\n".join([*lines, "", ""]).encode()


def redirect(status: int, location: str, body: bytes = b"") -> bytes:
    """A redirect."""
    return ok(body, f"Location: {location}", status=f"{status} X")


CODED = {
    "gzip": gzip.compress(b"text"),
    "deflate": zlib.compress(b"text"),
    "br": brotli.compress(b"text"),
}
CASES: dict[str, Case] = {
    **{
        f"status {status}": case(ok(b"x", status=f"{status} X"), status, b"x", False)
        for status in (200, 201, 202, 203, 206)
    },
    **{f"status {status}": case(ok(b"x", status=f"{status} X"), status, b"x", True) for status in range(400, 418)},
    **{f"status {status}": case(ok(b"x", status=f"{status} X"), status, b"x", True) for status in range(500, 512)},
    "status 204": case(head("HTTP/1.1 204 X"), 204, b"", False),
    "status 304": case(head("HTTP/1.1 304 X"), 304, b"", False),
    "no reason": case(head("HTTP/1.1 200 ", "Content-Length: 1") + b"x", 200, b"x", False),
    "empty body": case(ok(b""), 200, b"", False),
    "until close": case(head("HTTP/1.1 200 OK") + b"abc", 200, b"abc", False),
    "http 1.0": case(head("HTTP/1.0 200 OK", "Content-Length: 1") + b"x", 200, b"x", False),
    "interim": case(head("HTTP/1.1 100 Continue") + ok(b"x"), 200, b"x", False),
    "chunked": case(head("HTTP/1.1 200 OK", "Transfer-Encoding: chunked") + b"1\r\nx\r\n0\r\n\r\n", 200, b"x", False),
    "chunk extension": case(
        head("HTTP/1.1 200 OK", "Transfer-Encoding: chunked") + b"1;a=b\r\nx\r\n0\r\n\r\n", 200, b"x", False
    ),
    "trailer": case(
        head("HTTP/1.1 200 OK", "Transfer-Encoding: chunked") + b"1\r\nx\r\n0\r\nA: b\r\n\r\n", 200, b"x", False
    ),
    **{
        f"coding {coding}": case(ok(body, f"Content-Encoding: {coding}"), 200, b"text", False)
        for coding, body in CODED.items()
    },
    **{
        f"redirect {status}": chain(redirect(status, "/end"), 200, b"end", False)
        for status in (301, 302, 303, 307, 308)
    },
    "redirect relative": chain(redirect(302, "end"), 200, b"end", False),
    "redirect body": chain(redirect(302, "/end", b"moved"), 200, b"end", False),
    "redirect fragment": chain(redirect(302, "/end#here"), 200, b"end", False),
    "redirect utf-8": chain(
        redirect(302, "/ü"),
        200,
        b"u",
        False,
        fast=(404, b"unknown", True),
        reason="RFC 3987, 3.1: UTF-8 is percent-encoded once, as requests and browsers do; it is encoded twice there",
    ),
    "redirect without location": case(ok(b"x", status="302 X"), 302, b"x", False),
}


def outcome(base: type, script_case: Case) -> Seen:
    """What a client makes of a case."""

    def script(peer: Peer) -> None:
        target = peer.read_head().split(b" ")[1].decode()
        peer.send(script_case.answers.get(target, ok(b"unknown", status="404 X")))

    options = {"network_timeout": 2, "connection_timeout": 2} if base is not StockHttpUser else {}
    with ScriptedServer(script) as server:
        user_class = type("Differing", (base,), {"host": server.url, "abstract": False, **options})
        environment = Environment(user_classes=[user_class])
        Recorder.of(environment)
        user = user_class(environment)
        try:
            response = user.client.get("/start")
            status, content = response.status_code, response.content
            requests, failures = counts(user)
        finally:
            (user.client if base is not FastHttpUser else user.client.client).close()
    assert requests == 1
    return status, content, bool(failures)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("client", BASES)
def test_clients_agree_or_the_case_says_why_not(client, name):
    """Each client makes of a case what the table says; a difference has a reason."""
    script_case = CASES[name]
    assert bool(script_case.others) is bool(script_case.reason)
    assert outcome(BASES[client], script_case) == script_case.others.get(client, script_case.expected)
