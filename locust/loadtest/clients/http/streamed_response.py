"""The answer that ``client.stream()`` returns; its first byte, events and end are timed as they arrive.

`loadtest.measuring.streams` defines its figures. An event is a server-sent event, or a line of any other body. An event
is timed when the piece that completes it is received, so events in one piece have no gap between them, and time that
the scenario spends between two events, while the next one waits, is part of their gap.
"""

from collections.abc import Iterator
from time import perf_counter
from types import TracebackType
from typing import Self

from loadtest.clients.http.errors import HttpError, ProtocolError, interruption
from loadtest.clients.http.response import CaughtResponse, new_response
from loadtest.clients.http.response_body import BodyStream
from loadtest.clients.http.server_sent_events import MAX_EVENT_BYTES, EventParser, LineSplitter, ServerSentEvent
from loadtest.measuring.labels import ENDED_BY, EVENT_GAP, FIRST_BYTE, FIRST_EVENT

_EVENT_STREAM = "text/event-stream"


def phase_of(failure: HttpError) -> str:
    """The class of an answer that ended with a failure, before or after its head."""
    return ENDED_BY["timeout" if failure.error_class.startswith("timeout") else "error"]


class StreamedResponse(CaughtResponse):
    """An answer that is read in a with-block, and counted at the end of the block.

    Reading stops when the answer ends or fails; in the second case the request counts as failed, and ``error`` says
    why. The response time lasts until the service ends the answer or the with-block is left.
    """

    _body: BodyStream | None = None
    _head_s: float = 0.0
    _arrived_s: float = 0.0
    _last_event_s: float | None = None
    _counted_bytes = 0
    _failure: HttpError | None = None
    """The error that ended it early."""

    @classmethod
    def of(cls, response: CaughtResponse) -> Self:
        """Time a response whose head has just arrived, or that failed before its head."""
        timed = new_response(
            cls,
            response._head,
            response._content,
            response._offset,
            response._request,
            response.intended_s,
            response.sent_s,
            response.end_s,
        )
        vars(timed).update(vars(response))
        response._entered = True  # it counts here
        timed.begin(response._reporter, response._route, response._context)
        timed._body, timed._head_s = response._stream, response.end_s
        timed._failure = response.error if isinstance(response.error, HttpError) else None
        return timed

    def events(self) -> Iterator[ServerSentEvent]:
        """The server-sent events as they arrive. An answer of any other type fails with the class ``protocol``."""
        kind = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != _EVENT_STREAM and self._failure is None:
            self._fail(ProtocolError(f"the response is of the type {kind or 'none'}, not {_EVENT_STREAM}"))
        parser = EventParser()
        try:
            for piece in self._pieces():
                for event in parser.feed(piece):
                    self._count_event()
                    yield event
        except HttpError as error:
            self._fail(error)

    def iter_lines(self) -> Iterator[str]:
        """The lines as they arrive; non-empty ones count as events, except in an event stream."""
        lines = LineSplitter(MAX_EVENT_BYTES)
        counts = not self.headers.get("content-type", "").lower().startswith(_EVENT_STREAM)
        try:
            for piece in self._pieces():
                for line in lines.feed(piece):
                    if counts and line.strip():
                        self._count_event()
                    yield self._text_of(line.removesuffix(b"\r"))
        except HttpError as error:
            self._fail(error)
        if (rest := lines.rest()) and self._failure is None:
            if counts:
                self._count_event()
            yield self._text_of(rest)

    def _pieces(self) -> Iterator[bytes]:
        """The pieces as they arrive, up to the end or the failure."""
        if self._failure is not None:
            return
        try:
            for piece in super()._pieces():
                self._arrived_s = perf_counter() if self._body is None else self._body.received_s()
                yield piece
        except HttpError as error:
            self._fail(error)

    def _fail(self, error: HttpError) -> None:
        """Stop reading; an earlier error is kept."""
        self._failure = self._failure or error
        self.error = self.error or error
        self.close()

    def _count_event(self) -> None:
        begun_s, phase = self._last_event_s, EVENT_GAP
        if begun_s is None:
            begun_s, phase = self.intended_s, FIRST_EVENT
            self._count(FIRST_BYTE, self.intended_s, self._head_s, 0)
        self._last_event_s = self._arrived_s
        self._count(phase, begun_s, self._arrived_s, self._take_bytes())

    def _count(self, phase: str, begun_s: float, end_s: float, received_bytes: int) -> None:
        """Count a part of the answer under the name that the with-block set for the request."""
        meta = self._event or {"request_type": self._route.method, "name": self._route.name}
        self._reporter.part(str(meta["request_type"]), str(meta["name"]), phase, begun_s, end_s, received_bytes)

    def _take_bytes(self) -> int:
        """The bytes received since the last call."""
        received = self._body.received_bytes if self._body is not None else 0
        taken, self._counted_bytes = received - self._counted_bytes, received
        return taken

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        """Count the request, and what ended the answer."""
        complete = self._body is not None and self._body.complete
        if isinstance(error, HttpError):
            self._failure = self._failure or error
        elif error is not None and not isinstance(error, Exception) and not complete:  # the user was stopped
            self._fail(interruption(error))
        self.end_s = self._body.ended_s if self._body is not None and complete else perf_counter()
        if self._head is not None and self._last_event_s is None:
            self._count(FIRST_BYTE, self.intended_s, self._head_s, 0)
        ended = phase_of(self._failure) if self._failure is not None else ENDED_BY["server" if complete else "user"]
        self._count(ended, self.intended_s, self.end_s, self._take_bytes())
        self.wire_bytes = self._counted_bytes
        if self._event is not None:
            self._event.update(response_time=self.elapsed.total_seconds() * 1000, response_length=self.wire_bytes)
        return super().__exit__(kind, error, trace)
