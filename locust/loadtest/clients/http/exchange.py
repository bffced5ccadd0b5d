"""One request and its response on one connection.

Tested in tests/unit/clients/http/test_hostile.py.
"""

from contextlib import suppress
from time import perf_counter
from typing import NamedTuple

from loadtest.clients.http.connection import HttpConnection
from loadtest.clients.http.errors import (
    ClosedError,
    GeneratorError,
    HttpError,
    InvalidRequestError,
    ProtocolError,
    ReadTimeoutError,
    ResetError,
    TooLargeError,
    TotalTimeoutError,
    connect_error,
)
from loadtest.clients.http.head import HEADS, UNKNOWN_HEAD, ResponseHead, is_failure
from loadtest.clients.http.request_body import Upload
from loadtest.clients.http.response_body import Body, body_of
from loadtest.clients.transport import own_limits
from loadtest.clients.transport.deadlines import FOREVER_S, DeadlineExpired
from loadtest.clients.transport.stream import RECEIVE_BYTES, TransportError

SWITCHING = 101
"""The status of a response after which the connection speaks another protocol."""
_OK = 200
_MAX_INTERIM = 32
_MAX_EARLY_BYTES = 1 << 26
_TIMEOUT_PARTS = (2, 3)


class Timeouts(NamedTuple):
    """How long a request may take, in seconds; infinity for no limit.

    Attributes:
        connect_s: Name resolution, TCP connect and TLS handshake together.
        read_s: From the last byte sent to the complete head, and between two pieces of the body.
        total_s: The whole request, redirects included. With stream=True, until the head has come.
    """

    connect_s: float
    read_s: float
    total_s: float

    @classmethod
    def of(cls, timeout: object, default: "Timeouts") -> "Timeouts":
        """Parse the argument ``timeout=``: a number for connect and read, or a tuple (connect, read[, total]).

        Raises:
            InvalidRequestError: Not a positive number, nor such a tuple.
        """
        parts = tuple(timeout) if isinstance(timeout, tuple | list) else (timeout, timeout)
        if len(parts) not in _TIMEOUT_PARTS:
            raise InvalidRequestError(f"timeout={timeout!r}; allowed is a number or (connect, read[, total])")
        parts += default[len(parts) :]
        return cls(*(_seconds(part, timeout) for part in parts))


def _seconds(part: object, timeout: object) -> float:
    if part is None:
        return FOREVER_S
    if isinstance(part, bool) or not isinstance(part, int | float) or not part > 0:
        raise InvalidRequestError(f"timeout={timeout!r}; allowed are positive seconds, or None for no limit")
    return float(part)


class Exchange:
    """A request in progress on one connection.

    Args:
        connection: The connection it is sent over.
        unsent: The bytes still to be sent, without those of an upload.
        upload: The body if it is sent in pieces.
        timeouts: How long it may take.
        ends_s: When the whole request must have ended.
        reused: Whether the connection has served a request before, so that the server may have closed it since.
        upgrades: Whether the request asks for another protocol.

    Attributes:
        received: Bytes that have arrived but have not been read yet.
        any_received: Whether at least one byte has arrived; after that nothing is retried.
        keeps: Whether this side allows another request on the connection.
        failure: An error that has already occurred; send() raises it.
        last_head: The head of an earlier response, which this one may resemble.
        sent_bytes: How much of the request has been sent; what arrives afterwards answers it.
        sent_s: When its last byte was sent.
        first_byte_s: When the first byte came.
        in_parts: Whether the body did not arrive together with the head.
    """

    def __init__(  # noqa: PLR0917 -- made in two places only
        self,
        connection: HttpConnection,
        unsent: bytes,
        upload: Upload | None,
        timeouts: Timeouts,
        ends_s: float,
        reused: bool,
        upgrades: bool = False,
    ) -> None:
        """Start with nothing received."""
        self.connection = connection
        self.ends_s = ends_s
        self.reused = reused
        self.received = b""
        self.any_received = False
        self.keeps = True
        self.failure: Exception | None = None
        self.last_head = UNKNOWN_HEAD
        self._unsent = unsent
        self._upload = upload
        self._upgrades = upgrades
        self._read_s = timeouts.read_s
        self._interim = 0
        self.sent_bytes = 0
        self.sent_s = self.first_byte_s = 0.0
        self.in_parts = False
        self._early_bytes = 0
        self._early_pieces: list[bytes] | None = None  # for an early response that wants the rest of the request

    def _renew_deadline(self) -> None:
        self.connection.deadline_s = min(perf_counter() + self._read_s, self.ends_s)

    def send(self) -> None:
        """Send the request; the rest stays unsent if the server answers early and does not want it.

        Raises:
            DeadlineExpired: The server accepted no more bytes in time.
            OSError: The connection broke.
            TooLargeError: The answer exceeds the buffer for answers that arrive during sending.
        """
        if self.failure is not None:
            raise self.failure
        if not self._unsent and self._upload is None:
            return
        try:
            self.keeps = self._send_request()
        except (BrokenPipeError, ConnectionResetError) as error:
            self._receive_early_response(error)
        self.sent_s = perf_counter()
        if self._early_pieces:
            self.take(b"".join(self._early_pieces))

    def _send_request(self) -> bool:
        """Send everything; False if the server does not want the rest."""
        if self._unsent and not self._send_all(self._unsent):
            return False
        return self._upload is None or all(map(self._send_all, self._upload.pieces()))

    def _send_all(self, payload: bytes) -> bool:
        """Send these bytes; False if the server does not want the rest."""
        connection, rest = self.connection, memoryview(payload)
        self._renew_deadline()
        while True:
            try:
                sent = connection.stream.send(rest)
                self.sent_bytes += sent
                rest = rest[sent:]
                if not rest:
                    return True
                self._renew_deadline()
            except BlockingIOError:
                if not connection.wait_writable() and not self._rest_is_wanted():
                    return False

    def _rest_is_wanted(self) -> bool:
        """Receive what arrived during sending; only an error or an announced close ends the request early."""
        try:
            piece = self.connection.source.recv(RECEIVE_BYTES)
        except BlockingIOError:
            return True
        if not piece:
            raise ConnectionResetError("the server closed the connection while the request was being sent")
        if self._early_pieces is not None:
            self._early_pieces.append(piece)
            self._early_bytes += len(piece)
            if self._early_bytes > _MAX_EARLY_BYTES:
                raise TooLargeError(f"the response exceeds {_MAX_EARLY_BYTES} bytes before the request is sent")
            return True
        self.take(piece)
        head = self._final_head()
        if head is None:
            return True
        self._early_pieces = []
        return head.keep_alive and not is_failure(head.status)

    def _receive_early_response(self, error: OSError) -> None:
        """Receive what the server sent before it closed, such as a 413, which matters more than the reset."""
        self.keeps = False
        pieces = self._early_pieces = self._early_pieces or []
        with suppress(OSError):
            while self.sent_bytes and (piece := self.connection.source.recv(RECEIVE_BYTES)):
                pieces.append(piece)
        if not pieces and not self.received:
            raise error

    def take(self, received: bytes) -> None:
        """Put back bytes that were received."""
        if not self.any_received:
            self.first_byte_s = perf_counter()
        self.received += received
        self.any_received = self.any_received or bool(received)

    def receive(self) -> bytes:
        """The next bytes, b"" at the end of the stream."""
        self._renew_deadline()
        self.in_parts = True
        received = self.connection.receive()
        if not received and self.connection.stream.ragged:
            raise ClosedError("the TLS connection was cut: its end mark is missing")
        return received

    def read_head(self) -> ResponseHead:
        """The response's head; interim responses before it are skipped.

        The read timeout applies to the whole head, so that a server that sends it slowly cannot hold the user.

        Raises:
            ClosedError: The connection closed before the head was complete.
            ProtocolError, TooLargeError: The head is not acceptable.
        """
        self._renew_deadline()
        while (head := self._final_head()) is None:
            piece = self.connection.receive()
            if not piece:
                raise ClosedError("the connection closed before the response" + self._how_far())
            self.take(piece)
        self.received = self.received[head.raw_length :]
        return head

    def _final_head(self) -> ResponseHead | None:
        """The head at the start of the received bytes, if it is complete; interim heads before it are dropped."""
        while self.received and (head := HEADS.find(self.received, self.last_head)) is not None:
            if head.status >= _OK or (head.status == SWITCHING and self._upgrades):
                return head
            if head.status == SWITCHING:
                raise ProtocolError("the response switches to another protocol, which the request did not ask for")
            self.received = self.received[head.raw_length :]
            self._interim += 1
            if self._interim >= _MAX_INTERIM:
                raise ProtocolError(f"more than {_MAX_INTERIM} interim responses came before the response")
        return None

    def _how_far(self) -> str:
        return "'s head was complete" if self.any_received else " began"

    def is_unread(self, error: Exception) -> bool:
        """Tell whether the server certainly received none of the request before it closed the connection.

        The end of its stream acknowledges what it had received. A reset acknowledges nothing, whatever was read.
        """
        if not self.sent_bytes:
            return True
        return isinstance(error, ClosedError) and self.connection.stream.unacknowledged_bytes() >= self.sent_bytes

    def body(self, head: ResponseHead, method: str) -> Body:
        """The reader of the response's body."""
        rest, self.received = self.received, b""
        return body_of(head, method, rest, self.receive)

    def classify(self, error: Exception) -> HttpError:
        """The HttpError for an exception raised by sending or receiving."""
        if isinstance(error, HttpError):
            return error
        if isinstance(error, DeadlineExpired):
            return timeout_error(self.ends_s, ReadTimeoutError)
        if isinstance(error, TransportError):
            return connect_error(error)
        if limit := own_limits.reached(error):
            return GeneratorError(f"the connection broke: {limit}")
        return ResetError(f"the connection broke: {error}")


def timeout_error(ends_s: float, kind: type[HttpError]) -> HttpError:
    """A timeout of the given kind, or a total timeout if the whole request is out of time."""
    if perf_counter() >= ends_s:
        return TotalTimeoutError("the request took longer than its total timeout")
    if kind is ReadTimeoutError:
        return ReadTimeoutError("the server sent nothing within the read timeout")
    return kind("no connection within the connect timeout")
