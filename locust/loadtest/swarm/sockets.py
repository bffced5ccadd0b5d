"""The master's and the worker's socket, in place of Locust's, which send and receive with few calls.

A `zmq.green` socket checks its state after every part of every message, which takes longer than the message itself.
Here messages are sent and received without that check. The state is checked once, before a greenlet waits.
"""

from __future__ import annotations

import logging
import secrets
import time
from typing import TYPE_CHECKING, Any

import gevent
import zmq.green as zmq
from locust.exception import RPCError, RPCReceiveError, RPCSendError
from locust.rpc import Message, zmqrpc
from locust.util.exception_handler import retry
from zmq.backend import Socket

from loadtest.exceptions import UsageError
from loadtest.settings.credentials import read_secret
from loadtest.settings.hosts import is_loopback
from loadtest.swarm import messages, refusals
from loadtest.swarm.authenticator import Authenticator
from loadtest.swarm.connections import Connections
from loadtest.swarm.keys import SHORTEST, Keys

if TYPE_CHECKING:
    from collections.abc import Iterable

    from loadtest.settings.config import Config

_receive: Any = Socket.recv
_send: Any = Socket.send
_get: Any = Socket.get

logger = logging.getLogger(__name__)

PING_EVERY_MS = 2_000
"""Milliseconds between two heartbeats of a worker's connection. After twice as long without an answer, both ends close
it and the worker reconnects. TCP alone backs off exponentially: after an outage of half a minute, the worker would be
back half a minute late."""
LONGEST_NAME = 200
MAX_NAMES = 10_000
"""Maximum number of names of workers that a master remembers. Beyond this, names without a connection are forgotten."""
MAX_UNREAD = 64
"""The maximum number of messages queued in a worker. At their maximum size they take 1 GiB, half the memory of a
worker's container. Further messages queue in the kernel, then in the master."""
MAX_UNSENT = 1_000
"""The maximum number of messages queued for one connection. Beyond this, a worker's send fails, and its deltas are sent
again later; the master drops messages for that one worker."""
_OWN_MARK = b"\n" + secrets.token_hex(16).encode()
"""The suffix of a worker's name in the identity of its connection. The name is public, but the suffix is known to the
two ends only, so nobody can take over a connection by its name. It stays the same when a worker reconnects."""
_NUMBER = b"\0"
"""The prefix of the identity that ZeroMQ gives to a connection without one, or one whose place another has taken."""
_AT_ONCE_S = 0.02
_PAUSE_S = 0.001
"""Seconds for which messages are received without a pause, and seconds of the pause. Yielding alone is not enough:
while messages wait, it lets no timer run and serves no other connection."""
_MAX_PARTS = 3
"""The sender, the message, and one more, which shows that there are too many."""
_PARTS_AT_ONCE = 10_000
_HANDSHAKE_MS = 5_000
"""Milliseconds after which a connection that was not admitted is closed. A worker reconnects."""
_HEADER_BYTES = 2
"""The least framing of a message part on the wire, in bytes."""


def receive(socket: Any) -> tuple[Any, list[bytes], int]:
    """Receive the next message: its first part as ZeroMQ's frame, its first parts, and its size on the wire in bytes.

    Yields to other greenlets when no message waits, and during a message of very many parts. Parts beyond the first
    three are dropped.
    """
    try:
        first = _receive(socket, zmq.NOBLOCK, copy=False)
    except zmq.Again:
        first = socket.recv(copy=False)
    parts, count, size_bytes = [first.bytes], 1, 0
    while _get(socket, zmq.RCVMORE):
        part = _receive(socket, zmq.NOBLOCK)
        if count < _MAX_PARTS:
            parts.append(part)
        count += 1
        size_bytes += _HEADER_BYTES + len(part)
        if count % _PARTS_AT_ONCE == 0:
            gevent.sleep(_PAUSE_S)
    return first, parts, size_bytes


def send_each(socket: Any, messages: Iterable[tuple[bytes, bytes]]) -> None:
    """Send messages over a ROUTER socket, each to its receiver; drop those whose receiver has no connection."""
    for receiver, message in messages:
        _send(socket, receiver, zmq.SNDMORE | zmq.NOBLOCK)
        _send(socket, message, zmq.NOBLOCK)
    socket.get(zmq.EVENTS)  # sending may have consumed an arrival's edge-triggered event; this wakes its waiter


def ends(config: Config) -> tuple[type[zmqrpc.Server], type[zmqrpc.Client]]:
    """Return the socket classes of the master and the worker, with the keys that the settings name.

    Raises:
        UsageError: when the key cannot be read.
    """
    file = config.link_key_file
    keys = Keys.of(read_secret(file, "LOADTEST_LINK_KEY_FILE", SHORTEST)) if file else None
    trusted = keys is not None or config.private_network

    class Server(MasterEnd):
        def __init__(self, host: str, port: int) -> None:
            check_reach(host, "--master-bind-host", trusted=trusted)
            super().__init__(host, port, keys)

    class Client(WorkerEnd):
        def __init__(self, host: str, port: int, identity: str) -> None:
            check_reach(host, "--master-host", trusted=trusted)
            super().__init__(host, port, identity, keys)

    return Server, Client


def check_reach(host: str, option: str, *, trusted: bool) -> None:
    """Exit the process if the link would leave this machine unencrypted.

    Raises:
        SystemExit: with the exit code for wrong usage. Locust creates the sockets and handles no other exception.
    """
    if trusted or is_loopback(host):
        return
    error = UsageError(
        f"{option} {host} would expose the workers' link beyond this machine, where anyone could join it or read it. "
        f"Allowed: {option} 127.0.0.1, or the same secret on every machine, in the file that LOADTEST_LINK_KEY_FILE "
        "names. Next: choose one of them."
    )
    logger.error("%s", error)
    raise SystemExit(int(error.exit_code))


class MasterEnd(zmqrpc.Server):
    """The master's socket, to which workers connect.

    Args:
        host: the address to listen on; ``*`` for all addresses.
        port: the port to listen on; 0 for any free port.
        keys: only workers with the same keys are admitted, and everything is encrypted; None for neither.

    Raises:
        RPCError: when the port cannot be listened on.
    """

    def __init__(self, host: str, port: int, keys: Keys | None) -> None:
        zmqrpc.BaseSocket.__init__(self, zmq.ROUTER, self.ipv4_only(host, port))  # type: ignore[no-untyped-call]
        self.socket.setsockopt(zmq.MAXMSGSIZE, messages.LONGEST_BYTES)
        self.socket.setsockopt(zmq.RCVHWM, 0)  # unbounded: see `loadtest.swarm.connections`
        self.socket.setsockopt(zmq.SNDHWM, MAX_UNSENT)
        self.socket.setsockopt(zmq.HANDSHAKE_IVL, _HANDSHAKE_MS)
        self.socket.setsockopt(zmq.ROUTER_HANDOVER, 1)  # a worker's new connection takes the place of its dead one
        self._paused_s = time.monotonic()
        self._addresses: dict[str, bytes] = {}
        self._connections = Connections(self.socket, lambda: self.port)
        if keys:
            self.socket.curve_server = True
            self.socket.curve_secretkey = keys.master.secret
        self._authenticator = Authenticator(
            self.socket, keys.worker if keys else None, lambda: self._connections.has_room
        )
        try:
            self.port = self.socket.bind_to_random_port(f"tcp://{host}") if port == 0 else port
            if port:
                self.socket.bind(f"tcp://{host}:{port}")
        except zmq.ZMQError as error:
            raise RPCError(f"Socket bind failure: {error}") from error

    def recv_from_client(self) -> tuple[str, Message]:
        """Receive the next valid message. Invalid ones are refused and counted.

        Raises:
            RPCError: when the network fails.
        """
        while True:
            self._pause()
            try:
                first, (address, *rest), size_bytes = receive(self.socket)
            except zmq.ZMQError as error:
                raise RPCError("ZMQ network broken") from error
            if not self._connections.takes(first.get(zmq.SRCFD), size_bytes):
                continue
            if address.startswith(_NUMBER) and self._is_left_over(first):
                continue
            try:
                sender, message = _name_in(address), messages.read(_only(rest))
            except ValueError as error:
                refusals.refuse(refusals.MALFORMED, str(error))
            else:
                if message.node_id != sender:
                    refusals.refuse(refusals.FORGED, f"{sender!r} sent it in the name of {message.node_id!r}")
                elif self._addresses.get(sender) == address or self._is_new(sender, address):
                    return sender, message
                else:
                    refusals.refuse(refusals.FORGED, f"another connection than that of {sender!r} sent it")

    def _is_left_over(self, first: Any) -> bool:
        """Whether a message was queued by a worker's broken connection after that worker had reconnected.

        Such messages are dropped. They arrive mixed with newer ones, so a worker could appear to stop after it was
        ready again. Messages in transit over a broken connection are lost as well, and the worker sends its deltas
        again.
        """
        try:
            declared: str = first.get("Identity")
        except (zmq.ZMQError, UnicodeDecodeError):
            return False
        return self._addresses.get(declared.partition("\n")[0]) == declared.encode()

    def _is_new(self, name: str, address: bytes) -> bool:
        """Whether no connection had this name so far. If so, the name belongs to this address from now on."""
        if len(self._addresses) >= MAX_NAMES:
            self._addresses = {old: known for old, known in self._addresses.items() if self.is_connected(old)}
        return len(self._addresses) < MAX_NAMES and self._addresses.setdefault(name, address) is address

    def is_connected(self, worker: str) -> bool:
        """Return whether a worker's connection is open."""
        try:
            self.socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
            probe = Message(messages.PROBE.name, None, worker).serialize()  # type: ignore[no-untyped-call]
            self.socket.send_multipart([self.address_of(worker), probe], zmq.NOBLOCK)
        except zmq.ZMQError as error:
            return bool(error.errno == zmq.EAGAIN)  # connected, but its queue is full
        finally:
            self.socket.setsockopt(zmq.ROUTER_MANDATORY, 0)  # Locust relies on sends that fail silently
        return True

    def address_of(self, worker: str) -> bytes:
        """Return the routing address of a worker: the first part of a message to it."""
        return self._addresses.get(worker) or worker.encode()

    @retry()  # type: ignore[untyped-decorator,no-untyped-call]
    def send_to_client(self, message: Message) -> None:
        """Send a message to the worker that it names. If that worker has no connection, the message is dropped.

        Raises:
            RPCSendError: when the network fails.
        """
        try:
            self.socket.send_multipart([self.address_of(message.node_id), message.serialize()])  # type: ignore[no-untyped-call]
        except zmq.ZMQError as error:
            raise RPCSendError("ZMQ sent failure") from error

    def _pause(self) -> None:
        """Yield to other greenlets during a flood of messages."""
        now_s = time.monotonic()
        if now_s - self._paused_s < _AT_ONCE_S:
            return
        if int(self.socket.get(zmq.EVENTS)) & zmq.POLLIN:
            gevent.sleep(_PAUSE_S)
        self._paused_s = time.monotonic()

    def close(self, linger: int | None = None) -> None:
        """Close the socket and the authenticator."""
        self._connections.end()
        self._authenticator.close()
        super().close(linger)  # type: ignore[no-untyped-call]


def _name_in(address: bytes) -> str:
    """Return the name of the worker that a connection belongs to.

    Raises:
        ValueError: when the name is unprintable: names appear in logs, in the web UI and in reports.
    """
    name = address.partition(b"\n")[0].decode()
    if not 0 < len(name) <= LONGEST_NAME or not name.isprintable():
        raise ValueError(f"its sender's name {name[:100]!r} cannot be shown")
    return name


def _only(parts: list[bytes]) -> bytes:
    """Return the only part of a message.

    Raises:
        ValueError: when it has more than one part.
    """
    if len(parts) != 1:
        raise ValueError("it is not of one part")
    return parts[0]


class WorkerEnd(zmqrpc.Client):
    """The worker's socket, connected to its master.

    Args:
        host: the master's address.
        port: the master's port.
        identity: the worker's name.
        keys: connect only to a master that has the same keys, encrypted; None for a connection without encryption.
    """

    def __init__(self, host: str, port: int, identity: str, keys: Keys | None) -> None:
        zmqrpc.BaseSocket.__init__(self, zmq.DEALER, self.ipv4_only(host, port))  # type: ignore[no-untyped-call]
        self.socket.setsockopt(zmq.MAXMSGSIZE, messages.LONGEST_BYTES)
        self.socket.setsockopt(zmq.RCVHWM, MAX_UNREAD)  # the master sends no pings: see `loadtest.swarm.connections`
        self.socket.setsockopt(zmq.SNDHWM, MAX_UNSENT)
        self.socket.setsockopt(zmq.IDENTITY, identity.encode() + _OWN_MARK)
        self.socket.setsockopt(zmq.HEARTBEAT_IVL, PING_EVERY_MS)
        self.socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, 2 * PING_EVERY_MS)
        self.socket.setsockopt(zmq.HEARTBEAT_TTL, 2 * PING_EVERY_MS)
        if keys:
            self.socket.curve_serverkey = keys.master.public
            self.socket.curve_publickey, self.socket.curve_secretkey = keys.worker.public, keys.worker.secret
        self.socket.connect(f"tcp://{host}:{port}")

    def send(self, message: Message) -> None:
        """Send a message, with long texts truncated.

        Raises:
            RPCSendError: when the network fails.
        """
        super().send(messages.shortened(message))

    def recv(self) -> Message:
        """Receive a message.

        Raises:
            RPCReceiveError: when what arrived is not a message.
            RPCError: when the network fails.
        """
        try:
            return messages.read(self.socket.recv(), messages.MAX_VALUES)
        except zmq.ZMQError as error:
            raise RPCError("ZMQ network broken") from error
        except ValueError as error:
            raise RPCReceiveError(f"a message from the master could not be read: {error}") from error
