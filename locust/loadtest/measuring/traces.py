"""Traces: requests that the service under test can tell more about, identified by the W3C Trace Context id.

A share of the requests carries a ``traceparent`` header. Of those, the slowest per request name are kept, separately
for successes and for each error class, so that the trace of a slow or failed request can be found in the service's
tracing system. An id is never a label: it appears in the record, the reports, and the exemplars of the exposition.

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
"""The number of traces kept per request name and outcome: the slowest."""
MAX_KINDS: Final = 500
"""The number of combinations of request name and outcome with traces, within a second and within a run."""
MAX_UNDER_WAY: Final = 10_000
"""The maximum number of traced requests, not counted yet, whose spans a process holds for export."""
_SAMPLED: Final = 1  # the sampled flag
_TRACE_ID: Final = re.compile(r"(?!0{32})[0-9a-f]{32}")
_TRACEPARENT: Final = re.compile(
    rf"(?!ff)[0-9a-f]{{2}}-({_TRACE_ID.pattern})-((?!0{{16}})[0-9a-f]{{16}})-([0-9a-f]{{2}})(-.*)?"
)


class Trace(NamedTuple):
    """One traced request."""

    trace_id: str
    """32 hexadecimal digits."""
    response_s: float
    error_class: str
    """The class of the error; empty for a success."""
    seen: float = 0.0
    """When the request ended, in whole seconds since the epoch; 0 if unknown."""


class Sampler:
    """Decides which requests are traced, and adds the header to them.

    Attributes:
        ratio: the share of requests that are traced, 0 to 1. At 0, clients skip the sampler.
        spans: exports the requests that got a header here; None for no export.
    """

    def __init__(self) -> None:
        """Create a sampler that traces nothing yet."""
        self.ratio = 0.0
        self.spans: SpanExport | None = None
        self._given: set[str] = set()
        self._random = Random()  # noqa: S311 -- ids need not be secret; scenarios may seed the shared generator

    def apply(
        self, headers: Mapping[str, Any] | None, others: Iterable[str] = ()
    ) -> tuple[Mapping[str, Any] | None, bool]:
        """Add a traceparent to a request if it is among the share that is traced.

        Args:
            headers: the request's own headers.
            others: the names of the headers that the client adds. An existing traceparent among either is kept.

        Returns:
            The request's own headers, and whether it has a traceparent.
        """
        if any(name.lower() == HEADER for name in (*(headers or ()), *others)):
            return headers, True
        random = self._random
        if random.random() >= self.ratio:
            return headers, False
        trace_id, span_id = (random.getrandbits(bits) or 1 for bits in (128, 64))  # all zeros are not allowed
        if self.spans is not None:
            if len(self._given) >= MAX_UNDER_WAY:
                self._given.clear()
            self._given.add(f"{span_id:016x}")
        return {**(headers or {}), HEADER: f"00-{trace_id:032x}-{span_id:016x}-01"}, True

    def export(  # noqa: PLR0917 - a span has that many parts
        self, key: SeriesKey, trace_id: str, span_id: str, sent_s: float, end_s: float, error_class: str = ""
    ) -> None:
        """Export a request as a span. If its header is the scenario's own, so is the span, and nothing is exported.

        The arguments are those of `SpanExport.add`.
        """
        if self.spans is not None and span_id in self._given:
            self._given.discard(span_id)
            self.spans.add(key, trace_id, span_id, sent_s, end_s, error_class)

    def open(self) -> None:
        """Export spans from now on, if the environment names an endpoint."""
        if spans.endpoint() and not spans.obstacle():
            self.spans = spans.SpanExport()

    def begin(self, ratio: float) -> None:
        """Trace this share of requests from now on, 0 to 1."""
        self.ratio = ratio
        if ratio and self.spans is None and spans.endpoint():
            _log.warning("%s", spans.obstacle())

    def close(self) -> None:
        """Export the remaining spans."""
        if self.spans is not None:
            self.spans.close()
            self.spans = None


def ids_of(headers: Mapping[str, Any] | None) -> tuple[str, str]:
    """The trace id and span id in the headers of a request that was sent; empty if it is in no sampled trace."""
    value = next((value for name, value in (headers or {}).items() if name.lower() == HEADER), "")
    found = _TRACEPARENT.fullmatch(value.decode("latin-1") if isinstance(value, bytes) else str(value))
    return (found[1], found[2]) if found and int(found[3], 16) & _SAMPLED else ("", "")


def is_trace_id(text: object) -> bool:
    """Whether a value is a trace id."""
    return isinstance(text, str) and bool(_TRACE_ID.fullmatch(text))


class Traces:
    """The slowest traces of each series and outcome."""

    def __init__(self) -> None:
        """Create it without traces."""
        self._kept: dict[tuple[int, str], list[Trace]] = {}
        self.latest: dict[tuple[int, str], Trace] = {}
        """By row and error class: the trace that was added last."""

    def add(self, row: int, trace: Trace) -> None:
        """Keep a trace of a series if it is among the slowest."""
        kept = self._kept.get((row, trace.error_class))
        if kept is None:
            if len(self._kept) >= MAX_KINDS:
                return
            self._kept[row, trace.error_class] = [trace]
        elif len(kept) < PER_KIND or trace.response_s > kept[-1].response_s:
            insort(kept, trace, key=lambda one: -one.response_s)
            del kept[PER_KIND:]
        self.latest[row, trace.error_class] = trace

    def __iter__(self) -> Iterator[tuple[int, Trace]]:
        """Each trace with the row of its series, slowest of each kind first."""
        return ((row, trace) for (row, _), kept in self._kept.items() for trace in kept)
