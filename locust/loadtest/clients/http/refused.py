"""Arguments and attributes that Locust's other HTTP clients accept and this one does not, each with its replacement.

Accepted silently, they would make a run measure something other than its author intended.

Tested in tests/unit/clients/http/test_refused.py.
"""

from collections.abc import Iterable
from typing import Any, Final

from loadtest.clients.http.errors import InvalidRequestError
from loadtest.exceptions import UsageError

ARGUMENTS: Final = {
    "cert": "let ssl_context_factory of the User class load the certificate",
    "debug_stream": "log response.request and response.headers",
    "hooks": "use the response that the call returns, or a listener of events.request",
    "max_redirects": "set max_redirects of the User class",
    "max_retries": "a request that fails counts; repeat the call in the scenario",
    "payload": "it is called data here, as in FastHttpUser's calls",
    "proxies": "the client connects directly, because through a proxy the proxy would be measured",
    "to_string": "use response.content or response.text",
    "verify": "set insecure = True of the User class, or give it an ssl_context_factory",
}
"""Arguments of the calls of FastHttpUser and HttpUser."""

_DIRECT: Final = "the client connects directly, because through a proxy the proxy would be measured"
_POOL: Final = "each user has its own connections, as separate clients of the service have"
ATTRIBUTES: Final[dict[str, tuple[Any, str]]] = {
    "client_pool": (None, _POOL),
    "concurrency": (10, "each greenlet of a user gets a connection; bound them by gevent.pool.Pool(n)"),
    "max_retries": (0, "a request that fails counts; repeat the call in the scenario"),
    "pool_manager": (None, _POOL),
    "proxy_host": (None, _DIRECT),
    "proxy_port": (None, _DIRECT),
}
"""Attributes of FastHttpUser and HttpUser: the stock default, which has no effect, and the replacement."""


def refuse_arguments(names: Iterable[str]) -> None:
    """Refuse the arguments of a call.

    Raises:
        InvalidRequestError: Always.
    """
    name = min(names)
    advice = ARGUMENTS.get(name, "docs/reference/http_client.md lists what a call takes")
    raise InvalidRequestError(f"the call has no argument {name!r}: {advice}")


def refuse_attributes(user: Any) -> None:
    """Refuse attributes of a User, class or instance, that would have no effect.

    Raises:
        UsageError: One is set.
    """
    name = user.__name__ if isinstance(user, type) else type(user).__name__
    for attribute, (default, advice) in ATTRIBUTES.items():
        value = getattr(user, attribute, default)
        if value != default:
            raise UsageError(f"{name}.{attribute} = {value!r} has no effect here: {advice}; remove the attribute")
