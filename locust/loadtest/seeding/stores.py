"""Stores: where users are kept, chosen by the URL: a Redis with RedisJSON, or MongoDB.

Tested in tests/unit/seeding/test_commands.py.
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import parse_qsl

import orjson
import redis

from loadtest.exceptions import StackError, UsageError
from loadtest.settings.redis_url import cluster_of, is_cluster, said, server_of
from loadtest.settings.urls import reason_for, without_credentials
from target_app.coin_queue import QUEUE_KEY, new_queue, user_key
from target_app.redis_pool import exchange, exchanges
from target_app.store import KEY_PREFIX, PRIVATE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

COLLECTION: Final = "users"
DATABASE: Final = "loadtest"
"""The MongoDB database if the URL names none."""
_REDIS_TIMEOUT_S: Final = 10.0
_SCAN_COUNT: Final = 5_000
_MONGO_LIMITS_MS: Final = {
    "serverSelectionTimeoutMS": 5_000,
    "connectTimeoutMS": 5_000,
    "socketTimeoutMS": 20_000,
}
"""Timeouts that options of the URL override."""
_DUPLICATE_KEY: Final = 11000
_OBJECT_ID_DIGITS: Final = 24


class Store(ABC):
    """Users by id; a context manager that closes the connection.

    Every method raises a StackError when the server is unreachable or refuses access.

    Attributes:
        name: the URL, without credentials.
    """

    def __init__(self, url: str) -> None:
        self.name = without_credentials(url)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @abstractmethod
    def close(self) -> None:
        """Close the connection."""

    @abstractmethod
    def write(self, users: Sequence[dict[str, Any]]) -> int:
        """Write the users that do not exist yet, and return their number; existing users stay as they are."""

    @abstractmethod
    def remove(self, ids: Sequence[str]) -> int:
        """Remove the users with these ids, and return how many existed."""

    @abstractmethod
    def remove_all(self) -> int:
        """Remove everything that belongs to this product, and return the number of keys.

        Raises:
            UsageError: when this store may also hold data of others.
        """

    @abstractmethod
    def finish(self) -> None:
        """Write the other data that a run needs, once all users are written."""

    @abstractmethod
    def ids(self) -> list[str]:
        """Return the ids of all users, sorted."""

    def name_of(self, user_id: str) -> str:
        """Return the text that identifies a user to this store's service."""
        return user_id


class RedisStore(Store):
    """Users of the coin queue as RedisJSON documents, in the Redis of a sample target; also accesses any other keys.

    Args:
        url: ``redis://…``, ``rediss://…`` or ``unix://…`` of a single server.

    Attributes:
        is_one_server: whether one command may name any combination of keys.
    """

    is_one_server = True
    _most_per_unlink = _SCAN_COUNT

    @staticmethod
    def of(url: str) -> RedisStore:
        """Return the store of a URL, which may be that of a cluster."""
        return ClusterStore(url) if is_cluster(url) else RedisStore(url)

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self._redis: Any = server_of(url, _REDIS_TIMEOUT_S)
        self._connection = self._redis.connection_pool.make_connection()  # costs a third of a pipeline's CPU time

    def close(self) -> None:
        """Close the connection."""
        self._connection.disconnect()
        self._redis.close()

    def write(self, users: Sequence[dict[str, Any]]) -> int:
        """Write the users that do not exist yet, in one pipeline, and return their number."""
        commands = [("JSON.SET", _key(user["id"]), "$", orjson.dumps(user), "NX") for user in users]
        return sum(reply is not None for reply in self.ask(*commands))

    def remove(self, ids: Sequence[str]) -> int:
        """Remove the users with these ids, and return how many existed."""
        return self.unlink([_key(user_id) for user_id in ids])

    def remove_all(self) -> int:
        """Remove every key under the product's prefix, and return their number."""
        return self.unlink_all(f"{KEY_PREFIX}*")

    def unlink_all(self, pattern: str) -> int:
        """Remove the keys that match, and return their number."""
        removed = 0
        try:
            keys = iter(self._redis.scan_iter(match=pattern, count=_SCAN_COUNT))
            while batch := list(itertools.islice(keys, _SCAN_COUNT)):
                removed += self.unlink(batch)
        except redis.RedisError as error:
            raise self._failed(error) from error
        return removed

    def unlink(self, keys: Sequence[str | bytes]) -> int:
        """Remove keys, and return how many existed."""
        most = self._most_per_unlink
        batches = [keys[start : start + most] for start in range(0, len(keys), most)]
        return sum(self.ask(*(("UNLINK", *batch) for batch in batches)))

    def finish(self) -> None:
        """Create a queue unless there is one, and keep runs from removing these users."""
        self._open_queue("NX")
        self.ask(("DEL", made_key("coin_queue")))

    def open_queue(self) -> None:
        """Create a new, empty queue, replacing any other."""
        self._open_queue()

    def ids(self) -> list[str]:
        """Return the ids of all users, sorted."""
        start = len(_key(""))
        return sorted(key.decode()[start:] for key in self.keys(_key("*")))

    def keys(self, pattern: str) -> set[bytes]:
        """Return the keys that match."""
        try:
            return set(self._redis.scan_iter(match=pattern, count=_SCAN_COUNT))
        except redis.RedisError as error:
            raise self._failed(error) from error

    def ask(self, *commands: tuple[Any, ...]) -> list[Any]:
        """Send commands in one pipeline, and return their replies."""
        try:
            return exchange(self._connection, *commands)
        except redis.RedisError as error:
            raise self._failed(error) from error

    def ask_ahead(self, batches: Iterable[Sequence[tuple[Any, ...]]]) -> Iterator[list[Any]]:
        """Send batches of commands, and yield the replies to each; the next batch is sent before they are read."""
        try:
            yield from exchanges(self._connection, batches)
        except redis.RedisError as error:
            raise self._failed(error) from error

    def _open_queue(self, *condition: str) -> None:
        try:
            self._redis.execute_command("JSON.SET", KEY_PREFIX + QUEUE_KEY, "$", orjson.dumps(new_queue()), *condition)
        except redis.RedisError as error:
            raise self._failed(error) from error

    def _failed(self, error: Exception) -> StackError:
        return StackError(
            f"the Redis at {self.name} cannot be used ({without_credentials(said(error))}). Allowed: a running Redis "
            "with RedisJSON. Next: start it or correct its address, then try again; users already written are kept."
        )


class ClusterStore(RedisStore):
    """Keys in a Redis Cluster.

    Args:
        url: of any node, with ``cluster=true``.
    """

    is_one_server = False
    _most_per_unlink = 1

    def __init__(self, url: str) -> None:
        Store.__init__(self, url)
        try:
            self._redis = cluster_of(url, _REDIS_TIMEOUT_S)
        except redis.exceptions.RedisClusterException as error:
            raise self._failed(error) from error

    def close(self) -> None:
        """Close the connections."""
        self._redis.close()

    def ask(self, *commands: tuple[Any, ...]) -> list[Any]:
        """Send each command to its node, and return the replies."""
        pipeline = self._redis.pipeline(transaction=False)
        for command in commands:
            pipeline.execute_command(*command)
        try:
            replies: list[Any] = pipeline.execute()
        except (redis.RedisError, redis.exceptions.RedisClusterException) as error:
            raise self._failed(error) from error
        return replies

    def ask_ahead(self, batches: Iterable[Sequence[tuple[Any, ...]]]) -> Iterator[list[Any]]:
        """Send batches of commands one after another, and yield the replies to each."""
        for batch in batches:
            yield self.ask(*batch)


def _key(user_id: str) -> str:
    return KEY_PREFIX + user_key(user_id)


def made_key(scenario: str) -> str:
    """Return the key of the set that lists what a scenario's runs created; see `loadtest.seeding.shared_data`."""
    return f"{KEY_PREFIX}{PRIVATE}made:{scenario}"


class MongoStore(Store):
    """Users in a MongoDB collection, with the id as ``_id``.

    Args:
        url: ``mongodb://host[:port]/database``, with any options of pymongo.
        collection: its name.
        object_ids: whether ``_id`` is an ObjectId made of the id's first digits, instead of the id's text.

    Raises:
        UsageError: when pymongo cannot parse the URL, or the collection's name is invalid.
    """

    def __init__(self, url: str, collection: str = COLLECTION, *, object_ids: bool = False) -> None:
        super().__init__(url)
        self._object_ids = object_ids
        import pymongo  # noqa: PLC0415 - takes a fifth of a second, which only users of MongoDB should pay
        import pymongo.errors  # noqa: PLC0415

        self._errors = pymongo.errors
        try:
            limits_ms = {name: value for name, value in _MONGO_LIMITS_MS.items() if name.lower() not in url.lower()}
            client: Any = pymongo.MongoClient
            self._client: Any = client(url, **limits_ms)
            self._users: Any = self._client.get_default_database(DATABASE)[collection]
        except (pymongo.errors.PyMongoError, ValueError, TypeError) as error:
            raise UsageError(
                f"{self.name} is not a MongoDB URL ({without_credentials(str(error))}). Allowed: "
                "mongodb://host:port/database. Next: correct it."
            ) from error

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def write(self, users: Sequence[dict[str, Any]]) -> int:
        """Write the users that do not exist yet, in one bulk write, and return their number."""
        documents = [self._document(user) for user in users]
        ids = [document["_id"] for document in documents]
        try:
            existing = {found["_id"] for found in self._users.find({"_id": {"$in": ids}}, {"_id": 1})}
            missing = [document for document in documents if document["_id"] not in existing]
            if missing:
                self._users.insert_many(missing, ordered=False)
        except self._errors.BulkWriteError as error:
            written: int = error.details.get("nInserted", 0)
            if any(problem.get("code") != _DUPLICATE_KEY for problem in error.details.get("writeErrors", [{}])):
                raise self._failed(error) from error
            return written  # another process is seeding the same users
        except self._errors.PyMongoError as error:
            raise self._failed(error) from error
        return len(missing)

    def remove(self, ids: Sequence[str]) -> int:
        """Remove the users with these ids, and return how many existed."""
        try:
            return int(self._users.delete_many({"_id": {"$in": [*map(self._key, ids)]}}).deleted_count)
        except self._errors.PyMongoError as error:
            raise self._failed(error) from error

    def remove_all(self) -> int:
        """Refuse: a collection may hold other people's documents.

        Raises:
            UsageError: always.
        """
        raise UsageError(
            f"--all is not for {self.name}, whose collection may hold other users. Allowed: a Redis, where all keys of "
            "this product have one prefix. Next: give --count and --seed, as to `seed users`."
        )

    def finish(self) -> None:
        """Do nothing: a run needs no other data."""

    def ids(self) -> list[str]:
        """Return the ids of all users, sorted."""
        return sorted(str(found["_id"]) for found in self.find({}, ["_id"]))

    def find(self, condition: dict[str, Any], fields: list[str] | None) -> Iterator[dict[str, Any]]:
        """Yield the documents that match, sorted by ``_id``, with all fields or only these."""
        try:
            yield from self._users.find(condition, fields).sort("_id", 1)
        except self._errors.PyMongoError as error:
            raise self._failed(error) from error

    def name_of(self, user_id: str) -> str:
        """Return the text that identifies a user to this store's service: its ``_id`` as text."""
        return str(self._key(user_id))

    def _key(self, user_id: str) -> Any:
        from bson import ObjectId  # noqa: PLC0415 - like pymongo

        return ObjectId(user_id.replace("-", "")[:_OBJECT_ID_DIGITS]) if self._object_ids else user_id

    def _document(self, user: dict[str, Any]) -> dict[str, Any]:
        return {"_id": self._key(user["id"]), **{name: value for name, value in user.items() if name != "id"}}

    def _failed(self, error: Exception) -> StackError:
        reason = without_credentials(str(error)).partition(", Timeout:")[0]
        return StackError(
            f"the MongoDB at {self.name} cannot be used ({reason}). Allowed: a running MongoDB that grants access. "
            "Next: start it or correct its address, then try again; users already written are kept."
        )


_KINDS: dict[str, Callable[..., Store]] = {
    "redis": RedisStore,
    "rediss": RedisStore,
    "unix": RedisStore,
    "mongodb": MongoStore,
    "mongodb+srv": MongoStore,
}
SCHEMES = tuple(_KINDS)


def open_store(url: str, **of_mongo: Any) -> Store:
    """Return the store of a URL, without connecting to it.

    Args:
        url: its address.
        of_mongo: further arguments of `MongoStore`.

    Raises:
        UsageError: when it is not the URL of a store, or not that of a MongoDB although there are arguments for one.
    """
    kind = _KINDS.get(url.partition("://")[0].lower())
    if of_mongo and kind is RedisStore:
        raise UsageError(
            f"--collection and --object-ids are not for {without_credentials(url)}. Allowed: with a MongoDB. Next: "
            "leave them out, or set --store=mongodb://host:port/database."
        )
    if kind is MongoStore and "collection" in dict(parse_qsl(url.partition("?")[2])):  # pymongo would ignore it
        raise UsageError(
            f"{without_credentials(url)} names a collection. Allowed: a pymongo URL. Next: use --collection NAME."
        )
    try:
        if kind is not None:
            return kind(url, **of_mongo)
        reason = "its scheme is unknown"
    except ValueError as error:  # a port that is not a number
        reason = reason_for(url, error)
    raise UsageError(
        f"{without_credentials(url)} is not a store ({reason}). Allowed: redis://host:port/db, rediss://…, "
        "unix://path, mongodb://host:port/database. Next: correct it."
    )
