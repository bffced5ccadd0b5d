"""The errors of HTTP requests, each with the error class under which it is counted.

    HttpError                    other
    ├── InvalidRequestError      exception          the call itself is wrong; raised at the call, nothing is sent
    ├── DnsError                 dns
    ├── ConnectError             connect
    ├── TlsError                 tls
    ├── GeneratorError           generator          a limit of the load generator itself
    ├── ConnectTimeoutError      timeout_connect
    ├── ReadTimeoutError         timeout_read
    ├── TotalTimeoutError        timeout_total
    ├── ResetError               reset
    ├── ClosedError              closed
    ├── ProtocolError            protocol
    ├── TooLargeError            too_large
    ├── RedirectError            redirect
    ├── StatusError              status_4xx, status_5xx, status_other
    ├── UnfinishedError          unfinished         the user was stopped before the response came
    ├── AssertionFailedError     assertion          response.failure("...") in a with-block
    ├── CheckError               check              the answer is not what the call expects
    └── UserCodeError            exception          the with-block raised

Except for InvalidRequestError a call does not raise them: it returns a response whose ``error`` is set, and
``response.raise_for_status()`` raises that error.

Tested in tests/unit/clients/http/test_client.py and test_hostile.py.
"""

from typing import TYPE_CHECKING, ClassVar

import gevent
from locust.exception import CatchResponseError

from loadtest.measuring.error_classes import GENERATOR, NO_ANSWER, UNFINISHED

if TYPE_CHECKING:
    from loadtest.clients.transport.stream import TransportError


class HttpError(Exception):
    """A request failed."""

    error_class: ClassVar[str] = "other"


class InvalidRequestError(HttpError, ValueError):
    """The request cannot be built: a bad URL, header, method, timeout or body."""

    error_class = "exception"


class DnsError(HttpError):
    """The host's name did not resolve."""

    error_class = "dns"


class ConnectError(HttpError):
    """No connection could be made, or only to a blocked address: see `loadtest.settings.hosts`."""

    error_class = "connect"


class TlsError(HttpError):
    """The TLS handshake failed, for example because of an invalid certificate, or a TLS record is corrupt."""

    error_class = "tls"


class GeneratorError(HttpError):
    """The load generator itself ran out of files, ports or memory."""

    error_class = GENERATOR


class ConnectTimeoutError(HttpError):
    """Name resolution, TCP connect and TLS handshake together took longer than allowed."""

    error_class = "timeout_connect"


class ReadTimeoutError(HttpError):
    """The server did not send the next piece in time."""

    error_class = "timeout_read"


class TotalTimeoutError(HttpError):
    """The whole request took longer than allowed."""

    error_class = "timeout_total"


class ResetError(HttpError):
    """The peer reset the connection."""

    error_class = "reset"


class ClosedError(HttpError):
    """The peer closed the connection before its response was complete."""

    error_class = "closed"


class ProtocolError(HttpError):
    """The response violates RFC 9112 (HTTP/1.1), or its body cannot be decoded."""

    error_class = "protocol"


class TooLargeError(HttpError):
    """The response's head or body exceeds its limit."""

    error_class = "too_large"


class RedirectError(HttpError):
    """Too many redirects, or one that cannot be followed."""

    error_class = "redirect"


class StatusError(HttpError):
    """The response's status is not a success.

    Attributes:
        status_code: The status.
    """

    def __init__(self, status_code: int, url: str) -> None:
        """Keep the status; the text omits the URL so that equal errors are counted together."""
        super().__init__(f"status {status_code}")
        self.status_code = status_code
        self.url = url

    @property
    def error_class(self) -> str:  # type: ignore[override]
        """The class, from the first digit of the status."""
        return {4: "status_4xx", 5: "status_5xx"}.get(self.status_code // 100, "status_other")


class UnfinishedError(HttpError):
    """The user was stopped before the response came; the time until then is a lower bound of the response time."""

    error_class = UNFINISHED


class AssertionFailedError(HttpError, CatchResponseError):
    """The scenario called response.failure()."""

    error_class = "assertion"


class CheckError(HttpError):
    """The answer is not what the call expects: see `loadtest.clients.http.expect`."""

    error_class = "check"


class UserCodeError(HttpError):
    """The scenario's with-block raised."""

    error_class = "exception"


def interruption(cause: BaseException) -> HttpError:
    """The HttpError for a request that was ended before its response by something other than its connection.

    Args:
        cause: GreenletExit when the user was stopped, gevent's Timeout when the scenario set a time limit of its own.
    """
    if isinstance(cause, gevent.Timeout):
        return TotalTimeoutError(f"no answer within the scenario's own limit of {cause.seconds} s")
    return UnfinishedError(NO_ANSWER)


def connect_error(error: "TransportError") -> HttpError:
    """The HttpError for a connection that could not be opened, or whose TLS broke."""
    kinds = (DnsError, ConnectError, TlsError, GeneratorError)
    return next(kind for kind in kinds if kind.error_class == error.error_class)(str(error))


def error_class_of(error: BaseException) -> str:
    """The class under which an error is counted; any other exception counts as an assertion of the scenario."""
    return error.error_class if isinstance(error, HttpError) else "assertion"
