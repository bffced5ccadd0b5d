"""The response that a call returns; its properties are computed on first use.

Tested in tests/unit/clients/http/test_client.py and test_porting.py.
"""

import io
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeVar

import gevent
from locust.exception import (
    InterruptTaskSet,
    LocustError,
    RescheduleTask,
    RescheduleTaskImmediately,
    ResponseError,
    StopTest,
    StopUser,
)

from loadtest.clients.http.cookies import CookieJar
from loadtest.clients.http.errors import AssertionFailedError, HttpError, UserCodeError
from loadtest.clients.http.head import ResponseHead, is_failure
from loadtest.clients.http.headers import Headers
from loadtest.clients.http.request import SentRequest
from loadtest.clients.http.server_sent_events import LineSplitter
from loadtest.clients.json_codec import decode_any, decode_json

if TYPE_CHECKING:
    from loadtest.clients.http.request import Request
    from loadtest.clients.http.response_body import BodyStream
    from loadtest.clients.http.routes import HttpRoute

_CONTROL_FLOW = (
    gevent.GreenletExit,
    InterruptTaskSet,
    RescheduleTask,
    RescheduleTaskImmediately,
    StopTest,
    StopUser,
)
MAX_LINE_BYTES = 1 << 26
"""The longest line of a body that is read line by line: 64 MiB, like the largest whole body."""
_new = object.__new__
_NOT_CAUGHT = "to decide whether a request succeeded, pass catch_response=True and use the response in a with-block"


class Response:
    """The response to a request, or the reason why there is none.

    Attributes:
        error: Why the request failed, or None: an HttpError.
        encoding: The text's character encoding; set it before reading ``text`` to choose another one.
        history: The responses that redirected to this one, oldest first.
        js: The JSON that ``rest()`` parsed.
        intended_s, sent_s, end_s: When the request was meant to be sent, was sent and was answered, in seconds of
            ``time.perf_counter``.
    """

    __slots__ = ("__dict__", "_content", "_head", "_offset", "_request", "end_s", "intended_s", "sent_s")

    # Most responses never set these and pay nothing: the instance's dictionary is created when one is set.
    error: Exception | None = None
    history: "Sequence[Response]" = ()
    js: Any = None
    _stream: "BodyStream | None" = None
    _encoding: str | None = None
    _wire_bytes: int | None = None

    _head: ResponseHead | None
    _content: bytes | None
    _offset: int
    _request: "HttpRoute | Request"
    intended_s: float
    sent_s: float
    end_s: float

    @property
    def wire_bytes(self) -> int:
        """The body's size as received, before decoding."""
        if self._wire_bytes is None:
            return self._head.body_length if self._head is not None else 0
        return self._wire_bytes

    @wire_bytes.setter
    def wire_bytes(self, wire_bytes: int) -> None:
        self._wire_bytes = wire_bytes

    @property
    def status_code(self) -> int:
        """The status; 0 if no response came."""
        return self._head.status if self._head is not None else 0

    @property
    def reason(self) -> str:
        """The reason phrase, often empty."""
        return self._head.reason if self._head is not None else ""

    @property
    def ok(self) -> bool:
        """Whether a response came and its status is below 400."""
        return self._head is not None and not is_failure(self._head.status) and self.error is None

    @property
    def headers(self) -> Headers:
        """The header fields; empty if no response came."""
        self._take_own_head()
        return self._head.headers if self._head is not None else Headers([])

    def _take_own_head(self) -> None:
        """Parse the response's own head, if so far it shares one that differs only in values."""
        head, received = self._head, self._content
        if self._offset and head is not None and received is not None and not received.startswith(head.raw):
            self._head = head.again(received[: self._offset], head.body_length)

    @property
    def url(self) -> str:
        """The requested URL; after a redirect, the last one."""
        return self._request.url.text

    @property
    def request(self) -> SentRequest:
        """What was sent: ``method``, ``url``, ``headers``, ``body``. After a redirect, the last request."""
        return SentRequest(self._request)

    @property
    def cookies(self) -> CookieJar:
        """The cookies that this response sets; a mapping of name and value."""
        jar = CookieJar()
        jar.store(self._request.url, self.headers.get_all("set-cookie"))
        return jar

    @property
    def stream(self) -> io.BufferedReader:
        """The body as a binary file; with stream=True it is read as it arrives."""
        reader: io.BufferedReader | None = vars(self).get("_reader")
        if reader is None:
            reader = vars(self)["_reader"] = io.BufferedReader(_BodyFile(self._pieces()))
        return reader

    @property
    def elapsed(self) -> timedelta:
        """From sending the request to the complete response."""
        return timedelta(seconds=self.end_s - self.sent_s)

    @property
    def content(self) -> bytes | None:
        """The decoded body; None if no response came. With stream=True, reads it to its end."""
        if self._stream is not None:
            self._content = b"".join(self._pieces())
            self._stream = None
        if self._offset:
            self._take_own_head()
            self._content = (self._content or b"")[self._offset :]
            self._offset = 0
        return self._content

    @property
    def received(self) -> bytes | None:
        """The decoded body without waiting: None if it has not arrived yet."""
        return self.content if self._stream is None else self._content

    @property
    def encoding(self) -> str | None:
        """The character encoding that ``text`` uses: the declared one, else UTF-8."""
        if self._encoding is None:
            self._encoding = _declared_charset(self.headers.get("content-type", "")) or "utf-8"
        return self._encoding

    @encoding.setter
    def encoding(self, encoding: str | None) -> None:
        self._encoding = encoding

    @property
    def text(self) -> str | None:
        """The body as text; undecodable bytes are replaced. None if no response came."""
        content = self.content
        if content is None:
            return None
        return self._text_of(content)

    def json(self) -> Any:
        """The body parsed as JSON.

        Raises:
            json.JSONDecodeError: It is not JSON.
        """
        content = self.content or b""
        try:
            return decode_json(content)
        except ValueError:
            pass  # an encoding other than UTF-8, or NaN, or not JSON
        return decode_any(self.text or "")

    def raise_for_status(self) -> None:
        """Raise the request's error if it failed: an HttpError."""
        if self.error is not None:
            raise self.error

    def iter_content(self, chunk_size: int | None = 1024, decode_content: bool = True) -> Iterator[bytes | str]:
        """The body piece by piece, as it arrives with stream=True.

        Args:
            chunk_size: The largest piece, in bytes; None for pieces as they arrive.
            decode_content: Turn a piece into text if it is UTF-8.
        """
        for piece in self._pieces():
            size = chunk_size or len(piece)
            for at in range(0, len(piece), size):
                part = piece[at : at + size]
                if decode_content:
                    try:
                        yield part.decode("utf-8")
                    except UnicodeDecodeError:
                        yield part
                else:
                    yield part

    def iter_lines(self) -> Iterator[str]:
        """The body line by line, as it arrives with stream=True; line ends are left out.

        Raises:
            TooLargeError: A line does not end within `MAX_LINE_BYTES`.
        """
        lines = LineSplitter(MAX_LINE_BYTES)
        for piece in self._pieces():
            for line in lines.feed(piece):
                yield self._text_of(line.removesuffix(b"\r"))
        if rest := lines.rest():
            yield self._text_of(rest)

    def _text_of(self, line: bytes) -> str:
        try:
            return line.decode(self.encoding or "utf-8", errors="replace")
        except (LookupError, ValueError):  # the server declared an encoding that does not exist, or not for text
            return line.decode("utf-8", errors="replace")

    def _pieces(self) -> Iterator[bytes]:
        if self._stream is not None:
            yield from self._stream
        elif self.content:
            yield self.content

    def close(self) -> None:
        """Abandon a stream before its end; its connection is closed."""
        if self._stream is not None:
            self._stream.close()

    def attach(self, stream: "BodyStream") -> None:
        """Turn this into a response whose body is still to come."""
        self._stream = stream

    def success(self) -> None:
        """Only with catch_response=True."""
        raise LocustError(_NOT_CAUGHT)

    def failure(self, reason: Exception | str) -> None:  # noqa: ARG002 -- CaughtResponse uses it
        """Only with catch_response=True."""
        raise LocustError(_NOT_CAUGHT)

    def __enter__(self) -> Self:
        """The response; a stream is closed at the end. The request has already been counted."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        """Close the stream."""
        self.close()
        return None

    def __repr__(self) -> str:
        """Status or error."""
        return f"<Response {self.status_code or self.error!r}>"


AnyResponse = TypeVar("AnyResponse", bound=Response)


class Reporter(Protocol):
    """The client, which counts requests."""

    def report(self, route: "HttpRoute", response: Response, context: Mapping[str, Any] | None) -> None:
        """Count a request and notify the listeners."""

    def event_of(self, route: "HttpRoute", response: Response, context: Mapping[str, Any] | None) -> dict[str, Any]:
        """The arguments with which listeners are notified of a request."""

    def part(  # noqa: PLR0917 -- a part has that many figures
        self, method: str, name: str, phase: str, begun_s: float, end_s: float, received_bytes: int
    ) -> None:
        """Count a part of a streamed response."""

    def report_changed(self, event: dict[str, Any]) -> None:
        """Count a request with a scenario's changes."""


class CaughtResponse(Response):
    """A response whose request is counted when its with-block ends, as the block decided.

    Without a decision the status decides. It also does if the response is never used in a with-block: the request was
    sent, and is counted once the response is garbage collected. An exception of the block's own code counts as a
    failure of the class ``exception`` and goes on; those with which Locust controls users (StopUser, interrupt() and
    the like) propagate without changing the outcome.
    """

    __slots__ = ("_context", "_reporter", "_route")

    _entered = False
    _decided = False
    _event: dict[str, Any] | None = None

    def begin(self, reporter: Reporter, route: "HttpRoute", context: Mapping[str, Any] | None) -> None:
        """Set how it is counted."""
        self._reporter = reporter
        self._route = route
        self._context = context

    def __del__(self) -> None:
        """Count the request of a response that was never used in a with-block."""
        if not self._entered and hasattr(self, "_reporter"):
            self._reporter.report(self._route, self, self._context)

    @property
    def request_meta(self) -> dict[str, Any]:
        """What will be recorded; a scenario may change it within the with-block, such as ``name``."""
        if self._event is None:
            self._event = self._reporter.event_of(self._route, self, self._context)
        return self._event

    def success(self) -> None:
        """Count the request as successful, whatever its status."""
        self._decide(None)

    def failure(self, reason: Exception | str) -> None:
        """Count the request as failed.

        Args:
            reason: An exception, or the text of the failure.
        """
        self._decide(reason if isinstance(reason, Exception) else AssertionFailedError(str(reason)))

    def _decide(self, error: Exception | None) -> None:
        if not self._entered:
            raise LocustError(_NOT_CAUGHT)
        self._decided = True
        self.error = error

    def __enter__(self) -> Self:
        """Begin to decide."""
        self._entered = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        """Count the request."""
        swallowed = error is None
        if error is not None and not self._decided:
            if isinstance(error, ResponseError):  # Locust's way of failing a request from within the block
                self.error = AssertionFailedError(str(error))
                swallowed = True
            elif isinstance(error, HttpError):  # raise_for_status()
                self.error = error
            elif isinstance(error, Exception) and not isinstance(error, _CONTROL_FLOW):
                self.error = UserCodeError(f"{type(error).__name__}: {error}")
        if self._stream is not None:
            self.close()
        if self._event is None:
            self._reporter.report(self._route, self, self._context)
        else:
            if self._decided or self.error is not None:
                self._event["exception"] = self.error
            self._reporter.report_changed(self._event)
        return swallowed


def new_response(  # noqa: PLR0917 -- the hot path passes them by position
    kind: type[AnyResponse],
    head: ResponseHead | None,
    content: bytes | None,
    offset: int,
    request: "HttpRoute | Request",
    intended_s: float,
    sent_s: float,
    end_s: float,
) -> AnyResponse:
    """Make a response. Calling this function costs a third of a class with an ``__init__``.

    Args:
        kind: Response or CaughtResponse.
        head: The head, or None if none came; with an offset, one of the same lengths that differs in values is enough.
        content: The body, after ``offset`` other bytes; None if none came.
        offset: Where the body begins in ``content``.
        request: What was sent.
        intended_s: When it was meant to be sent.
        sent_s: When it was sent.
        end_s: When the response was complete.
    """
    response = _new(kind)
    response._head = head
    response._content = content
    response._offset = offset
    response._request = request
    response.intended_s = intended_s
    response.sent_s = sent_s
    response.end_s = end_s
    return response


class _BodyFile(io.RawIOBase):
    """The pieces of a body as a file."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        piece = self._rest or next(self._pieces, b"")
        size = min(len(buffer), len(piece))
        buffer[:size], self._rest = piece[:size], piece[size:]
        return size


def _declared_charset(content_type: str) -> str:
    for parameter in content_type.split(";")[1:]:
        key, _, value = parameter.partition("=")
        if key.strip().lower() == "charset":
            return value.strip().strip("\"'")
    return ""
