"""Connected, non-blocking byte streams: plain sockets, and sockets with TLS.

The sockets are the interpreter's own, not gevent's wrappers: ``send`` and ``recv`` of a plain stream are C functions,
so a request costs two system calls and no Python in between. The TLS engine works on memory and the socket moves its
bytes, so that waiting, deadlines and the detection of closed connections work as for a plain stream.

Tested in tests/unit/clients/http/test_tls.py and tests/unit/clients/transport/test_endpoint.py.
"""

import _socket
import fcntl
import ssl
import struct
import termios
from typing import TYPE_CHECKING, Any

import gevent.socket

from loadtest.clients.transport.arrivals import Arrivals

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import Buffer

RECEIVE_BYTES = 65536
_TLS_WRITE_BYTES = 65536


class TransportError(OSError):
    """A connection could not be opened, or its encryption broke.

    Attributes:
        error_class: ``dns``, ``connect``, ``timeout_connect``, ``tls`` or ``generator``.
    """

    def __init__(self, error_class: str, message: str) -> None:
        """Keep the class together with the text."""
        super().__init__(message)
        self.error_class = error_class


class Stream(_socket.socket):
    """A non-blocking socket.

    As for any socket, ``send``, ``recv`` and ``recv_into`` raise BlockingIOError if they would block, and receiving
    nothing means the end of the stream.

    Attributes:
        ragged: Whether a TLS stream ended without its close_notify.
    """

    __slots__ = ()

    ragged: bool = False

    def time_arrivals(self) -> tuple["Stream | Arrivals", "Callable[[], float]"]:
        """Have the kernel timestamp arrivals.

        Returns:
            The object to receive from instead of this stream, and a function that returns when the last received bytes
            arrived, in seconds of ``time.perf_counter``.
        """
        arrivals = Arrivals(self)
        return arrivals, arrivals.last_s

    def has_input(self) -> bool:
        """Tell whether receiving would return something: bytes, the end of the stream or an error."""
        try:
            self.recv(1, _socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            return True
        return True

    def unacknowledged_bytes(self) -> int:
        """The number of sent bytes that the peer has not acknowledged, including TLS overhead."""
        waiting: int = struct.unpack("i", fcntl.ioctl(self.fileno(), termios.TIOCOUTQ, bytes(4)))[0]
        return waiting


_CUT = "UNEXPECTED_EOF_WHILE_READING"
"""OpenSSL's reason when a stream ends without close_notify."""


class TlsStream(Stream):
    """A socket whose bytes are encrypted.

    Attributes:
        is_duplex: Whether the server may send at any time, so that unread input does not prevent sending.
    """

    __slots__ = (
        "_accepted", "_incoming", "_outgoing", "_peeked", "_receive", "_tls", "_transmit", "_unsent", "is_duplex",
        "ragged",
    )  # fmt: skip

    def __init__(self, *socket_type: int) -> None:
        """Create an unconnected socket of this family and type."""
        super().__init__(*socket_type)
        self._transmit: Callable[[Buffer], int] = super().send
        self._receive: Callable[[int], bytes] = super().recv
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls: ssl.SSLObject
        self._unsent = b""  # encrypted bytes that the kernel has not taken yet,
        self._accepted = 0  # and how many of the caller's bytes they represent
        self._peeked = b""
        self.is_duplex = False
        self.ragged = False

    def handshake(self, context: ssl.SSLContext, host: str, session: ssl.SSLSession | None) -> None:
        """Perform the handshake and verify the server.

        Args:
            context: The TLS settings.
            host: The name that the certificate must have.
            session: The session of an earlier connection to resume.

        Raises:
            ssl.SSLError: The certificate is not accepted, or the server does not speak TLS.
            OSError: The connection broke.
        """
        # Python 3.11.2 sets it, so a truncated stream would look complete.
        context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host, session=session)
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                self._flush()
                self._await_bytes()
            else:
                self._flush()
                return

    def _flush(self) -> None:
        unsent = memoryview(self._outgoing.read())
        while unsent:
            try:
                unsent = unsent[self._transmit(unsent) :]
            except BlockingIOError:
                gevent.socket.wait_write(self.fileno())

    def _await_bytes(self) -> None:
        while True:
            try:
                self._take(RECEIVE_BYTES)
            except BlockingIOError:
                gevent.socket.wait_read(self.fileno())
            else:
                return

    def _take(self, size: int) -> None:
        """Move encrypted bytes from the kernel to the TLS engine."""
        received = self._receive(size)
        if received:
            self._incoming.write(received)
        else:
            self._incoming.write_eof()

    def time_arrivals(self) -> tuple[Stream | Arrivals, "Callable[[], float]"]:
        """Have the kernel timestamp the arrival of encrypted bytes."""
        arrivals = Arrivals(self)
        self._receive = arrivals.recv
        return self, arrivals.last_s

    @property
    def session(self) -> ssl.SSLSession | None:
        """The session that a later connection to the same server can resume."""
        return self._tls.session

    @property
    def session_reused(self) -> bool | None:
        """Whether this connection resumed an earlier session."""
        return self._tls.session_reused

    def send(self, data: "Buffer", flags: int = 0) -> int:  # noqa: ARG002 -- a socket's signature
        """Encrypt and send some bytes; after BlockingIOError the same bytes must be passed again.

        Returns:
            How many of them were taken.

        Raises:
            BlockingIOError: The kernel accepts none now.
            ConnectionResetError: The server has already sent data that belongs to no request.
        """
        if not self._unsent:
            # Unread input is in this process's memory, where polling does not see it.
            unread = not self.is_duplex and (self._incoming.pending or self._tls.pending() or self._peeked)
            if unread and self.has_input():
                raise ConnectionResetError("the server sent something before the request")
            self._accepted = self._tls.write(memoryview(data)[:_TLS_WRITE_BYTES])
            self._unsent = self._outgoing.read()
        self._unsent = self._unsent[self._transmit(self._unsent) :]
        if self._unsent:
            raise BlockingIOError
        return self._accepted

    def recv(self, size: int, flags: int = 0) -> bytes:  # noqa: ARG002 -- a socket's signature
        """Receive up to this many bytes.

        Raises:
            BlockingIOError: There are none now.
            TransportError: The data is not TLS.
        """
        if self._peeked:
            peeked, self._peeked = self._peeked, b""
            return peeked
        while True:
            try:
                return self._tls.read(size)
            except ssl.SSLWantReadError:
                self._take(size)
            except ssl.SSLError as error:
                return self._end(error)

    def recv_into(self, buffer: "Buffer", size: int = 0, flags: int = 0) -> int:  # noqa: ARG002 -- a socket's signature
        """Receive everything that has arrived; the buffer must exceed ``RECEIVE_BYTES``, or polling misses the rest."""
        view = memoryview(buffer)
        received = len(self._peeked)
        view[:received], self._peeked = self._peeked, b""
        while received < len(view):
            try:
                received += self._tls.read(len(view) - received, view[received:])  # type: ignore[operator]
            except ssl.SSLWantReadError:
                if received:
                    break
                self._take(RECEIVE_BYTES)
            except ssl.SSLError as error:
                if not received:
                    self._end(error)
                break
        return received

    def _end(self, error: ssl.SSLError) -> bytes:
        """The end of the stream, if the error is one."""
        if isinstance(error, ssl.SSLZeroReturnError):
            return b""
        if isinstance(error, ssl.SSLEOFError) or error.reason == _CUT:  # Python 3.11.2 has no exception class for it
            self.ragged = True
            return b""
        raise TransportError("tls", f"TLS failed: {tls_reason(error)}") from error

    def has_input(self) -> bool:
        """Tell whether receiving would return something; TLS's own messages, such as session tickets, do not count.

        TLS cannot peek, so a byte is received and kept for the next call.
        """
        if self._peeked:
            return True
        try:
            self._peeked = self.recv(1)
        except BlockingIOError:
            return False
        except OSError:
            return True
        return True


def tls_context(
    *,
    requirement: ssl.VerifyMode = ssl.CERT_REQUIRED,
    checks_host: bool = True,
    authorities: str | None = None,
    certificate: str | None = None,
    key: str | None = None,
    alpn: tuple[str, ...] = (),
) -> ssl.SSLContext:
    """A TLS context for clients. Creating one takes milliseconds, since it reads the CA certificates.

    Args:
        requirement: Whether the server's certificate must be signed by a trusted authority.
        checks_host: Whether the certificate must also have the server's name.
        authorities: File of the authorities to trust; by default the system's.
        certificate: File of our own certificate.
        key: File of its key, unless the certificate's file holds it.
        alpn: The application protocols to offer.

    Raises:
        OSError: A file cannot be read, or contains no certificate.
    """
    context = ssl.create_default_context(cafile=authorities)
    if certificate is not None:
        context.load_cert_chain(certificate, key)
    context.check_hostname = checks_host and requirement is ssl.CERT_REQUIRED
    context.verify_mode = requirement
    if alpn:
        context.set_alpn_protocols(list(alpn))
    return context


def tls_reason(error: ssl.SSLError) -> str:
    """Why TLS failed, without OpenSSL's error codes and source lines."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate verify failed: {error.verify_message}"
    reason: Any = error.reason
    return str(reason or error)
