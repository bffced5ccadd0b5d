"""The HTTP side of one user: the calls, the fast path, and the general path."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from time import perf_counter
from typing import TYPE_CHECKING, Any, cast

from greenlet import getcurrent
from locust.event import EventHook

from loadtest.clients.http.coding import Decoder, decode
from loadtest.clients.http.cookies import CookieJar, StandardJar, line_with
from loadtest.clients.http.errors import (
    HttpError,
    InvalidRequestError,
    ProtocolError,
    RedirectError,
    StatusError,
    interruption,
)
from loadtest.clients.http.exchange import SWITCHING, Exchange, Timeouts
from loadtest.clients.http.expect import Expect
from loadtest.clients.http.head import UNKNOWN_HEAD, ResponseHead, is_failure
from loadtest.clients.http.headers import HeaderValue
from loadtest.clients.http.pool import ConnectionPool
from loadtest.clients.http.refused import refuse_arguments
from loadtest.clients.http.reporter import RequestReporter
from loadtest.clients.http.request import Request, basic_auth, for_any_host, host_line, location_of, redirected
from loadtest.clients.http.request_body import NO_FIELDS, Upload, encode_body
from loadtest.clients.http.response import CaughtResponse, Response, new_response
from loadtest.clients.http.response_body import Body, BodyStream, read_all
from loadtest.clients.http.routes import HttpRoute, HttpRoutes
from loadtest.clients.http.streamed_response import StreamedResponse, phase_of
from loadtest.clients.http.url import split_credentials, with_params
from loadtest.clients.transport.deadlines import FOREVER_S, DeadlineSweeper
from loadtest.measuring.labels import LOAD, RECEIVING, WAITING
from loadtest.measuring.tallies import NOWHERE, leads_nowhere
from loadtest.measuring.users import scenario_of
from loadtest.users.base import LoadUser

if TYPE_CHECKING:
    import ssl

MAX_BODY_BYTES = 1 << 26
"""A body may not be larger than this, nor decode to more, unless it is read as a stream: 64 MiB. What a hostile
target can make a worker hold is this, for each response that is read at the same moment."""


@dataclass(slots=True)
class _Call:
    """One call of request(), as the scenario wants it."""

    route: HttpRoute
    request: Request
    timeouts: Timeouts
    allow_redirects: bool = True
    stream: bool = False
    caught: bool = False
    context: Mapping[str, Any] | None = None
    expect: Expect | None = None
    cookies: Mapping[str, str] | None = None


@dataclass(slots=True)
class _Progress:
    """How far a call has got: its last request, the response to it and those before."""

    request: Request
    head: ResponseHead | None = None
    history: list[Response] = field(default_factory=list)
    stream: BodyStream | None = None
    wire_bytes: int = 0
    end_s: float = 0.0


def _is_unasked(call: _Call, head: ResponseHead) -> bool:
    """Whether an answer brings nothing, and the scenario did not say that it judges it itself."""
    place = location_of(head)
    judges = call.caught or call.expect is not None or call.allow_redirects is (place is not None)
    sent = (*(call.request.headers or ()), *call.route.lines)
    return not judges and leads_nowhere(head.status, sent, call.request.url.text, place or "")


def defaults_of(headers: Mapping[str, HeaderValue]) -> tuple[tuple[str, HeaderValue], ...]:
    """Headers that are sent by default, in a form that can be a key."""
    return tuple((name, tuple(value) if isinstance(value, list) else value) for name, value in headers.items())


class HttpClient:
    """The HTTP side of one user: connections, cookies, and the calls.

    It may be used by several greenlets of the user at once; each takes a connection of its own.

    Attributes:
        user: Whose client it is.
        request_name: Name for all requests that give none, within rename_request().
    """

    _kinds: tuple[type[Response], type[CaughtResponse]] = (Response, CaughtResponse)

    def __init__(  # noqa: PLR0917 -- made in one place
        self,
        user: LoadUser,
        base_url: str,
        headers: Mapping[str, HeaderValue],
        timeouts: Timeouts,
        max_redirects: int,
        tls_context: "Callable[[], ssl.SSLContext]",
    ) -> None:
        """Connect nothing yet.

        Args:
            user: Whose client it is.
            base_url: What relative URLs are relative to; may carry credentials.
            headers: Sent by default.
            timeouts: Of every request that gives none.
            max_redirects: Redirects that are followed for one call.
            tls_context: Gives the TLS context when the first TLS connection needs it.
        """
        self._pool = ConnectionPool(tls_context)
        self._idle = self._pool.idle
        self.request_name: str | None = None
        self.user = user
        self._defaults = defaults_of(headers)
        self._base_url, credentials = split_credentials(base_url)
        self._auth_header = None if credentials is None else basic_auth(credentials)
        self._phase = LOAD
        self._use_routes(shared=True)
        self._timeouts = timeouts
        self._max_redirects = max_redirects
        self._read_timeout_s = min(timeouts.read_s, timeouts.total_s)
        self._listeners = user.recorder.listeners
        self._reporter = RequestReporter(user)
        self._cookies: CookieJar | None = None
        sweeper = DeadlineSweeper.current()
        for timeout_s in timeouts:
            sweeper.allow_for(timeout_s)

    def enter(self, phase: str) -> None:
        """Record the requests that begin from now on as of this phase, ``setup`` or ``load``."""
        self._phase = phase
        self._use_routes(shared=self._is_shared)

    def _use_routes(self, shared: bool) -> None:
        self._is_shared = shared
        settings = (self._base_url, self._defaults, self._auth_header)
        scenario = scenario_of(self.user)
        if shared:
            self._routes = HttpRoutes.shared(self.user.environment, scenario, *settings, phase=self._phase)
        else:
            self._routes = HttpRoutes(self.user.recorder, scenario, *settings)
            self._routes.phase = self._phase
        self._gets = self._routes.gets

    @property
    def base_url(self) -> str:
        """What relative URLs are relative to, from the next call on; credentials in it become ``auth_header``."""
        return self._base_url

    @base_url.setter
    def base_url(self, base_url: str) -> None:
        self._base_url, credentials = split_credentials(base_url)
        if credentials is not None:
            self._auth_header = basic_auth(credentials)
        self._use_routes(shared=True)

    @property
    def auth_header(self) -> str | None:
        """The header Authorization for the host of ``base_url``, from the next call on; None for none."""
        return self._auth_header

    @auth_header.setter
    def auth_header(self, auth_header: str | None) -> None:
        self._auth_header = auth_header
        self._use_routes(shared=False)  # mostly a token of this user alone

    @property
    def request_event(self) -> EventHook:
        """Locust's ``events.request``."""
        event: EventHook = self.user.environment.events.request
        return event

    @property
    def last_answer_s(self) -> float:
        """When the last answer was complete, in seconds of ``time.perf_counter``; 0 before that."""
        return self._pool.last_answer_s

    @property
    def cookiejar(self) -> StandardJar:
        """The user's cookies in the form of http.cookiejar."""
        return StandardJar(self.cookies)

    @property
    def cookies(self) -> CookieJar:
        """The user's cookies; a mapping of name and value."""
        if self._cookies is None:
            self._cookies = CookieJar()
        return self._cookies

    @property
    def cookie_values(self) -> tuple[str, ...]:
        """Values that may have been sent in cookies; looking makes no jar, which every later call would look into."""
        return () if self._cookies is None else tuple(self._cookies.values())

    def get(self, url: str, name: str | None = None, catch_response: bool = False, **options: Any) -> Response:
        """Send a GET request; the options are those of request()."""
        if not options and self.request_name is None:
            route = self._gets.get(url if name is None else (url, name))
            if route is not None:
                cookies = self._cookies
                wire = route.wire if cookies is None else route.with_cookies(cookies.line_for(route.url))
                return self._send(route, wire, route, None, catch_response)
        return self.request("GET", url, name, catch_response=catch_response, **options)

    def head(self, url: str, **options: Any) -> Response:
        """Send a HEAD request; the options are those of request()."""
        return self.request("HEAD", url, **options)

    def options(self, url: str, **options: Any) -> Response:
        """Send an OPTIONS request; the options are those of request()."""
        return self.request("OPTIONS", url, **options)

    def delete(self, url: str, **options: Any) -> Response:
        """Send a DELETE request; the options are those of request()."""
        return self.request("DELETE", url, **options)

    def post(self, url: str, data: Any = None, json: Any = None, **options: Any) -> Response:
        """Send a POST request; the options are those of request()."""
        return self.request("POST", url, data=data, json=json, **options)

    def put(self, url: str, data: Any = None, **options: Any) -> Response:
        """Send a PUT request; the options are those of request()."""
        return self.request("PUT", url, data=data, **options)

    def patch(self, url: str, data: Any = None, **options: Any) -> Response:
        """Send a PATCH request; the options are those of request()."""
        return self.request("PATCH", url, data=data, **options)

    def iter_lines(self, url: str, method: str = "GET", **options: Any) -> Iterator[str]:
        """Send a request and hand out the lines of its response as they arrive.

        Raises:
            HttpError: The request failed.
        """
        response = self.request(method, url, stream=True, **options)
        response.raise_for_status()
        yield from response.iter_lines()

    @contextmanager
    def stream(self, method: str, url: str, name: str | None = None, **options: Any) -> Iterator[StreamedResponse]:
        """Send a request, and time its answer as it arrives within a with-block; the options are those of request().

        A limit for the whole of it is a ``gevent.Timeout`` around the block; ``timeout`` limits the wait for the head
        and for each piece.

        Raises:
            InvalidRequestError: The request cannot be built. It is counted as a failure too.
        """
        options |= {"stream": True, "catch_response": True}
        begun_s = self.user.intended_start_s or perf_counter()
        try:
            response = self.request(method, url, name, **options)
        except InvalidRequestError:
            raise
        except BaseException as cause:  # the user was stopped before the head came
            label, ended = name or self.request_name or url, phase_of(interruption(cause))
            self._reporter.part(method.upper(), label, ended, begun_s, perf_counter(), 0)
            raise
        with StreamedResponse.of(cast("CaughtResponse", response)) as timed:
            yield timed

    @contextmanager
    def rename_request(self, name: str) -> Iterator[None]:
        """Record the requests of a with-block under one name."""
        self.request_name = name
        try:
            yield
        finally:
            self.request_name = None

    def request(  # noqa: PLR0917 -- Locust's arguments in Locust's order
        self,
        method: str,
        url: str,
        name: str | None = None,
        data: Any = None,
        catch_response: bool = False,
        stream: bool = False,
        headers: Mapping[str, HeaderValue] | None = None,
        auth: tuple[str | bytes, str | bytes] | None = None,
        json: Any = None,
        allow_redirects: bool = True,
        context: Mapping[str, Any] | None = None,
        params: Any = None,
        files: Any = None,
        timeout: Any = None,
        expect: Expect | None = None,
        cookies: Mapping[str, str] | None = None,
        **others: Any,
    ) -> Response:
        """Send a request, follow its redirects, count it, return its response.

        A request that fails is counted and returned with ``error`` set; raise_for_status() raises that error.

        Args:
            method: GET, POST and so on.
            url: Absolute, or relative to the user's host.
            name: Under which name it is recorded; the URL as given here by default.
            data: The body: bytes, str, a mapping or pairs for a form, a binary file, an iterable of bytes.
            catch_response: Return a context manager; the request is counted at the end of its with-block, and
                response.success() and response.failure() decide how.
            stream: Return when the head has come; the body is read by iter_content(), iter_lines() or content.
                The time recorded is that of the head.
            headers: Headers of this request; None as a value leaves a default header out.
            auth: Name and password for basic authentication.
            json: A value to send as JSON, if there is no data.
            allow_redirects: Follow redirects.
            context: Handed to listeners of Locust's events.request.
            params: The query: a mapping, pairs, or a string.
            files: Files for a multipart form: a mapping of field to file, bytes or (file name, content[, type]).
            timeout: Seconds for connect and for read, or a tuple (connect, read[, total]); None in it for no limit.
            expect: What a good answer looks like; one that is not so counts as failed, with the class ``check``.
            cookies: Cookies of this call alone, beside the user's own; they replace those of the same names, and do not
                go to another host on a redirect.
            others: Arguments of other clients, which are refused.

        Raises:
            InvalidRequestError: The request cannot be built. It is counted as a failure too.
        """
        name, method = name or self.request_name, method.upper()
        try:
            if others:
                refuse_arguments(others)
            if expect is not None:
                expect.check_call(stream=stream)
            timeouts = self._timeouts if timeout is None else self._timeouts_of(timeout)
            full_url = with_params(url, params) if params else url
            route = self._routes.get((method, full_url, name)) or self._routes.make(
                method, full_url, name, name or self._label(url, full_url)
            )
            body, fields = (None, NO_FIELDS) if data is json is files is None else encode_body(data, json, files)
            if auth:
                headers = {**(headers or {}), "Authorization": basic_auth(auth)}
            request = Request(method, route.url, headers, fields, body)
            request.lines = route.lines
            cookie_line = b"" if self._cookies is None else self._cookies.line_for(route.url)
            if cookies:
                cookie_line = line_with(cookie_line, cookies)
            wire = request.encode(route.lines, cookie_line) if headers else route.encode(fields, body, cookie_line)
        except InvalidRequestError as error:
            self._reporter.report_invalid(method, name or url, error)
            raise
        if expect is not None or catch_response:
            route.series.is_checked = True
        is_whole = timeout is None and not stream and method != "HEAD" and not isinstance(body, Upload)
        if is_whole and context is None and expect is None and cookies is None and allow_redirects:
            return self._send(route, wire, request, None, catch_response)
        call = _Call(route, request, timeouts, allow_redirects, stream, catch_response, context, expect, cookies)
        if is_whole:
            return self._send(route, wire, request, call, catch_response)
        return self._send_generally(call, wire, *self._start())

    def _label(self, url: str, full_url: str) -> str:  # noqa: ARG002 -- SessionClient uses it
        """Under which name a request is recorded that gives none: the URL as given, without params."""
        return url

    def _timeouts_of(self, timeout: Any) -> Timeouts:
        timeouts = Timeouts.of(timeout, self._timeouts)
        for timeout_s in timeouts:
            DeadlineSweeper.current().allow_for(timeout_s)
        return timeouts

    def _start(self) -> tuple[float, float]:
        """When this request was meant to be sent, and when it is sent: now."""
        sent_s = perf_counter()
        intended_s = self.user.intended_start_s
        if intended_s is None:
            return sent_s, sent_s
        self.user.intended_start_s = None
        return intended_s, sent_s

    def _send(  # noqa: C901, PLR0915
        self, route: HttpRoute, wire: bytes, request: HttpRoute | Request, call: _Call | None, caught: bool
    ) -> Response:
        """The fast path: an idle connection, one send, one wait, one receive, a whole and plain response.

        A request that is only its route's has the route for ``request``; one without options has no ``call``.

        Everything else continues on the general path from where this one stopped. The code is long and flat on purpose:
        every call and attribute counts here.
        """
        user = self.user
        sent_s = perf_counter()
        intended_s = user.intended_start_s
        if intended_s is None:
            intended_s = sent_s
        else:
            user.intended_start_s = None
        idle = self._idle.get(route.origin)
        if not idle:
            return self._send_generally(call or self._plain_call(route, request, caught), wire, intended_s, sent_s)
        connection = idle.pop()
        if not connection.polled:
            idle.append(connection)  # the general path looks closer
            return self._send_generally(call or self._plain_call(route, request, caught), wire, intended_s, sent_s)
        connection.deadline_s = sent_s + self._read_timeout_s
        sent = 0
        received = b""
        failure = None
        head = UNKNOWN_HEAD
        try:
            sent = connection.send(wire)
            if sent == len(wire):
                connection.waiter = getcurrent()
                connection.wait()
                connection.waiter = None
                received = connection.receive_now(route.receive_bytes)
                last = route.head
                head = last if received.startswith(last.raw) else route.find_head(received)
        except BlockingIOError:
            pass
        except Exception as error:
            failure = error
        except BaseException as cause:  # the user was stopped while it waited
            connection.close()
            context = call.context if call is not None else None
            self._reporter.report_interruption(route, context, intended_s, sent_s, cause)
            raise
        if head.plain_length != len(received):
            call = call or self._plain_call(route, request, caught)
            begun = Exchange(connection, wire[sent:], None, call.timeouts, sent_s + call.timeouts.total_s, reused=True)
            begun.failure, begun.sent_bytes, begun.sent_s, begun.last_head = failure, sent, sent_s, route.head
            begun.take(received)
            return self._send_generally(call, wire, intended_s, sent_s, begun)
        connection.idle_since_s = end_s = perf_counter()
        idle.append(connection)
        if call is not None and call.expect is not None:
            kind = CaughtResponse if caught else Response
            whole = new_response(kind, head, received, head.raw_length, request, intended_s, sent_s, end_s)
            return self._end(call, whole)
        if caught:
            route.series.is_checked = True
            response = new_response(CaughtResponse, head, received, head.raw_length, request, intended_s, sent_s, end_s)
            response.begin(self._reporter, route, call.context if call is not None else None)
            return response
        route.success(intended_s, sent_s, end_s, head.body_length)
        plain = new_response(Response, head, received, head.raw_length, request, intended_s, sent_s, end_s)
        if len(self._listeners) > 1:
            self._reporter.notify_of(route, plain, call.context if call is not None else None)
        return plain

    def _plain_call(self, route: HttpRoute, request: HttpRoute | Request, caught: bool) -> _Call:
        """The call of a request without options."""
        if isinstance(request, HttpRoute):
            request = Request(route.method, route.url, None, NO_FIELDS, None)
            request.lines = route.lines
        return _Call(route, request, self._timeouts, caught=caught)

    def _send_generally(
        self, call: _Call, wire: bytes, intended_s: float, sent_s: float, begun: Exchange | None = None
    ) -> Response:
        """The general path: any connection, any response, redirects, errors."""
        progress = _Progress(call.request)
        content = None
        failure: Exception | None = None
        try:
            content = self._fetch(call, wire, sent_s + call.timeouts.total_s, begun, progress)
        except HttpError as error:
            failure = error
        except BaseException as cause:
            self._reporter.report_interruption(call.route, call.context, intended_s, sent_s, cause)
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

    def _end(self, call: _Call, response: Response) -> Response:
        """Look whether the answer is as expected, and count the request, or let its with-block do that."""
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
        self, call: _Call, wire: bytes, ends_s: float, begun: Exchange | None, progress: _Progress
    ) -> bytes | None:
        """Exchange requests for responses until one does not redirect; its decoded body, None for a stream.

        Raises:
            HttpError: The call failed.
        """
        while True:
            request = progress.request
            tally = call.route.series.tally
            exchange, head = self._pool.exchange(request, wire, call.timeouts, ends_s, tally=tally, begun=begun)
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
            progress.request = redirected(call.request, request, head.status, location)
            wire = self._encode_redirected(call, progress.request)

    def _pass_over(self, call: _Call, exchange: Exchange, head: ResponseHead, request: Request) -> bytes | None:
        """A redirect's own body; where it is cut, malformed or without end, the redirect counts and the body does not.

        A body that ends with the connection is not waited for.
        """
        if not head.is_framed(request.method):
            exchange.connection.close()
            return None
        passed = _Progress(request)
        with suppress(HttpError):
            return self._read_body(_Call(call.route, request, call.timeouts), exchange, head, passed)
        return None

    def _encode_redirected(self, call: _Call, request: Request) -> bytes:
        """The bytes of a request to which a redirect led; another host does not get the credentials of the first."""
        lines = call.route.lines
        cookie_line = b"" if self._cookies is None else self._cookies.line_for(request.url)
        if request.url.origin is not call.route.origin:
            lines = {"host": host_line(request.url), **for_any_host(self._routes.common)}
        elif call.cookies:
            cookie_line = line_with(cookie_line, call.cookies)
        return request.encode(lines, cookie_line)

    def _read_body(self, call: _Call, exchange: Exchange, head: ResponseHead, progress: _Progress) -> bytes | None:
        """The decoded body; None for a stream, which is then in the progress."""
        if head.status == SWITCHING:
            exchange.connection.close()
            raise ProtocolError("the response switches to another protocol, which this call does not speak")
        body = exchange.body(head, progress.request.method)
        release = self._releaser(exchange, progress.request)
        if call.stream:
            exchange.ends_s = FOREVER_S
            progress.stream = BodyStream(body, Decoder(head.encoding, FOREVER_S), exchange.classify, release)
            progress.wire_bytes = head.content_length or 0
            progress.end_s = perf_counter()
            return None
        raw = self._read_whole(exchange, body)
        progress.end_s = perf_counter()
        if exchange.in_parts or not exchange.reused:
            place, tally = progress.request.url.origin.place, call.route.series.tally
            tally(WAITING, place, max(exchange.first_byte_s - exchange.sent_s, 0.0))  # it may come before all is sent
            tally(RECEIVING, place, progress.end_s - exchange.first_byte_s)
        progress.wire_bytes = len(raw)
        release(body.reusable)
        return decode(head.encoding, raw, MAX_BODY_BYTES) if head.encoding and raw else raw

    def _read_whole(self, exchange: Exchange, body: Body) -> bytes:
        try:
            return read_all(body, MAX_BODY_BYTES)
        except Exception as error:
            exchange.connection.close()
            raise exchange.classify(error) from error
        except BaseException:
            exchange.connection.close()
            raise

    def _releaser(self, exchange: Exchange, request: Request) -> Callable[[bool], None]:
        """What gives the connection back."""
        pool, origin = self._pool, request.url.origin
        return lambda reusable: pool.release(origin, exchange.connection, reusable and exchange.keeps)

    def close(self) -> None:
        """Close the user's connections."""
        self._pool.close()

    def __del__(self) -> None:
        """Connections are watched by the event loop and would outlive the user."""
        self.close()
