"""A sample of the keys in a scenario's commands, which reveals a hot key among many.

Requests are sampled at random with a probability that falls from 1 to about 1 in 128 as the sample grows, so no order
of commands can hide a key, and a request outside the sample costs one subtraction.

Tested by tests/unit/clients/redis/test_recording.py.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Final

from loadtest.measuring.evidence import commands_in, key_text
from loadtest.measuring.tallies import KEY

if TYPE_CHECKING:
    from loadtest.measuring.series import Series

_MAX_APART: Final = 256
"""The maximum number of requests between two sampled ones."""
_KEYS: Final = 8
"""The maximum number of keys that are counted at a time."""
_OFTEN: Final = 3
"""The samples that a key needs to be named once there are more than `_KEYS` keys; with many keys, few reach it."""
_JSON: Final = "JSON."
_BY_KEY: Final = frozenset(
    {
        "APPEND", "BITCOUNT", "BLPOP", "BRPOP", "DECR", "DECRBY", "DEL", "EXISTS", "EXPIRE", "EXPIREAT", "GET",
        "GETBIT", "GETDEL", "GETEX", "GETRANGE", "GETSET", "HDEL", "HEXISTS", "HGET", "HGETALL", "HINCRBY",
        "HINCRBYFLOAT", "HKEYS", "HLEN", "HMGET", "HMSET", "HSCAN", "HSET", "HSETNX", "HVALS", "INCR", "INCRBY",
        "INCRBYFLOAT", "LINDEX", "LLEN", "LPOP", "LPUSH", "LRANGE", "LREM", "LSET", "LTRIM", "MGET", "PERSIST",
        "PEXPIRE", "PFADD", "PFCOUNT", "PSETEX", "PTTL", "RPOP", "RPUSH", "SADD", "SCARD", "SET", "SETBIT", "SETEX",
        "SETNX", "SETRANGE", "SISMEMBER", "SMEMBERS", "SPOP", "SRANDMEMBER", "SREM", "SSCAN", "STRLEN", "TTL", "TYPE",
        "UNLINK", "XADD", "XLEN", "XRANGE", "XREVRANGE", "ZADD", "ZCARD", "ZCOUNT", "ZINCRBY", "ZRANGE",
        "ZRANGEBYSCORE", "ZRANK", "ZREM", "ZREVRANGE", "ZSCAN", "ZSCORE",
    }
)  # fmt: skip
"""Commands whose first argument is a key, as for all of RedisJSON's. Other commands are not sampled."""


class KeySample:
    """The sample of one scenario in one phase, shared by its users in a process.

    Attributes:
        left: requests until the next sampled one; each sender subtracts 1, and calls `take` at 0.
    """

    __slots__ = ("_counts", "_named_from", "_random", "_taken", "left")

    def __init__(self) -> None:
        """Begin with the next request."""
        self.left = 1
        self._taken = 0
        self._random = random.Random()  # noqa: S311 -- of its own, so that a scenario's random choices stay the same
        self._counts: dict[bytes, int] = {}
        self._named_from = 1

    def take(self, series: Series, data: bytes) -> None:
        """Count the key of a request, one of them at random if it has several commands.

        Args:
            series: where the request is recorded.
            data: the encoded request.
        """
        self._taken += 1
        self.left = 1 + self._random.randrange(min(self._taken, _MAX_APART))
        keys = [command[1] for command in commands_in(data) if len(command) > 1 and _is_by_key(command[0])]
        if keys:
            key = self._random.choice(keys)
            series.tally(KEY, key_text(key) if self._count(key) >= self._named_from else "")

    def _count(self, key: bytes) -> int:
        """Return how often each key was sampled, as far as known.

        Every key with more than a ninth of the samples is counted, by the algorithm of Misra and Gries.
        """
        counts = self._counts
        if key not in counts and len(counts) >= _KEYS:
            self._counts = {one: times - 1 for one, times in counts.items() if times > 1}
            self._named_from = _OFTEN
            return 0
        counts[key] = counts.get(key, 0) + 1
        return counts[key]


def _is_by_key(command: bytes) -> bool:
    name = command.decode("ascii", "replace").upper()
    return name in _BY_KEY or name.startswith(_JSON)
