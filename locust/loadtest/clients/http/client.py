"""The HTTP client of one user: its settings and its calls."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from time import perf_counter
from typing import Any, cast

from locust.event import EventHook

from loadtest.clients.http.cookies import StandardJar, line_with
from loadtest.clients.http.errors import (
    InvalidRequestError,
    interruption,
)
from loadtest.clients.http.exchange import Timeouts
from loadtest.clients.http.expect import Expect
from loadtest.clients.http.headers import HeaderValue
from loadtest.clients.http.refused import refuse_arguments
from loadtest.clients.http.request import Request, basic_auth
from loadtest.clients.http.request_body import NO_FIELDS, Upload, encode_body
from loadtest.clients.http.response import CaughtResponse, Response
from loadtest.clients.http.routes import HttpRoutes
from loadtest.clients.http.sender import Call, Sender
from loadtest.clients.http.streamed_response import StreamedResponse, phase_of
from loadtest.clients.http.url import split_credentials, with_params
from loadtest.clients.transport.deadlines import DeadlineSweeper
from loadtest.measuring.labels import LOAD
from loadtest.measuring.users import scenario_of
from loadtest.users.base import LoadUser

Defaults = tuple[tuple[str, HeaderValue], ...]


def defaults_of(headers: Mapping[str, HeaderValue]) -> Defaults:
    """Default headers in a hashable form."""
    return tuple((name, _keyed(value)) for name, value in headers.items())


def _keyed(value: HeaderValue) -> HeaderValue:
    """A value as part of a key; 1 and 1.0 compare equal but are sent differently."""
    if isinstance(value, list | tuple):
        return tuple(str(each) if isinstance(each, int | float) else each for each in value)
    return str(value) if isinstance(value, int | float) else value


@lru_cache
def _one_of(defaults: Defaults) -> Defaults:
    """Equal headers as one object that users share."""
    return defaults


class HttpClient(Sender):
    """The HTTP client of one user: connections, cookies and calls.

    Several greenlets of the user may use it at once; each takes its own connection.

    Attributes:
        user: The user that owns the client.
        request_name: Name of requests without a name of their own, within rename_request().
    """

    def __init__(
        self,
        user: LoadUser,
        base_url: str,
        headers: Mapping[str, HeaderValue],
        timeouts: Timeouts,
        max_redirects: int,
    ) -> None:
        """Connect nothing yet.

        Args:
            user: The user that owns the client.
            base_url: Base of relative URLs; may carry credentials.
            headers: Sent by default.
            timeouts: Timeouts of requests that set none.
            max_redirects: Most redirects that one call follows.
        """
        super().__init__(user, timeouts, max_redirects)
        self.request_name: str | None = None
        self._defaults = _one_of(defaults_of(headers))
        self._base_url, credentials = split_credentials(base_url)
        self._auth_header = None if credentials is None else basic_auth(credentials)
        self._phase = LOAD
        sampler = user.recorder.sampler
        self._sampler = sampler if sampler.ratio else None
        self._use_routes(shared=True)

    def enter(self, phase: str) -> None:
        """Record the requests that begin from now on as requests of this phase, ``setup`` or ``load``."""
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
        self._gets = self._routes.gets if self._sampler is None else {}  # request() asks the sampler

    @property
    def base_url(self) -> str:
        """The base of relative URLs from the next call on; credentials in it become ``auth_header``."""
        return self._base_url

    @base_url.setter
    def base_url(self, base_url: str) -> None:
        self._base_url, credentials = split_credentials(base_url)
        if credentials is not None:
            self._auth_header = basic_auth(credentials)
        self._use_routes(shared=True)

    @property
    def auth_header(self) -> str | None:
        """The Authorization header for the host of ``base_url`` from the next call on, or None."""
        return self._auth_header

    @auth_header.setter
    def auth_header(self, auth_header: str | None) -> None:
        self._auth_header = auth_header
        self._use_routes(shared=False)  # mostly a token that only this user has

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
    def cookie_values(self) -> tuple[str, ...]:
        """Values that may have been sent in cookies. This creates no jar, since every later call would search it."""
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

        To limit the whole stream, put a ``gevent.Timeout`` around the block; ``timeout`` limits the wait for the head
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
        """Record all requests of a with-block under one name."""
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
        """Send a request, follow its redirects, count it, and return its response.

        A request that fails is counted and returned with ``error`` set; raise_for_status() raises that error.

        Args:
            method: GET, POST and so on.
            url: Absolute, or relative to the user's host.
            name: The name it is recorded under; by default the URL as given.
            data: The body: bytes, str, a mapping or pairs for a form, a binary file, an iterable of bytes.
            catch_response: Return a context manager; the request is counted at the end of its with-block, and
                response.success() and response.failure() decide how.
            stream: Return once the head has arrived; iter_content(), iter_lines() or content read the body. The
                recorded time ends with the head.
            headers: Headers of this request; None as a value leaves a default header out.
            auth: Name and password for basic authentication.
            json: A value to send as JSON, if there is no data.
            allow_redirects: Follow redirects.
            context: Passed to listeners of Locust's events.request.
            params: The query: a mapping, pairs, or a string.
            files: Files for a multipart form: a mapping of field to file, bytes or (file name, content[, type]).
            timeout: Seconds for connect and for read, or a tuple (connect, read[, total]); None in it for no limit.
            expect: What a good answer looks like; any other counts as failed, with the class ``check``.
            cookies: Cookies of this call only, in addition to the user's own; they replace cookies of the same name,
                and are not sent to another host on a redirect.
            others: Arguments that only other clients take; they are refused.

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
            is_traced = False
            if self._sampler is not None:
                headers, is_traced = self._sampler.apply(headers, route.lines)
            if auth:
                headers = {**(headers or {}), "Authorization": basic_auth(auth)}
            request = Request(method, route.url, headers, fields, body)
            request.lines = route.lines
            cookie_line = b"" if self._cookies is None else self._cookies.line_for(route.url)
            if cookies:
                cookie_line = line_with(cookie_line, cookies)
            wire = route.encode(request, cookie_line)
        except InvalidRequestError as error:
            self._reporter.report_invalid(method, name or url, error)
            raise
        if expect is not None or catch_response:
            route.series.is_checked = True
        is_whole = timeout is None and not stream and method != "HEAD" and not isinstance(body, Upload)
        if is_whole and context is None and expect is None and cookies is None and allow_redirects and not is_traced:
            return self._send(route, wire, request, None, catch_response)
        options = (allow_redirects, stream, catch_response, context, expect, cookies, is_traced)
        call = Call(route, request, timeouts, *options)
        if is_whole:
            return self._send(route, wire, request, call, catch_response)
        return self._send_generally(call, wire, *self._start())

    def _label(self, url: str, full_url: str) -> str:  # noqa: ARG002 -- SessionClient uses it
        """The name of a request that sets none: the URL as given, without params."""
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
