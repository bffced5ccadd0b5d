"""HttpUser: a lean HTTP/1.1 client with the API of Locust's FastHttpUser.

To run a scenario written for FastHttpUser on it, change the base class. The differences are listed in
docs/decisions/0030-own-http-client.md.

How a request runs: the constant parts (request line, Host, default headers, the recorder's series) are made once per
method, URL and name, and kept in a dictionary (`HttpRoute`). If there is an idle connection, the fast path sends, waits
and receives; if the response is complete and only needs to be counted (2xx, known length, no cookie), it is counted and
returned. Everything else (a first connection, bodies in pieces, redirects, cookies, errors) takes the general path in
`HttpClient.request`.

Tested in tests/unit/clients/http/test_porting.py and test_client.py.
"""

import functools
import inspect
import ssl
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from locust.exception import StopTest
from locust.user.users import RestMixin

import loadtest
from loadtest.clients.http.client import HttpClient
from loadtest.clients.http.coding import ACCEPTED
from loadtest.clients.http.exchange import Timeouts
from loadtest.clients.http.headers import HeaderValue
from loadtest.clients.http.refused import refuse_attributes
from loadtest.clients.http.response import Response
from loadtest.clients.transport.deadlines import FOREVER_S
from loadtest.clients.transport.stream import tls_context
from loadtest.users.base import LoadUser

if TYPE_CHECKING:
    from locust.env import Environment


_timeouts: Final = functools.lru_cache(Timeouts)  # equal ones are one object that users share


@functools.cache
def _default_context(insecure: bool) -> ssl.SSLContext:
    return tls_context(requirement=ssl.CERT_NONE if insecure else ssl.CERT_REQUIRED, alpn=("http/1.1",))


def _takes_user(factory: Callable[..., ssl.SSLContext]) -> bool:
    """Whether a factory found in a class is a method, rather than a function without arguments."""
    try:
        parameters = inspect.signature(factory).parameters.values()
    except ValueError:  # a function in C
        return False
    return any(each.default is each.empty and each.kind <= each.POSITIONAL_OR_KEYWORD for each in parameters)


@functools.cache
def _context_from(factory: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
    """The context of a factory, made once per factory, since sessions can only be resumed within one context."""
    return factory()


class HttpUser(LoadUser, RestMixin[Response]):
    """A user with an HTTP client; the counterpart of Locust's FastHttpUser.

    Attributes:
        client: The client.
        connection_timeout: Seconds for name resolution, TCP connect and TLS handshake together.
        network_timeout: Seconds from the request to the response's complete head, and between two pieces of its body.
        total_timeout: Seconds for the whole request, redirects included; None for no limit.
        max_redirects: Most redirects that one call follows.
        insecure: Do not verify the server's certificate; may be set per user, in ``__init__``.
        default_headers: Headers sent with every request.
        ssl_context_factory: Makes the TLS context, instead of ``insecure``. A function is called once for all users; a
            method, or a factory that a user sets in ``__init__``, once per user, for example for its own certificate.
    """

    abstract = True
    connection_timeout: float = 60.0
    network_timeout: float = 60.0
    total_timeout: float | None = 300.0
    max_redirects: int = 30
    insecure: bool = False
    default_headers: Mapping[str, HeaderValue] | None = None
    ssl_context_factory: Callable[..., ssl.SSLContext] | None = None
    _client_kind: type[HttpClient] = HttpClient

    def __init_subclass__(cls, **options: Any) -> None:
        """Refuse what would have no effect.

        Raises:
            UsageError: The class sets an attribute of other clients that this client does not support.
        """
        super().__init_subclass__(**options)
        refuse_attributes(cls)

    def __init__(self, environment: "Environment") -> None:
        """Create the user and its client; nothing is connected yet.

        Raises:
            StopTest: There is no host.
            UsageError: The instance sets an attribute that would have no effect.
        """
        super().__init__(environment)
        refuse_attributes(self)
        if self.host is None:
            raise StopTest(
                "no host to load: give one by --host, as in --host http://localhost:5000, "
                "or as the attribute host of the User class"
            )
        headers = {
            "User-Agent": f"loadtest/{loadtest.__version__}",
            "Accept-Encoding": ACCEPTED,
            **(self.default_headers or {}),
        }
        timeouts = _timeouts(self.connection_timeout, self.network_timeout, self.total_timeout or FOREVER_S)
        self.client = self._client_kind(self, self.host, headers, timeouts, self.max_redirects)

    def tls_context(self) -> ssl.SSLContext:
        """The TLS context of this user, shared within its class unless the user has its own factory."""
        if own := vars(self).get("ssl_context_factory"):
            context: ssl.SSLContext = own()
            return context
        factory = type(self).ssl_context_factory
        if factory is None:
            return _default_context(self.insecure)
        return factory(self) if _takes_user(factory) else _context_from(factory)

    def last_request_s(self) -> float:
        """When the last answer was complete, in seconds of ``time.perf_counter``; 0 before that."""
        return self.client.last_answer_s

    def enter_phase(self, phase: str) -> None:
        """Record the user's requests under this phase from now on."""
        super().enter_phase(phase)
        self.client.enter(phase)

    def close(self) -> None:
        """Close the connections; called when the user has stopped."""
        self.client.close()
