"""StreamView: the figures of responses that arrive as events. `RunRecord.streams` assembles them from their phases.

The times to the first byte and to the first event start at the request's intended start. An event's time is when the
worker received its end.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final

from loadtest.measuring.histogram import Histogram
from loadtest.measuring.labels import ENDED_BY, EVENT_GAP, FIRST_BYTE, FIRST_EVENT

TIMES: Final = (FIRST_BYTE, FIRST_EVENT, EVENT_GAP)
"""The distributions of a `StreamView`."""


@dataclass(slots=True)
class StreamView:
    """The streamed responses to one request name; its histograms are copies."""

    scenario: str
    method: str
    name: str
    first_byte: Histogram = field(default_factory=Histogram)
    """Time to the response's first byte, in seconds: one value per response."""
    first_event: Histogram = field(default_factory=Histogram)
    """Time to the first event, in seconds: one value per response that had an event."""
    event_gap: Histogram = field(default_factory=Histogram)
    """Time from each event to the next of the same response, in seconds."""
    response_bytes: int = 0
    ended_by: dict[str, int] = field(default_factory=lambda: dict.fromkeys(ENDED_BY, 0))
    """The number of responses that were ended by the server, by the user, by a timeout, or by another error. Open
    responses are not counted."""

    @property
    def events(self) -> int:
        """The number of events in all responses."""
        return self.first_event.count + self.event_gap.count

    @property
    def pace_per_s(self) -> float:
        """Events per second within a response, from its first event to its last; NaN without two events."""
        return self.event_gap.count / self.event_gap.sum_s if self.event_gap.sum_s else math.nan

    def add(self, other: StreamView) -> None:
        """Add the responses to another request name."""
        for times in TIMES:
            getattr(self, times).merge(getattr(other, times))
        self.response_bytes += other.response_bytes
        self.ended_by = {who: count + other.ended_by[who] for who, count in self.ended_by.items()}
