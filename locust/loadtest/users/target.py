"""Target: which service the users load, and why.

As in Locust, an explicit host takes precedence over the `host` of the User classes. Without either, the sample target
is loaded, except by ordinary locustfiles, which were not written for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from loadtest.exceptions import UsageError
from loadtest.settings.urls import without_credentials

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from locust import User

    from loadtest.settings.config import Config

_WITH_CLIENT: Final = "RestMixin"
"""The base classes of User classes whose client needs a host: Locust's HttpUser and FastHttpUser, and this
product's."""


_URLS: Final = ("http://", "https://", "http+unix://")
_REDIS_URLS: Final = ("redis://", "rediss://", "unix://")


class Target(NamedTuple):
    """The target of a run."""

    hosts: list[str]
    """Every host, sorted, without credentials; empty if only the users' own clients know what they load."""
    sentence: str
    """A description for people, with the reason."""


def target_of(host: str | None, of_classes: Mapping[str, str], config: Config) -> Target:
    """Return what is loaded, and why.

    Args:
        host: the host of all users; None if each User class has its own.
        of_classes: the hosts of User classes, by class name.
        config: the settings.
    """
    named = ", ".join(f"{without_credentials(one)} of {name}" for name, one in of_classes.items())
    if host is None:
        every = sorted(set(map(without_credentials, of_classes.values())))
        return Target(every, f"{named or 'no host'} (HOST is not set)")
    if host == config.sample_target:
        return Target([host], f"the sample target, {host}")
    reason = "HOST" if host == config.host else "given to Locust, or set by the locustfile"
    other = [name for name, one in of_classes.items() if one != host]
    shown = without_credentials(host)
    if host == config.host and not other:
        return Target([shown], shown)
    return Target([shown], f"{shown} ({reason}{f', instead of {named}' if other else ''})")


def redis_target_of(host: str | None, of_classes: Mapping[str, str], config: Config) -> Target:
    """Return the target of users who all use Redis only, which is never the service of HOST.

    Args:
        host: the explicit host; used if it is a Redis.
        of_classes: the Redis or host of User classes, by class name.
        config: the settings.
    """
    given = host if host and host.startswith(_REDIS_URLS) else config.redis_url
    urls = sorted({without_credentials(url) for url in of_classes.values() or [given] if url})
    return Target(urls, f"the Redis {', '.join(urls)}" if urls else "the Redis that is started for the run")


def each_side(user_classes: Iterable[type[User]]) -> list[type[User]]:
    """Return the classes whose users send the requests; in a duet, those of both sides."""
    return [side for kind in user_classes for side in getattr(kind, "sides", (kind,))]


def check_hosts(user_classes: Iterable[type], host: str | None) -> None:
    """Check that every user with an HTTP client has a host. A class with its own `__init__` may set it there.

    Raises:
        UsageError: a class has no host, or the host is not a base URL, so that its users could not send requests.
    """
    if host is not None:
        check_is_url(host, speaking_http(user_classes))
        return
    missing = [kind.__name__ for kind in user_classes if _needs_host(kind) and getattr(kind, "host", None) is None]
    if missing:
        raise UsageError(
            f"{', '.join(missing)} of this locustfile has no host. Allowed: HOST, or `host` in each User class. Next: "
            "add --host https://… (in Compose: LOADTEST_HOST), or write host = … into the class."
        )


def speaking_http(user_classes: Iterable[type]) -> list[str]:
    """Return the names of the User classes with an HTTP client."""
    return [kind.__name__ for kind in user_classes if _speaks_http(kind)]


def check_is_url(host: str, speaking_http: Sequence[str]) -> None:
    """Check an explicit host: only users with their own clients understand anything other than a base URL.

    Args:
        host: the explicit host.
        speaking_http: the names of the User classes with an HTTP client.

    Raises:
        UsageError: it is not a base URL, and one of them needs one.
    """
    if speaking_http and not host.startswith(_URLS):
        raise UsageError(
            f"HOST={without_credentials(host)} is not a base URL, which {', '.join(speaking_http)} needs. Allowed: "
            f"http://host[:port] or https://host[:port]. Next: set HOST=http://{host.rpartition('//')[2]}."
        )


def _speaks_http(kind: type) -> bool:
    return any(base.__name__ == _WITH_CLIENT for base in kind.__mro__)


def _needs_host(kind: type) -> bool:
    """Whether a User class needs a host from outside, since it does not set one itself."""
    maker = next(base for base in kind.__mro__ if "__init__" in vars(base))
    return maker.__module__.startswith(("locust.", "loadtest.")) and _speaks_http(kind)
