"""HttpUser: a lean HTTP/1.1 client under the API of Locust's FastHttpUser.

A scenario written for FastHttpUser runs on it by changing the base class. What differs is listed in
docs/decisions/0004-own-http-client.md.

How a request runs: the parts that do not vary (request line, Host, default headers, the recorder's series) are made
once per method, URL and name and found again in a dictionary (`Route`). If an idle connection is there, the fast path
sends, waits and receives; if the answer is whole and says nothing but "200, this many bytes", it is counted and
returned. Everything else (a first connection, bodies in pieces, redirects, cookies, errors) takes the general path
in `HttpClient.request`.
"""

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import perf_counter
from typing import TYPE_CHECKING, Any

from greenlet import getcurrent
from locust.exception import StopTest
from locust.user.users import RestMixin

import loadtest
from loadtest.clients import http_tls
from loadtest.clients.cookies import CookieJar
from loadtest.clients.deadlines import FOREVER_S, DeadlineSweeper
from loadtest.clients.http_body import Body, read_all
from loadtest.clients.http_coding import ACCEPTED, Decoder, decode
from loadtest.clients.http_connection import RECEIVE_BYTES
from loadtest.clients.http_errors import (
    HttpError,
    InvalidRequestError,
    RedirectError,
    StatusError,
    error_class_of,
)
from loadtest.clients.http_exchange import Exchange, Timeouts, Upload
from loadtest.clients.http_head import UNKNOWN_HEAD, ResponseHead, is_failure
from loadtest.clients.http_headers import HeaderValue
from loadtest.clients.http_request import Outgoing, Route, basic_auth, encode_body, request_line
from loadtest.clients.http_response import CaughtResponse, Response
from loadtest.clients.http_routes import RouteBook
from loadtest.clients.http_stream import BodyStream
from loadtest.clients.http_transport import HEADS, LOOK_AFTER_S, Transport
from loadtest.clients.http_url import join, with_params
from loadtest.recorder import scenario_of
from loadtest.user import LoadUser

if TYPE_CHECKING:
    import ssl

    from locust.env import Environment

logger = logging.getLogger(__name__)

MAX_BODY_BYTES = 1 << 30
"""A body may not be larger than this, nor decode to more, unless it is read as a stream: 1 GiB."""
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_REWRITTEN = frozenset({301, 302})
_SEE_OTHER = 303
_KEPT = frozenset({"GET", "HEAD"})
_FOR_ONE_HOST = frozenset({"authorization", "cookie", "host"})


@dataclass(slots=True)
class _Call:
    """One call of request(), as the scenario wants it."""

    route: Route
    request: Outgoing
    timeouts: Timeouts
    allow_redirects: bool = True
    stream: bool = False
    caught: bool = False
    context: Mapping[str, Any] | None = None


@dataclass(slots=True)
class _Trail:
    """How far a call has come: its last request, the response to it and those before."""

    request: Outgoing
    head: ResponseHead | None = None
    history: list[Response] = field(default_factory=list)
    stream: BodyStream | None = None
    wire_bytes: int = 0
    end_s: float = 0.0


class HttpClient:
    """The HTTP side of one user: connections, cookies, and the calls.

    It may be used by several greenlets of the user at once; each takes a connection of its own.

    Attributes:
        base_url: What relative URLs are relative to.
        request_name: Name for all requests that give none, within rename_request().
    """

    def __init__(self, user: "HttpUser", base_url: str) -> None:
        """Made by the user; its settings are the user's."""
        self.base_url = base_url
        self.request_name: str | None = None
        self._user = user
        self._book = RouteBook.of(user.environment, base_url, _default_headers(user), user.recorder, scenario_of(user))
        self._routes = self._book.routes
        self._gets = self._book.gets
        self._timeouts = Timeouts(user.connection_timeout, user.network_timeout, user.total_timeout or FOREVER_S)
        self._patience_s = min(self._timeouts.read_s, self._timeouts.total_s)
        self._transport = Transport(user.tls_context)
        self._idle = self._transport.idle
        self._observers = user.recorder.observers
        self._cookies: CookieJar | None = None
        self._is_bare = True  # neither cookies nor a common name: a GET without options is its route's bytes
        sweeper = DeadlineSweeper.current()
        for timeout_s in self._timeouts:
            sweeper.heed(timeout_s)

    @property
    def cookies(self) -> CookieJar:
        """The user's cookies; a mapping of name and value."""
        if self._cookies is None:
            self._cookies = CookieJar()
            self._is_bare = False
        return self._cookies

    cookiejar = cookies

    def get(self, url: str, name: str | None = None, **options: Any) -> Response:
        """Send a GET request; the options are those of request()."""
        if not options and self._is_bare:
            route = self._gets.get(url if name is None else (url, name))
            if route is not None:
                return self._send(route, route.wire)
        return self.request("GET", url, name, **options)

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
    def rename_request(self, name: str) -> Iterator[None]:
        """Record the requests of a with-block under one name."""
        self.request_name = name
        self._is_bare = False
        try:
            yield
        finally:
            self.request_name = None
            self._is_bare = self._cookies is None

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

        Raises:
            InvalidRequestError: The request cannot be built. It is counted as a failure too.
        """
        name = name or self.request_name
        try:
            timeouts = self._timeouts_of(timeout)
            full_url = with_params(url, params)
            route = self._routes.get((method, full_url, name)) or self._book.make(method, full_url, name, name or url)
            body, weak = encode_body(data, json, files)
            if auth:
                headers = {**(headers or {}), "Authorization": basic_auth(*auth)}
            request = Outgoing(method, route.url, headers, weak, body)
            wire = request.encode(route.line, route.defaults, self._cookie_line(request))
        except InvalidRequestError as error:
            self._count_invalid(method, name or url, error)
            raise
        call = _Call(route, request, timeouts, allow_redirects, stream, catch_response, context)
        if request.upload is None and not stream and timeout is None and method != "HEAD":
            return self._send(route, wire, call)
        return self._send_generally(call, wire, *self._start())

    def _timeouts_of(self, timeout: Any) -> Timeouts:
        if timeout is None:
            return self._timeouts
        timeouts = Timeouts.of(timeout, self._timeouts)
        for timeout_s in timeouts:
            DeadlineSweeper.current().heed(timeout_s)
        return timeouts

    def _start(self) -> tuple[float, float]:
        """When this request was meant to be sent, and when it is sent: now."""
        sent_s = perf_counter()
        intended_s = self._user.intended_start_s
        if intended_s is None:
            return sent_s, sent_s
        self._user.intended_start_s = None
        return intended_s, sent_s

    def _send(self, route: Route, wire: bytes, call: _Call | None = None) -> Response:  # noqa: C901
        """The fast path: an idle connection, one send, one wait, one receive, a whole and plain response.

        Whatever differs continues on the general path from where it stands. The code is long and flat on purpose:
        every call and attribute counts here.
        """
        user = self._user
        sent_s = perf_counter()
        intended_s = user.intended_start_s
        if intended_s is None:
            intended_s = sent_s
        else:
            user.intended_start_s = None
        idle = self._idle.get(route.origin)
        if not idle:
            return self._send_generally(call or self._plain_call(route), wire, intended_s, sent_s)
        connection = idle.pop()
        if not connection.armed or not (route.idempotent or sent_s - connection.idle_since_s < LOOK_AFTER_S):
            idle.append(connection)  # the general path looks closer
            return self._send_generally(call or self._plain_call(route), wire, intended_s, sent_s)
        connection.deadline_s = sent_s + self._patience_s
        sent = 0
        received = b""
        failure = None
        head = UNKNOWN_HEAD
        try:
            sent = connection.send(wire)
            if sent == len(wire):
                connection.waiter = getcurrent()
                connection.switch_out()
                received = connection.receive_now(RECEIVE_BYTES)
                last = HEADS.last
                head = last if received.startswith(last.raw) else HEADS.find(received) or UNKNOWN_HEAD
        except BlockingIOError:
            pass
        except Exception as error:
            failure = error
        except BaseException:  # the user was stopped while it waited
            connection.close()
            raise
        if head.plain_length != len(received):
            call = call or self._plain_call(route)
            begun = Exchange(connection, wire[sent:], None, call.timeouts, sent_s + call.timeouts.total_s, reused=True)
            begun.failure = failure
            begun.take(received)
            return self._send_generally(call, wire, intended_s, sent_s, begun)
        connection.idle_since_s = end_s = perf_counter()
        idle.append(connection)
        if call is None:
            route.success(intended_s, sent_s, end_s, head.body_length)
            response = Response(head, received, head.raw_length, route, intended_s, sent_s, end_s)
            if self._observers:
                self._tell_of(route, response)
            return response
        kind = CaughtResponse if call.caught else Response
        response = kind(head, received, head.raw_length, call.request, intended_s, sent_s, end_s)
        return self._conclude(call, response)

    def _plain_call(self, route: Route) -> _Call:
        """The call of a request without options."""
        return _Call(route, Outgoing(route.method, route.url, None, None, None), self._timeouts)

    def _send_generally(
        self, call: _Call, wire: bytes, intended_s: float, sent_s: float, begun: Exchange | None = None
    ) -> Response:
        """The general path: any connection, any response, redirects, errors."""
        trail = _Trail(call.request)
        content = None
        failure: Exception | None = None
        try:
            content = self._fetch(call, wire, sent_s + call.timeouts.total_s, begun, trail)
        except HttpError as error:
            failure = error
        head = trail.head
        if failure is None and head is not None and is_failure(head.status):
            failure = StatusError(head.status, trail.request.url.text)
        kind = CaughtResponse if call.caught else Response
        end_s = trail.end_s or perf_counter()
        response = kind(head, content, 0, trail.request, intended_s, sent_s, end_s)
        response.wire_bytes = trail.wire_bytes
        if failure is not None:
            response.error = failure
        if trail.history:
            response.history = trail.history
        if trail.stream is not None:
            response.attach(trail.stream)
        return self._conclude(call, response)

    def _fetch(self, call: _Call, wire: bytes, ends_s: float, begun: Exchange | None, trail: _Trail) -> bytes | None:
        """Exchange requests for responses until one does not redirect; its decoded body, None for a stream.

        Raises:
            HttpError: The call failed.
        """
        while True:
            request = trail.request
            exchange, head = self._transport.exchange(request, wire, call.timeouts, ends_s, begun)
            begun = None
            trail.head = head
            if "set-cookie" in head.headers:
                self.cookies.store(request.url, head.headers.get_all("set-cookie"))
            location = head.headers.get("location") if head.status in _REDIRECTS else None
            if location is None or not call.allow_redirects:
                return self._read_body(call, exchange, head, trail)
            passed = _Call(call.route, request, call.timeouts)  # a redirect's own body is never streamed
            content = self._read_body(passed, exchange, head, trail)
            trail.history.append(Response(head, content, 0, request, 0.0, 0.0, 0.0))
            if len(trail.history) > self._user.max_redirects:
                raise RedirectError(f"more than {self._user.max_redirects} redirects")
            trail.request = redirected(call.request, request, head.status, location)
            line = request_line(trail.request.method, trail.request.url)
            wire = trail.request.encode(line, call.route.defaults, self._cookie_line(trail.request))

    def _read_body(self, call: _Call, exchange: Exchange, head: ResponseHead, trail: _Trail) -> bytes | None:
        """The decoded body; None for a stream, whose reader is then in the trail."""
        body = exchange.body(head, trail.request.method)
        release = self._releaser(exchange, trail.request)
        if call.stream:
            exchange.ends_s = FOREVER_S
            trail.stream = BodyStream(body, Decoder(head.encoding, FOREVER_S), exchange.classed, release)
            trail.wire_bytes = head.content_length or 0
            trail.end_s = perf_counter()
            return None
        raw = self._read_whole(exchange, body)
        trail.end_s = perf_counter()
        trail.wire_bytes = len(raw)
        release(body.reusable)
        return decode(head.encoding, raw, MAX_BODY_BYTES) if head.encoding and raw else raw

    def _read_whole(self, exchange: Exchange, body: Body) -> bytes:
        try:
            return read_all(body, MAX_BODY_BYTES)
        except Exception as error:
            exchange.connection.close()
            raise exchange.classed(error) from error
        except BaseException:
            exchange.connection.close()
            raise

    def _releaser(self, exchange: Exchange, request: Outgoing) -> Callable[[bool], None]:
        """What gives the connection back."""
        transport, origin = self._transport, request.url.origin
        return lambda reusable: transport.release(origin, exchange.connection, reusable and exchange.keeps)

    def _cookie_line(self, request: Outgoing) -> bytes:
        return b"" if self._cookies is None else self._cookies.line_for(request.url)

    def _conclude(self, call: _Call, response: Response) -> Response:
        """Count the request, or leave it to the with-block."""
        if isinstance(response, CaughtResponse):
            response.begin(lambda decided: self._report(call.route, decided, call.context))
        else:
            self._report(call.route, response, call.context)
        return response

    def _report(self, route: Route, response: Response, context: Mapping[str, Any] | None = None) -> None:
        """Count a request and tell Locust's listeners, if there are any."""
        error = response.error
        times = (response.intended_s, response.sent_s, response.end_s)
        if error is None:
            route.success(*times, response.wire_bytes)
        else:
            route.series.failure(*times, response.wire_bytes, error_class_of(error), str(error))
        if self._observers:
            self._tell_of(route, response, context)

    def _tell_of(self, route: Route, response: Response, context: Mapping[str, Any] | None = None) -> None:
        """Tell Locust's listeners of a request, with Locust's arguments."""
        self._tell(
            request_type=route.method,
            name=route.series.key.name,
            response_time=(response.end_s - response.sent_s) * 1000,
            response_length=response.wire_bytes,
            response=response,
            context={**self._user.context(), **(context or {})},
            exception=response.error,
            start_time=time.time() - (perf_counter() - response.sent_s),
            url=route.url.text,
        )

    def _count_invalid(self, method: str, label: str, error: InvalidRequestError) -> None:
        """Count a call that could not be built."""
        now_s = perf_counter()
        self._book.series(method, label).failure(now_s, now_s, now_s, 0, error.error_class, str(error))
        if self._observers:
            self._tell(
                request_type=method,
                name=label,
                response_time=0.0,
                response_length=0,
                response=None,
                context=self._user.context(),
                exception=error,
                start_time=time.time(),
                url=label,
            )

    def _tell(self, **request: Any) -> None:
        for listener in tuple(self._observers):
            try:
                listener(**request)
            except Exception:
                logger.exception("a listener of events.request failed")

    def close(self) -> None:
        """Close the user's connections."""
        self._transport.close()

    def __del__(self) -> None:
        """Connections are watched by the event loop and would outlive the user."""
        self.close()


def redirected(first: Outgoing, request: Outgoing, status: int, location: str) -> Outgoing:
    """The request to which a redirect leads (RFC 9110, section 15.4, with the method rules of the Fetch standard).

    301 and 302 turn POST into GET, 303 turns everything but HEAD into GET, 307 and 308 repeat the request. Credentials
    stay with the host for which the scenario gave them.

    Args:
        first: The request that the scenario made.
        request: The one that is redirected.
        status: The redirect's status.
        location: Where it leads.

    Raises:
        RedirectError: It leads nowhere, or the body cannot be sent a second time.
    """
    try:
        url = join(request.url, location)
    except InvalidRequestError as error:
        raise RedirectError(f"the redirect cannot be followed: {error}") from error
    headers = dict(first.headers or {})
    if url.origin is not first.url.origin:
        headers = {name: value for name, value in headers.items() if name.lower() not in _FOR_ONE_HOST}
        headers["Authorization"] = None
    method, body, weak = request.method, request.body, request.weak
    if (status == _SEE_OTHER and method not in _KEPT) or (status in _REWRITTEN and method == "POST"):
        headers = {name: value for name, value in headers.items() if not name.lower().startswith("content-")}
        method, body, weak = "GET", None, None
    elif isinstance(body, Upload) and not body.rewind():
        raise RedirectError("the redirect wants the body a second time, and it cannot be read again")
    return Outgoing(method, url, headers, weak, body)


class HttpUser(LoadUser, RestMixin[Response]):
    """A user with an HTTP client; the counterpart of Locust's FastHttpUser.

    Attributes:
        client: The client.
        connection_timeout: Seconds for name resolution, TCP connect and TLS handshake together.
        network_timeout: Seconds from the request to the response's complete head, and between two pieces of its body.
        total_timeout: Seconds for the whole request, redirects included; None for no limit.
        max_redirects: Redirects that are followed for one call.
        insecure: Do not verify the server's certificate.
        default_headers: Headers sent with every request.
        ssl_context_factory: Makes the TLS context; called once. It overrides ``insecure``.
    """

    abstract = True
    connection_timeout: float = 60.0
    network_timeout: float = 60.0
    total_timeout: float | None = 300.0
    max_redirects: int = 30
    insecure: bool = False
    default_headers: Mapping[str, HeaderValue] | None = None
    ssl_context_factory: "Callable[[], ssl.SSLContext] | None" = None

    def __init__(self, environment: "Environment") -> None:
        """Create the user and its client; nothing is connected yet.

        Raises:
            StopTest: No host was given.
        """
        super().__init__(environment)
        if self.host is None:
            raise StopTest(
                "no host to load: give one by --host, as in --host http://localhost:5000, "
                "or as the attribute host of the User class"
            )
        self.client = HttpClient(self, self.host)

    @classmethod
    def tls_context(cls) -> "ssl.SSLContext":
        """The TLS context that all users of this class share."""
        factory = cls.ssl_context_factory
        if factory is None:
            return http_tls.default_context(not cls.insecure)
        return http_tls.context_from(getattr(factory, "__func__", factory))

    def close(self) -> None:
        """Close the connections; called when the user has stopped."""
        self.client.close()


def _default_headers(user: HttpUser) -> dict[str, HeaderValue]:
    return {
        "User-Agent": f"loadtest/{loadtest.__version__}",
        "Accept-Encoding": ACCEPTED,
        **(user.default_headers or {}),
    }
