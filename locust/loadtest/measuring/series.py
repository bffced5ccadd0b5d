"""Series: the samples of one (scenario, method, name) in one phase, to which the hot path appends.

Tested by tests/unit/measuring/test_recorder.py, together with the folding of samples.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from loadtest.measuring.error_classes import ERROR_CLASSES
from loadtest.measuring.labels import CONNECTION_PHASES, OTHER, readable
from loadtest.measuring.tallies import MAX_PLACES, REDIRECT, SAME, SIZE, VARIED, VERSION
from loadtest.measuring.traces import Trace
from loadtest.settings.urls import without_credentials

if TYPE_CHECKING:
    from collections.abc import Callable

    from loadtest.measuring.evidence import Evidence
    from loadtest.measuring.labels import SeriesKey
    from loadtest.measuring.measurements import Accumulator

MAX_MESSAGE_CHARS: Final = 300
_LOOKED_UP: Final = 8_192  # sets of labels whose series are cached, including those that count as other
_AROUND_PATH: Final = re.compile(r"^(?:[A-Za-z][\w+.-]*:)?//[^/?#]*|;[^/?#]*|[?#].*$", re.DOTALL)
_ADDRESS: Final = re.compile(r"0x[0-9a-fA-F]+")
_masked = lru_cache(maxsize=256)(without_credentials)  # most errors of a run repeat a few texts


class Series:
    """The samples of one (scenario, method, name) in one phase.

    ``success(intended_s, sent_s, end_s, response_bytes, request_bytes=0)`` counts a successful request. Times are in
    seconds of `time.perf_counter`. For a request without an intended start of its own, pass the same object as
    ``intended_s`` and ``sent_s``. It is a closure over the buffers because this is the hot path.
    """

    __slots__ = (
        "_connections", "_counts", "_failures", "_largest", "_last_answer", "_places", "_smallest", "_versions",
        "add_sent", "failed", "is_checked", "key", "late", "row", "scenario_row", "success", "take_bytes", "take_sent",
        "times",
    )  # fmt: skip

    success: Callable[..., None]
    add_sent: Callable[[int], None]
    """Counts request bytes that ``success`` does not count: of failed requests and of further attempts."""
    take_bytes: Callable[[], int]
    """Returns the number of response bytes since its last call."""
    take_sent: Callable[[], int]
    """Returns the number of request bytes since its last call."""

    def __init__(
        self,
        key: SeriesKey,
        row: int,
        scenario_row: int,
        counts: Accumulator,
        connections: Callable[[str, str, str], Series],
    ) -> None:
        """Called by `Recorder.series` only."""
        self._connections = connections
        self.key = key
        self.row = row
        self.scenario_row = scenario_row
        self.is_checked = False  # whether the scenario checks the content of its responses
        self._counts = counts
        self._failures = 0
        self._smallest, self._largest = 0, -1  # sizes of successful responses in bytes
        self._last_answer: int | None = None
        self._places: set[str] = set()
        self._versions: set[str] = set()
        # Lists, although arrays are smaller: the interpreter has a dedicated instruction for appending to a list.
        self.times: list[float] = []  # service times of requests sent at their intended start
        self.late: list[float] = []  # lag and service time alternately
        self.failed: list[float] = []  # response times of failures, which are also among the others
        times, late = self.times, self.late
        total_bytes = sent_bytes = 0

        def success(
            intended_s: float, sent_s: float, end_s: float, response_bytes: int, request_bytes: int = 0
        ) -> None:
            nonlocal total_bytes, sent_bytes
            total_bytes += response_bytes
            sent_bytes += request_bytes
            if intended_s is sent_s:
                times.append(end_s - sent_s)
            else:
                late.append(sent_s - intended_s)
                late.append(end_s - sent_s)

        def take_bytes() -> int:
            nonlocal total_bytes
            taken, total_bytes = total_bytes, 0
            return taken

        def add_sent(request_bytes: int) -> None:
            nonlocal sent_bytes
            sent_bytes += request_bytes

        def take_sent() -> int:
            nonlocal sent_bytes
            taken, sent_bytes = sent_bytes, 0
            return taken

        self.success = success
        self.add_sent = add_sent
        self.take_bytes = take_bytes
        self.take_sent = take_sent

    def failure(  # noqa: PLR0917 - a failed sample has that many parts
        self,
        intended_s: float,
        sent_s: float,
        end_s: float,
        response_bytes: int,
        error_class: str,
        message: str,
        evidence: Callable[[], Evidence] | None = None,
    ) -> None:
        """Count a failed request. Its times count like those of any other request.

        Args:
            intended_s: as for ``success``.
            sent_s: as for ``success``.
            end_s: as for ``success``.
            response_bytes: as for ``success``.
            error_class: one of `ERROR_CLASSES`; any other counts as ``other``.
            message: truncated to 300 characters, without the memory addresses of objects.
            evidence: makes the evidence of the exchange; called for the first failures of each kind only.
        """
        self.success(intended_s, sent_s, end_s, response_bytes)
        self._failures += 1
        lag_s = 0.0 if intended_s is sent_s else max(sent_s - intended_s, 0.0)  # the same sum as in folding
        self.failed.append(lag_s + (end_s - sent_s))
        kind = (self.row, error_class if error_class in ERROR_CLASSES else OTHER, short_message(message))
        self._counts.add_error(*kind)
        if evidence is not None:
            self._counts.note_evidence(*kind, evidence)

    def tally(self, kind: str, detail: str = "", seconds: float = 0.0) -> None:
        """Count a further event of a request: see `loadtest.measuring.tallies` and `labels.CONNECTION_PHASES`."""
        if kind in CONNECTION_PHASES:
            self._connections(self.key.scenario, detail, kind).success(0.0, 0.0, seconds, 0)
            return
        self._counts.add_tally(self.row, kind, readable(detail), 1, seconds)

    def trace(self, trace_id: str, intended_s: float, sent_s: float, end_s: float, error_class: str = "") -> None:
        """Record the trace of a request that is counted; the error class is empty for a success."""
        response_s = max(sent_s - intended_s, 0.0) + (end_s - sent_s)
        known = error_class if not error_class or error_class in ERROR_CLASSES else OTHER
        self._counts.add_trace(self.row, Trace(trace_id, response_s, known))

    def note_redirect(self, location: str) -> None:
        """Count a followed redirect by the path that it led to, without parameters such as ``;jsessionid=…``."""
        self.tally(REDIRECT, _among_first(self._places, _AROUND_PATH.sub("", location)))

    def note_version(self, version: str) -> None:
        """Count a connection whose first response named the version of the service."""
        self.tally(VERSION, _among_first(self._versions, version))

    def note_size(self, size_bytes: int) -> None:
        """Record the size of an unchecked success if it is smaller or larger than all before."""
        if not self.is_checked and not self._smallest <= size_bytes <= self._largest:
            self._smallest = min(self._smallest, size_bytes) if self._largest >= 0 else size_bytes
            self._largest = max(self._largest, size_bytes)
            self.tally(SIZE, str(1 << max(size_bytes.bit_length() - 1, 0)))

    def note_answer(self, content: bytes) -> None:
        """Record whether a response that should vary equals the previous one."""
        answer = hash(content)
        if self._last_answer is not None:
            self.tally(SAME if answer == self._last_answer else VARIED)
        self._last_answer = answer

    def take_failures(self) -> int:
        """The number of failures since the last call."""
        taken, self._failures = self._failures, 0
        return taken


class Uncounted(Series):
    """A series whose requests are not recorded."""

    __slots__ = ()

    def __init__(self, *made_of: Any) -> None:
        super().__init__(*made_of)
        self.success = self.add_sent = _count_nothing
        self.take_bytes = self.take_sent = int

    def failure(self, *_: object) -> None:
        """Count nothing."""

    def tally(self, kind: str, detail: str = "", seconds: float = 0.0) -> None:
        """Count nothing."""

    def trace(self, *_: object) -> None:
        """Record nothing."""


def _among_first(first: set[str], detail: str) -> str:
    """Return a detail if it is one of the first `MAX_PLACES`; otherwise an empty text."""
    if len(first) < MAX_PLACES:
        first.add(detail)
    return detail if detail in first else ""


def _count_nothing(*_: object) -> None:
    """Replaces the counting functions of a series."""


class SeriesByLabels(dict[tuple[str, ...], Series]):
    """Creates missing series. A dictionary takes half the time of a cached function of three arguments."""

    def __init__(self, make: Callable[..., Series]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, labels: tuple[str, ...]) -> Series:
        if len(self) >= _LOOKED_UP:
            self.clear()
        series = self[labels] = self._make(*labels)
        return series


def short_message(text: str) -> str:
    """A message cut to its limit, without secrets in URLs, and without memory addresses, so equal ones count together.

    URLs are masked before the text is truncated, because the beginning of a URL does not show whether it holds a
    secret.
    """
    masked = _masked(text[: 4 * MAX_MESSAGE_CHARS])
    return _ADDRESS.sub("0x…", masked[:MAX_MESSAGE_CHARS]).encode("utf-8", "replace").decode()
