"""Operations on a key that holds a RedisJSON document, a hash, or a string.

A new operation is one row of `OPERATIONS`.

Tested in tests/unit/scenarios/test_key_value.py.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from loadtest.workload.documents import ARRAY, COUNTER, NAME

if TYPE_CHECKING:
    from collections.abc import Callable

    from loadtest.workload.documents import Documents

Form = Literal["json", "hash", "string"]
Command = tuple[Any, ...]
MULTIPLE: Final = "json_mget"
"""The operation on several keys."""


@dataclass(frozen=True)
class Operation:
    """An operation.

    Attributes:
        form: what its keys hold.
        effect: it reads; it writes a whole document, whether or not the key is there; or it updates one that is there.
        command: what is sent to Redis.
        call: executes it, given the client (for JSON, that of RedisJSON's commands), a key (for `MULTIPLE`, several),
            the documents, and the number of one; None for writes, see `written`.
    """

    form: Form
    effect: Literal["read", "write", "update"]
    command: str
    call: Callable[[Any, Any, Documents, int], Any] | None = None


# fmt: off
OPERATIONS: Final[dict[str, Operation]] = {
    "json_get": Operation("json", "read", "JSON.GET", lambda json, key, *_: json.get(key)),
    "json_get_path": Operation("json", "read", "JSON.GET", lambda json, key, docs, _: json.get(key, docs.path)),
    MULTIPLE: Operation("json", "read", "JSON.MGET", lambda json, keys, docs, _: json.mget(keys, docs.path)),
    "json_set": Operation("json", "write", "JSON.SET"),
    "json_set_path": Operation("json", "update", "JSON.SET", lambda json, key, docs, number:
                               json.set(key, f"$.{NAME}", docs.fields(number)[NAME])),
    "json_merge": Operation("json", "update", "JSON.MERGE", lambda json, key, docs, number:
                            json.merge(key, "$", b'{"%s":%s}' % (NAME.encode(), docs.fields(number)[NAME]))),
    "json_numincrby": Operation("json", "update", "JSON.NUMINCRBY", lambda json, key, *_:
                                json.numincrby(key, f"$.{COUNTER}", b"1")),
    "json_arrappend": Operation("json", "update", "JSON.ARRAPPEND", lambda json, key, *_:
                                json.arrappend(key, f"$.{ARRAY}", b'"new"')),
    "get": Operation("string", "read", "GET", lambda client, key, *_: client.get(key)),
    "set": Operation("string", "write", "SET"),
    "hgetall": Operation("hash", "read", "HGETALL", lambda client, key, *_: client.hgetall(key)),
    "hget": Operation("hash", "read", "HGET", lambda client, key, *_: client.hget(key, NAME)),
    "hset": Operation("hash", "write", "HSET"),
}
# fmt: on


def written(form: Form, key: str, documents: Documents, number: int, ttl_ms: int | None) -> list[Command]:
    """Return the commands that write a whole document: one, or two where only a second one can have it expire."""
    if form == "string":
        expiry = () if ttl_ms is None else ("PX", ttl_ms)
        return [("SET", key, documents.encoded(number), *expiry)]
    if form == "hash":
        write = ("HSET", key, *itertools.chain.from_iterable(documents.fields(number).items()))
    else:
        write = ("JSON.SET", key, "$", documents.encoded(number))
    return [write] if ttl_ms is None else [write, ("PEXPIRE", key, ttl_ms)]
