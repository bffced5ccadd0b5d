"""One scripted server, three clients: the requests of ours, FastHttpUser and HttpUser for the same calls.

A case is a few calls, and the requests that the server gets from each client. With a single expectation, all three
agree; if they differ, the case says which is right and by which document. Their handling of responses is in
test_differential.py, the comparison of every header with FastHttpUser's in test_wire.py.
"""

import gc
import json
import re
import warnings
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from loadtest.measuring.recorder import Recorder
from tests.http_harness import Peer, ScriptedServer, counts, ok, running_user
from tests.unit.clients.http.sent.bodies import BODIES, FILES
from tests.unit.clients.http.sent.case import Case, Seen
from tests.unit.clients.http.sent.heads import COOKIES, HEADERS, TARGETS
from tests.unit.clients.http.sent.redirects import REDIRECTS
from tests.unit.clients.http.test_differential import CLIENTS
from tests.unit.clients.http.test_tls import AUTHORITY, server_context, trusting

CASES = {
    f"{room}: {name}": case
    for room, cases in {
        "target": TARGETS,
        "body": BODIES,
        "files": FILES,
        "header": HEADERS,
        "cookie": COOKIES,
        "redirect": REDIRECTS,
    }.items()
    for name, case in cases.items()
}


def shown(request: tuple[bytes, bytes], names: tuple[str, ...]) -> str:
    """A request in the form of the cases; JSON is written one way, and a boundary is B."""
    head, body = request
    first, *lines = head.decode("latin-1").split("\r\n")
    fields = [(name.lower(), value) for name, value in (line.split(": ", 1) for line in lines)]
    kind = dict(fields).get("content-type", "")
    if found := re.search("boundary=(.*)", kind):
        body = body.replace(found[1].encode(), b"B")
        fields = [(name, value.partition(";")[0]) for name, value in fields if name != "content-length"]
    if "json" in kind:
        with suppress(ValueError):
            body = json.dumps(json.loads(body)).encode()
        fields = [field for field in fields if field[0] != "content-length"]
    parts = [f"{name}={value}" for wanted in names for name, value in fields if name == wanted]
    return " ".join([first.removesuffix(" HTTP/1.1"), *parts, *([repr(body)[2:-1]] if body else [])])


def sent_by(client: str, case: Case) -> Seen:
    """The requests of a client, call by call."""
    seen: list[str] = []

    def script(peer: Peer) -> None:
        while (request := peer.read_request())[0]:
            seen.append(shown(request, case.shown))
            method, target, _ = request[0].split(b" ", 2)
            answer = case.answers.get(target.decode())
            if answer is None:
                peer.send(ok(b"" if method == b"HEAD" else b"ok"))
            else:
                peer.send(answer.replace(b"PORT", str(server.port).encode()))

    base = CLIENTS[client]
    secure: dict[str, Any] = (
        {"ssl_context_factory": staticmethod(trusting)} if case.tls and client != "requests" else {}
    )
    server = ScriptedServer(script, **({"ssl_context": server_context()} if case.tls else {}))
    host = f"http{'s' * case.tls}://127.0.0.1:"
    with (
        AUTHORITY.cert_pem.tempfile() as authority,
        server,
        running_user(f"{host}{server.port}", base, **case.options, **secure) as user,
    ):
        if client == "requests":
            user.client.verify = authority
        Recorder.of(user.environment)
        for method, target, arguments in case.calls:
            made = {name: value() if isinstance(value, Callable) else value for name, value in arguments.items()}
            try:
                response = user.client.request(method, target.replace("SERVER", f"127.0.0.1:{server.port}"), **made)
                if not response.status_code and not seen:
                    seen.append("raised")
            except Exception:  # each client has its own exceptions
                seen.append("raised")
        if not counts(user)[0]:
            seen.append("uncounted")
    if "uncounted" in seen and client == "fast":
        with warnings.catch_warnings(action="ignore", category=ResourceWarning):
            gc.collect()  # a lost connection
    return tuple(seen)


@pytest.mark.parametrize("name", CASES)
def test_clients_send_the_same_or_the_case_says_why_not(name):
    """Each client sends the requests in the table; each difference has a reason."""
    case = CASES[name]
    assert bool(case.others) is bool(case.reason)
    assert ("ours", sent_by("ours", case)) == ("ours", case.expected)
    for client in ("fast", "requests"):
        assert (client, sent_by(client, case)) == (client, case.others.get(client, case.expected))
