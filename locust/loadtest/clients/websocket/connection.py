"""A connection that speaks WebSocket, and reads each frame as soon as it arrives.

Input that arrives while no greenlet waits is read by the event loop, so that messages are timed on arrival and pings
are answered whatever the scenario is doing. wsproto parses and builds the frames. Memory is bounded here: no frame or
message exceeds `MAX_MESSAGE_BYTES`, also after decompression, and unsent pongs take at most `_MAX_UNSENT_BYTES`.

Tested in tests/unit/clients/websocket/test_hostile.py.
"""

from collections.abc import Callable, Sequence
from io import BytesIO, StringIO
from typing import Final

from greenlet import getcurrent
from wsproto.extensions import Extension
from wsproto.frame_protocol import CloseReason, Frame, FrameDecoder, FrameProtocol, Opcode, ParseFailed, RsvBits

from loadtest.clients.http.errors import (
    ClosedError,
    HttpError,
    InvalidRequestError,
    ProtocolError,
    TooLargeError,
)
from loadtest.clients.transport.connection import Connection
from loadtest.clients.transport.deadlines import DeadlineSweeper
from loadtest.clients.transport.stream import Stream, TlsStream

MAX_MESSAGE_BYTES: Final = 1 << 24
"""The largest message, in bytes or characters: 16 MiB."""
_SLICE_BYTES: Final = 4_096
"""The input decompressed at once; deflate expands it at most a thousandfold."""
_MAX_UNSENT_BYTES: Final = 65_536
_NORMAL: Final = frozenset({1000, 1001, 1005})
"""Close codes of a normal end: done, going away, and no code."""
_ARRIVAL: Final = bytearray(256 * 1024)
"""The receive buffer of all connections: its content is parsed before anything else can run."""


class _FrameLimit(Extension):
    """Refuses a frame that announces too large a length."""

    name = "limit"

    def enabled(self) -> bool:
        return True

    def offer(self) -> bool:
        return False

    def frame_inbound_header(
        self,
        proto: FrameDecoder | FrameProtocol,  # noqa: ARG002 -- wsproto passes them
        opcode: Opcode,  # noqa: ARG002
        rsv: RsvBits,  # noqa: ARG002
        payload_length: int,
    ) -> CloseReason | RsvBits:
        if payload_length > MAX_MESSAGE_BYTES:
            return CloseReason.MESSAGE_TOO_BIG
        return RsvBits(False, False, False)


class WebSocketConnection(Connection):
    """An open connection.

    Args:
        stream: The stream it is sent over.
        extensions: The negotiated extensions.
        classify: Turns exceptions of sending and receiving into an HttpError.
        on_message: Called with each message. It may run in the event loop, and must not switch or raise.

    Attributes:
        failure: The error that broke it, or None; nothing is read or sent after that.
        close_code: The code of the server's close frame, or None before one arrives.
        close_reason: The reason in it.
        awaited_pong: The payload of the awaited pong; None once it has arrived.
    """

    __slots__ = (
        "_classify", "_frames", "_on_message", "_outgoing", "_said_close", "_size", "_text", "_whole", "awaited_pong",
        "close_code", "close_reason", "failure",
    )  # fmt: skip

    def __init__(
        self,
        stream: Stream,
        extensions: Sequence[Extension],
        classify: Callable[[Exception], HttpError],
        on_message: Callable[[str | bytes], None],
    ) -> None:
        """Take over a stream after the handshake."""
        super().__init__()
        self._classify = classify
        self._on_message = on_message
        self._frames = FrameProtocol(client=True, extensions=[_FrameLimit(), *extensions])
        self._outgoing = bytearray()
        self._whole: StringIO | BytesIO | None = None
        self._size = 0
        self._said_close = False
        self.awaited_pong: bytes | None = None
        self.failure: HttpError | None = None
        self.close_code: int | None = None
        self.close_reason = ""
        if isinstance(stream, TlsStream):
            stream.is_duplex = True
        self.attach(stream)

    @property
    def is_over(self) -> bool:
        """Whether no more messages will arrive."""
        return self.failure is not None or self.close_code is not None

    @property
    def closed_normally(self) -> bool:
        """Whether the server closed it with a normal code."""
        return self.close_code in _NORMAL

    def on_unsolicited_input(self) -> None:
        """Read input that arrives while no greenlet waits."""
        self.receive()

    def receive(self) -> None:
        """Read what has arrived, without waiting."""
        if self.is_over or self.stream is None:
            return
        try:
            size = self.stream.recv_into(_ARRIVAL)
            if not size:
                cut = "the TLS connection was cut: its end mark is missing"
                self.fail(ClosedError(cut if self.stream.ragged else "the connection ended without a close frame"))
            self.feed(memoryview(_ARRIVAL)[:size])
        except BlockingIOError:
            pass
        except OSError as error:
            self.fail(self._classify(error))

    def feed(self, received: memoryview) -> None:
        """Handle received bytes."""
        try:
            for begin in range(0, len(received), _SLICE_BYTES):
                self._frames.receive_bytes(bytes(received[begin : begin + _SLICE_BYTES]))
                for frame in self._frames.received_frames():
                    self._take(frame)
                if self.is_over:
                    return
        except ParseFailed as error:
            self._refuse(error.code, _parse_error(error))
        except TooLargeError as error:
            self._refuse(CloseReason.MESSAGE_TOO_BIG, error)

    def _take(self, frame: Frame) -> None:
        payload = frame.payload
        if frame.opcode is Opcode.CLOSE and isinstance(payload, tuple):
            self.close_code, self.close_reason = int(payload[0]), payload[1]
            self.stop_polling()
            self.say_close(payload[0])
        elif frame.opcode is Opcode.PING and isinstance(payload, bytes):
            self._answer(self._frames.pong(payload))
        elif frame.opcode is Opcode.PONG:
            if payload == self.awaited_pong:
                self.awaited_pong = None
        elif frame.message_finished and self._whole is None and not isinstance(payload, tuple):
            self._check_size(len(payload))
            self._size = 0
            self._on_message(payload)
        else:
            self._collect(frame)

    def _collect(self, frame: Frame) -> None:
        """Assemble a message from its frames."""
        payload = frame.payload
        whole = self._whole = self._whole or (StringIO() if isinstance(payload, str) else BytesIO())
        self._check_size(len(payload))
        whole.write(payload)  # type: ignore[arg-type]
        if frame.message_finished:
            self._whole, self._size = None, 0
            self._on_message(whole.getvalue())

    def _check_size(self, more: int) -> None:
        self._size += more
        if self._size > MAX_MESSAGE_BYTES:
            raise TooLargeError(f"the server sent a message of more than {MAX_MESSAGE_BYTES} bytes")

    def fail(self, error: HttpError) -> None:
        """Mark it as broken; an earlier error is kept."""
        self.failure = self.failure or error
        self.stop_polling()

    def _refuse(self, code: int, error: HttpError) -> None:
        """Tell the server why if possible, and mark it as broken."""
        self.say_close(code)
        self.fail(error)

    def _answer(self, frame: bytes | bytearray) -> None:
        """Send what the protocol requires, as far as the kernel accepts it; only the latest pings need an answer."""
        if len(self._outgoing) < _MAX_UNSENT_BYTES:
            self._outgoing += frame
        self._flush()

    def say_close(self, code: int) -> None:
        """Send a close frame without waiting, unless one was sent."""
        if not self._said_close and self.failure is None:
            self._said_close = True
            self._answer(self._frames.close(code))

    def _flush(self) -> bool:
        """Send what the kernel accepts; return whether that was everything."""
        try:
            while self._outgoing and self.stream is not None:
                sent = self.stream.send(self._outgoing)
                del self._outgoing[:sent]
        except BlockingIOError:
            return False
        except OSError as error:
            if self.close_code is None:  # a server may close right after its close frame
                self.receive()  # its last message matters more
                self.fail(self._classify(error))
        return True

    def send(self, data: str | bytes, ends_s: float) -> None:
        """Send a message, and read what arrives meanwhile.

        Raises:
            DeadlineExpired: The server accepted no more bytes.
        """
        self._send(self._frames.send_data(data), ends_s)

    def ping(self, payload: bytes, ends_s: float) -> None:
        """Send a ping.

        Raises:
            DeadlineExpired: The server accepted no more bytes.
        """
        self.awaited_pong = payload
        self._send(self._frames.ping(payload), ends_s)

    def _send(self, frame: bytes | bytearray, ends_s: float) -> None:
        self._begin_waiting(ends_s)
        self.receive()
        self._outgoing += frame
        while not self.is_over and not self._flush():
            if not self.wait_writable():
                self.receive()

    def wait_until(self, is_done: Callable[[], bool], ends_s: float) -> None:
        """Read until a condition holds, or nothing more will arrive.

        Raises:
            DeadlineExpired: It did not hold in time.
        """
        self._begin_waiting(ends_s)
        while not is_done() and not self.is_over:
            self.waiter = getcurrent()
            try:
                self.wait()
            finally:
                self.waiter = None
            self.receive()

    def _begin_waiting(self, ends_s: float) -> None:
        self.check_free()
        self.deadline_s = ends_s

    def check_free(self) -> None:
        """Check that no other greenlet waits on it.

        Raises:
            InvalidRequestError: One does.
        """
        if self.waiter is not None:
            raise InvalidRequestError("two greenlets wait on one WebSocket; give each a session of its own")

    def classified(self, error: Exception) -> HttpError:
        """The HttpError for an exception raised while waiting."""
        return error if isinstance(error, HttpError) else self._classify(error)


def watch_timeouts(timeout_s: float) -> None:
    """Check often enough for timeouts of this length, in seconds."""
    DeadlineSweeper.current().allow_for(timeout_s)


def _parse_error(error: ParseFailed) -> HttpError:
    """The error for a frame that is refused; wsproto does not report what an extension refused."""
    if error.code is CloseReason.MESSAGE_TOO_BIG:
        return TooLargeError(f"the server announced a frame of more than {MAX_MESSAGE_BYTES} bytes")
    if error.code is CloseReason.INVALID_FRAME_PAYLOAD_DATA and "extension" in str(error):
        return ProtocolError("what the server compressed cannot be decompressed")
    return ProtocolError(f"the server's frame is malformed: {error}")
