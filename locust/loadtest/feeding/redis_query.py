"""RedisQuery: the keys and values of a Redis that a feed's URL selects.

redis://host:port/0                       the ids of the users that `loadtest seed users` wrote
redis://host:port/0?key=tokens            the members of a list, of a set, or of an array of RedisJSON
redis://host:port/0?pattern=customer:*    of each such key its hash, its document of RedisJSON, or its text
"""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING, Any, Final, cast

from loadtest.feeding.source_url import SourceUrl
from loadtest.seeding.stores import open_store

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from loadtest.seeding.stores import RedisStore

_ALLOWED: Final = (
    "redis://host:port/db for seeded users, with ?key=… for the members of a list, a set, a sorted set or a RedisJSON "
    "array, or with ?pattern=… for hashes, RedisJSON documents and strings"
)
_AT_ONCE: Final = 1_000


class RedisQuery:
    """The query of a URL; its other parameters are redis-py's.

    Args:
        url: ``redis://…``, ``rediss://…`` or ``unix://…``.

    Raises:
        UsageError: parameters are empty, repeated, or exclude each other.
    """

    def __init__(self, url: str) -> None:
        self._url = SourceUrl(url, ("key", "pattern"), _ALLOWED)
        if len(self._url.given) > 1:
            raise self._url.wrong("key and pattern exclude each other")

    def values(self) -> Generator[Any, None, None]:
        """Yield ids, members or records: those of a list or an array as they stand there, of a sorted set by score, of
        all else sorted.

        Raises:
            StackError: Redis does not answer.
            UsageError: when a key is missing or holds something else.
        """
        given = self._url.given
        with cast("RedisStore", open_store(self._url.store)) as store:
            if "key" in given:
                yield from self._members(store, given["key"])
            elif "pattern" in given:
                keys = sorted(store.keys(given["pattern"]))
                for start in range(0, len(keys), _AT_ONCE):
                    yield from self._records(store, keys[start : start + _AT_ONCE])
            else:
                yield from store.ids()

    def _members(self, store: RedisStore, key: str) -> Iterator[Any]:
        (kind,) = store.ask(("TYPE", key))
        if kind == b"list":
            for start in itertools.count(0, _AT_ONCE):
                (members,) = store.ask(("LRANGE", key, start, start + _AT_ONCE - 1))
                if not members:
                    return
                yield from map(self._text, members)
        elif kind in (b"set", b"zset"):
            (members,) = store.ask(("SMEMBERS", key) if kind == b"set" else ("ZRANGE", key, 0, -1))
            yield from map(self._text, sorted(members) if kind == b"set" else members)
        elif kind == b"ReJSON-RL":
            (text,) = store.ask(("JSON.GET", key))
            document = json.loads(text)
            if not isinstance(document, list):
                raise self._url.wrong(f"the document of {key} is not an array")
            yield from document
        else:
            raise self._url.wrong(f"{key} is {'missing' if kind == b'none' else f'a {kind.decode()}'}")

    def _records(self, store: RedisStore, keys: list[bytes]) -> Iterator[Any]:
        kinds = store.ask(*(("TYPE", key) for key in keys))
        readers = [_READERS.get(kind) for kind in kinds]
        if None in readers:
            place = readers.index(None)
            raise self._url.wrong(f"{keys[place].decode(errors='replace')} is a {kinds[place].decode()}")
        replies = store.ask(*((reader, key) for reader, key in zip(readers, keys, strict=True)))
        for kind, reply in zip(kinds, replies, strict=True):
            if kind == b"hash":
                texts = [*map(self._text, reply)]
                yield dict(zip(texts[::2], texts[1::2], strict=True))
            elif reply is not None:  # None: it expired a moment ago
                yield json.loads(reply) if kind == b"ReJSON-RL" else self._text(reply)

    def _text(self, value: bytes) -> str:
        try:
            return value.decode()
        except UnicodeDecodeError as error:
            raise self._url.wrong(f"{value[:20]!r} is not UTF-8") from error


_READERS: Final = {b"hash": "HGETALL", b"ReJSON-RL": "JSON.GET", b"string": "GET"}
