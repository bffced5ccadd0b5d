"""A case: a few calls, and the requests that a server gets from each client."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.http_harness import ok
from tests.unit.clients.http.test_differential import redirect

Call = tuple[str, str, Mapping[str, Any]]
"""Method, target and arguments; a callable argument is called once for each client."""
Seen = tuple[str, ...]
"""Each request that the server got: method, target, ``name=value`` of the headers shown, body. A call that raised is
``raised``, and ``uncounted`` if it was not counted."""


@dataclass(frozen=True)
class Case:
    """Calls, and the resulting requests.

    Attributes:
        calls: The client's calls.
        expected: The requests of our client, and of all clients not in ``others``.
        others: The requests of clients that differ.
        reason: If the clients differ: which is right, and by which document.
        answers: The server's responses by target; ``ok`` for any other. PORT in them is its port.
        shown: Names of the request headers that are compared, in lower case.
        options: Attributes of the User class.
        tls: Whether the server speaks TLS.
    """

    calls: tuple[Call, ...]
    expected: Seen
    others: Mapping[str, Seen] = field(default_factory=dict)
    reason: str = ""
    answers: Mapping[str, bytes] = field(default_factory=dict)
    shown: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    tls: bool = False


def get(target: str, *expected: str, **arguments: Any) -> Case:
    """A GET that all three send alike."""
    return Case((("GET", target, arguments),), expected)


def post(*expected: str, fast: str = "", requests: str = "", reason: str = "", **arguments: Any) -> Case:
    """A POST to /; its type and framing are shown, followed by the body."""
    others = {name: tuple(seen.split(" | ")) for name, seen in (("fast", fast), ("requests", requests)) if seen}
    return Case(
        (("POST", "/", arguments),),
        expected,
        others,
        reason,
        shown=("content-type", "transfer-encoding", "content-length"),
    )


def differs(case: Case, reason: str, **others: str) -> Case:
    """A case in which ours is right, for a reason; requests of another client are divided by `` | ``."""
    seen = {client: tuple(sent.split(" | ")) if sent else () for client, sent in others.items()}
    return Case(case.calls, case.expected, seen, reason, case.answers, case.shown, case.options, case.tls)


def header(value: Any, *expected: str, name: str = "X-A") -> Case:
    """A GET with a header."""
    return Case((("GET", "/", {"headers": {name: value}}),), expected, shown=(name.lower(),))


def cookie(line: str, target: str, expected: str) -> Case:
    """The effect of a Set-Cookie of /dir/start on a later request; ``expected`` is that request's cookies."""
    later = f"GET {target} cookie={expected}" if expected else f"GET {target}"
    return Case(
        (("GET", "/dir/start", {}), ("GET", target, {})),
        ("GET /dir/start", later),
        answers={"/dir/start": ok(b"", f"Set-Cookie: {line}")},
        shown=("cookie",),
    )


def redirected(
    method: str, status: int, *expected: str, location: str = "/end", shown: tuple[str, ...] = (), **arguments: Any
) -> Case:
    """A call that is redirected, and the request that follows."""
    return Case(
        ((method, "/start", arguments),),
        (f"{method} /start", *expected) if not arguments else expected,
        answers={"/start": redirect(location, status=status)},
        shown=shown,
    )


def chunks() -> Any:
    """A body in pieces."""
    yield b"ab"
    yield b"cd"


JSON = "content-type=application/json"
FORM = "content-type=application/x-www-form-urlencoded; charset=utf-8"
BARE_FORM = "content-type=application/x-www-form-urlencoded"
PLAIN = "content-type=text/plain; charset=utf-8"
OCTETS = "content-type=application/octet-stream"
RAISED = "raised | uncounted"
UNCOUNTED = "a call that cannot be built counts, so that no report is without it"


def form(*parts: str) -> str:
    """A multipart request with these parts, as it is shown."""
    body = "".join(f"--B\\r\\nContent-Disposition: form-data; {part}\\r\\n" for part in parts)
    return f"POST / content-type=multipart/form-data {body}--B--\\r\\n"


def files(*typed: str, untyped: tuple[str, ...], **arguments: Any) -> Case:
    """A form with files; our client names the type of each file."""
    bare = form(*untyped)
    return Case(
        (("POST", "/", arguments),),
        (form(*typed),),
        {"fast": (bare,), "requests": (bare,)},
        "RFC 7578, 4.4: a file ought to be labelled with its type where it is known, and octets where it is not",
        shown=("content-type",),
    )


A_FILE = 'name="f"; filename="n.txt"\\r\\n'
NAMED = 'name="f"; filename="f"\\r\\n'

AUTH = ("authorization",)
