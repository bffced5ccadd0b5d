"""Replacements for methods of Locust's MasterRunner: see the table in `loadtest.swarm.replacements`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import gevent
from locust.runners import STATE_RUNNING, STATE_SPAWNING

from loadtest.settings.urls import without_credentials
from loadtest.swarm import rebalancing
from loadtest.swarm.gate import MasterGate
from loadtest.swarm.messages import LONGEST_TEXT

if TYPE_CHECKING:
    from collections.abc import Callable

    from locust import User
    from locust.dispatch import UsersDispatcher
    from locust.env import Environment
    from locust.rpc import Message
    from locust.runners import MasterRunner, WorkerNode

MAX_EXCEPTIONS: Final = 500
"""The maximum number of distinct exceptions of scenarios that are kept; further ones are counted together."""
MAX_LOG_LINES: Final = 500
LONGEST_LOG: Final = 100_000
MAX_LOGS: Final = 200
"""Bounds on the workers' logs: lines per log, characters per line, and logs."""
_OTHER: Final = "further exceptions, which are only counted"
_UNDER_WAY: Final = (STATE_SPAWNING, STATE_RUNNING)


def handle_message(original: Callable[..., None]) -> Callable[..., None]:
    """Pass each message through the gate."""

    def handle_message(self: MasterRunner, client_id: str, msg: Message) -> None:
        MasterGate.of(self).receive(client_id, msg, lambda: original(self, client_id, msg))

    return handle_message


def wait_for_workers_report_after_ramp_up(original: Callable[..., float]) -> Callable[..., float]:
    """Return 0 seconds within the receiving greenlet."""

    def wait_s(self: MasterRunner) -> float:
        return 0.0 if MasterGate.of(self).is_receiving else original(self)

    return wait_s


def update_state(original: Callable[..., None]) -> Callable[..., None]:
    """Let a master reach the running state only if it has begun to spawn and has not been stopped since."""

    def update_state(self: MasterRunner, new_state: str) -> None:
        if new_state != STATE_RUNNING or self.state in _UNDER_WAY:
            original(self, new_state)

    return update_state


def stop(original: Callable[..., None]) -> Callable[..., None]:
    """Let a headless master quit whenever its test stops, not only on request."""

    def stop(self: MasterRunner, send_stop_to_client: bool = True) -> None:
        options: Any = self.environment.parsed_options
        is_headless = options is not None and getattr(options, "headless", False)
        ends_test = self.state in _UNDER_WAY and send_stop_to_client  # quitting stops without
        original(self, send_stop_to_client)
        if is_headless and ends_test:
            gevent.spawn(self.quit)

    return stop


def all_workers(original: Any) -> Any:
    """Return a copy of the current workers, so that workers may leave during an iteration."""
    return property(lambda self: list(original.fget(self)))


def begin_dispatcher(original: Callable[..., None]) -> Callable[..., None]:
    """Dispatch to the workers that are not shutting down, or to all if every worker is."""

    def __init__(self: UsersDispatcher, worker_nodes: list[WorkerNode], user_classes: list[type[User]]) -> None:  # noqa: N807
        original(self, rebalancing.staying(worker_nodes) or worker_nodes, user_classes)

    return __init__


def add_worker(original: Callable[..., None]) -> Callable[..., None]:
    """Add each worker once, and none that is shutting down."""

    def add_worker(self: UsersDispatcher, worker_node: WorkerNode) -> None:
        if not rebalancing.staying([worker_node]):
            return
        self._worker_nodes = [node for node in self._worker_nodes if node.id != worker_node.id]
        original(self, worker_node)

    return add_worker


def log_exception(original: Callable[..., None]) -> Callable[..., None]:
    """Keep a bounded number of distinct exceptions, with truncated texts and without credentials in URLs."""

    def log_exception(self: MasterRunner, node_id: str, msg: str, formatted_tb: str) -> None:
        text, trace = (without_credentials(given[:LONGEST_TEXT]) for given in (msg, formatted_tb))
        if len(self.exceptions) >= MAX_EXCEPTIONS and hash(trace) not in self.exceptions:
            text = trace = _OTHER
        original(self, node_id, text, trace)

    return log_exception


def update_worker_logs(original: Callable[..., None]) -> Callable[..., None]:
    """Keep the latest lines of the latest logs."""

    def update_worker_logs(self: Environment, worker_log_report: dict[str, Any]) -> None:
        lines: list[str] = []
        left = LONGEST_LOG
        for line in reversed(worker_log_report["logs"][-MAX_LOG_LINES:]):
            lines.insert(0, line[:LONGEST_TEXT])
            left -= len(lines[0])
            if left < 0:
                break
        self.worker_logs.pop(worker_log_report["worker_id"], None)
        original(self, {**worker_log_report, "logs": lines})
        while len(self.worker_logs) > MAX_LOGS:
            del self.worker_logs[next(iter(self.worker_logs))]

    return update_worker_logs
