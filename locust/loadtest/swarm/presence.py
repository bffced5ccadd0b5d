"""Presence: which peers are connected. Changes are detected here, once, and reported to all services.

**On the master.** Locust detects a dead worker by its missing heartbeats, after four to five seconds. The kernel closes
a dead process's connection at once. ZeroMQ reports that a connection closed but not whose, so every worker is then
probed: a ROUTER socket with ROUTER_MANDATORY refuses to send to a peer without a connection. The event can arrive
before the socket itself has noticed, so the workers are probed again after `AGAIN_S`. The services are told at once.
Locust, which then redistributes the users, is told after `RETURN_S`, unless the worker has reconnected.

**On a worker.** A worker never generates load without a master. The master answers every other second. A worker stops
its users and reconnects when it has received nothing for `CLOSED_S` after its connection closed, or for `SILENCE_S`
while the connection is open. Silence is counted in polls, not by a clock, so neither a change of the clock nor a
suspended worker is mistaken for a lost master.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any, Final, NoReturn

import gevent
from locust import runners
from locust.runners import STATE_MISSING

from loadtest.swarm.gate import MasterGate, WorkerGate
from loadtest.swarm.monitor import CLOSED, Monitor

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from locust.runners import MasterRunner, WorkerRunner

    from loadtest.swarm.service import Service

logger = logging.getLogger(__name__)

AGAIN_S: Final = 0.1
"""How long the socket may take to notice that a connection closed. Without a free core it can take `RETURN_S`."""
RETURN_S: Final = 0.5
"""How long a worker whose connection closed has to reconnect before Locust is told that it is lost."""
CLOSED_S: Final = 4.0
SILENCE_S: Final = 7.0
"""Long enough to survive a network outage of three seconds and TCP's retransmissions after it."""
MASTER: Final = "master"
"""The name under which a worker knows its only peer."""
_LOOK_EVERY_S: Final = 0.25
_TOGETHER_S: Final = 0.02
_PAUSES: Final = 20
"""The pause between two polls for closed connections, as a multiple of the time that a poll took; at least
`_TOGETHER_S`. Each poll probes every worker, and a peer that connected under a thousand names can close all of these
connections at once."""


class WorkerPresence:
    """The workers as seen by the master.

    Args:
        runner: the master's runner.
        services: returns the services to tell when a worker joins or is lost.
    """

    def __init__(self, runner: MasterRunner, services: Callable[[], Sequence[Service]]) -> None:
        self._runner = runner
        self._services = services
        self._there: set[str] = set()
        self._gate = MasterGate.of(runner)
        self._socket: Any = None
        self._is_look_due = False
        self._pause_s = _TOGETHER_S

    def begin(self) -> None:
        """Start watching. Workers that are already connected join now."""
        self._gate.on_message = self._on_message
        events: Any = self._runner.environment.events
        events.worker_connect.add_listener(lambda client_id, **_: self._join(client_id))
        self._watch_socket()
        for worker in self.peers():
            self._join(worker)

    def states(self) -> dict[str, str]:
        """Return each worker's state in Locust's terms, by worker name."""
        return {client.id: client.state for client in self._runner.clients.all}

    def peers(self) -> list[str]:
        """Return the names of the connected workers."""
        return [client.id for client in self._runner.clients.all if client.state != STATE_MISSING]

    def with_users(self) -> list[str]:
        """Return the workers that run users or may be told to run some."""
        clients = self._runner.clients
        return [client.id for client in clients.ready + clients.spawning + clients.running]

    def is_connected(self, worker: str) -> bool:
        """Return whether a worker's connection is open."""
        server: Any = self._runner.server
        return bool(server.is_connected(worker))

    def look(self) -> None:
        """Report changes in Locust's list of workers to the services. Called once a second and after each message."""
        self._watch_socket()
        for worker in self._there.difference(self.peers()):
            self._lose(worker)

    def _watch_socket(self) -> None:
        """Watch the connections of the master's socket, and of the new socket if Locust has replaced it."""
        if self._socket is not self._runner.server.socket:
            self._socket = self._runner.server.socket
            Monitor.of(self._socket).listen(CLOSED, self._on_closed)

    def _on_message(self, worker: str) -> None:
        if worker not in self._there and worker in self._runner.clients:
            if self._runner.clients[worker].state != STATE_MISSING:
                self._join(worker)
        elif worker in self._there and worker not in self._runner.clients:
            self._lose(worker)

    def _join(self, worker: str) -> None:
        self._there.add(worker)
        for service in self._services():
            service.joined(worker)

    def _lose(self, worker: str) -> None:
        self._there.discard(worker)
        for service in self._services():
            service.lost(worker)

    def _on_closed(self, _descriptor: int) -> None:
        """Schedule a poll for the worker whose connection closed. One poll covers all that close within a pause."""
        if not self._is_look_due:
            self._is_look_due = True
            gevent.spawn_later(self._pause_s, self._look_for_closed)

    def _look_for_closed(self) -> None:
        self._is_look_due = False
        began_s = time.monotonic()
        self._lose_unconnected()
        self._pause_s = max(_TOGETHER_S, _PAUSES * (time.monotonic() - began_s))
        gevent.spawn_later(AGAIN_S, self._lose_unconnected)
        gevent.spawn_later(RETURN_S, self._notify_locust)

    def _lose_unconnected(self) -> None:
        for worker in [worker for worker in self._there if not self.is_connected(worker)]:
            self._lose(worker)

    def _notify_locust(self) -> None:
        """Report the worker as missing: Locust checks once a second and acts on a loss by itself."""
        self._lose_unconnected()
        for worker in self.peers():
            if not self.is_connected(worker):
                self._runner.clients[worker].heartbeat = -1


class MasterPresence:
    """The master as seen by a worker.

    Args:
        runner: the worker's runner.
        services: returns the services to tell when the master is lost and when it is back.
    """

    def __init__(self, runner: WorkerRunner, services: Callable[[], Sequence[Service]]) -> None:
        self._runner = runner
        self._services = services
        self._gate = WorkerGate.of(runner)
        self._closed_after = -1
        """The number of messages received by the time the connection closed."""
        self._watched: Any = None

    def watch(self) -> NoReturn:
        """Watch the master for as long as the process lives."""
        received, silent_s = self._gate.received, 0.0
        while True:
            self._watch_socket()
            gevent.sleep(_LOOK_EVERY_S)
            if self._gate.received != received or self._gate.is_handling:
                received, silent_s = self._gate.received, 0.0
                continue
            silent_s += _LOOK_EVERY_S
            if silent_s >= (CLOSED_S if self._closed_after == received else SILENCE_S):
                self._find_again(silent_s)
                silent_s = 0.0

    def _watch_socket(self) -> None:
        socket: Any = self._runner.client.socket
        if socket is not self._watched:
            self._watched = socket
            Monitor.of(socket).listen(CLOSED, self._on_closed)

    def _on_closed(self, _descriptor: int) -> None:
        self._closed_after = self._gate.received

    def _find_again(self, silent_s: float) -> None:
        runner = self._runner
        logger.warning(
            "nothing received from the master for %g s: stopping %d users, then looking for it",
            silent_s,
            runner.user_count,
        )
        for service in self._services():
            service.lost(MASTER)
        runner.environment.stop_timeout = 0.0  # the next spawn message sets it again
        runner.stop()
        runner.worker_state = runners.STATE_INIT
        runner.last_received_spawn_timestamp = 0  # another master's clock may be behind
        runner.connection_event.clear()
        runner.retry = 0
        try:
            runner.connect_to_master()  # type: ignore[no-untyped-call]
        except ConnectionError as error:
            logger.error("%s", error)
            runner.environment.process_exit_code = 1
            runner.quit()
        logger.info("the master is back")
        for service in self._services():
            service.joined(MASTER)
