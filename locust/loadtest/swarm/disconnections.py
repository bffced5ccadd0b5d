"""Disconnections: which workers' connections to the master are gone, known within milliseconds of their end.

Locust learns of a dead worker by its missing heartbeats, after three to four seconds. The kernel closes the
connection of a dead process at once. ZeroMQ reports that a connection closed, not whose; so every worker is then
probed: a ROUTER socket with ROUTER_MANDATORY refuses to send to a peer that has no connection.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import zmq.green as zmq
from locust.rpc import Message

from loadtest.swarm.monitor import CLOSED, Monitor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from locust.runners import MasterRunner

PROBE = "pacing_probe"
"""The message of a probe; it asks for nothing."""


class Disconnections:
    """Calls `on_closed`, which must not block, whenever a connection of the master's socket closed."""

    def __init__(self, runner: MasterRunner, on_closed: Callable[[], None]) -> None:
        """Begin to listen."""
        self._runner = runner
        self._end = Monitor.of(runner.server.socket).listen(CLOSED, on_closed)

    def gone(self, workers: Iterable[str]) -> list[str]:
        """Return those of these workers that have no connection."""
        return [worker for worker in workers if not is_connected(self._runner, worker)]

    def close(self) -> None:
        """Listen no more."""
        self._end()


def is_connected(runner: MasterRunner, worker: str) -> bool:
    """Say whether a worker's connection to the master stands."""
    socket: Any = runner.server.socket
    try:
        socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        socket.send_multipart([worker.encode(), Message(PROBE, None, worker).serialize()], zmq.NOBLOCK)  # type: ignore[no-untyped-call]
    except zmq.ZMQError as error:
        return bool(error.errno == zmq.EAGAIN)  # connected, but its queue is full
    finally:
        socket.setsockopt(zmq.ROUTER_MANDATORY, 0)  # Locust counts on sends that fail silently
    return True
