"""The store's errors, and the mapping of Redis errors to them.

StoreError          an unexpected reply from Redis
├── UnknownKeyError      no such key
├── UnknownPathError     the document has nothing at this path
├── BadPathError         the path is not a JSONPath
├── WrongTypeError       the key or the value at the path is of another type
├── BadValueError        Redis rejected the value, or the result would not be a number
└── UnavailableError     Redis is unavailable, too slow, out of memory, or has no RedisJSON
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import redis


class StoreError(Exception):
    """An unexpected reply from Redis."""


class UnknownKeyError(StoreError):
    """No such key."""


class UnknownPathError(StoreError):
    """The document has nothing at this path."""


class BadPathError(StoreError):
    """This is not a JSONPath."""


class WrongTypeError(StoreError):
    """The key, or the value at the path, is of another type."""


class BadValueError(StoreError):
    """Redis rejected the value, or the result would not be a number."""


class UnavailableError(StoreError):
    """Redis is unavailable, too slow, out of memory, or has no RedisJSON."""


# Error messages of Redis 7 and 8 with RedisJSON 2.4 to 8, and their meaning. The first match wins.
_MEANINGS: tuple[tuple[re.Pattern[str], type[StoreError]], ...] = tuple(
    (re.compile(pattern), meaning)
    for pattern, meaning in (
        (
            r"unknown command|command not allowed|maxmemory|LOADING|READONLY|MISCONF|NOAUTH|NOPERM|BUSY",
            UnavailableError,
        ),
        (r"WRONGTYPE|wrong Redis type", WrongTypeError),
        (r"not an integer|not a valid float|not a float", WrongTypeError),
        (r"key that doesn't exist|new objects must be created at the root", UnknownKeyError),
        (r"Error occurred on position|invalid path|wrong static path", BadPathError),
        (r"[Pp]ath (.* )?does not exist|index out of range", UnknownPathError),
        (r"at line \d+ column \d+|not a number|overflow|recursion limit", BadValueError),
    )
)


@contextmanager
def translate_errors(key: str) -> Iterator[None]:
    """Raise Redis errors as store errors, which name the key."""
    try:
        yield
    except redis.RedisError as error:
        raise to_store_error(error, key) from error


def to_store_error(error: redis.RedisError, key: str) -> StoreError:
    """Return the store's error for an error of Redis."""
    if isinstance(error, redis.ResponseError):
        return _class_of(error)(f"Redis rejected the command on {key!r}: {error}")
    return UnavailableError(f"Redis does not respond: {error}")


def _class_of(error: redis.ResponseError) -> type[StoreError]:
    if type(error) is not redis.ResponseError:
        return UnavailableError  # redis-py's classes: no permission, read-only, out of memory, no master, …
    return next((meaning for pattern, meaning in _MEANINGS if pattern.search(str(error))), StoreError)
