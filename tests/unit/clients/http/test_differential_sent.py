"""One scripted server, three clients: what ours, FastHttpUser and HttpUser send for the same calls.

A case is a few calls, and the requests that the server gets from each client. Where one expectation stands, all three
agree; where they differ, the case says which is right and by which document. What they make of answers is in
test_differential.py, every header beside FastHttpUser's in test_wire.py.
"""

import gc
import io
import json
import re
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import pytest

from loadtest.measuring.recorder import Recorder
from tests.http_harness import Peer, ScriptedServer, counts, ok, running_user
from tests.unit.clients.http.test_differential import CLIENTS, redirect
from tests.unit.clients.http.test_tls import AUTHORITY, server_context, trusting

Call = tuple[str, str, Mapping[str, Any]]
"""Method, target and arguments; an argument that can be called is made anew for each client."""
Seen = tuple[str, ...]
"""Each request that the server got: method, target, ``name=value`` of the headers shown, body. A call that raised is
``raised``, and ``uncounted`` if it was not counted."""


@dataclass(frozen=True)
class Case:
    """Calls, and the requests that come of them.

    Attributes:
        calls: What the client does.
        expected: What our client sends, and the others too unless they are named.
        others: What another client sends.
        reason: Where the clients differ: which is right, and by which document.
        answers: What the server sends, by target; ``ok`` to any other. PORT in it is its port.
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
    """A POST to /; its type and framing are shown, behind them the body."""
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
    """What a Set-Cookie of /dir/start does to a later request; ``expected`` is its cookies."""
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
    """A call that is redirected, and what follows it."""
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

TARGETS: dict[str, Case] = {
    "query": get("/a?x=1&y=2", "GET /a?x=1&y=2"),
    "empty query": get("/a?", "GET /a"),
    "space": get("/a b", "GET /a%20b"),
    "umlaut": get("/ä", "GET /%C3%A4"),
    "umlaut in the query": get("/a?q=ü", "GET /a?q=%C3%BC"),
    "escapes": get("/a%20b%2Fc", "GET /a%20b%2Fc"),
    "percent before letters": get("/100%zz", "GET /100%25zz"),
    "fragment": get("/a#b", "GET /a"),
    "quotes": get('/a?q="x"<y>|{z}', "GET /a?q=%22x%22%3Cy%3E%7C%7Bz%7D"),
    "backslash": get("/a\\b", "GET /a%5Cb"),
    "semicolon": get("/a;b=c", "GET /a;b=c"),
    "plus": get("/a?q=1+1", "GET /a?q=1+1"),
    "at": get("/@x", "GET /@x"),
    "colon": get("/x:y", "GET /x:y"),
    "question mark in the query": get("/a?b?c", "GET /a?b?c"),
    "tilde": get("/~x", "GET /~x"),
    "star": get("/*", "GET /*"),
    "empty": get("", "GET /"),
    "query alone": get("?a=b", "GET /?a=b"),
    "absolute": get("http://SERVER/x", "GET /x"),
    "absolute without path": get("http://SERVER", "GET /"),
    "absolute query": get("http://SERVER?a=b", "GET /?a=b"),
    "scheme in upper case": get("HTTP://SERVER/x", "GET /x"),
    "lower-case escapes": differs(
        get("/a%2fb", "GET /a%2fb"), "RFC 3986, 6.2.2.1: the same; sent as written", requests="GET /a%2Fb"
    ),
    "percent at the end": differs(
        get("/100%", "GET /100%25"), "RFC 3986, 2.4: a percent sign must be encoded", fast="GET /100%"
    ),
    "brackets": differs(
        get("/a?x[]=1", "GET /a?x[]=1"),
        "the Fetch standard leaves them; servers take both",
        requests="GET /a?x%5B%5D=1",
    ),
    "dots": differs(
        get("/a/../b", "GET /a/../b"),
        "RFC 3986, 5.2.4 is for references; a scenario's own target is sent as written, which tests of traversal need",
        requests="GET /b",
    ),
    "two slashes": differs(get("//x", "GET //x"), "RFC 9112, 3.2.1: a path may begin so", fast=RAISED),
    "no slash": differs(
        get("a", "GET /a"), "relative to the host; the others glue it to the port", fast=RAISED, requests=RAISED
    ),
    "params": get("/a", "GET /a?x=1&y=a+b", params={"x": "1", "y": "a b"}),
    "params of lists": get("/a", "GET /a?x=1&x=2", params={"x": ["1", "2"]}),
    "params of pairs": get("/a", "GET /a?x=1&x=2", params=[("x", "1"), ("x", "2")]),
    "params of None": get("/a", "GET /a?y=1", params={"x": None, "y": "1"}),
    "params of numbers": get("/a", "GET /a?x=1&y=True", params={"x": 1, "y": True}),
    "params with an umlaut": get("/a", "GET /a?x=%C3%BC", params={"x": "ü"}),
    "params as text": get("/a", "GET /a?x=1&y=2", params="x=1&y=2"),
    "no params": get("/a", "GET /a", params={}),
    "params with a slash": get("/a", "GET /a?x=a%2Fb", params={"x": "a/b"}),
    "params with a plus": get("/a", "GET /a?x=1%2B1", params={"x": "1+1"}),
    "params without value": get("/a", "GET /a?x=", params={"x": ""}),
    "params behind a query": get("/a?z=0", "GET /a?z=0&x=1", params={"x": "1"}),
    "params behind ?": get("/a?", "GET /a?x=1", params={"x": "1"}),
    "params before a fragment": get("/a#f", "GET /a?x=1", params={"x": "1"}),
    "params behind &": differs(
        get("/a?z=0&", "GET /a?z=0&x=1", params={"x": "1"}),
        "the URL standard reads both as the same pairs",
        fast="GET /a?z=0&&x=1",
        requests="GET /a?z=0&&x=1",
    ),
}

BODIES: dict[str, Case] = {
    "nothing": post("POST / content-length=0"),
    **{
        f"json {sent}": post(f"POST / {JSON} {sent}", json=value)
        for sent, value in {
            '{"a": 1}': {"a": 1},
            "0": 0,
            "false": False,
            "{}": {},
            "[]": [],
            "[1, 2]": (1, 2),
            '"\\\\u00fc"': "ü",
            '{"id": 12345678901234567890123}': {"id": 12345678901234567890123},
            '{"x": 0.1}': {"x": 0.1},
            '{"a": {"b": [null, true]}}': {"a": {"b": [None, True]}},
            '{"1": 2}': {1: 2},
        }.items()
    },
    "json None": post("POST / content-length=0", json=None),
    "json NaN": post(
        f'POST / {JSON} {{"x": NaN}}',
        json={"x": float("nan")},
        requests="raised",
        reason="RFC 8259, 6 has none; sent as FastHttpUser does, for the server to refuse",
    ),
    "json of a set": post("raised", json={1, 2}, fast=RAISED, requests=RAISED, reason=UNCOUNTED),
    "json of bytes": post("raised", json=b"x", fast=RAISED, requests=RAISED, reason=UNCOUNTED),
    "json and empty text": post(f'POST / {JSON} {{"a": 1}}', json={"a": 1}, data=""),
    "json and an empty form": post(f'POST / {JSON} {{"a": 1}}', json={"a": 1}, data={}),
    "json of another type": post(
        'POST / content-type=application/vnd+json {"a": 1}',
        json={"a": 1},
        headers={"Content-Type": "application/vnd+json"},
    ),
    "empty text": post("POST / content-length=0", data=""),
    "text": post(
        f"POST / {PLAIN} content-length=3 \\xc3\\xbcx",
        data="üx",
        requests="POST / content-length=3 \\xc3\\xbcx",
        reason="RFC 9110, 8.3: a sender should say the type; as FastHttpUser does",
    ),
    "bytes": post(
        f"POST / {OCTETS} content-length=2 \\x00\\x01",
        data=b"\0\1",
        requests="POST / content-length=2 \\x00\\x01",
        reason="RFC 9110, 8.3: a sender should say the type; as FastHttpUser does",
    ),
    **{
        f"form {sent}": post(
            f"POST / {FORM} content-length={len(sent)} {sent}",
            data=data,
            requests=f"POST / {BARE_FORM} content-length={len(sent)} {sent}",
            reason="the type has no parameters (URL standard, 5), and none is harmed by one; as FastHttpUser does",
        )
        for sent, data in {
            "a=1&b=x+y": {"a": "1", "b": "x y"},
            "a=%C3%BC": {"a": "ü"},
            "a=1": {"a": 1},
            "a=%FF": {"a": b"\xff"},
            "a=1%2B1": {"a": "1+1"},
        }.items()
    },
    "form of lists": post(
        f"POST / {FORM} content-length=7 a=1&a=2",
        data={"a": ["1", "2"]},
        fast=f"POST / {FORM} content-length=26 a=%5B%271%27%2C+%272%27%5D",
        requests=f"POST / {BARE_FORM} content-length=7 a=1&a=2",
        reason="URL standard, 5.2: a field for each value; Python's text of a list is nobody's wish",
    ),
    "form of pairs": post(
        f"POST / {FORM} content-length=7 a=1&a=2",
        data=[("a", "1"), ("a", "2")],
        fast=RAISED,
        requests=f"POST / {BARE_FORM} content-length=7 a=1&a=2",
        reason="as HttpUser takes it",
    ),
    "empty form": post(
        f"POST / {FORM} content-length=0",
        data={},
        fast="POST / content-length=0",
        requests="POST / content-length=0",
        reason="URL standard, 5.2: a form without fields is a form",
    ),
    "pieces": post(
        f"POST / {OCTETS} transfer-encoding=chunked 2\\r\\nab\\r\\n2\\r\\ncd\\r\\n0\\r\\n\\r\\n",
        data=chunks,
        requests="POST / transfer-encoding=chunked 2\\r\\nab\\r\\n2\\r\\ncd\\r\\n0\\r\\n\\r\\n",
        reason="RFC 9110, 8.3: a sender should say the type; as FastHttpUser does",
    ),
    "list of pieces": post(
        f"POST / {OCTETS} transfer-encoding=chunked 2\\r\\nab\\r\\n1\\r\\nc\\r\\n0\\r\\n\\r\\n",
        data=[b"ab", b"c"],
        fast=RAISED,
        requests=RAISED,
        reason="RFC 9112, 7.1",
    ),
    "file": post(
        f"POST / {OCTETS} content-length=5 filed",
        data=lambda: io.BytesIO(b"filed"),
        fast=f"POST / {OCTETS} transfer-encoding=chunked 5\\r\\nfiled\\r\\n0\\r\\n\\r\\n",
        requests="POST / content-length=5 filed",
        reason="RFC 9112, 6.2: a length that is known is better said",
    ),
    "number": post("raised", data=5, fast=RAISED, requests=RAISED, reason=UNCOUNTED),
}


def form(*parts: str) -> str:
    """A multipart request of these parts, as it is shown."""
    body = "".join(f"--B\\r\\nContent-Disposition: form-data; {part}\\r\\n" for part in parts)
    return f"POST / content-type=multipart/form-data {body}--B--\\r\\n"


def files(*typed: str, untyped: tuple[str, ...], **arguments: Any) -> Case:
    """A form with files, for which ours names the type of each file."""
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
FILES: dict[str, Case] = {
    "tuple": Case(
        (("POST", "/", {"files": {"f": ("n.txt", b"c", "text/plain")}}),),
        (form(A_FILE + "Content-Type: text/plain\\r\\n\\r\\nc"),),
        shown=("content-type",),
    ),
    "headers": Case(
        (("POST", "/", {"files": {"f": ("n.txt", b"c", "text/plain", {"X-A": "1"})}}),),
        (form(A_FILE + "Content-Type: text/plain\\r\\nX-A: 1\\r\\n\\r\\nc"),),
        shown=("content-type",),
    ),
    "none": Case((("POST", "/", {"files": {"f": None}}),), (form(),), shown=("content-type",)),
    "without type": files(
        A_FILE + "Content-Type: text/plain\\r\\n\\r\\nc", untyped=(A_FILE + "\\r\\nc",), files={"f": ("n.txt", b"c")}
    ),
    **{
        kind: files(
            NAMED + "Content-Type: application/octet-stream\\r\\n\\r\\nc", untyped=(NAMED + "\\r\\nc",), files=value
        )
        for kind, value in {"bytes": {"f": b"c"}, "text": {"f": "c"}, "file": lambda: {"f": io.BytesIO(b"c")}}.items()
    },
    "two": files(
        *(f'name="f"; filename="{n}.txt"\\r\\nContent-Type: text/plain\\r\\n\\r\\n{n}' for n in "ab"),
        untyped=tuple(f'name="f"; filename="{n}.txt"\\r\\n\\r\\n{n}' for n in "ab"),
        files=[("f", ("a.txt", b"a")), ("f", ("b.txt", b"b"))],
    ),
    "umlaut": files(
        'name="f"; filename="\\xc3\\xbc.txt"\\r\\nContent-Type: text/plain\\r\\n\\r\\nc',
        untyped=('name="f"; filename="\\xc3\\xbc.txt"\\r\\n\\r\\nc',),
        files={"f": ("ü.txt", b"c")},
    ),
    "with data": files(
        *(f'name="{name}"\\r\\n\\r\\n{value}' for name, value in ("a1", "b2", "b3", "d4")),
        A_FILE + "Content-Type: text/plain\\r\\n\\r\\nc",
        untyped=(
            *(f'name="{name}"\\r\\n\\r\\n{value}' for name, value in ("a1", "b2", "b3", "d4")),
            A_FILE + "\\r\\nc",
        ),
        files={"f": ("n.txt", b"c")},
        data={"a": "1", "b": ["2", "3"], "c": None, "d": 4},
    ),
}

AUTH = ("authorization",)
HEADERS: dict[str, Case] = {
    "text": header("1", "GET / x-a=1"),
    "empty": header("", "GET / x-a="),
    "tab": header("a\tb", "GET / x-a=a\tb"),
    "latin-1": header("ü", "GET / x-a=ü"),
    "underscore": header("1", "GET / x_a=1", name="x_a"),
    "number": differs(header(1, "GET / x-a=1"), "as FastHttpUser", requests="raised"),
    "fraction": differs(header(1.5, "GET / x-a=1.5"), "as FastHttpUser", requests="raised"),
    "bytes": differs(header(b"1", "GET / x-a=1"), "RFC 9110, 5.5: a value is octets", fast="GET / x-a=b'1'"),
    "none": differs(header(None, "GET /"), "as HttpUser: None is no value", fast="GET / x-a=None"),
    "list": differs(header(["1", "2"], "GET / x-a=1 x-a=2"), "RFC 9110, 5.3: a line for each", requests="raised"),
    "blanks": differs(header("  a  ", "GET / x-a=  a  "), "RFC 9110, 5.5: not part of the value", requests="raised"),
    "line break": differs(header("a\r\nb", "raised"), UNCOUNTED, fast=RAISED),
    "line feed": differs(header("a\nb", "raised"), UNCOUNTED, fast=RAISED),
    "nul": differs(header("a\0b", "raised"), "RFC 9110, 5.5: not allowed", fast=RAISED, requests="GET / x-a=a\0b"),
    "euro": differs(header("€", "raised"), UNCOUNTED, fast=RAISED, requests=RAISED),
    "name with a space": differs(
        header("1", "raised", name="X A"), "RFC 9110, 5.1: not a name", fast=RAISED, requests="GET / x a=1"
    ),
    "name with a colon": differs(header("1", "raised", name="X:A"), UNCOUNTED, fast=RAISED),
    "empty name": differs(header("1", "raised", name=""), UNCOUNTED, fast=RAISED),
    "name with an umlaut": differs(header("1", "raised", name="X-Ä"), UNCOUNTED, fast=RAISED, requests=RAISED),
    "name with a line break": differs(header("1", "raised", name="X\r\nB"), UNCOUNTED, fast=RAISED),
    "own host": header("other", "GET / host=other", name="Host"),
    "own user agent": header("me", "GET / user-agent=me", name="User-Agent"),
    "own cookie": header("a=b", "GET / cookie=a=b", name="Cookie"),
    "wrong length": post(
        f"POST / {PLAIN} content-length=3 abc",
        data="abc",
        headers={"Content-Length": "2"},
        requests="POST / content-length=3 abc",
        reason="RFC 9110, 8.3: a sender should say the type; as FastHttpUser does",
    ),
    "auth": Case((("GET", "/", {"auth": ("u", "p")}),), ("GET / authorization=Basic dTpw",), shown=AUTH),
    "auth before a header": Case(
        (("GET", "/", {"auth": ("u", "p"), "headers": {"Authorization": "own"}}),),
        ("GET / authorization=Basic dTpw",),
        shown=AUTH,
    ),
    "auth with an umlaut": Case(
        (("GET", "/", {"auth": ("ü", "p")}),),
        ("GET / authorization=Basic w7w6cA==",),
        {"fast": ("GET / authorization=Basic /Dpw",), "requests": ("GET / authorization=Basic /Dpw",)},
        "RFC 7617, 2.1: UTF-8 is the only encoding that a server can ask for",
        shown=AUTH,
    ),
    "credentials in the URL": Case(
        (("GET", "http://u:p@SERVER/", {}),),
        ("GET /",),
        {"requests": ("GET / authorization=Basic dTpw",)},
        "RFC 9110, 4.2.4 deprecates them; as FastHttpUser does, those of the host are sent and those of a call are not",
        shown=AUTH,
    ),
    **{
        f"method {method}": Case(((method, "/", {}),), (f"{method.upper()} /",))
        for method in ("get", "Get", "PROPFIND", "TRACE", "OPTIONS", "HEAD", "DELETE", "POST", "PUT", "PATCH")
    },
    "method with a space": Case(
        (("G T", "/", {}),),
        ("raised",),
        {"fast": ("raised", "uncounted"), "requests": ("raised", "uncounted")},
        UNCOUNTED,
    ),
    "no method": Case(
        (("", "/", {}),),
        ("raised",),
        {"fast": ("raised", "uncounted"), "requests": (" /",)},
        "RFC 9110, 9.1: a method has letters",
    ),
}

COOKIES: dict[str, Case] = {
    "of its folder": cookie("a=b", "/dir/end", "a=b"),
    "of another folder": cookie("a=b", "/end", ""),
    "below its folder": cookie("a=b", "/dir/x/end", "a=b"),
    "path": cookie("a=b; Path=/", "/end", "a=b"),
    "path of another": cookie("a=b; Path=/other", "/dir/end", ""),
    "path of another, asked": cookie("a=b; Path=/other", "/other", "a=b"),
    "path that only begins so": cookie("a=b; Path=/dir", "/dirx", ""),
    "domain": cookie("a=b; Domain=127.0.0.1; Path=/", "/end", "a=b"),
    "domain of another": cookie("a=b; Domain=example.org; Path=/", "/end", ""),
    "secure": cookie("a=b; Secure; Path=/", "/end", ""),
    "http only": cookie("a=b; HttpOnly; Path=/", "/end", "a=b"),
    "same site": cookie("a=b; SameSite=Strict; Path=/", "/end", "a=b"),
    "unknown": cookie("a=b; Partitioned; Foo=bar; Path=/", "/end", "a=b"),
    "age": cookie("a=b; Max-Age=60; Path=/", "/end", "a=b"),
    "age 0": cookie("a=b; Max-Age=0; Path=/", "/end", ""),
    "negative age": cookie("a=b; Max-Age=-1; Path=/", "/end", ""),
    "expired": cookie("a=b; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Path=/", "/end", ""),
    "expires later": cookie("a=b; Expires=Thu, 01 Jan 2099 00:00:00 GMT; Path=/", "/end", "a=b"),
    "expires with dashes": cookie("a=b; Expires=Thu, 01-Jan-2099 00:00:00 GMT; Path=/", "/end", "a=b"),
    "expires never": cookie("a=b; Expires=never; Path=/", "/end", "a=b"),
    "age before expiry": cookie("a=b; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=60; Path=/", "/end", "a=b"),
    "quoted": cookie('a="b c"; Path=/', "/end", 'a="b c"'),
    "equals": cookie("a=b=c; Path=/", "/end", "a=b=c"),
    "comma": cookie("a=b,c; Path=/", "/end", "a=b,c"),
    "no value": cookie("a=; Path=/", "/end", "a="),
    "blanks": cookie(" a = b ; path = /", "/end", "a=b"),
    "upper case": cookie("a=b; PATH=/; MAX-AGE=60", "/end", "a=b"),
    "utf-8": cookie("a=ü; Path=/", "/end", "a=\xc3\xbc"),
    "age of letters": differs(
        cookie("a=b; Max-Age=x; Path=/", "/end", "a=b"),
        "RFC 6265, 5.2.2: the attribute is ignored, not the cookie",
        fast="GET /dir/start | GET /end",
        requests="GET /dir/start | GET /end",
    ),
    "no equals": differs(
        cookie("a; Path=/", "/end", ""),
        "RFC 6265, 5.2: ignored",
        fast="GET /dir/start | GET /end cookie=a",
        requests="GET /dir/start | GET /end cookie=a",
    ),
    "no name": differs(
        cookie("=b; Path=/", "/end", "b"),
        "RFC 6265bis, 5.7: kept without a name, as browsers do",
        fast="GET /dir/start | GET /end",
        requests="GET /dir/start | GET /end",
    ),
    "two paths": differs(
        cookie("a=b; Path=/x; Path=/", "/end", "a=b"),
        "RFC 6265, 5.3: the last one counts",
        fast="GET /dir/start | GET /end",
        requests="GET /dir/start | GET /end",
    ),
    "relative path": differs(
        cookie("a=b; Path=x", "/dir/end", "a=b"),
        "RFC 6265, 5.2.4: then its folder's",
        fast="GET /dir/start | GET /dir/end",
        requests="GET /dir/start | GET /dir/end",
    ),
    "of the call alone": Case(
        (("GET", "/end", {"cookies": {"a": "1"}}), ("GET", "/end", {})),
        ("GET /end cookie=a=1", "GET /end"),
        {"fast": ("GET /end?cookies=a", "GET /end")},
        "FastHttpUser makes a query of an argument that it does not know",
        shown=("cookie",),
    ),
    "two, the longer path first": Case(
        (("GET", "/start", {}), ("GET", "/x/end", {})),
        ("GET /start", "GET /x/end cookie=b=2; a=1"),
        answers={"/start": ok(b"", "Set-Cookie: a=1; Path=/", "Set-Cookie: b=2; Path=/x")},
        shown=("cookie",),
    ),
    "replaced": Case(
        (("GET", "/start", {}), ("GET", "/end", {})),
        ("GET /start", "GET /end cookie=a=2"),
        answers={"/start": ok(b"", "Set-Cookie: a=1", "Set-Cookie: a=2")},
        shown=("cookie",),
    ),
    "of a redirect": Case(
        (("GET", "/start", {}),),
        ("GET /start", "GET /end cookie=a=1"),
        answers={"/start": redirect("/end", b"", "Set-Cookie: a=1")},
        shown=("cookie",),
    ),
    "of an error": Case(
        (("GET", "/start", {}), ("GET", "/end", {})),
        ("GET /start", "GET /end cookie=a=1"),
        answers={"/start": ok(b"", "Set-Cookie: a=1", status="500 X")},
        shown=("cookie",),
    ),
    "beside a header": Case(
        (("GET", "/start", {}), ("GET", "/end", {"headers": {"Cookie": "own=1"}})),
        ("GET /start", "GET /end cookie=own=1"),
        answers={"/start": ok(b"", "Set-Cookie: a=1")},
        shown=("cookie",),
    ),
    "secure over TLS": Case(
        (("GET", "/start", {}), ("GET", "/end", {})),
        ("GET /start", "GET /end cookie=a=1"),
        answers={"/start": ok(b"", "Set-Cookie: a=1; Secure")},
        shown=("cookie",),
        tls=True,
    ),
}

KEEPS_METHOD = "RFC 9110, 15.4.2 and 15.4.3 allow POST alone to become GET; so does the Fetch standard"
BODY = {"json": {"a": 1}}
REDIRECTS: dict[str, Case] = {
    **{
        f"{method} {status}": redirected(method, status, f"{method} /end")
        for method in ("GET", "HEAD")
        for status in (301, 302, 303, 307, 308)
    },
    **{
        f"{method} {status}": redirected(method, status, f"{method} /end")
        for method in ("DELETE", "OPTIONS")
        for status in (307, 308)
    },
    **{f"{method} 303": redirected(method, 303, "GET /end") for method in ("DELETE", "OPTIONS")},
    **{
        f"{method} {status}": differs(
            redirected(method, status, f"{method} /end"),
            KEEPS_METHOD,
            fast=f"{method} /start | GET /end",
            **({"requests": f"{method} /start | GET /end"} if status == 302 else {}),
        )
        for method in ("DELETE", "OPTIONS")
        for status in (301, 302)
    },
    **{
        f"{method} {status} with a body": redirected(method, status, f'{method} /start {{"a": 1}}', "GET /end", **BODY)
        for method, statuses in {"POST": (301, 302, 303), "PUT": (303,), "PATCH": (303,)}.items()
        for status in statuses
    },
    **{
        f"{method} {status} with a body": redirected(
            method, status, f'{method} /start {{"a": 1}}', f'{method} /end {{"a": 1}}', **BODY
        )
        for method in ("POST", "PUT", "PATCH")
        for status in (307, 308)
    },
    **{
        f"{method} {status} with a body": differs(
            redirected(method, status, f'{method} /start {{"a": 1}}', f'{method} /end {{"a": 1}}', **BODY),
            KEEPS_METHOD,
            fast=f'{method} /start {{"a": 1}} | GET /end',
            requests=f'{method} /start {{"a": 1}} | ' + ("GET /end" if status == 302 else f"{method} /end"),
        )
        for method in ("PUT", "PATCH")
        for status in (301, 302)
    },
    "body in pieces": differs(
        redirected("POST", 307, "POST /start 2\\r\\nab\\r\\n2\\r\\ncd\\r\\n0\\r\\n\\r\\n", data=chunks),
        "RFC 9110, 15.4.8: the same request or none; an empty one is another",
        requests="POST /start 2\\r\\nab\\r\\n2\\r\\ncd\\r\\n0\\r\\n\\r\\n | POST /end 0\\r\\n\\r\\n",
    ),
    "file": redirected("PUT", 307, "PUT /start abc", "PUT /end abc", data=b"abc"),
    "query": redirected("GET", 302, "GET /end?c=d", location="/end?c=d"),
    "utf-8": differs(
        redirected("GET", 302, "GET /%C3%BC", location="/ü"),
        "RFC 3987, 3.1: UTF-8 is percent-encoded once, as browsers do",
        fast="GET /start | GET /%C3%83%C2%BC",
    ),
    "auth": redirected(
        "GET",
        302,
        "GET /start authorization=Basic dTpw",
        "GET /end authorization=Basic dTpw",
        shown=AUTH,
        auth=("u", "p"),
    ),
    "auth to another host": redirected(
        "GET",
        302,
        "GET /start authorization=Basic dTpw",
        "GET /end",
        location="http://localhost:PORT/end",
        shown=AUTH,
        auth=("u", "p"),
    ),
    "cookie header to another host": redirected(
        "GET",
        302,
        "GET /start cookie=a=b",
        "GET /end",
        location="http://localhost:PORT/end",
        shown=("cookie",),
        headers={"Cookie": "a=b"},
    ),
    "api key to another host": differs(
        redirected(
            "GET",
            302,
            "GET /start x-api-key=k",
            "GET /end",
            location="http://localhost:PORT/end",
            shown=("x-api-key",),
            headers={"X-Api-Key": "k"},
        ),
        "RFC 9110, 15.4: a client ought to remove fields with security implications",
        fast="GET /start x-api-key=k | GET /end x-api-key=k",
        requests="GET /start x-api-key=k | GET /end x-api-key=k",
    ),
    "not followed": Case(
        (("GET", "/start", {"allow_redirects": False}),), ("GET /start",), answers={"/start": redirect("/end")}
    ),
    "over TLS": Case(
        (("GET", "/start", {}),), ("GET /start", "GET /end"), answers={"/start": redirect("/end")}, tls=True
    ),
}

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
    """A request as the cases have it; JSON is written one way, and a boundary is B."""
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
    """What a client sends, call by call."""
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
            except Exception:  # what each client raises is its own
                seen.append("raised")
        if not counts(user)[0]:
            seen.append("uncounted")
    if "uncounted" in seen and client == "fast":
        with warnings.catch_warnings(action="ignore", category=ResourceWarning):
            gc.collect()  # a connection that it lost
    return tuple(seen)


@pytest.mark.parametrize("name", CASES)
def test_clients_send_the_same_or_the_case_says_why_not(name):
    """Each client sends what the table says; a difference has a reason."""
    case = CASES[name]
    assert bool(case.others) is bool(case.reason)
    assert ("ours", sent_by("ours", case)) == ("ours", case.expected)
    for client in ("fast", "requests"):
        assert (client, sent_by(client, case)) == (client, case.others.get(client, case.expected))
