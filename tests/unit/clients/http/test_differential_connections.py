"""One scripted server, three clients: how long ours, FastHttpUser and HttpUser keep a connection, and wait.

A case is a server's behaviour on each connection, and the outcome of three calls. If the clients differ, the case says
which is right and by which document.
"""

import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import gevent
import gevent.socket
import pytest

from loadtest.measuring.recorder import Recorder
from tests.http_harness import Peer, ScriptedServer, always, answering, counted, counts, ok, running_user
from tests.unit.clients.http.test_differential import CLIENTS, head
from tests.unit.clients.http.test_tls import OTHER_NAME, server_context

CHUNKS = head("HTTP/1.1 200 OK", "Transfer-Encoding: chunked") + b"1\r\nx\r\n0\r\n\r\n"
SHORT_S, LONG_S = 0.2, 10.0

Seen = tuple[str, int]
"""What the calls come to, ``.`` for good and ``x`` for failed, and over how many connections."""


@dataclass(frozen=True)
class Case:
    """A server's behaviour, and the outcome of three calls.

    Attributes:
        script: The server's behaviour on a connection.
        expected: The outcome in our client, and in all clients not in ``others``.
        others: The outcome in clients that differ.
        reason: If the clients differ: which is right, and by which document.
        method: The method of the calls.
        error_class: The class of our client's failures.
        timeout_s: How long the clients wait for a response.
    """

    script: Callable[[Peer], None]
    expected: Seen
    others: Mapping[str, Seen] = field(default_factory=dict)
    reason: str = ""
    method: str = "GET"
    error_class: str = ""
    timeout_s: float = LONG_S


def silent(before: bytes) -> Callable[[Peer], None]:
    """A script that sends these bytes, then stays silent."""

    def script(peer: Peer) -> None:
        if peer.read_head():
            peer.send(before)
            gevent.sleep(10 * SHORT_S)

    return script


def broken_at_second(ending: str) -> Callable[[Peer], None]:
    """A script whose first connection breaks when its second request arrives."""

    def script(peer: Peer) -> None:
        peer.read_request()
        peer.send(ok())
        while peer.read_request()[0]:
            if peer.number == 1:
                if ending == "reset":
                    peer.reset()
                return
            peer.send(ok())

    return script


AGAIN = "RFC 9110, 9.2.2: what is safe to repeat is sent again over another connection"
CASES: dict[str, Case] = {
    **{
        f"kept after {name}": Case(always(answer), (outcome, 1))
        for name, answer, outcome in [
            ("a length", ok(), "..."),
            ("chunks", CHUNKS, "..."),
            ("204", head("HTTP/1.1 204 X"), "..."),
            ("304", head("HTTP/1.1 304 X"), "..."),
            ("404", ok(status="404 X"), "xxx"),
            ("500", ok(status="500 X"), "xxx"),
            ("keep-alive in http 1.0", head("HTTP/1.0 200 OK", "Connection: keep-alive", "Content-Length: 0"), "..."),
        ]
    },
    "kept after HEAD": Case(always(head("HTTP/1.1 200 OK", "Content-Length: 9")), ("...", 1), method="HEAD"),
    "closed as announced": Case(always(ok(b"x", "Connection: close")), ("...", 3)),
    "closed in http 1.0": Case(always(head("HTTP/1.0 200 OK", "Content-Length: 0")), ("...", 3)),
    **{f"closed after {method}": Case(answering(ok()), ("...", 3), method=method) for method in ("GET", "PUT", "POST")},
    "closed behind chunks": Case(answering(CHUNKS), ("...", 3)),
    **{
        f"{ending} at a second {method}": Case(
            broken_at_second(ending), ("...", 2), {"requests": (".x.", 2)}, AGAIN, method=method
        )
        for ending in ("closed", "reset")
        for method in ("GET", "PUT")
    },
    **{
        f"{ending} at a second POST": Case(broken_at_second(ending), (".x.", 2), method="POST", error_class=ending)
        for ending in ("closed", "reset")
    },
    "reset at once": Case(
        lambda peer: peer.reset(),
        ("xxx", 3),
        {"fast": ("xxx", 36)},
        "a failed attempt is what a load test measures; repeated unasked, it is load that nobody counts",
        error_class="reset",
    ),
    **{
        f"silent {place}": Case(silent(sent), ("xxx", 3), error_class="timeout_read", timeout_s=SHORT_S)
        for place, sent in [("at once", b""), ("in the body", head("HTTP/1.1 200 OK", "Content-Length: 9"))]
    },
}


def seen_by(client: str, case: Case) -> tuple[Seen, set[str]]:
    """The outcomes of three calls of a client, and the classes of its failures."""
    options: dict[str, Any] = {"network_timeout": case.timeout_s} if client != "requests" else {}
    outcome = ""
    classes = set()
    with ScriptedServer(case.script) as server, running_user(server.url, CLIENTS[client], **options) as user:
        Recorder.of(user.environment)
        for _ in range(3):
            with suppress(OSError):
                user.client.request(case.method, "/", **({"timeout": case.timeout_s} if client == "requests" else {}))
            taken = counted(Recorder.of(user.environment))
            assert int(sum(taken.requests)) == 1
            outcome += "x" if int(sum(taken.failures)) else "."
            classes |= {error.error_class for error in taken.errors}
        return (outcome, server.connections), classes


@pytest.mark.parametrize("name", CASES)
def test_clients_keep_connections_alike_or_the_case_says_why_not(name):
    """The outcome of three calls of each client is the one in the table; each difference has a reason."""
    case = CASES[name]
    assert bool(case.others) is bool(case.reason)
    seen, classes = seen_by("ours", case)
    assert seen == case.expected
    if case.error_class:
        assert classes == {case.error_class}
    for client in ("fast", "requests"):
        assert (client, seen_by(client, case)[0]) == (client, case.others.get(client, case.expected))


NAMES = {
    "bücher.test": ("xn--bcher-kva.test",),
    "BÜCHER.test": ("xn--bcher-kva.test",),
    "xn--bcher-kva.test": ("xn--bcher-kva.test",),
    "straße.test": ("xn--strae-oqa.test", "strasse.test", "xn--strae-oqa.test"),
    "☃.test": ("",),
}
"""Host names, and what each client resolves, nothing if it refuses; IDNA 2008 (RFC 5891), as browsers have it, is
right."""


@pytest.mark.parametrize("name", NAMES)
def test_clients_resolve_names_alike_or_ours_is_right(name, monkeypatch):
    """Names beyond ASCII are resolved, and sent in Host, in their IDNA form."""
    found = []
    for client in CLIENTS:
        asked: list[str] = []

        def resolve(host: Any, port: Any, *_: Any, asked: list[str] = asked, **__: Any) -> list[Any]:
            name = host.decode() if isinstance(host, bytes) else host
            asked.append(name if name.isascii() else name.encode("idna").decode())  # like the resolver
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", int(port)))]

        monkeypatch.setattr(gevent.socket, "getaddrinfo", resolve)
        monkeypatch.setattr(socket, "getaddrinfo", resolve)
        host = "http://127.0.0.1"
        with ScriptedServer(always(ok())) as server, running_user(host, CLIENTS[client]) as user, suppress(ValueError):
            user.client.get(f"http://{name}:{server.port}/")
        found.append(asked[0] if asked else "")
    assert found == list(NAMES[name] if len(NAMES[name]) > 1 else NAMES[name] * 3)


@pytest.mark.parametrize("fault", ["another name", "no authority"])
def test_clients_refuse_a_certificate_alike(fault):
    """A certificate with another name or from an unknown authority fails the call, unless verification is off."""
    context = server_context(OTHER_NAME) if fault == "another name" else server_context()
    for client in CLIENTS:
        options = {"insecure": False} if client == "fast" else {}
        server = ScriptedServer(always(ok()), ssl_context=context)
        with server, running_user(f"https://localhost:{server.port}", CLIENTS[client], **options) as user:
            Recorder.of(user.environment)
            assert user.client.get("/").status_code == 0
            assert counts(user) == (1, 1)
