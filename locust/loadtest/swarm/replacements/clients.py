"""Replacements for methods of Locust's HTTP clients and of the libraries below them: see `loadtest.swarm.replacements`.

Every request of these clients is counted, together with the connections, DNS look-ups and retransmissions that it
caused. Other clients report none of these, and the record says so.
"""

from __future__ import annotations

import functools
import itertools
from contextlib import suppress
from time import perf_counter, time
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import gevent
from locust import clients
from locust.contrib import fasthttp
from requests.exceptions import RequestException

from loadtest.clients.transport.endpoint import is_address
from loadtest.measuring.recorder import Recorder
from loadtest.measuring.stock_requests import PENDING_TALLIES
from loadtest.measuring.tallies import CONNECTION, ELSEWHERE, LOOKUP, RETRY
from loadtest.settings import hosts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


_request_ids: Final = itertools.count()
_HEADERS_AT: Final = 4
"""The number of positional arguments after the name among which a FastHttpUser's headers may be."""


class _PendingTallies(list[tuple[str, str, float]]):
    """Events during the current greenlet's request, such as opened connections: kind, detail and seconds."""

    tries = 0  # attempts of a FastHttpUser since the last response


def _pending_tallies() -> _PendingTallies:
    """Return the record of the current request; a discarded one outside the requests of Locust's clients."""
    found: _PendingTallies | None = getattr(gevent.getcurrent(), PENDING_TALLIES, None)
    return _PendingTallies() if found is None else found


class _Settled(clients.ResponseContextManager):
    """A response whose request counts exactly once, whatever the scenario does with it. Locust loses the request if the
    response is never used in a with-block, or if the block raises."""

    _is_reported = False

    def _report_request(self, exc: Any = None) -> None:  # noqa: ARG002 - Locust's argument
        self._is_reported = True
        self._request_event.fire(**{**self.request_meta, "response": self})  # type: ignore[no-untyped-call]

    def __del__(self) -> None:
        if not self._is_reported:
            self._entered = True
            self.__exit__(None, None, None)  # type: ignore[no-untyped-call]


class _FastSettled(fasthttp.ResponseContextManager):
    """`_Settled` for a FastHttpUser."""

    _is_reported = False

    def _report_request(self) -> None:
        self._is_reported = True
        super()._report_request()  # type: ignore[no-untyped-call]

    __del__ = _Settled.__del__


_SETTLED: Final[dict[type, type]] = {
    clients.ResponseContextManager: _Settled,
    fasthttp.ResponseContextManager: _FastSettled,
}


def request(original: Callable[..., Any]) -> Callable[..., Any]:
    """Count requests that Locust omits: those whose user was stopped, or timed out, before the response arrived, and
    those whose response was caught but never marked."""

    @functools.wraps(original)
    def request(self: Any, method: str, url: str, name: str | None = None, *args: Any, **more: Any) -> Any:
        began_s, start_time = perf_counter(), time()
        recorder = Recorder.of(self.user.environment) if self.user is not None else None
        waiting = {} if recorder is None else recorder.open_requests
        request_id = next(_request_ids)
        waiting[request_id] = began_s
        greenlet, pending = gevent.getcurrent(), _PendingTallies()
        is_absolute = fasthttp.absolute_http_url_regexp.match(url)
        if is_absolute and not url.startswith(self.base_url or url):
            pending.append((ELSEWHERE, urlsplit(url).netloc.rpartition("@")[2], 0.0))
        setattr(greenlet, PENDING_TALLIES, pending)
        hosts.begin_request(self.base_url or "", url if is_absolute else "")
        if recorder is not None and recorder.sampler.ratio and len(args) < _HEADERS_AT:
            own = getattr(self, "headers", None) or getattr(getattr(self, "client", None), "default_headers", None)
            more["headers"], _ = recorder.sampler.apply(more.get("headers"), own or ())
        try:
            return _settled(original(self, method, url, name, *args, **more), pending)
        except (gevent.GreenletExit, gevent.Timeout) as cause:
            self.request_event.fire(
                request_type=method,
                name=name or self.request_name or url,
                response_time=(perf_counter() - began_s) * 1000,
                response_length=0,
                response=None,
                context=more.get("context", {}),
                exception=cause,
                start_time=start_time,
                url=url,
            )
            raise
        finally:
            del waiting[request_id]
            setattr(greenlet, PENDING_TALLIES, None)

    return request


def _settled(response: Any, pending: _PendingTallies) -> Any:
    """Return a response whose request counts even if the scenario catches it and never marks it.

    It counts as soon as nothing references the response. Reference cycles would delay that until the garbage collector
    runs, so they are removed: the response within the event's arguments, and the frames in the tracebacks of its error.
    """
    if not getattr(response, "_catch_response", False) or type(response) not in _SETTLED:
        return response
    response.__class__ = _SETTLED[type(response)]
    counted = response.request_meta["response"]  # the same object, or the one that a FastHttpUser's response is made of
    setattr(counted, PENDING_TALLIES, pending)
    if counted is response:
        response.request_meta["response"] = None
    error = getattr(response, "error", None)
    while error is not None:
        error.__traceback__, error = None, error.__context__
    return response


def open_connection(original: Callable[..., Any]) -> Callable[..., Any]:
    """Count a connection that is opened."""

    def open_connection(self: Any) -> Any:
        began_s = perf_counter()
        connection = original(self)
        _pending_tallies().append((CONNECTION, "", perf_counter() - began_s))
        return connection

    return open_connection


def resolve(original: Callable[..., Any]) -> Callable[..., Any]:
    """Count a DNS look-up of a FastHttpUser."""

    def resolve(self: Any) -> Any:
        began_s = perf_counter()
        found = original(self)
        _note_lookup(self._connection_host, began_s)
        return found

    return resolve


class _LookingUp:
    """The module `socket` as the library below HttpUser sees it, with look-ups counted."""

    def __init__(self, original: Any) -> None:
        self._original = original

    def __getattr__(self, name: str) -> Any:
        return getattr(self._original, name)

    def getaddrinfo(self, host: Any, *args: Any, **more: Any) -> Any:
        """Look up a host."""
        began_s = perf_counter()
        found = self._original.getaddrinfo(host, *args, **more)
        _note_lookup(host, began_s)
        return found


looking_up: Final[Callable[[Any], Any]] = _LookingUp


def _note_lookup(host: str, began_s: float) -> None:
    if not is_address(host):
        _pending_tallies().append((LOOKUP, host, perf_counter() - began_s))


def increment(original: Callable[..., Any]) -> Callable[..., Any]:
    """Count a request that an HttpUser with adapters of its own retries."""

    def increment(self: Any, *args: Any, **more: Any) -> Any:
        further = original(self, *args, **more)  # raises when no further attempt is left
        _pending_tallies().append((RETRY, "", 0.0))
        return further

    return increment


def get_socket(original: Callable[..., Any]) -> Callable[..., Any]:
    """Count a request that a FastHttpUser retries by itself over another connection."""

    def get_socket(self: Any) -> Any:
        pending = _pending_tallies()
        if pending.tries:
            pending.append((RETRY, "", 0.0))
        pending.tries += 1
        return original(self)

    return get_socket


def send(original: Callable[..., Any]) -> Callable[..., Any]:
    """Tell a request that follows a redirect from one that is retried."""

    def send(self: Any, request: Any) -> Any:
        response = original(self, request)
        _pending_tallies().tries = 0
        return response

    return send


class RedirectError(RequestException):
    """`loadtest.settings.hosts.RedirectError` as a failure that an HttpUser counts."""


def rebuild_auth(original: Callable[..., Any]) -> Callable[..., Any]:
    """Record which URL redirects a request of an HttpUser, and where to."""

    def rebuild_auth(self: Any, prepared_request: Any, response: Any) -> None:
        try:
            hosts.note_redirect(response.url, prepared_request.url)
        except hosts.RedirectError as error:
            raise RedirectError(str(error)) from error
        original(self, prepared_request, response)

    return rebuild_auth


def resolve_redirects(original: Callable[..., Any]) -> Callable[..., Any]:
    """Where redirects are not followed, yield the requests they lead to, up to the first that is refused."""

    def resolve_redirects(self: Any, *args: Any, yield_requests: bool = False, **more: Any) -> Any:
        hops = original(self, *args, yield_requests=yield_requests, **more)
        return _up_to_refused(hops) if yield_requests else hops

    return resolve_redirects


def _up_to_refused(hops: Iterator[Any]) -> Iterator[Any]:
    with suppress(RedirectError):
        yield from hops


def redirect(original: Callable[..., Any]) -> Callable[..., Any]:
    """Record which URL redirects a request of a FastHttpUser, and where to."""

    def redirect(self: Any, *args: Any) -> None:
        before = self.url
        original(self, *args)
        hosts.note_redirect(before, self.url)

    return redirect
