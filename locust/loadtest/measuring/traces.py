"""Traces: which requests the service under test can tell more about, by the id of W3C Trace Context.

A share of the requests carries a ``traceparent`` header. Of those, the slowest of each request name are kept, successes
and each class of failures apart, so that the trace of a slow or failed request can be found where the service's
traces are. An id is never a label: it is in the record, the reports, and the exemplars of the exposition.

See https://www.w3.org/TR/trace-context/ for the header.
"""

from __future__ import annotations

import logging
import re
from bisect import insort
from random import Random
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from loadtest.measuring import spans

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from loadtest.measuring.labels import SeriesKey
    from loadtest.measuring.spans import SpanExport

_log = logging.getLogger(__name__)

HEADER: Final = "traceparent"
PER_KIND: Final = 3
"""How many are kept of one request name and outcome: the slowest."""
MOST_KINDS: Final = 500
"""Of how many combinations of request name and outcome, within a second and within a run."""
MOST_UNDER_WAY: Final = 10_000
"""Traced requests of a process that are not counted yet, of which spans will be exported."""
_SAMPLED: Final = 1  # the flag
_TRACE_ID: Final = re.compile(r"(?!0{32})[0-9a-f]{32}")
_TRACEPARENT: Final = re.compile(
    rf"(?!ff)[0-9a-f]{{2}}-({_TRACE_ID.pattern})-((?!0{{16}})[0-9a-f]{{16}})-([0-9a-f]{{2}})(-.*)?"
)


class Trace(NamedTuple):
    """One request that was traced."""

    trace_id: str
    """32 hexadecimal digits."""
    response_s: float
    error_class: str
    """Empty of a success."""
    seen: float = 0.0
    """When it ended, in whole seconds since the epoch; 0 where that is not known."""


class Sampler:
    """Decides which requests are traced, and gives them their header.

    Attributes:
        ratio: the share of the requests, 0 to 1. At 0 no client asks.
        spans: what exports those that it gave a header; None where nothing does.
    """

    def __init__(self) -> None:
        """Trace nothing yet."""
        self.ratio = 0.0
        self.spans: SpanExport | None = None
        self._given: set[str] = set()
        self._random = Random()  # noqa: S311 -- ids need not be secret; scenarios may seed the module's own numbers

    def apply(
        self, headers: Mapping[str, Any] | None, others: Iterable[str] = ()
    ) -> tuple[Mapping[str, Any] | None, bool]:
        """Add a traceparent to a request, if it is one of the share that is traced.

        Args:
            headers: of the request alone.
            others: the names of those that it has beside them. A traceparent among either is kept.

        Returns:
            The headers of the request alone, and whether it has a traceparent.
        """
        if any(name.lower() == HEADER for name in (*(headers or ()), *others)):
            return headers, True
        random = self._random
        if random.random() >= self.ratio:
            return headers, False
        trace_id, span_id = (random.getrandbits(bits) or 1 for bits in (128, 64))  # zeros are not allowed
        if self.spans is not None:
            if len(self._given) >= MOST_UNDER_WAY:
                self._given.clear()
            self._given.add(f"{span_id:016x}")
        return {**(headers or {}), HEADER: f"00-{trace_id:032x}-{span_id:016x}-01"}, True

    def export(  # noqa: PLR0917 - a span has that many parts
        self, key: SeriesKey, trace_id: str, span_id: str, sent_s: float, end_s: float, error_class: str = ""
    ) -> None:
        """Export a request as a span, unless its header is the scenario's own, whose span is the scenario's too.

        Args are those of `SpanExport.add`.
        """
        if self.spans is not None and span_id in self._given:
            self._given.discard(span_id)
            self.spans.add(key, trace_id, span_id, sent_s, end_s, error_class)

    def open(self) -> None:
        """Have spans exported, where the environment names an endpoint for them."""
        if spans.endpoint() and not spans.obstacle():
            self.spans = spans.SpanExport()

    def begin(self, ratio: float) -> None:
        """Trace this share of the requests from now on."""
        self.ratio = ratio
        if ratio and self.spans is None and spans.endpoint():
            _log.warning("%s", spans.obstacle())

    def close(self) -> None:
        """Export what is left."""
        if self.spans is not None:
            self.spans.close()
            self.spans = None


def ids_of(headers: Mapping[str, Any] | None) -> tuple[str, str]:
    """The ids of the trace and the span of a request that was sent with these headers; empty where it is in no trace
    that is sampled."""
    value = next((value for name, value in (headers or {}).items() if name.lower() == HEADER), "")
    found = _TRACEPARENT.fullmatch(value.decode("latin-1") if isinstance(value, bytes) else str(value))
    return (found[1], found[2]) if found and int(found[3], 16) & _SAMPLED else ("", "")


def is_trace_id(text: object) -> bool:
    """Whether this is the id of a trace."""
    return isinstance(text, str) and bool(_TRACE_ID.fullmatch(text))


class Traces:
    """The slowest traces of each series and outcome."""

    def __init__(self) -> None:
        """Keep none yet."""
        self._kept: dict[tuple[int, str], list[Trace]] = {}
        self.latest: dict[tuple[int, str], Trace] = {}
        """By row and error class: the one that was added last."""

    def add(self, row: int, trace: Trace) -> None:
        """Keep a trace of this series, if it is one of the slowest."""
        kept = self._kept.get((row, trace.error_class))
        if kept is None:
            if len(self._kept) >= MOST_KINDS:
                return
            self._kept[row, trace.error_class] = [trace]
        elif len(kept) < PER_KIND or trace.response_s > kept[-1].response_s:
            insort(kept, trace, key=lambda one: -one.response_s)
            del kept[PER_KIND:]
        self.latest[row, trace.error_class] = trace

    def __iter__(self) -> Iterator[tuple[int, Trace]]:
        """Each series' row with a trace, the slowest of a kind first."""
        return ((row, trace) for (row, _), kept in self._kept.items() for trace in kept)
