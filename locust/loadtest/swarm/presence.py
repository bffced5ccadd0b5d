"""Presence: who is there. It is noticed once, here, and told to all services.

**On the master.** Locust learns of a dead worker by its missing heartbeats, after four to five seconds. The kernel
closes the connection of a dead process at once. ZeroMQ tells that a connection closed, not whose; so every worker is
then probed: a ROUTER socket with ROUTER_MANDATORY refuses to send to a peer that has no connection. ZeroMQ tells before
the socket has taken notice itself, so the workers are probed again after `AGAIN_S`. The services are told at once;
Locust, which moves users between workers then, after `RETURN_S`, unless the worker came back.

**On a worker.** It never makes load without a master. The master answers every other second; a worker that has received
nothing for `CLOSED_S` after its connection closed, or for `SILENCE_S` while it stands, stops its users and looks for
the master again. Silence is counted in looks, not by a clock: neither a clock that was set nor a worker that was itself
held up is taken for a lost master.
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
"""How long the socket may take to notice that a connection closed; on a machine without a free core, `RETURN_S`."""
RETURN_S: Final = 0.5
"""How long a worker whose connection closed may take to make another before Locust is told that it is lost."""
CLOSED_S: Final = 4.0
SILENCE_S: Final = 7.0
"""A cut of three seconds, and what TCP needs after it, is no loss."""
MASTER: Final = "master"
"""What a worker calls its one peer."""
_LOOK_EVERY_S: Final = 0.25
_TOGETHER_S: Final = 0.02
_PAUSES: Final = 20
"""The shortest pause between two looks for closed connections, and a longer one, in looks. Each look asks for every
worker, and who connects under a thousand names can close them all at once."""


class WorkerPresence:
    """The workers, as the master sees them.

    Args:
        runner: the master's.
        services: returns those that are told of each worker that joins or is lost.
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
        """Watch from now on; those that are there already join."""
        self._gate.on_message = self._on_message
        events: Any = self._runner.environment.events
        events.worker_connect.add_listener(lambda client_id, **_: self._join(client_id))
        self._watch_socket()
        for worker in self.peers():
            self._join(worker)

    def states(self) -> dict[str, str]:
        """Return each worker's state, as Locust says it."""
        return {client.id: client.state for client in self._runner.clients.all}

    def peers(self) -> list[str]:
        """Return the workers that are there."""
        return [client.id for client in self._runner.clients.all if client.state != STATE_MISSING]

    def with_users(self) -> list[str]:
        """Return the workers that run users or may be told to."""
        clients = self._runner.clients
        return [client.id for client in clients.ready + clients.spawning + clients.running]

    def is_connected(self, worker: str) -> bool:
        """Return whether a worker's connection stands."""
        server: Any = self._runner.server
        return bool(server.is_connected(worker))

    def look(self) -> None:
        """Tell what has changed in Locust's list of workers; called once a second, and after messages."""
        self._watch_socket()
        for worker in self._there.difference(self.peers()):
            self._lose(worker)

    def _watch_socket(self) -> None:
        """Watch the connections of the master's socket; of another one, when Locust has made another."""
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
        """A connection closed: whose? One look is for all that close within a pause, and takes little of the time."""
        if not self._is_look_due:
            self._is_look_due = True
            gevent.spawn_later(self._pause_s, self._look_for_closed)

    def _look_for_closed(self) -> None:
        self._is_look_due = False
        began_s = time.monotonic()
        self._lose_unconnected()
        self._pause_s = max(_TOGETHER_S, _PAUSES * (time.monotonic() - began_s))
        gevent.spawn_later(AGAIN_S, self._lose_unconnected)
        gevent.spawn_later(RETURN_S, self._tell_locust)

    def _lose_unconnected(self) -> None:
        for worker in [worker for worker in self._there if not self.is_connected(worker)]:
            self._lose(worker)

    def _tell_locust(self) -> None:
        """No heartbeat is to be waited for: Locust looks once a second, and does what follows from a loss."""
        self._lose_unconnected()
        for worker in self.peers():
            if not self.is_connected(worker):
                self._runner.clients[worker].heartbeat = -1


class MasterPresence:
    """The master, as a worker sees it.

    Args:
        runner: the worker's.
        services: returns those that are told when the master is lost, and when it is there again.
    """

    def __init__(self, runner: WorkerRunner, services: Callable[[], Sequence[Service]]) -> None:
        self._runner = runner
        self._services = services
        self._gate = WorkerGate.of(runner)
        self._closed_after = -1
        """The number of messages received before the connection closed."""
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
