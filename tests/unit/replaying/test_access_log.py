"""Production logs: the fields of a request in each format, and errors in a line."""

import gzip
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from loadtest.exceptions import UsageError
from loadtest.replaying import access_log, har
from loadtest.replaying.access_log import AccessLog

NOON_S = 1769860800.0  # 2026-01-31 12:00:00 UTC
CLF = '192.0.2.1 - ada [31/Jan/2026:13:00:00 +0100] "{request}" {status} 12 "https://a.example/" "curl/8 \\"x\\"" 0.1\n'
ALB = (
    "https {time}Z app/lb/50dc 192.0.2.1:2817 10.0.0.1:80 0.086 0.048 0.037 201 200 0 57 "
    '"POST https://shop.example.com:443/cart?x=1 HTTP/2.0" "curl/8" ECDHE TLSv1.2 arn:aws:x "Root=1-5" "shop" "arn" 1 '
    '{created} "forward" "-" "-" "10.0.0.1:80" "200" "-" "-"\n'
)


def entry(url: str, **more: Any) -> dict[str, Any]:
    """Return an entry of a HAR file."""
    parts = {"startedDateTime": "2026-01-31T12:00:00.250Z", "request": {"method": "GET", "url": url}}
    return parts | {"response": {"status": 200}} | more


def har_text(*entries: Any) -> str:
    """Return a HAR file."""
    return json.dumps({"log": {"version": "1.2", "entries": entries}})


def posted(**data: Any) -> dict[str, Any]:
    """Return the request of a HAR's entry with a body."""
    return {"request": {"method": "POST", "url": "http://a.example/x", "postData": data}}


READ: dict[str, tuple[str, str, tuple[Any, ...]]] = {
    "combined": (
        "a.log",
        CLF.format(request="GET /a?b=c HTTP/1.1", status=404),
        (NOON_S, "GET", "/a?b=c", "", 404, b""),
    ),
    "common with a virtual host": (
        "a.log",
        'shop.example.com:443 192.0.2.1 - - [31/Jan/2026:12:00:00 +0000] "HEAD / HTTP/2.0" 200 -\n',
        (NOON_S, "HEAD", "/", "", 200, b""),
    ),
    "escapes": (
        "a.log",
        CLF.format(request=r"GET /a\x22b\"c\\d\xC3\xBC e HTTP/1.1", status=200),
        (NOON_S, "GET", "/a%22b%22c%5Cd%C3%BC%20e", "", 200, b""),
    ),
    "to a proxy": (
        "a.log",
        CLF.format(request="GET http://Other.example:80/x HTTP/1.1", status=200),
        (NOON_S, "GET", "/x", "other.example", 200, b""),
    ),
    "JSON of nginx, at the end of the request": (
        "a.jsonl",
        json.dumps(
            {
                "time_iso8601": "2026-01-31T12:00:02+00:00",
                "request_time": "1.5",
                "request_method": "POST",
                "uri": "/a",
                "args": "x=1",
                "http_host": "shop.example.com:8080",
                "status": "201",
                "request_body": '{"n":1}',
            }
        ),
        (NOON_S + 0.5, "POST", "/a?x=1", "shop.example.com", 201, b'{"n":1}'),
    ),
    "JSON of Caddy": (
        "a.json",
        json.dumps({"ts": NOON_S, "request": {"method": "GET", "uri": "/a", "host": "a.example"}, "status": 200}),
        (NOON_S, "GET", "/a", "a.example", 200, b""),
    ),
    "JSON of Traefik": (
        "a.log",
        json.dumps(
            {
                "StartUTC": "2026-01-31T12:00:00.123456789Z",
                "RequestMethod": "GET",
                "RequestPath": "/a",
                "DownstreamStatus": 200,
            }
        ),
        (NOON_S + 0.123456, "GET", "/a", "", 200, b""),
    ),
    "JSON with a request line and milliseconds": (
        "a.log",
        json.dumps({"@timestamp": NOON_S * 1e3, "request": "GET /a HTTP/1.1"}),
        (NOON_S, "GET", "/a", "", 0, b""),
    ),
    "JSON with a body that is an object": (
        "a.log",
        json.dumps({"time": NOON_S, "method": "PUT", "path": "/a", "body": {"n": [1]}}),
        (NOON_S, "PUT", "/a", "", 0, b'{"n":[1]}'),
    ),
    "ALB": (
        "a.log.gz",
        ALB.format(time="2026-01-31T12:00:01.000000", created="2026-01-31T12:00:00.500000Z"),
        (NOON_S + 0.5, "POST", "/cart?x=1", "shop.example.com", 201, b""),
    ),
    "HAR": (
        "a.har",
        har_text(entry("https://a.example:444/x?y#z")),
        (NOON_S + 0.25, "GET", "/x?y", "a.example", 200, b""),
    ),
    "HAR with a form": (
        "a.har",
        har_text(entry("", **posted(mimeType="a/b", params=[{"name": "n", "value": "ü &"}]))),
        (NOON_S + 0.25, "POST", "/x", "a.example", 200, b"n=%C3%BC+%26"),
    ),
    "HAR with bytes": (
        "a.har",
        har_text(entry("", **posted(mimeType="a/b", text="/wA=", encoding="base64"))),
        (NOON_S + 0.25, "POST", "/x", "a.example", 200, b"\xff\x00"),
    ),
}


@pytest.mark.parametrize("case", READ)
def test_what_a_log_says_of_a_request(tmp_path: Path, case: str) -> None:
    """Start, method, path with query, host, status and body are read."""
    name, text, expected = READ[case]
    (tmp_path / name).write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    (found,) = AccessLog(tmp_path / name).requests
    assert (round(found.start_s, 6), found.method, found.target, found.host, found.status, found.body) == expected


@pytest.mark.parametrize(
    "request_line", [r"\x16\x03\x01", "-", "", "GET", "CONNECT a:443 HTTP/1.1", "OPTIONS * HTTP/1.1"]
)
def test_what_is_no_request_is_counted_and_left_out(tmp_path: Path, request_line: str) -> None:
    """Logs of a public service are full of such lines."""
    (tmp_path / "a.log").write_text(
        CLF.format(request=request_line, status=400) + CLF.format(request="GET /", status=200)
    )
    log = AccessLog(tmp_path / "a.log")
    assert (log.left_out, [request.target for request in log.requests]) == (1, ["/"])


def test_requests_are_in_the_order_of_their_starts_and_spread_over_their_second(tmp_path: Path) -> None:
    """A log is in order of the ends; whole seconds are spread out, parts of a second stay as they are."""
    lines = [CLF.format(request=f"GET /{number}", status=200) for number in range(4)]
    lines.insert(0, lines[0].replace("13:00:00", "13:00:01"))
    (tmp_path / "a.log").write_text("".join(lines))
    assert [r.start_s - NOON_S for r in AccessLog(tmp_path / "a.log").requests] == [0.0, 0.25, 0.5, 0.75, 1.0]
    exact = [json.dumps({"ts": NOON_S + at_s, "method": "GET", "uri": "/"}) for at_s in (1.5, 1.5, 0.0)]
    (tmp_path / "b.log").write_text("\n".join(exact))
    assert [r.start_s - NOON_S for r in AccessLog(tmp_path / "b.log").requests] == [0.0, 1.5, 1.5]


GOOD = CLF.format(request="GET / HTTP/1.1", status=200)
WRONG: dict[str, tuple[str, str | bytes, str]] = {
    "empty": ("a.log", "", "line 1, column 1: no requests"),
    "empty HAR": ("a.har", "", "line 1, column 1: not JSON"),
    "no log": ("a.log", GOOD + "hello\n", "line 2, column 1: not a line of an access log"),
    "no such day": (
        "a.log",
        GOOD.replace("31/Jan", "31/Feb"),
        "line 1, column 18: '31/Feb/2026:13:00:00 +0100' is not a",
    ),
    "before the first year": (
        "a.log",
        GOOD.replace("31/Jan/2026", "01/Jan/0001"),
        "line 1, column 18: '01/Jan/0001",
    ),
    "after the last year": ("a.log", GOOD.replace("31/Jan/2026", "31/Dec/9999"), "line 1, column 18: '31/Dec/9999"),
    "a time of no year": ("a.log", '{"time": 1e300, "method": "GET", "uri": "/"}', "line 1, column 1: no time"),
    "an ISO time of no year": (
        "a.log",
        '{"time": "9999-12-31T23:59:59-23:59", "method": "GET", "uri": "/"}',
        "line 1, column 1: no time",
    ),
    "HAR of no year": (
        "a.har",
        har_text(entry("http://a/", startedDateTime="0001-01-01T00:00:00+23:59")),
        "entry 1 is not that of a request",
    ),
    "not UTF-8": ("a.log", GOOD.encode() + b'x \xff "', "line 2, column 3: byte 0xff is not UTF-8"),
    "not JSON": ("a.log", '{"time": 1, "method": "GET", "uri": "/"}\n{"time": }', "line 2, column 10: not JSON"),
    "no time": ("a.log", '{"method": "GET", "uri": "/"}', "line 1, column 1: no time"),
    "a wrong time": ("a.log", '{"time": "noon", "method": "GET", "uri": "/"}', "line 1, column 1: no time"),
    "no request": ("a.log", '{"time": 1, "msg": "started"}', "line 1, column 1: no request"),
    "deep": ("a.log", '{"a":' * 100, "line 1, column 1: not a line of a log: it is nested more than 64 times"),
    "another format below": (
        "a.log",
        '{"time": 1, "method": "GET", "uri": "/"}\n' + GOOD,
        "line 2, column ",
    ),
    "an ALB's that is cut off": ("a.log", "https 2026-01-31T12:00:01Z app", "line 1, column 1: not a line of an ALB"),
    "an ALB's without a time": ("a.log", ALB.format(time="x", created="-"), "line 1, column 7: 'xZ' is not a time"),
    "HAR without a log": ("a.har", "[]", "line 1, column 1: it has no log.entries"),
    "HAR that is cut off": ("a.har", har_text(entry("/"))[:60], "line 1, column "),
    "HAR without a request": ("a.har", har_text(entry("http://a/"), 7), "entry 2 is not that of a request"),
    "HAR with a wrong time": ("a.har", har_text(entry("/", startedDateTime="x")), "entry 1 is not that of a request"),
    "deep HAR": ("a.har", "[" * 1000, "nested more than 64 times"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_log_is_refused_with_its_place(tmp_path: Path, case: str) -> None:
    """One sentence, with the allowed values and the next step."""
    name, content, words = WRONG[case]
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UsageError) as refused:
        AccessLog(tmp_path / name)
    text = str(refused.value)
    assert (words in text, "Allowed: " in text, "Next: " in text, "\n" in text) == (True, True, True, False), text


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo, str], ids=["folder", "pipe", "missing"])
@pytest.mark.parametrize("name", ["a.log", "a.har"])
def test_what_is_no_file_is_refused(tmp_path: Path, name: str, make: Callable[[Path], None]) -> None:
    """The command does not wait for it."""
    make(tmp_path / name)
    with pytest.raises(UsageError, match="cannot be read"):
        AccessLog(tmp_path / name)


def test_a_log_of_too_many_requests_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error has a remedy; requests that are filtered out do not count."""
    monkeypatch.setattr(access_log, "MAX_REQUESTS", 2)
    (tmp_path / "a.log").write_text(GOOD * 3)
    with pytest.raises(UsageError, match="line 3, column 1: more than 2 requests"):
        AccessLog(tmp_path / "a.log")
    assert AccessLog(tmp_path / "a.log", lambda _: False).requests == []


def test_fields_within_a_field_of_a_long_name_are_left_out() -> None:
    """Each name would be prefixed with that of its parent, and ten thousand of them take a gigabyte."""
    assert [*access_log._flat({"x" * 101: {"time": 1}, "a": {"B-2": 3}})] == [("a", {"B-2": 3}), ("ab2", 3)]


def test_a_media_type_cannot_add_a_header() -> None:
    """The type of a body in a log becomes part of a request's head."""
    assert har.media_type("text/plain; charset=utf-8") == "text/plain; charset=utf-8"
    assert har.media_type("text/plain\r\nX-Evil: 1") == "application/octet-stream"
