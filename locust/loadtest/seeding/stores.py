"""Where users can be: the store that a URL names."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from loadtest.exceptions import UsageError
from loadtest.seeding.mongo_store import MongoStore
from loadtest.seeding.redis_store import RedisStore
from loadtest.settings.urls import without_credentials

if TYPE_CHECKING:
    from collections.abc import Callable

Store = RedisStore | MongoStore
_KINDS: dict[str, Callable[[str], Store]] = {
    "redis": RedisStore,
    "rediss": RedisStore,
    "unix": RedisStore,
    "mongodb": MongoStore,
    "mongodb+srv": MongoStore,
}
SCHEMES = tuple(_KINDS)


def open_store(url: str) -> Store:
    """Return the store; nothing is connected yet.

    Raises:
        UsageError: it is no URL of a store, or MongoDB's client is not installed.
    """
    kind = _KINDS.get(urlsplit(url).scheme)
    try:
        if kind is not None:
            return kind(url)
        reason = "its scheme is unknown"
    except ValueError as error:  # a port that is no number
        reason = str(error)
    raise UsageError(
        f"{without_credentials(url)} is not a store ({reason}). Allowed: redis://host:port/db, rediss://…, "
        "unix://path, mongodb://host:port/database. Next: correct it."
    )
