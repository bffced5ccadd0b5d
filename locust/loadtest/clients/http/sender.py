"""Sender: sends a user's requests and returns their responses, by a fast path and a general path.

Tested in tests/unit/clients/http/test_client.py.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any, cast

from greenlet import getcurrent

from loadtest.clients.http.coding import Decoder, decode
from loadtest.clients.http.cookies import CookieJar, line_with
from loadtest.clients.http.errors import (
    HttpError,
    ProtocolError,
    RedirectError,
    StatusError,
)
from loadtest.clients.http.exchange import SWITCHING, Exchange, Timeouts
from loadtest.clients.http.expect import Expect
from loadtest.clients.http.head import UNKNOWN_HEAD, ResponseHead, is_failure
from loadtest.clients.http.pool import ConnectionPool, TlsUser
from loadtest.clients.http.reporter import RequestReporter
from loadtest.clients.http.request import Request, for_any_host, host_line, location_of, redirected
from loadtest.clients.http.request_body import NO_FIELDS
from loadtest.clients.http.response import CaughtResponse, Response, new_response
from loadtest.clients.http.response_body import Body, BodyStream, read_all
from loadtest.clients.http.routes import HttpRoute, HttpRoutes
from loadtest.clients.transport.deadlines import FOREVER_S, DeadlineSweeper
from loadtest.measuring.labels import RECEIVING, WAITING
from loadtest.measuring.tallies import NOWHERE, leads_nowhere
from loadtest.users.base import LoadUser

MAX_BODY_BYTES = 1 << 26
"""The largest body, before and after decoding, unless it is read as a stream: 64 MiB. A hostile target can make a
worker hold this much for each response that is being read."""

VERSION_HEADER = "x-service-version"
"""The header in which a service may name its version, in lower case."""


@dataclass(slots=True)
class Call:
    """The arguments of one call of request()."""

    route: HttpRoute
    request: Request
    timeouts: Timeouts
    allow_redirects: bool = True
    stream: bool = False
    caught: bool = False
    context: Mapping[str, Any] | None = None
    expect: Expect | None = None
    cookies: Mapping[str, str] | None = None
    is_traced: bool = False


@dataclass(slots=True)
class Progress:
    """The progress of a call: its last request, the response to it, and earlier responses."""

    request: Request
    head: ResponseHead | None = None
    history: list[Response] = field(default_factory=list)
    stream: BodyStream | None = None
    wire_bytes: int = 0
    end_s: float = 0.0


def _is_unasked(call: Call, head: ResponseHead) -> bool:
    """Whether an answer is of no use, and the scenario does not check it itself."""
    place = location_of(head)
    judges = call.caught or call.expect is not None or call.allow_redirects is (place is not None)
    sent = (*(call.request.headers or ()), *call.route.lines)
    return not judges and leads_nowhere(head.status, sent, call.request.url.text, place or "")


class Sender:
    """Sends the requests of one user, on connections of its own.

    Args:
        user: The user whose requests it sends.
        timeouts: Timeouts of requests that set none.
        max_redirects: Most redirects that one call follows.
    """

    _kinds: tuple[type[Response], type[CaughtResponse]] = (Response, CaughtResponse)
    _routes: HttpRoutes
    """The base URL, from a subclass."""

    def __init__(self, user: LoadUser, timeouts: Timeouts, max_redirects: int) -> None:
        self._pool = ConnectionPool(cast("TlsUser", user))
        self._idle = self._pool.idle
        self.user = user
        self._timeouts = timeouts
        self._max_redirects = max_redirects
        self._read_timeout_s = min(timeouts.read_s, timeouts.total_s)
        self._listeners = user.recorder.listeners
        self._reporter = RequestReporter(user)
        self._cookies: CookieJar | None = None
        sweeper = DeadlineSweeper.current()
        for timeout_s in timeouts:
            sweeper.allow_for(timeout_s)

    @property
    def cookies(self) -> CookieJar:
        """The user's cookies; a mapping of name and value."""
        if self._cookies is None:
            self._cookies = CookieJar()
        return self._cookies

    def _send(  # noqa: C901, PLR0915
        self, route: HttpRoute, wire: bytes, request: HttpRoute | Request, call: Call | None, caught: bool
    ) -> Response:
        """The fast path: an idle connection, one send, one wait, one receive, and a complete plain response.

        A request that adds nothing to its route is the route itself as ``request``; one without options has no
        ``call``.

        Everything else continues on the general path from where this one stopped. The code is deliberately long and
        flat: every call and attribute access counts here.
        """
        user = self.user
        sent_s = perf_counter()
        intended_s = user.intended_start_s
        if intended_s is None:
            intended_s = sent_s
        else:
            user.intended_start_s = None
        idle = self._idle
        connection = idle[-1] if idle else None
        if connection is not None and connection.origin is not route.origin:
            connection = self._pool.last_idle(route.origin)
        if connection is None or not connection.polled:  # the general path opens one, or checks more closely
            return self._send_generally(call or self._plain_call(route, request, caught), wire, intended_s, sent_s)
        idle.remove(connection)
        connection.deadline_s = sent_s + self._read_timeout_s
        sent = 0
        received = b""
        failure = None
        head = UNKNOWN_HEAD
        try:
            sent = connection.stream.send(wire)
            if sent == len(wire):
                connection.waiter = getcurrent()
                connection.wait()
                connection.waiter = None
                received = connection.source.recv(route.receive_bytes)
                last = route.head
                head = last if received.startswith(last.raw) else route.find_head(received)
        except BlockingIOError:
            pass
        except Exception as error:
            failure = error
        except BaseException as cause:  # the user was stopped while it waited
            connection.close()
            route.series.add_sent(sent)
            context = call.context if call is not None else None
            self._reporter.report_interruption(route, request, context, intended_s, sent_s, cause)
            raise
        if head.plain_length != len(received):
            call = call or self._plain_call(route, request, caught)
            begun = Exchange(connection, wire[sent:], None, call.timeouts, sent_s + call.timeouts.total_s, reused=True)
            begun.failure, begun.sent_bytes, begun.sent_s, begun.last_head = failure, sent, sent_s, route.head
            begun.take(received)
            return self._send_generally(call, wire, intended_s, sent_s, begun)
        connection.idle_since_s = end_s = connection.received_s()
        idle.append(connection)
        if call is not None and (call.expect is not None or call.is_traced):
            route.series.add_sent(sent)
            kind = CaughtResponse if caught else Response
            whole = new_response(kind, head, received, head.raw_length, request, intended_s, sent_s, end_s)
            return self._end(call, whole)
        if caught:
            route.series.is_checked = True
            route.series.add_sent(sent)
            response = new_response(CaughtResponse, head, received, head.raw_length, request, intended_s, sent_s, end_s)
            response.begin(self._reporter, route, call.context if call is not None else None)
            return response
        route.success(intended_s, sent_s, end_s, head.body_length, sent)
        plain = new_response(Response, head, received, head.raw_length, request, intended_s, sent_s, end_s)
        if len(self._listeners) > 1:
            self._reporter.notify_of(route, plain, call.context if call is not None else None)
        return plain

    def _plain_call(self, route: HttpRoute, request: HttpRoute | Request, caught: bool) -> Call:
        """The call of a request without options."""
        if isinstance(request, HttpRoute):
            request = Request(route.method, route.url, None, NO_FIELDS, None)
            request.lines = route.lines
        return Call(route, request, self._timeouts, caught=caught)

    def _send_generally(
        self, call: Call, wire: bytes, intended_s: float, sent_s: float, begun: Exchange | None = None
    ) -> Response:
        """The general path: any connection, any response, redirects, errors."""
        progress = Progress(call.request)
        content = None
        failure: Exception | None = None
        try:
            content = self._fetch(call, wire, sent_s + call.timeouts.total_s, begun, progress)
        except HttpError as error:
            failure = error
        except BaseException as cause:
            self._reporter.report_interruption(call.route, call.request, call.context, intended_s, sent_s, cause)
            raise
        head = progress.head
        if failure is None and head is not None:
            if is_failure(head.status):
                failure = StatusError(head.status, progress.request.url.text)
            elif _is_unasked(call, head):
                call.route.series.tally(NOWHERE, str(head.status))
            elif not call.stream and not head.bodiless and call.request.method != "HEAD":
                call.route.series.note_size(progress.wire_bytes)
        kind = self._kinds[call.caught]
        end_s = progress.end_s or perf_counter()
        response = new_response(kind, head, content, 0, progress.request, intended_s, sent_s, end_s)
        response.wire_bytes = progress.wire_bytes
        if failure is not None:
            response.error = failure
        if progress.history:
            response.history = progress.history
        if progress.stream is not None:
            response.attach(progress.stream)
        return self._end(call, response)

    def _end(self, call: Call, response: Response) -> Response:
        """Check the answer and count the request, or leave both to its with-block."""
        if call.expect is not None:
            error = call.expect.error_of(response)
            if error is not response.error:
                response.error = error
            if call.expect.varies and response.error is None:
                call.route.series.note_answer(response.content or b"")
        if isinstance(response, CaughtResponse):
            response.begin(self._reporter, call.route, call.context)
        else:
            self._reporter.report(call.route, response, call.context)
        return response

    def _fetch(
        self, call: Call, wire: bytes, ends_s: float, begun: Exchange | None, progress: Progress
    ) -> bytes | None:
        """Send requests until a response does not redirect; return its decoded body, None for a stream.

        Raises:
            HttpError: The call failed.
        """
        while True:
            request = progress.request
            tally, add_sent = call.route.series.tally, call.route.series.add_sent
            exchange, head = self._pool.exchange(
                request, wire, call.timeouts, ends_s, tally=tally, add_sent=add_sent, begun=begun
            )
            begun = None
            progress.head = head
            if "set-cookie" in head.headers:
                self.cookies.store(request.url, head.headers.get_all("set-cookie"))
            location = location_of(head)
            if location is None or not call.allow_redirects:
                return self._read_body(call, exchange, head, progress)
            call.route.series.note_redirect(location)
            content = self._pass_over(call, exchange, head, request)
            progress.history.append(new_response(Response, head, content, 0, request, 0.0, 0.0, 0.0))
            if len(progress.history) > self._max_redirects:
                raise RedirectError(f"more than {self._max_redirects} redirects")
            progress.request = redirected(call.request, request, head.status, location, self._routes.host)
            wire = self._encode_redirected(call, progress.request)

    def _pass_over(self, call: Call, exchange: Exchange, head: ResponseHead, request: Request) -> bytes | None:
        """Read a redirect's own body; if it is truncated, malformed or endless, the redirect is followed all the same.

        A body that ends with the connection is not waited for.
        """
        if not head.is_framed(request.method):
            exchange.connection.close()
            return None
        passed = Progress(request)
        with suppress(HttpError):
            return self._read_body(Call(call.route, request, call.timeouts), exchange, head, passed)
        return None

    def _encode_redirected(self, call: Call, request: Request) -> bytes:
        """The bytes of a redirected request; another host does not get the credentials of the first."""
        lines = call.route.lines
        cookie_line = b"" if self._cookies is None else self._cookies.line_for(request.url)
        if request.url.origin is not call.route.origin:
            lines = {"host": host_line(request.url), **for_any_host(self._routes.common)}
        elif call.cookies:
            cookie_line = line_with(cookie_line, call.cookies)
        return request.encode(lines, cookie_line)

    def _read_body(self, call: Call, exchange: Exchange, head: ResponseHead, progress: Progress) -> bytes | None:
        """The decoded body; None for a stream, which is stored in the progress."""
        if head.status == SWITCHING:
            progress.stream, progress.end_s = self._switched(exchange, head), perf_counter()
            return None
        body = exchange.body(head, progress.request.method)
        release = self._releaser(exchange)
        if call.stream:
            exchange.ends_s = FOREVER_S
            received_s, decoder = exchange.connection.received_s, Decoder(head.encoding, FOREVER_S)
            progress.stream = BodyStream(body, decoder, exchange.classify, release, received_s)
            progress.wire_bytes = head.content_length or 0
            progress.end_s = received_s()
            return None
        raw = self._read_whole(exchange, body)
        progress.end_s = exchange.connection.received_s()
        if exchange.in_parts or not exchange.reused:
            place, tally = progress.request.url.origin.place, call.route.series.tally
            tally(WAITING, place, max(exchange.first_byte_s - exchange.sent_s, 0.0))  # it may come before all is sent
            tally(RECEIVING, place, max(progress.end_s - exchange.first_byte_s, 0.0))  # it may arrive before it is read
            if not exchange.reused and (version := head.headers.get(VERSION_HEADER)):
                call.route.series.note_version(version)
        progress.wire_bytes = len(raw)
        release(body.reusable)
        return decode(head.encoding, raw, MAX_BODY_BYTES) if head.encoding and raw else raw

    def _switched(self, exchange: Exchange, head: ResponseHead) -> BodyStream:  # noqa: ARG002
        """The handler that takes over a connection which switches to another protocol; a subclass may have one.

        Raises:
            ProtocolError: This class has none.
        """
        exchange.connection.close()
        raise ProtocolError("the response switches to another protocol, which this call does not speak")

    def _read_whole(self, exchange: Exchange, body: Body) -> bytes:
        try:
            return read_all(body, MAX_BODY_BYTES)
        except Exception as error:
            exchange.connection.close()
            raise exchange.classify(error) from error
        except BaseException:
            exchange.connection.close()
            raise

    def _releaser(self, exchange: Exchange) -> Callable[[bool], None]:
        """The function that gives the connection back."""
        pool = self._pool
        return lambda reusable: pool.release(exchange.connection, reusable and exchange.keeps)

    def close(self) -> None:
        """Close the user's connections."""
        self._pool.close()

    def __del__(self) -> None:
        """Close them: the event loop watches connections, so they would outlive the user."""
        self.close()
