"""Gates: every message that arrives, on the master or on a worker, passes one, and is handled nowhere else.

A gate refuses and counts messages that are not in the table of messages or do not match their schema. It passes this
product's kinds to their handlers and Locust's kinds to Locust. A message whose handler raises is counted too, and the
process continues to receive.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import gevent
from locust.rpc import Message

from loadtest.session import Session
from loadtest.swarm import refusals, sockets
from loadtest.swarm.messages import FROM_MASTER, FROM_WORKERS, NO_RUN, PROBE, Kind, Logs, Payload, RunOptions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from locust.runners import MasterRunner, WorkerRunner

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Handler:
    kind: Kind[Any]
    handle: Callable[[str, Any], None]
    concurrent: bool


class Gate:
    """The part that the master's and the workers' gates share.

    Args:
        table: the kinds of messages that may arrive.
        registered: the kinds that were registered with Locust's `register_message`.
    """

    def __init__(self, table: Mapping[str, Kind[Any]], registered: Mapping[str, Any]) -> None:
        self._table = table
        self._registered = registered
        self._handlers: dict[str, _Handler] = {}

    def on(self, kind: Kind[Payload], handle: Callable[[str, Payload], None], *, concurrent: bool = False) -> None:
        """Register the handler of a kind of message: see `loadtest.swarm.service.Link.on`."""
        self._handlers[kind.name] = _Handler(kind, handle, concurrent)

    def receive(self, sender: str, message: Message, locust_handle: Callable[[], None]) -> None:
        """Handle a message, or refuse and count it.

        Args:
            sender: the name of the peer whose connection it arrived over.
            message: the message.
            locust_handle: runs Locust's own handling of the message.
        """
        try:
            payload = self._checked(message)
        except ValueError as error:
            refusals.refuse(refusals.MALFORMED, str(error))
            return
        except KeyError:
            refusals.refuse(refusals.UNKNOWN, f"the kind is unknown: {message.type[:100]!r}")
            return
        try:
            self._handle(sender, message, payload, locust_handle)
        except Exception as error:
            why = f"of a {message.type[:100]} message could not be handled: {type(error).__name__}: {error}"
            refusals.refuse(refusals.MALFORMED, why, error)

    def _checked(self, message: Message) -> Any:
        if message.type not in self._table:
            return None if message.type in self._registered else self._table[message.type]
        return self._table[message.type].read(message.data)

    def _handle(self, sender: str, message: Message, payload: Any, locust_handle: Callable[[], None]) -> None:
        handler = self._handlers.get(message.type)
        if handler is not None and handler.concurrent:
            gevent.spawn(handler.handle, sender, payload)
        elif handler is not None:
            handler.handle(sender, payload)
        elif message.type in self._registered or not message.type.startswith(_OURS):
            locust_handle()


_OURS = ("loadtest_", "pacing_", "feeding_")
"""The prefix of this product's kinds. One without a handler is for a service that this process does not run."""


class MasterGate(Gate):
    """The master's gate, through which it also sends to its workers."""

    def __init__(self, runner: MasterRunner) -> None:
        """Use `MasterGate.of`."""
        super().__init__(FROM_WORKERS, runner.custom_messages)
        self._runner = runner
        self._receiver: Any = None
        self.on_message: Callable[[str], None] = lambda _worker: None
        """Called with the sender after each message."""

    @classmethod
    def of(cls, runner: MasterRunner) -> MasterGate:
        """Return the runner's gate, creating it on first use, which may be before ``init``."""
        return Session.of(runner.environment).find_or_make(cls, lambda: cls(runner))

    @property
    def is_receiving(self) -> bool:
        """Whether the caller runs within the receiving greenlet. If so, waiting for a message would never end."""
        return gevent.getcurrent() is self._receiver

    def receive(self, sender: str, message: Message, locust_handle: Callable[[], None]) -> None:
        """See `Gate.receive`."""
        self._receiver = gevent.getcurrent()
        super().receive(sender, message, locust_handle)
        self.on_message(sender)

    def _handle(self, sender: str, message: Message, payload: Any, locust_handle: Callable[[], None]) -> None:
        if isinstance(payload, Logs) and payload.worker_id != sender:
            refusals.refuse(refusals.FORGED, f"{sender!r} sent the log of {payload.worker_id[:100]!r}")
            return
        super()._handle(sender, message, payload, locust_handle)

    def send(self, kind: Kind[Payload], payload: Payload, worker: str) -> None:
        """Send a message to a worker. If that worker has no connection, the message is dropped."""
        self._runner.server.send_to_client(_message(kind, payload, worker))

    def send_each(self, kind: Kind[Payload], payloads: Iterable[tuple[str, Payload]]) -> None:
        """Send messages of one kind to several workers, at little more than the cost of one."""
        server: Any = self._runner.server
        packed = [
            (server.address_of(worker), _message(kind, payload, worker).serialize())  # type: ignore[no-untyped-call]
            for worker, payload in payloads
        ]
        sockets.send_each(server.socket, packed)


class WorkerGate(Gate):
    """A worker's gate, through which it also sends to its master.

    Attributes:
        received: the number of messages received from the master.
        is_handling: whether a message is being handled. At the end of a test, Locust may take the stop timeout for one.
        is_closing: whether this process is ending: it starts no more users.
    """

    def __init__(self, runner: WorkerRunner) -> None:
        """Use `WorkerGate.of`."""
        super().__init__(FROM_MASTER, runner.custom_messages)
        self._runner = runner
        self.received = 0
        self.is_handling = False
        self.is_closing = False
        self.on(PROBE, lambda _master, _payload: None)

    @classmethod
    def of(cls, runner: WorkerRunner) -> WorkerGate:
        """Return the runner's gate, creating it on first use, which may be before ``init``."""
        return Session.of(runner.environment).find_or_make(cls, lambda: cls(runner))

    def receive(self, sender: str, message: Message, locust_handle: Callable[[], None]) -> None:
        """See `Gate.receive`."""
        self.received += 1
        self.is_handling = True
        try:
            super().receive(sender, message, locust_handle)
        finally:
            self.is_handling = False

    def _handle(self, sender: str, message: Message, payload: Any, locust_handle: Callable[[], None]) -> None:
        if message.type == "spawn" and not self._may_start(message.data["parsed_options"]):
            logger.info("no more users are started: their run is ending")
            return
        super()._handle(sender, message, payload, locust_handle)

    def _may_start(self, options: dict[str, Any]) -> bool:
        """Whether users of a run may start: not once the run has been asked to end, and not while this process ends."""
        run = RunOptions.of(options)
        return not self.is_closing and (run is None or run.run != NO_RUN)

    def send(self, kind: Kind[Payload], payload: Payload) -> None:
        """Send a message to the master.

        Raises:
            RPCError: when the link fails.
        """
        self._runner.client.send(_message(kind, payload, self._runner.client_id))


def _message(kind: Kind[Payload], payload: Payload, worker: str) -> Message:
    return Message(kind.name, kind.write(payload), worker)  # type: ignore[no-untyped-call]
