"""Topology: which node of a Redis Cluster serves which slot, shared by all users of a process.

Tested in tests/unit/clients/redis/test_cluster.py.
"""

import random
import reprlib
from functools import lru_cache
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final, Self

import gevent
from gevent.lock import RLock
from redis.crc import REDIS_CLUSTER_HASH_SLOTS
from redis.exceptions import RedisError

from loadtest.clients.redis.commands import pack
from loadtest.clients.redis.connection import RespConnection
from loadtest.clients.redis.errors import ConnectionBroken, error_class_of

if TYPE_CHECKING:
    from loadtest.clients.redis.settings import RedisSettings

Address = tuple[str, int]
_MAX_PORT: Final = (1 << 16) - 1

REFRESH_S: Final = 1.0
"""The shortest time between two queries for the topology by a process, while there are signs of a change."""
_SLOTS: Final = pack(("CLUSTER", "SLOTS"))


def address(host: str, port: int) -> Address:
    """Return an address that a server names.

    Raises:
        ValueError: The port number is invalid; the system would wrap it to another.
    """
    if not 0 < port <= _MAX_PORT:
        raise ValueError(f"the port {port}")
    return host, port


def _slots(first: int, last: int) -> slice:
    """Return a range of slots as a slice.

    Raises:
        ValueError: There are no such slots.
    """
    if not 0 <= first <= last < REDIS_CLUSTER_HASH_SLOTS:
        raise ValueError(f"the slots {first} to {last}")
    return slice(first, last + 1)


class Topology:
    """The slots of one cluster.

    Attributes:
        is_stale: Whether a node failed or redirected since the topology was read.
    """

    def __init__(self, settings: "RedisSettings") -> None:
        """Know only the node in the URL."""
        self._settings = settings
        self._seed: Address = (settings.endpoint.host, settings.endpoint.port)
        self._owners: list[Address | None] = [None] * REDIS_CLUSTER_HASH_SLOTS
        self._replicas: dict[Address, list[Address]] = {}
        self._lock = RLock()
        self._asked_s = float("-inf")
        self._failure: Exception | None = None
        self.is_stale = True

    @classmethod
    @lru_cache(maxsize=64)
    def of(cls, settings: "RedisSettings") -> Self:
        """The instance shared by all users of a process with these settings."""
        return cls(settings)

    def address_of(self, slot: int, *, of_replica: bool = False) -> Address:
        """The primary that serves a slot, or one of its replicas if allowed; any node if no node serves it.

        Raises:
            ConnectionBroken: The topology is unknown, and no node answers.
        """
        if self.is_stale and self._lock.acquire(blocking=not self._replicas):  # one asks; others go on if they can
            try:
                if self.is_stale and perf_counter() - self._asked_s >= REFRESH_S:
                    self._refresh()
            finally:
                self._lock.release()
        if not self._replicas:
            raise ConnectionBroken(
                error_class_of(self._failure) if self._failure else "connect",
                f"the cluster cannot be asked for its slots ({self._failure}); the URL must lead to a node that runs "
                "with cluster-enabled",
            ) from self._failure
        owner = self._owners[slot] or next(iter(self._replicas), self._seed)
        if of_replica and (replicas := self._replicas.get(owner)):
            return random.choice(replicas)  # noqa: S311 -- no secret
        return owner

    def await_turn(self) -> bool:
        """Sleep until the nodes may be queried again; return whether that was necessary."""
        pause_s = self._asked_s + REFRESH_S - perf_counter()
        if self._replicas or pause_s <= 0:
            return False
        gevent.sleep(pause_s)
        return True

    def learn(self, slot: int, owner: Address) -> None:
        """Apply a MOVED reply; more than that may have changed."""
        self._owners[slot] = owner
        self.is_stale = True

    def _refresh(self) -> None:
        """Ask the known nodes, then the one in the URL, until one answers."""
        self._asked_s = perf_counter()
        failure: Exception | None = None
        known = [*self._replicas, *(each for some in self._replicas.values() for each in some)]
        random.shuffle(known)
        for asked in dict.fromkeys((*known, self._seed)):
            connection = RespConnection(self._settings.at(*asked))
            try:
                reply = connection.exchange(_SLOTS, perf_counter())
            except RedisError as error:
                reply = error
            finally:
                connection.close()
            if isinstance(reply, Exception):
                failure = reply
                continue
            try:
                self._take(reply, asked)
            except ConnectionBroken as error:
                failure = error
                continue
            return
        self._failure = failure

    def _take(self, reply: Any, asked: Address) -> None:
        """Apply a reply to CLUSTER SLOTS.

        Raises:
            ConnectionBroken: It names no nodes, or is not such a reply.
        """
        owners: list[Address | None] = [None] * REDIS_CLUSTER_HASH_SLOTS
        replicas: dict[Address, list[Address]] = {}
        try:
            for first, last, *nodes in reply:
                served = _slots(first, last)
                primary, *others = (address(node[0].decode() if node[0] else asked[0], node[1]) for node in nodes)
                owners[served] = [primary] * (last + 1 - first)
                replicas.setdefault(primary, others)
        except (TypeError, ValueError, LookupError, AttributeError) as error:
            said = f"{asked[0]}:{asked[1]} says {reprlib.repr(reply)}, which are no slots and nodes"
            raise ConnectionBroken("protocol", said) from error
        if not replicas:
            raise ConnectionBroken("redis_cluster_down", f"{asked[0]}:{asked[1]} knows no node that serves any")
        self._owners, self._replicas = owners, replicas
        self.is_stale = False
