"""Tallies: what else is counted of a request name, beside its requests.

Most requests add to none of them: each is about something that is rare where all is well, so a request costs nothing
more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import urljoin

if TYPE_CHECKING:
    from collections.abc import Iterable

LOOKUP: Final = "lookup"
"""A host name was looked up; the detail is the name. An address needs no look-up."""
CONNECTION: Final = "connection"
"""A connection was opened, look-up and TLS included; the detail is the address, of a name with several."""
REDIRECT: Final = "redirect"
"""A redirect was followed, within the time of its request; the detail is the path that it led to."""
RETRY: Final = "retry"
"""A request was sent again, since the server had closed its connection, within the time of the request."""
NOWHERE: Final = "nowhere"
"""An answer of 3xx brought nothing and led nowhere: 304 without a condition in the request, or a redirect without a
place; the detail is the status."""
ELSEWHERE: Final = "elsewhere"
"""A request went to another host than the one that its user loads, which is the detail. Of this product's client it
says which there were, not how often."""
UNKNOWN: Final = "unknown"
"""A request of a client that is neither Locust's nor this product's: what else happened is not known."""
SAME: Final = "same_answer"
"""An answer of which the scenario says that it varies was, byte by byte, the one before."""
VARIED: Final = "varied_answer"
"""Such an answer was another one."""
SIZE: Final = "size"
"""A success without ``expect`` was smaller or larger than all before; the detail is the power of two below its bytes.
It says which sizes there were, not how often."""
KEY: Final = "key"
"""A request of a sample of those to Redis named a key; the detail is the key, of one that is often among them."""
MISS: Final = "miss"
"""A command to Redis that reads found no key, or nothing at its path."""
VERSION: Final = "version"
"""The first response on a connection named the version of its service; the detail is one of the first `MAX_PLACES`."""
TALLIES: Final = (
    LOOKUP,
    CONNECTION,
    REDIRECT,
    RETRY,
    NOWHERE,
    ELSEWHERE,
    UNKNOWN,
    SAME,
    VARIED,
    SIZE,
    KEY,
    MISS,
    VERSION,
)
REDIRECTION: Final = 300
CLIENT_ERROR: Final = 400
MAX_PLACES: Final = 8
"""The places of redirects, and the versions of a service, that are kept apart, of one name; further ones have no
detail."""


class TallyCount(NamedTuple):
    """How often something happened in one series."""

    series: int
    """Index into the measurements' series."""
    kind: str
    """One of `TALLIES`."""
    detail: str
    times: int
    seconds: float
    """How long it took together; 0 where that is not measured."""


def leads_nowhere(status: int, sent: Iterable[str], asked: str, place: str) -> bool:
    """Whether an answer that is no failure brings nothing of what was asked for.

    Args:
        status: its status.
        sent: the names of the headers that were sent; with a condition, as of a cache, 304 is an answer.
        asked: the URL that was asked for.
        place: where the answer redirects to, which was not followed; empty if to none. Another place is an answer.
    """
    if place and not _is_same(asked, place):
        return False
    return REDIRECTION <= status < CLIENT_ERROR and not any(name.lower().startswith("if-") for name in sent)


def _is_same(asked: str, place: str) -> bool:
    try:
        return urljoin(asked, place) == asked
    except ValueError:  # no URL, such as http://[
        return False
