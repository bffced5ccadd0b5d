"""Replacements for methods of Locust's WorkerRunner: see the table in `loadtest.swarm.replacements`."""

from __future__ import annotations

from argparse import Namespace
from typing import TYPE_CHECKING, Any, Final, NoReturn

import gevent
import zmq
from locust import runners
from locust.exception import RPCSendError

from loadtest.measuring.labels import OTHER
from loadtest.measuring.recorder import Recorder
from loadtest.session import Session
from loadtest.swarm.gate import WorkerGate
from loadtest.swarm.messages import RunOptions
from loadtest.swarm.presence import MASTER, MasterPresence
from loadtest.swarm.session import Swarm

if TYPE_CHECKING:
    from collections.abc import Callable

    from locust.rpc import Message
    from locust.runners import WorkerRunner

_STEP_S: Final = 1.0
_POLL_S: Final = 0.02
_UNDER_WAY: Final = (runners.STATE_SPAWNING, runners.STATE_RUNNING)
_STOCK_TIMEOUT: Final = runners.CONNECT_TIMEOUT, runners.CONNECT_RETRY_COUNT


def set_connect_timeout(wait_s: float | None) -> None:
    """Make workers of this process give up after `wait_s` seconds without a master; None for Locust's 5 minutes."""
    if wait_s is None:
        runners.CONNECT_TIMEOUT, runners.CONNECT_RETRY_COUNT = _STOCK_TIMEOUT
        return
    tries = max(1, round(wait_s / _STOCK_TIMEOUT[0]))
    runners.CONNECT_TIMEOUT = wait_s / tries  # type: ignore[assignment]  # Locust's annotation is int
    runners.CONNECT_RETRY_COUNT = tries - 1


def handle_message(original: Callable[..., None]) -> Callable[..., None]:
    """Pass each message through the gate, and handle spawn messages that are older than the last or of another run.

    The link preserves the order of messages, so an older one means that the master's clock was set back. A spawn
    message of another run ends the current run: a disconnected or suspended worker may have missed its end.
    """

    def handle_message(self: WorkerRunner, msg: Message) -> None:
        def locust_handle() -> None:
            if msg.type == "spawn":
                if msg.data["timestamp"] < self.last_received_spawn_timestamp - _STEP_S:
                    self.last_received_spawn_timestamp = 0
                if self.worker_state in _UNDER_WAY and _run_of(msg.data["parsed_options"]) != _run_of(
                    vars(self.environment.parsed_options)
                ):
                    self.stop()
                    self.worker_state = runners.STATE_INIT
            original(self, msg)

        WorkerGate.of(self).receive(MASTER, msg, locust_handle)

    return handle_message


def _run_of(options: dict[str, Any]) -> str | None:
    found = RunOptions.of(options)
    return found.run if found else None


def start_worker(original: Callable[..., None]) -> Callable[..., None]:
    """Leave starting users to the service that creates them for arrivals, if there is one; the numbers are its limits.

    The first spawn message may arrive while Locust is still being set up and no service exists yet. Without waiting,
    users would loop in a run whose arrivals are started one by one.
    """

    def start_worker(self: WorkerRunner, user_classes_count: dict[str, int], **more: Any) -> None:
        session = Session.of(self.environment)
        while session.find(Swarm) is None and _run_of(vars(self.environment.parsed_options or Namespace())) is not None:
            gevent.sleep(_POLL_S)
        swarm = session.find(Swarm)
        limit_users = swarm.limit_users if swarm is not None else None
        if limit_users is None:
            try:
                original(self, user_classes_count, **more)
            except Exception as error:  # raised by a user's __init__; the users that should follow are not created
                Recorder.of(self.environment).add_exception(OTHER, error, ends_user=True)
                raise
            return
        self.target_user_classes_count = user_classes_count
        self.target_user_count = sum(user_classes_count.values())
        for user_class in self.user_classes:
            if self.environment.host:
                user_class.host = self.environment.host
        limit_users(user_classes_count)
        self.spawning_complete(sum(self.user_classes_count.values()))  # type: ignore[no-untyped-call]
        self.update_state(runners.STATE_RUNNING)

    return start_worker


def connect_to_master(original: Callable[..., None]) -> Callable[..., None]:
    """Say why a worker found no master. Locust's start-up logs the error and exits with 255.

    If only one side has a key, ZeroMQ does not reconnect, and every later send fails. Locust would end with a
    traceback.
    """

    def connect_to_master(self: WorkerRunner) -> None:
        try:
            _check_queue(self)
            original(self)  # calls itself for the next try, hence this replacement
        except RPCSendError:
            raise ConnectionError(
                f"only one of this worker and its master at {self.master_host}:{self.master_port} has a link key. "
                "Allowed: the same key on both sides, or none on either. Next: set LOADTEST_LINK_KEY_FILE on both "
                "sides, or on neither."
            ) from None
        except ConnectionError as error:
            if error.args:
                raise
            wait_s = runners.CONNECT_TIMEOUT * (runners.CONNECT_RETRY_COUNT + 1)
            raise ConnectionError(
                f"no master answered at {self.master_host}:{self.master_port} within {wait_s:g} s. Allowed: the "
                "address of a running master with the same key. Next: start the master, correct --master-host and "
                "--master-port, or give both sides the same LOADTEST_LINK_KEY_FILE."
            ) from None

    return connect_to_master


def _check_queue(runner: WorkerRunner) -> None:
    """Raise immediately what Locust's send would raise after 9 s and three tracebacks.

    Raises:
        RPCSendError: when ZeroMQ has permanently closed the connection and its queue.
    """
    if not int(runner.client.socket.get(zmq.EVENTS)) & zmq.POLLOUT:
        raise RPCSendError


def heartbeat_timeout_checker(_original: Callable[..., NoReturn]) -> Callable[..., NoReturn]:
    """Detect a lost master by any of its messages instead of by its heartbeats alone."""

    def watch_master(self: WorkerRunner) -> NoReturn:
        session = Session.of(self.environment)
        MasterPresence(self, lambda: swarm.services if (swarm := session.find(Swarm)) else []).watch()

    return watch_master


def leave_to_reports(_original: Callable[..., NoReturn]) -> Callable[..., None]:
    """Do nothing: the reports of `loadtest.swarm.reports` carry what the original would send."""

    def nothing(_self: WorkerRunner) -> None:
        """Do nothing."""

    return nothing
