"""AccessLog: the requests of a log, ordered by start.

It reads the common and the combined format of nginx and Apache, also with additional fields at the end; JSON lines with
the usual field names; the access logs of AWS's Application Load Balancer; and HAR files.

A line without a valid request (noise of a scan, a connection without a request) is counted and skipped. A line that
does not match the format is an error.
"""

from __future__ import annotations

import json
import re
import string
from datetime import datetime
from functools import lru_cache
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

import orjson

from loadtest import untrusted
from loadtest.profiles.curve_file import time_s
from loadtest.replaying import har
from loadtest.replaying.logged_request import LONGEST_BODY_BYTES, LoggedRequest, made, made_of_line
from loadtest.settings.data_file import DataFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

MAX_REQUESTS: Final = 1_000_000
ALLOWED: Final = (
    "an access log of nginx or Apache (common or combined), JSON lines, an AWS ALB log, or a HAR file, also with .gz"
)
_MAX_VALUES: Final = 10_000
_LONGEST_NAME: Final = 100
_CLF: Final = re.compile(
    r'[^\["]*\[(\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4})\] "((?:[^"\\]|\\.)*+)" (\d{3}|-)(?:\s|$)', re.DOTALL
)
_TOKEN: Final = re.compile(r'"([^"]*)"|(\S+)')
_ALB_KINDS: Final = ("http", "https", "h2", "grpc", "grpcs", "ws", "wss")
_ALB_STATUS, _ALB_REQUEST, _ALB_CREATION = 8, 12, 21

# Names of fields in JSON logs, in small letters and digits; of an object within the object, both names in one.
_TIME: Final = (
    *("startutc", "starttime", "startedat", "timestamp", "timeiso8601", "time", "ts", "msec", "timelocal"),
    *("datetime", "date", "eventtime", "requesttimeepoch"),
)
_AT_THE_END: Final = frozenset({"timeiso8601", "timelocal", "msec"})
"""Times of nginx, which writes its log at the end of a request."""
_METHOD: Final = ("requestmethod", "method", "httpmethod", "verb", "httprequestmethod", "httprequestrequestmethod")
_TARGET: Final = (
    *("requesturi", "uri", "url", "requesturl", "requestpath", "target", "requesttarget", "path", "rawpath"),
    *("httprequestrequesturl", "urloriginal", "urlpath"),
)
_QUERY: Final = ("args", "querystring", "query", "urlquery", "requestquery")
_HOST: Final = ("requesthost", "host", "httphost", "servername", "vhost", "requestheadershost")
_STATUS: Final = (
    *("status", "statuscode", "responsestatus", "responsecode", "httpstatus", "downstreamstatus"),
    *("httprequeststatus", "httpresponsestatuscode"),
)
_BODY: Final = ("requestbody", "body")
_MEDIA_TYPE: Final = ("contenttype", "requestcontenttype", "httpcontenttype")
_REQUEST: Final = ("request", "requestline")
_LASTED: Final = "requesttime"


class AccessLog:
    """The requests of a log.

    Args:
        path: of the log.
        takes: tells whether a request is of interest.

    Attributes:
        requests: in the order of their starts.
        left_out: the number of lines without a request that can be sent.

    Raises:
        UsageError: when it cannot be read, with line and column of what is wrong.
    """

    def __init__(self, path: Path, takes: Callable[[LoggedRequest], bool] = lambda _: True) -> None:
        self._file = DataFile(path)
        self.left_out = 0
        self.requests: list[LoggedRequest] = []
        found = (entry.request for entry in har.read(path)) if path.suffix.lower() == ".har" else self._lines()
        number = 0
        for number, request in enumerate(found, 1):
            if request is None:
                self.left_out += 1
            elif takes(request):
                if len(self.requests) == MAX_REQUESTS:
                    raise self._file.wrong(
                        number, 1, f"more than {MAX_REQUESTS:,} requests", "a part of the log, or --sample"
                    )
                self.requests.append(request)
        if not number:
            raise self._file.wrong(1, 1, "no requests", ALLOWED)
        self.requests.sort(key=lambda request: request.start_s)
        if all(request.start_s.is_integer() for request in self.requests):
            _spread(self.requests)

    def _lines(self) -> Iterator[LoggedRequest | None]:
        read: Callable[[str, int], LoggedRequest | None] | None = None
        for number, line in enumerate(self._file.lines(), 1):
            if line.strip():
                read = read or self._reader(line)
                yield read(line.rstrip("\r\n"), number)

    def _reader(self, first: str) -> Callable[[str, int], LoggedRequest | None]:
        if first.lstrip().startswith("{"):
            return self._of_json
        return self._of_alb if first.partition(" ")[0] in _ALB_KINDS else self._of_clf

    def _of_clf(self, line: str, number: int) -> LoggedRequest | None:
        found = _CLF.match(line)
        if found is None:
            raise self._file.wrong(number, 1, "not a line of an access log", ALLOWED)
        try:
            start_s = _clf_time_s(found[1])
        except ValueError:
            raise self._file.wrong(number, found.start(1) + 1, f"{found[1]!r} is not a time", ALLOWED) from None
        status = 0 if found[3] == "-" else int(found[3])
        return made_of_line(start_s, _unescaped(found[2]), "", status)

    def _of_alb(self, line: str, number: int) -> LoggedRequest | None:
        tokens = [quoted or plain for quoted, plain in _TOKEN.findall(line)]
        if len(tokens) <= _ALB_REQUEST or tokens[0] not in _ALB_KINDS:
            raise self._file.wrong(number, 1, "not a line of an ALB's access log", ALLOWED)
        for text in (*tokens[_ALB_CREATION : _ALB_CREATION + 1], tokens[1]):
            try:
                start_s = time_s(text)
                break
            except ValueError:
                continue
        else:
            raise self._file.wrong(number, len(tokens[0]) + 2, f"{tokens[1][:40]!r} is not a time", ALLOWED)
        status = tokens[_ALB_STATUS]
        return made_of_line(start_s, tokens[_ALB_REQUEST], "", int(_number(status)))

    def _of_json(self, line: str, number: int) -> LoggedRequest | None:
        try:
            untrusted.check_json(line.encode(), _MAX_VALUES)
            entry = orjson.loads(line)
        except json.JSONDecodeError as error:
            raise self._file.wrong(number, error.colno, f"not JSON ({error.msg})", ALLOWED) from error
        except ValueError as error:
            raise self._file.wrong(number, 1, f"not a line of a log: {error}", ALLOWED) from error
        fields = dict(_flat(entry)) if isinstance(entry, dict) else {}
        name = next((name for name in _TIME if fields.get(name) not in (None, "")), None)
        try:
            start_s = _any_time_s(str(fields[name])) if name else None
        except ValueError:
            start_s = None
        if start_s is None:
            raise self._file.wrong(number, 1, "no time", "an object with the time of a request, such as time or ts")
        if name in _AT_THE_END:
            start_s -= _number(fields.get(_LASTED))
        status = int(_number(_first(fields, _STATUS)))
        host = str(_first(fields, _HOST) or "")
        method, target = _first(fields, _METHOD), _first(fields, _TARGET)
        if isinstance(method, str) and isinstance(target, str):
            query = _first(fields, _QUERY)
            if isinstance(query, str) and query not in ("", "-") and "?" not in target:
                target += f"?{query.lstrip('?')}"
            request = made(start_s, method, target, host, status)
        elif isinstance(_first(fields, _REQUEST), str):
            request = made_of_line(start_s, str(_first(fields, _REQUEST)), host, status)
        else:
            raise self._file.wrong(number, 1, "no request", "an object with method and path, such as method and uri")
        if request is not None:
            self._add_body(request, fields, number)
        return request

    def _add_body(self, request: LoggedRequest, fields: dict[str, Any], number: int) -> None:
        body = _first(fields, _BODY)
        if body in (None, "", "-"):
            return
        request.body = body.encode("utf-8", "surrogatepass") if isinstance(body, str) else orjson.dumps(body)
        if len(request.body) > LONGEST_BODY_BYTES:
            raise self._file.wrong(number, 1, "a body that is too long", f"at most {LONGEST_BODY_BYTES:,} bytes")
        usual = "application/json" if request.body[:1] in (b"{", b"[") else "application/x-www-form-urlencoded"
        request.media_type = har.media_type(str(_first(fields, _MEDIA_TYPE) or usual))


def _spread(requests: list[LoggedRequest]) -> None:
    """Spread requests over their second if a log has no finer unit; at its start they would form a burst."""
    for _, group in groupby(requests, lambda request: request.start_s):
        together = list(group)
        for index, request in enumerate(together):
            request.start_s += index / len(together)


def _first(fields: dict[str, Any], names: tuple[str, ...]) -> Any:
    return next((fields[name] for name in names if fields.get(name) is not None), None)


def _flat(entry: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the fields of an object and of those within, under their names in small letters and digits."""
    for name, value in entry.items():
        plain = prefix + "".join(letter for letter in name.lower() if letter in string.ascii_lowercase + string.digits)
        if len(plain) > _LONGEST_NAME:  # no name of interest; each name within would be longer still
            continue
        yield plain, value
        if isinstance(value, dict):
            yield from _flat(value, plain)


def _number(value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return 0.0
    return number if abs(number) < 1e9 else 0.0  # noqa: PLR2004 - neither a status nor a duration; NaN is not below it


def _any_time_s(text: str) -> float:
    try:
        return time_s(text)
    except ValueError:
        return _clf_time_s(text)


@lru_cache(maxsize=1024)
def _clf_time_s(text: str) -> float:
    """Return the Unix time of `31/Jan/2026:12:00:00 +0100`."""
    return time_s(datetime.strptime(text, "%d/%b/%Y:%H:%M:%S %z").isoformat())


def _unescaped(text: str) -> str:
    r"""Return what nginx and Apache wrote as `\x22` or `\"`, percent-encoded."""
    if "\\" not in text:
        return text
    text = re.sub(r"\\x([0-9A-Fa-f]{2})", r"%\1", text)
    return re.sub(r"\\(.)", lambda found: f"%{ord(found[1]):02X}" if found[1] in '"\\' else found[0], text)
