"""Access to RedisJSON: one bounded connection pool per process; every failure is a `StoreError`.

A command is never retried: after a timeout, increments and appends could otherwise be applied twice.

Tested through the API, in tests/target_app/test_documents.py.
"""

from collections.abc import Callable, Sequence
from typing import Any

import orjson
import redis

from target_app.redis_pool import Command, RedisPool, exchange
from target_app.store_errors import (
    StoreError,
    UnavailableError,
    UnknownKeyError,
    UnknownPathError,
    WrongTypeError,
    to_store_error,
    translate_errors,
)

KEY_PREFIX = "loadtest:"
"""The prefix of every key of this product; no other key is ever touched."""

PRIVATE = "~"
"""The beginning, after the prefix, of the keys of accounts; the documents API neither lists nor accepts such keys."""

_SCAN_OPTIONS = ("COUNT", 500, "TYPE", "ReJSON-RL")
_SCAN_BATCHES = 20
"""One listing scans about 10,000 keys of the whole Redis at most, even if few of them match."""

_UPDATE_TRIES = 5
"""The number of attempts at a read-modify-write when other writers are faster."""


class Store:
    """RedisJSON documents, hashes and plain strings under `KEY_PREFIX`.

    Keys are given without the prefix. Documents and values are returned as the bytes that Redis sent: JSON text.
    Every method raises a `StoreError`.
    """

    def __init__(self, redis_url: str, connections: int, timeout_s: float) -> None:
        """Prepare a pool of at most `connections`, which are opened by commands.

        Args:
            redis_url: the URL of Redis.
            connections: the size of the pool; further callers wait.
            timeout_s: the limit, in seconds, of each connect, reply, and wait for a pooled connection.
        """
        self._pool = RedisPool(redis_url, connections, timeout_s)

    def close(self) -> None:
        """Close every pooled connection."""
        self._pool.close()

    def check(self) -> None:
        """Check that Redis responds and has RedisJSON."""
        self._run("JSON.GET", "")

    # documents

    def read(self, key: str) -> bytes:
        """Return a whole document."""
        # "." is Redis's default path; fakeredis, a run's last resort, returns {} without one.
        return _existing(self._run("JSON.GET", key, "."), key)

    def read_path(self, key: str, path: str) -> bytes:
        """Return the array of all values that the path matches."""
        matches = _existing(self._run("JSON.GET", key, path), key)
        if matches == b"[]":
            raise _unknown_path(key, path)
        return matches

    def object_keys(self, key: str, path: str) -> list[list[str]]:
        """Return the member names of each object that the path matches."""
        matches = self._run("JSON.OBJKEYS", key, path)
        objects = _of_type(matches, key, path, "an object")
        return [[name.decode() for name in names] for names in objects]

    def write(self, key: str, value: bytes) -> None:
        """Create or replace a whole document."""
        self._run("JSON.SET", key, "$", value)

    def update(self, key: str, path: str, value: bytes) -> None:
        """Replace the values that the path matches; nothing new is created."""
        if self._run("JSON.SET", key, path, value, "XX") is None:
            raise self._missing(key, path)

    def increment(self, key: str, path: str, by: float) -> bytes:
        """Add to each number that the path matches; return the array of results."""
        return _numbers(self._run("JSON.NUMINCRBY", key, path, orjson.dumps(by)), key, path)

    def multiply(self, key: str, path: str, by: float) -> bytes:
        """Multiply each number that the path matches; return the array of results."""
        return _numbers(self._run("JSON.NUMMULTBY", key, path, orjson.dumps(by)), key, path)

    def append_to_array(self, key: str, path: str, values: Sequence[object]) -> list[int]:
        """Append to each array that the path matches; return their new lengths."""
        texts = [orjson.dumps(value) for value in values]
        lengths: list[int] = _of_type(self._run("JSON.ARRAPPEND", key, path, *texts), key, path, "an array")
        return lengths

    def append_to_string(self, key: str, path: str, text: str) -> list[int]:
        """Append to each string that the path matches; return their new lengths in characters or bytes."""
        reply = self._run("JSON.STRAPPEND", key, path, orjson.dumps(text))
        lengths: list[int] = _of_type(reply, key, path, "a string")
        return lengths

    def delete(self, key: str) -> None:
        """Delete a whole document; a key of another type is kept."""
        if not self._run("JSON.DEL", key, "."):
            raise _unknown_key(key)

    def delete_path(self, key: str, path: str) -> int:
        """Delete the values that the path matches; return how many there were."""
        deleted: int = self._run("JSON.DEL", key, path)
        if not deleted:
            raise self._missing(key, path)
        return deleted

    def keys(self, pattern: str, cursor: int) -> tuple[list[str], int]:
        """List document keys that match a glob pattern, a bounded number at a time.

        Returns:
            The keys found, and the cursor to continue with; 0 at the end.
        """
        found: list[str] = []
        for _ in range(_SCAN_BATCHES):
            with translate_errors(pattern):
                next_cursor, keys = self._pool.run("SCAN", cursor, "MATCH", KEY_PREFIX + pattern, *_SCAN_OPTIONS)
            names = (key.decode(errors="replace")[len(KEY_PREFIX) :] for key in keys)
            found += [name for name in names if not name.startswith(PRIVATE)]
            cursor = int(next_cursor)
            if not cursor:
                break
        return found, cursor

    def create(self, key: str, value: bytes, kept_s: int) -> bool:
        """Write a whole document that expires; return False if it exists already."""
        created, _ = self.together(("JSON.SET", key, "$", value, "NX"), ("EXPIRE", key, kept_s))
        return created is not None

    def append_latest(self, key: str, path: str, values: Sequence[object], most: int) -> None:
        """Append to the arrays that the path matches and drop their first values beyond a limit, in one step."""
        texts = [orjson.dumps(value) for value in values]
        self.together(("JSON.ARRAPPEND", key, path, *texts), ("JSON.ARRTRIM", key, path, -most, -1))

    def read_many(self, keys: Sequence[str]) -> list[bytes]:
        """Return those of the given documents that exist, all of them objects, in order."""
        with translate_errors(keys[0]):
            found = self._pool.run("JSON.MGET", *(KEY_PREFIX + key for key in keys), "$")
        # An array with the document in it; from fakeredis, a run's last resort, the document itself.
        return [text[1:-1] if text.startswith(b"[") else text for text in found if text and text != b"[]"]

    def together(self, *commands: Command) -> list[Any]:
        """Run several commands, each (name, key, arguments…), as one step, and return their replies."""
        with translate_errors(commands[0][1]), self._pool.connection() as connection:
            *_, replies = exchange(connection, ("MULTI",), *_named(commands), ("EXEC",))
            return _succeeded(replies)

    def change(self, key: str, reads: Sequence[Command], decide: Callable[..., Sequence[Command]]) -> list[Any]:
        """Read, decide what to write, and write it as one step; repeat this if the key changed meanwhile.

        Args:
            key: the key that must not change between reading and writing.
            reads: commands, each (name, key, arguments…).
            decide: takes the replies and returns the commands that write; raises a `StoreError` to write nothing.

        Returns:
            The replies of the commands that wrote.
        """
        with translate_errors(key), self._pool.connection() as connection:
            for _ in range(_UPDATE_TRIES):
                _, *found = exchange(connection, ("WATCH", KEY_PREFIX + key), *_named(reads))
                try:
                    commands = decide(*found)
                except StoreError:
                    exchange(connection, ("UNWATCH",))
                    raise
                *_, replies = exchange(connection, ("MULTI",), *_named(commands), ("EXEC",))
                if replies is not None:
                    return _succeeded(replies)
        raise UnavailableError(f"The key {key!r} changed {_UPDATE_TRIES} times while it was being updated.")

    # hashes: each field holds the JSON text of one member of the document

    def hash_read(self, key: str) -> bytes:
        """Return a whole hash as a JSON object."""
        parts: list[bytes] = self._run("HGETALL", key)
        if not parts:
            raise _unknown_key(key)
        names, texts = parts[::2], parts[1::2]
        members = [b"%b:%b" % (orjson.dumps(name.decode()), text) for name, text in zip(names, texts, strict=True)]
        return b"{%b}" % b",".join(members)

    def hash_read_field(self, key: str, field: str) -> bytes:
        """Return the JSON text in one field."""
        text: bytes | None = self._run("HGET", key, field)
        if text is None:
            raise self._missing(key, field)
        return text

    def hash_write(self, key: str, value: dict[str, object]) -> None:
        """Create or replace a whole hash, in one transaction."""
        name = KEY_PREFIX + key
        fields = [part for member, content in value.items() for part in (member, orjson.dumps(content))]
        with translate_errors(key), self._pool.connection() as connection:
            exchange(connection, ("MULTI",), ("DEL", name), ("HSET", name, *fields), ("EXEC",))

    def hash_update(self, key: str, field: str, value: bytes) -> None:
        """Set one field; a missing field or hash is created."""
        self._run("HSET", key, field, value)

    def hash_delete(self, key: str) -> None:
        """Delete a whole hash; a key of another type is kept."""
        self._drop(key, b"hash")

    # plain strings: the whole document as JSON text

    def string_read(self, key: str) -> bytes:
        """Return the whole text."""
        return _existing(self._run("GET", key), key)

    def string_read_field(self, key: str, field: str) -> bytes:
        """Fetch and parse the whole text to return one member, as a plain string requires."""
        document = orjson.loads(self.string_read(key))
        if field not in document:
            raise _unknown_path(key, field)
        return orjson.dumps(document[field])

    def string_write(self, key: str, value: bytes) -> None:
        """Create or replace a whole text."""
        self._run("SET", key, value)

    def string_update(self, key: str, field: str, value: object) -> None:
        """Read, change and write back the whole text; repeat this if another writer was faster."""

        def changed(text: bytes | None) -> list[Command]:
            if text is None:
                raise _unknown_key(key)
            return [("SET", key, orjson.dumps(orjson.loads(text) | {field: value}))]

        self.change(key, [("GET", key)], changed)

    def string_delete(self, key: str) -> None:
        """Delete a whole text; a key of another type is kept."""
        self._drop(key, b"string")

    def _drop(self, key: str, kind: bytes) -> None:
        found = self._run("TYPE", key)
        if found == b"none":
            raise _unknown_key(key)
        if found != kind:
            raise WrongTypeError(f"The key {key!r} holds a {found.decode()}, not a {kind.decode()}.")
        self._run("DEL", key)

    def _run(self, command: str, key: str, *arguments: str | bytes) -> Any:
        try:  # not `translate_errors`: nearly every request runs this, and a context manager costs more
            return self._pool.run(command, KEY_PREFIX + key, *arguments)
        except redis.RedisError as error:
            raise to_store_error(error, key) from error

    def _missing(self, key: str, path: str) -> StoreError:
        return _unknown_path(key, path) if self._run("EXISTS", key) else _unknown_key(key)


def _named(commands: Sequence[Command]) -> list[Command]:
    """Return commands on unprefixed keys in the form that Redis expects."""
    return [(name, KEY_PREFIX + key, *arguments) for name, key, *arguments in commands]


def _succeeded(replies: Sequence[Any]) -> list[Any]:
    """Return the replies of a transaction; raise the first error among them."""
    for reply in replies:
        if isinstance(reply, Exception):
            raise reply
    return list(replies)


def _unknown_key(key: str) -> UnknownKeyError:
    return UnknownKeyError(f"There is no key {key!r}.")


def _unknown_path(key: str, path: str) -> UnknownPathError:
    return UnknownPathError(f"The key {key!r} has nothing at {path!r}.")


def _existing(reply: bytes | None, key: str) -> bytes:
    if reply is None:
        raise _unknown_key(key)
    return reply


def _of_type(matches: list[Any], key: str, path: str, wanted: str) -> list[Any]:
    """Drop nil results: RedisJSON returns nil for each match of another type."""
    if not matches:
        raise _unknown_path(key, path)
    fitting = [match for match in matches if match is not None]
    if not fitting:
        raise WrongTypeError(f"The key {key!r} has no value at {path!r} that is {wanted}.")
    return fitting


def _numbers(results: bytes | list[bytes], key: str, path: str) -> bytes:
    if isinstance(results, list):  # fakeredis, a run's last resort, returns an array of texts
        results = b"[%b]" % b",".join(results)
    _of_type(orjson.loads(results), key, path, "a number")
    return results
