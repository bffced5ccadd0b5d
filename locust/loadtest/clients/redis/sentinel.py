"""A connection to the primary named by Redis Sentinel, which is asked at each opening, so also after a failover.

Sentinel closes the connections of a primary that it replaces. The role of a new connection's server is checked, since a
Sentinel may not know yet that the server has become a replica with stale values.
"""

from functools import lru_cache
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final, Self

from gevent.lock import RLock
from redis.exceptions import RedisError

from loadtest.clients.redis.commands import pack
from loadtest.clients.redis.connection import RespConnection
from loadtest.clients.redis.errors import ConnectionBroken, error_class_of
from loadtest.clients.redis.topology import address

if TYPE_CHECKING:
    from loadtest.clients.redis.settings import RedisSettings
    from loadtest.clients.redis.topology import Address

REFRESH_S: Final = 1.0
"""The shortest time between two queries for the primary by a process."""
_MAX_KNOWN: Final = 100
_NEXT: Final = {
    "redis_auth": "sentinel_username and sentinel_password in the URL are those of the Sentinels",
    "tls": "sentinel_ssl in the URL says whether the Sentinels use TLS",
}
"""The advice for a failure, by its class."""


class Sentinels:
    """The Sentinels of one primary, shared by all users of a process."""

    def __init__(self, settings: "RedisSettings") -> None:
        """Know only the Sentinel of the URL; it names the others."""
        self._settings = settings
        self._known: list[Address] = [(settings.endpoint.host, settings.endpoint.port)]
        self._question = b"".join(
            pack(("SENTINEL", command, settings.sentinel)) for command in ("GET-MASTER-ADDR-BY-NAME", "SENTINELS")
        )
        self._lock = RLock()
        self._asked_s = float("-inf")
        self._found: Address | ConnectionBroken

    @classmethod
    @lru_cache(maxsize=64)
    def of(cls, settings: "RedisSettings") -> Self:
        """The instance shared by all users of a process with these settings."""
        return cls(settings)

    def primary(self) -> "Address":
        """The address of the primary, at most `REFRESH_S` old.

        Raises:
            ConnectionBroken: No Sentinel tells.
        """
        with self._lock:
            if perf_counter() - self._asked_s >= REFRESH_S:
                self._found = self._ask()
                self._asked_s = perf_counter()
            found = self._found
        if isinstance(found, ConnectionBroken):
            raise ConnectionBroken(found.error_class, str(found))
        return found

    def _ask(self) -> "Address | ConnectionBroken":
        """Ask the Sentinels one by one, beginning with the one that answered last."""
        failure: Exception | None = None
        for asked in self._known:
            connection = RespConnection(self._settings.of_sentinel(*asked))
            try:
                primary, others = connection.exchange_many(self._question, 2, perf_counter())
                if isinstance(primary, Exception):
                    failure = primary
                    continue
                host, port = primary
                learnt = [_address(dict(zip(fields[::2], fields[1::2], strict=True))) for fields in others]
                self._known = list(dict.fromkeys((asked, *learnt, *self._known)))[:_MAX_KNOWN]
                return address(host.decode(), int(port))
            except RedisError as error:
                failure = error
            except (TypeError, ValueError, KeyError, AttributeError):
                failure = ConnectionBroken("connect", f"the one at {asked[0]}:{asked[1]} does not know it")
            finally:
                connection.close()
        assert failure is not None  # noqa: S101 -- there is one to ask
        error_class = error_class_of(failure)
        return ConnectionBroken(
            error_class,
            f"no Sentinel says where the primary {self._settings.sentinel!r} is ({failure}); "
            f"{_NEXT.get(error_class, 'the URL must lead to a Sentinel, and name a primary that it watches')}",
        )


def _address(fields: dict[bytes, bytes]) -> "Address":
    return address(fields[b"ip"].decode(), int(fields[b"port"]))


class SentinelConnection(RespConnection):
    """A `RespConnection` to the server that is the primary when it is opened."""

    __slots__ = ("_sentinels",)

    def __init__(self, settings: "RedisSettings") -> None:
        """Prepare it; nothing is opened yet."""
        super().__init__(settings)
        self._sentinels = Sentinels.of(settings)

    def _find(self) -> None:
        self._settings = self._settings.at(*self._sentinels.primary())

    def _check(self, replies: list[Any]) -> None:
        super()._check(replies)
        role = replies[-1]
        if not isinstance(role, list) or role[:1] != [b"master"]:
            message = f"{self._settings.endpoint}, which Sentinel names, is not the primary: its role is {role!s:.60}"
            raise ConnectionBroken("connect", message)
