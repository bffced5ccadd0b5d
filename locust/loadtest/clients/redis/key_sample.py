"""Which keys the commands of a scenario name: a sample of them, so that one hot key among many is found.

A request is in the sample with a chance that falls from 1 to about 1 in 128 as more of them are, at random, so no order
in which a scenario sends its commands hides a key, and a request that is not in it costs a subtraction.

Tested by tests/unit/clients/redis/test_recording.py.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Final

from loadtest.measuring.evidence import commands_in, key_text
from loadtest.measuring.tallies import KEY

if TYPE_CHECKING:
    from loadtest.measuring.series import Series

_MOST_APART: Final = 256
"""Requests between two of the sample, at most."""
_KEYS: Final = 8
"""Keys whose samples are counted at a time."""
_OFTEN: Final = 3
"""Samples of a key from which on it is named, once there were more keys than `_KEYS`: of many hardly one is."""
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
"""Commands whose first argument is a key; so is that of RedisJSON's. Others are not in the sample."""


class KeySample:
    """The sample of one scenario in one phase, which its users in a process share.

    Attributes:
        left: requests until the next of the sample; who sends one subtracts 1, and calls `take` at 0.
    """

    __slots__ = ("_counts", "_named_from", "_random", "_taken", "left")

    def __init__(self) -> None:
        """Begin with the next request."""
        self.left = 1
        self._taken = 0
        self._random = random.Random()  # noqa: S311 -- its own, or it would change what a scenario chooses
        self._counts: dict[bytes, int] = {}
        self._named_from = 1

    def take(self, series: Series, data: bytes) -> None:
        """Count the key of a request, one of them at random if it has several commands.

        Args:
            series: where the request is recorded.
            data: what is sent.
        """
        self._taken += 1
        self.left = 1 + self._random.randrange(min(self._taken, _MOST_APART))
        keys = [command[1] for command in commands_in(data) if len(command) > 1 and _is_by_key(command[0])]
        if keys:
            key = self._random.choice(keys)
            series.tally(KEY, key_text(key) if self._count(key) >= self._named_from else "")

    def _count(self, key: bytes) -> int:
        """Return how often a key was in the sample, as far as it is known.

        Whatever is more than one in nine is among those that are counted, by the algorithm of Misra and Gries.
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
