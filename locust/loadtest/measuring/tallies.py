"""Tallies: further counts per request name, in addition to its requests.

Most requests add to none of them. Each counts something that is rare when all is well, so it costs an ordinary request
nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import urljoin

if TYPE_CHECKING:
    from collections.abc import Iterable

LOOKUP: Final = "lookup"
"""A host name was resolved; the detail is the name. An IP address needs no look-up."""
CONNECTION: Final = "connection"
"""A connection was opened, including look-up and TLS; the detail is the address if the name has several."""
REDIRECT: Final = "redirect"
"""A redirect was followed, within the request's time; the detail is the path it led to."""
RETRY: Final = "retry"
"""A request was retried within its own time because the server had closed its connection."""
NOWHERE: Final = "nowhere"
"""A 3xx response without a result: a 304 to an unconditional request, or a redirect without a location. The detail is
the status code."""
ELSEWHERE: Final = "elsewhere"
"""A request went to a host other than its user's; the detail is that host. For this product's client, the tally says
which hosts there were, not how often."""
UNKNOWN: Final = "unknown"
"""A request of a client that is neither Locust's nor this product's: its connections and retries are unknown."""
SAME: Final = "same_answer"
"""A response that the scenario declares to vary was identical to the previous one."""
VARIED: Final = "varied_answer"
"""A response that the scenario declares to vary differed from the previous one."""
SIZE: Final = "size"
"""An unchecked success (without ``expect``) was smaller or larger than all before. The detail is the largest power of
two that is not above its size in bytes. The tally says which sizes there were, not how often."""
KEY: Final = "key"
"""A sampled Redis command named a key; the detail is the key, if it is a frequent one."""
MISS: Final = "miss"
"""A Redis read command found no key, or nothing at its path."""
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
"""The maximum number of redirect targets, and of service versions, per name. Further ones count without a detail."""


class TallyCount(NamedTuple):
    """How often an event occurred in one series."""

    series: int
    """Index into the measurements' series."""
    kind: str
    """One of `TALLIES`."""
    detail: str
    times: int
    seconds: float
    """Total duration in seconds; 0 if not measured."""


def leads_nowhere(status: int, sent: Iterable[str], asked: str, place: str) -> bool:
    """Whether a response that is not a failure lacks what was requested.

    Args:
        status: the response's status code.
        sent: the names of the request's headers. After a conditional request, 304 is a complete response.
        asked: the requested URL.
        place: the target of a redirect that was not followed; empty if there is none. A different URL is a complete
            response.
    """
    if place and not _is_same(asked, place):
        return False
    return REDIRECTION <= status < CLIENT_ERROR and not any(name.lower().startswith("if-") for name in sent)


def _is_same(asked: str, place: str) -> bool:
    try:
        return urljoin(asked, place) == asked
    except ValueError:  # not a URL, for example http://[
        return False
