"""Tallies: what else is counted of a request name, beside its requests.

Most requests add to none of them: each is about something that is rare where all is well, so a request costs nothing
more.
"""

from __future__ import annotations

from typing import Final, NamedTuple

LOOKUP: Final = "lookup"
"""A host name was looked up; the detail is the name. An address needs no look-up."""
CONNECTION: Final = "connection"
"""A connection was opened, look-up and TLS included; the detail is the address, of a name with several."""
REDIRECT: Final = "redirect"
"""A redirect was followed, within the time of its request."""
RETRY: Final = "retry"
"""A request was sent again, since the server had closed its connection, within the time of the request."""
SAME: Final = "same_answer"
"""An answer of which the scenario says that it varies was, byte by byte, the one before."""
VARIED: Final = "varied_answer"
"""Such an answer was another one."""
SIZE: Final = "size"
"""A success without ``expect`` was smaller or larger than all before; the detail is the power of two below its bytes.
It says which sizes there were, not how often."""
TALLIES: Final = (LOOKUP, CONNECTION, REDIRECT, RETRY, SAME, VARIED, SIZE)


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
