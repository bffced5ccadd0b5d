"""LoggedRequest: one request of a log.

Tested in tests/unit/replaying/test_access_log.py.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, urlsplit

LONGEST_TARGET: Final = 65_536
_LONGEST_HOST: Final = 300
"""A name of DNS has 253 characters at most."""
LONGEST_BODY_BYTES: Final = 8 * 1024 * 1024
_METHOD: Final = re.compile(r"[A-Z][A-Z-]{0,30}")
_NOT_REPLAYED: Final = frozenset({"CONNECT", "PRI"})
_KEPT: Final = "!$%&'()*+,/:;=?@[]~"
_LINE: Final = re.compile(r"(\S+) (.*?)(?: HTTP/\d(?:\.\d)?)?")


@dataclass(slots=True)
class LoggedRequest:
    """One request.

    Attributes:
        start_s: when it began, a Unix time.
        method: in capital letters.
        target: path and query, percent-encoded.
        host: the host it was sent to, without a port; empty if the log does not say.
        status: the status of its answer; 0 if the log does not say.
        body: its body.
        media_type: of the body.
    """

    start_s: float
    method: str
    target: str
    host: str = ""
    status: int = 0
    body: bytes = b""
    media_type: str = ""


def made(start_s: float, method: str, url: str, host: str = "", status: int = 0) -> LoggedRequest | None:
    """Return a request; None if it cannot be sent, such as noise of a port scan.

    Args:
        start_s: see `LoggedRequest`.
        method: as the log has it.
        url: a path with its query, or a whole URL, whose host then counts.
        host: as the log has it, may have a port.
        status: see `LoggedRequest`.
    """
    method = method.upper()
    if "://" in url.partition("/")[0] + url[:8] and not url.startswith("/"):
        try:
            parts = urlsplit(url)
        except ValueError:
            return None
        host = parts.netloc.rpartition("@")[2]
        url = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    url = url.partition("#")[0]
    if len(host) > _LONGEST_HOST:
        return None
    if not _METHOD.fullmatch(method) or method in _NOT_REPLAYED or not url.startswith("/") or len(url) > LONGEST_TARGET:
        return None
    target = quote(url, safe=_KEPT, errors="surrogatepass")
    return LoggedRequest(start_s, method, target, re.sub(r":\d*$", "", host).lower().strip("[]"), status)


def made_of_line(start_s: float, line: str, host: str = "", status: int = 0) -> LoggedRequest | None:
    """Return the request of a request line, such as `GET /a?b HTTP/1.1`; None where it is none."""
    found = _LINE.fullmatch(line)
    return made(start_s, found[1], found[2], host, status) if found else None
