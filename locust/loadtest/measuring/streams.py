"""StreamView: the figures of answers that come in events; `RunRecord.streams` puts them together from their phases.

Times until the first byte and the first event begin at the intended start of the request. An event's time is when the
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
    """Until the answer's head came: one for each answer."""
    first_event: Histogram = field(default_factory=Histogram)
    """Until the first event came: one for each answer that had an event."""
    event_gap: Histogram = field(default_factory=Histogram)
    """From each event to the next one of the same answer."""
    response_bytes: int = 0
    ended_by: dict[str, int] = field(default_factory=lambda: dict.fromkeys(ENDED_BY, 0))
    """How many answers the server ended, the user, a timeout, another error; those still open are in none."""

    @property
    def events(self) -> int:
        """The events of all answers."""
        return self.first_event.count + self.event_gap.count

    @property
    def pace_per_s(self) -> float:
        """Events per second within an answer, from its first event to its last; NaN without two events."""
        return self.event_gap.count / self.event_gap.sum_s if self.event_gap.sum_s else math.nan

    def add(self, other: StreamView) -> None:
        """Add the answers to another name."""
        for times in TIMES:
            getattr(self, times).merge(getattr(other, times))
        self.response_bytes += other.response_bytes
        self.ended_by = {who: count + other.ended_by[who] for who, count in self.ended_by.items()}
