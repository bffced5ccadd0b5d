"""One user's connections to the nodes of a Redis Cluster, used as if they were one connection.

Each command goes to the node that serves its key's slot. MOVED and ASK are followed, and TRYAGAIN is retried: the node
that sent it has executed nothing. Nothing else is sent twice. All of it is recorded as one request, whose time includes
the redirections.

Tested in tests/unit/clients/redis/test_cluster.py, on a cluster of six nodes.
"""

import random
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, cast

import gevent
import hiredis
from redis.cluster import RedisCluster
from redis.commands.cluster import READ_COMMANDS
from redis.crc import key_slot
from redis.exceptions import (
    AskError,
    CrossSlotTransactionError,
    DataError,
    MovedError,
    RedisError,
    TryAgainError,
)

from loadtest.clients.redis.connection import RespConnection
from loadtest.clients.redis.errors import ConnectionBroken, RedirectedTooOften, RequestTimeout
from loadtest.clients.redis.topology import Address, Topology
from loadtest.clients.transport.endpoint import no_tally

if TYPE_CHECKING:
    from loadtest.clients.redis.settings import RedisSettings
    from loadtest.clients.transport.endpoint import Tally

MAX_HOPS: Final = 16
"""How often MOVED, ASK and TRYAGAIN make one command be sent at most, as in redis-py."""
MAX_NODES: Final = 1_000
"""Maximum number of connections of one user, as many as a cluster can have nodes; beyond that, the oldest is closed."""
_TRY_AGAIN_S: Final = 0.02
_ASKING: Final = hiredis.pack_command(("ASKING",))

# Commands without a key that any node answers alike. Others without a key concern one node or all of them.
_OF_ANY_NODE: Final = frozenset(("PING", "ECHO", "TIME", "MULTI", "EXEC", "DISCARD", "UNWATCH"))
_OF_NODES: Final = frozenset(RedisCluster.COMMAND_FLAGS) - _OF_ANY_NODE
# The position of the first key, for commands whose first argument is not a key.
_COUNT_BEFORE_KEYS: Final[Mapping[str, int]] = {
    "EVAL": 2, "EVALSHA": 2, "EVAL_RO": 2, "EVALSHA_RO": 2, "FCALL": 2, "FCALL_RO": 2, "BLMPOP": 2, "BZMPOP": 2,
    "LMPOP": 1, "ZMPOP": 1, "SINTERCARD": 1, "ZDIFF": 1, "ZINTER": 1, "ZINTERCARD": 1, "ZUNION": 1,
}  # fmt: skip
_SUBCOMMANDS: Final = frozenset(("OBJECT", "MEMORY", "XINFO", "XGROUP", "JSON.DEBUG", "BITOP"))
_STREAMS: Final = frozenset(("XREAD", "XREADGROUP"))


def key_of(command: list[bytes]) -> bytes | None:
    """Return the first key of a command, or None if it needs none.

    Raises:
        DataError: It concerns one node or all of them, so it needs a connection to each.
    """
    name = command[0].upper().decode()
    second = command[1].upper().decode("utf-8", "replace") if len(command) > 1 else ""
    if name in _OF_ANY_NODE:
        return None
    if name in _OF_NODES or f"{name} {second}" in _OF_NODES:
        raise DataError(
            f"{name} is about a node, not a key, so this client does not send it to a cluster; use a connection of "
            "your own, such as redis-py's RedisCluster, for it"
        )
    if name in _STREAMS:
        place = next((place for place, one in enumerate(command) if one.upper() == b"STREAMS"), len(command)) + 1
    elif name in _COUNT_BEFORE_KEYS:
        place = _COUNT_BEFORE_KEYS[name]
        place = place + 1 if command[place : place + 1] != [b"0"] else len(command)
    else:
        place = 2 if name in _SUBCOMMANDS else 1
    return command[place] if place < len(command) else None


def _split(command: list[bytes]) -> list[list[bytes]]:
    """Return the commands to send: for a JSON.MGET of keys in several slots, one for each key.

    RedisJSON routes by the first key only, and that node would answer that the others do not exist.
    """
    name, keys, path = command[0], command[1:-1], command[-1]
    if name.upper() != b"JSON.MGET" or len({*map(key_slot, keys)}) <= 1:
        return [command]
    return [[name, key, path] for key in keys]


def _joined(replies: list[Any]) -> Any:
    """Combine the replies to the commands that one command was sent as; an error, if any of them is one."""
    if len(replies) == 1:
        return replies[0]
    error = next((reply for reply in replies if isinstance(reply, Exception)), None)
    return error or [value for reply in replies for value in reply]


def parsed(data: bytes) -> Iterator[list[bytes]]:
    """Yield the arguments of each encoded command."""
    reader = hiredis.Reader()
    reader.feed(data)
    while (command := reader.gets()) is not False:
        yield command


def _packed(command: list[bytes]) -> bytes:
    """Encode arguments as they are."""
    data: bytes = hiredis.pack_command(cast("Any", tuple(command)))
    return data


class ClusterConnection:
    """The interface of `RespConnection`, on connections to all nodes.

    Attributes:
        ready: Whether it is neither in use nor reserved, and no pause is due after a failure.
        received_bytes: Size on the wire of the last reply or replies, including redirections before them.
        tally: Called when a connection is opened.
    """

    __slots__ = ("_busy", "_failed", "_nodes", "_pinned", "_reserved", "_settings", "_topology", "ready",
                 "received_bytes", "tally")  # fmt: skip

    def __init__(self, settings: "RedisSettings") -> None:
        """Prepare it; nothing is opened yet."""
        self._settings = settings
        self._topology = Topology.of(settings)
        self._nodes: dict[Address, RespConnection] = {}
        self._pinned: RespConnection | None = None  # the node on which a key is watched
        self._failed: RespConnection | Topology | None = None  # the pause before the next request
        self._busy = False
        self._reserved = False
        self.ready = False
        self.received_bytes = 0
        self.tally: Tally = no_tally

    @property
    def busy(self) -> bool:
        """Whether it is in use or reserved."""
        return self._busy or self._reserved

    @property
    def last_sent_s(self) -> float:
        """When a request was last sent, in seconds of ``time.perf_counter``; 0 before that."""
        return max((node.last_sent_s for node in self._nodes.values()), default=0.0)

    @property
    def is_open(self) -> bool:
        """Whether the connection that watches keys, if there is one, is open."""
        return self._pinned is None or self._pinned.is_open

    def reserve(self) -> None:
        """Reserve it for one transaction, from WATCH to EXEC."""
        self._reserved = True
        self.ready = False

    def release(self) -> None:
        """End a reservation."""
        self._reserved = False
        self._pinned = None
        self._set_ready()

    def await_turn(self) -> bool:
        """Sleep for the back-off after a failure to reach a node, or all of them; see `RespConnection.await_turn`."""
        failed, self._failed = self._failed, None
        return failed is not None and failed.await_turn()

    def close(self) -> None:
        """Close the connections; the next exchange opens them again."""
        self.ready = False
        for node in self._nodes.values():
            node.close()

    def exchange(self, data: bytes, sent_s: float) -> Any:
        """Send one command to its node and wait for the reply; as `RespConnection.exchange`.

        Raises:
            DataError: The command concerns nodes, not a key.
        """
        return self.exchange_many(data, 1, sent_s)[0]

    def exchange_many(self, data: bytes, count: int, sent_s: float) -> list[Any]:
        """Send commands, each to its node, and wait for all replies; those of a transaction go to one node.

        Raises:
            CrossSlotTransactionError: The keys of a transaction are in several slots; nothing was sent.
            DataError: A command concerns nodes, not a key; nothing was sent.
        """
        self.ready = False
        self._busy = True
        self.received_bytes = 0
        try:
            commands = list(parsed(data))
            parts = [_split(command) for command in commands]
            if commands[0] != [b"MULTI"] and (count > 1 or len(parts[0]) > 1) and self._pinned is None:
                replies = iter(self._distribute([part for each in parts for part in each], sent_s))
                return [_joined([next(replies) for _ in each]) for each in parts]
            command = _with_key([part for each in parts for part in each])
            if self._pinned is not None:
                return self._ask(self._pinned, data, count, sent_s)
            return self._follow(data, count, self._address_of(command), sent_s)
        finally:
            self._busy = False
            self._set_ready()

    def _set_ready(self) -> None:
        self.ready = not self._reserved and self._failed is None

    def _node(self, address: Address) -> RespConnection:
        """The connection to a node."""
        node = self._nodes.get(address)
        if node is None:
            if len(self._nodes) >= MAX_NODES:
                self._close_oldest()
            node = self._nodes[address] = RespConnection(self._settings.at(*address))
        node.tally = self.tally
        return node

    def _close_oldest(self) -> None:
        """Close a connection: a changing cluster must not exhaust the process's file descriptors."""
        idle = (address for address, node in self._nodes.items() if not node.busy and node is not self._pinned)
        if (oldest := next(idle, None)) is not None:
            self._nodes.pop(oldest).close()

    def _address_of(self, command: list[bytes]) -> Address:
        """The node to which a command is sent first."""
        key = key_of(command)
        slot = random.randrange(1 << 14) if key is None else key_slot(key)  # noqa: S311 -- no secret
        reads = self._settings.read_from_replicas and command[0].upper().decode() in READ_COMMANDS
        try:
            return self._topology.address_of(slot, of_replica=reads and not self._reserved)
        except ConnectionBroken:
            self._failed = self._topology
            raise

    def _ask(self, node: RespConnection, data: bytes, count: int, sent_s: float) -> list[Any]:
        """Exchange commands with a node; if it does not answer, later requests look elsewhere."""
        try:
            replies = node.exchange_many(data, count, sent_s)
        except (ConnectionBroken, RequestTimeout):
            self._topology.is_stale = True
            self._failed = node
            raise
        self.received_bytes += node.received_bytes
        return replies

    def _follow(self, data: bytes, count: int, address: Address, sent_s: float) -> list[Any]:
        """Exchange a command or a transaction, wherever its keys are. A redirected command was not executed."""
        replies: list[Any] = []
        redirection: Any = None
        is_asking = False
        for _ in range(MAX_HOPS):
            node = self._node(address)
            replies = self._ask(node, _ASKING + data if is_asking else data, count + is_asking, sent_s)[is_asking:]
            redirection = next((reply for reply in replies if isinstance(reply, AskError | TryAgainError)), None)
            if redirection is None:
                self._pinned = node if self._reserved else None
                return replies
            if isinstance(redirection, TryAgainError):
                gevent.sleep(_TRY_AGAIN_S)
                continue
            is_asking = not isinstance(redirection, MovedError)  # which is an AskError too
            address = redirection.host or address[0], redirection.port  # a node may not know its own name
            if not is_asking:
                self._topology.learn(redirection.slot_id, address)
        return [*replies[:-1], RedirectedTooOften(redirection, MAX_HOPS)]

    def _distribute(self, commands: list[list[bytes]], sent_s: float) -> list[Any]:
        """Exchange commands with all their nodes at once, and follow redirections of single commands."""
        places: defaultdict[Address, list[int]] = defaultdict(list)
        for place, command in enumerate(commands):
            places[self._address_of(command)].append(place)
        replies: list[Any] = [None] * len(commands)

        def ask(address: Address) -> RedisError | None:
            data = b"".join(_packed(commands[place]) for place in places[address])
            try:
                received = self._ask(self._node(address), data, len(places[address]), sent_s)
            except RedisError as error:
                return error  # a greenlet that raised it would print it
            for place, reply in zip(places[address], received, strict=True):
                replies[place] = reply
            return None

        first, *others = places
        greenlets = [gevent.spawn(ask, address) for address in others]
        try:
            failures = [ask(first), *(greenlet.get() for greenlet in greenlets)]
        finally:
            gevent.killall(greenlets)
        for failure in filter(None, failures):
            raise failure
        for place, reply in enumerate(replies):
            if isinstance(reply, AskError | TryAgainError):
                address = self._address_of(commands[place])
                (replies[place],) = self._follow(_packed(commands[place]), 1, address, sent_s)
        return replies


def _with_key(commands: list[list[bytes]]) -> list[bytes]:
    """Return a command that determines the slot of all commands: one of a transaction, or the only one.

    Raises:
        CrossSlotTransactionError: The keys are in several slots.
    """
    slots = {key_slot(key): command for command in commands if (key := key_of(command)) is not None}
    if len(slots) > 1:
        raise CrossSlotTransactionError(
            "the keys of a transaction are in several slots of the cluster, which it cannot be executed across; give "
            "them one {hash tag}, or leave out the transaction"
        )
    return next(iter(slots.values()), commands[0])
