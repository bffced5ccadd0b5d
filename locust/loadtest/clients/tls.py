"""TLS over a connection: certificates are verified unless told otherwise, sessions are resumed.

The TLS engine works on memory and the connection moves the bytes, so that waiting, deadlines and staleness are
those of a plain connection.
"""

import functools
import ssl
from collections.abc import Callable
from typing import TYPE_CHECKING

from loadtest.clients.http.connection import RECEIVE_BYTES, Connection
from loadtest.clients.http.errors import TlsError

if TYPE_CHECKING:
    from loadtest.clients.http.url import Origin

_CHUNK_BYTES = 65536


@functools.cache
def default_context(verified: bool) -> ssl.SSLContext:
    """The process's TLS context; making one costs milliseconds, because it reads the system's certificates.

    Args:
        verified: Whether the server must prove who it is.
    """
    context = ssl.create_default_context()
    if not verified:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["http/1.1"])
    return context


@functools.cache
def context_from(factory: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
    """The context that a factory makes, once per factory: sessions are resumed within one context only."""
    return factory()


class TlsConnection(Connection):
    """A connection whose bytes are encrypted.

    Attributes:
        ragged: The stream ended without TLS's own end mark: what was received may have been cut.
    """

    __slots__ = ("_accepted", "_incoming", "_outgoing", "_raw_receive", "_raw_send", "_tls", "_unsent", "ragged")

    _tls: ssl.SSLObject

    def wrap(self, context: ssl.SSLContext, host: str, session: ssl.SSLSession | None) -> None:
        """Put the TLS engine between the socket and the callers."""
        self._raw_send = self._sock.send
        self._raw_receive = self._sock.recv
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._unsent = b""
        self._accepted = 0
        self.ragged = False
        name = host if context.check_hostname or ssl.HAS_SNI else None
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=name, session=session)
        self.send = self._send
        self.receive_now = self._receive_now

    @property
    def session(self) -> ssl.SSLSession | None:
        """What a later connection to the same origin can resume."""
        return self._tls.session

    @property
    def session_reused(self) -> bool | None:
        """Whether this connection resumed an earlier session."""
        return self._tls.session_reused

    def handshake(self) -> None:
        """Agree on keys and verify the server.

        Raises:
            TlsError: The certificate fails or the peer does not speak TLS.
            DeadlineExpired: deadline_s has passed.
            OSError: The connection broke.
        """
        try:
            while True:
                try:
                    self._tls.do_handshake()
                except ssl.SSLWantReadError:
                    self._flush()
                    self._feed_waiting()
                else:
                    self._flush()
                    return
        except ssl.SSLError as error:
            raise TlsError(f"TLS handshake: {_reason(error)}") from error

    def _flush(self) -> None:
        unsent = memoryview(self._outgoing.read())
        while unsent:
            try:
                unsent = unsent[self._raw_send(unsent) :]
            except BlockingIOError:
                self.wait_writable()

    def _feed_waiting(self) -> None:
        while True:
            try:
                self._feed(self._raw_receive(RECEIVE_BYTES))
            except BlockingIOError:
                self.wait_readable()
            else:
                return

    def _feed(self, received: bytes) -> None:
        if received:
            self._incoming.write(received)
        else:
            self._incoming.write_eof()

    def _send(self, payload: bytes | memoryview) -> int:
        """Encrypt and send; on BlockingIOError the caller waits and passes the same payload again."""
        if not self._unsent:
            if (self._incoming.pending or self._tls.pending()) and self._on_idle_input():
                raise ConnectionResetError("the server sent something that nobody asked for")
            self._accepted = self._tls.write(payload[:_CHUNK_BYTES])
            self._unsent = self._outgoing.read()
        self._unsent = self._unsent[self._raw_send(self._unsent) :]
        if self._unsent:
            raise BlockingIOError
        return self._accepted

    def _receive_now(self, size: int) -> bytes:
        while True:
            try:
                return self._tls.read(size)
            except ssl.SSLWantReadError:
                self._feed(self._raw_receive(size))
            except ssl.SSLZeroReturnError:
                return b""
            except ssl.SSLEOFError:
                self.ragged = True
                return b""
            except ssl.SSLError as error:
                raise TlsError(f"TLS: {_reason(error)}") from error

    def _on_idle_input(self) -> bool:
        """A session ticket is no disturbance; plain bytes or the end are."""
        try:
            self._receive_now(1)
        except BlockingIOError:
            return False
        except (TlsError, OSError):
            return True
        return True

    def _has_input(self) -> bool:
        return self._on_idle_input()


def secure(
    connection: Connection, origin: "Origin", context: ssl.SSLContext, session: ssl.SSLSession | None
) -> TlsConnection:
    """Turn a fresh plain connection into a TLS connection.

    Raises:
        TlsError: The certificate fails or the peer does not speak TLS.
        DeadlineExpired: The connection's deadline_s has passed.
        OSError: The connection broke.
    """
    secured = TlsConnection(connection.detach())
    secured.deadline_s = connection.deadline_s
    try:
        secured.wrap(context, origin.host, session)
        secured.handshake()
        secured.arm()
    except BaseException:
        secured.close()
        raise
    return secured


def _reason(error: ssl.SSLError) -> str:
    """The error's own words, without OpenSSL's source line."""
    return getattr(error, "verify_message", "") or error.reason or str(error)
