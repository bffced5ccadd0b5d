"""What takes the place of methods of Locust's MasterRunner: see the table in `loadtest.swarm.replacements`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import gevent
from locust.runners import STATE_RUNNING, STATE_SPAWNING

from loadtest.swarm.gate import MasterGate

if TYPE_CHECKING:
    from collections.abc import Callable

    from locust.rpc import Message
    from locust.runners import MasterRunner

_UNDER_WAY: Final = (STATE_SPAWNING, STATE_RUNNING)


def handle_message(original: Callable[..., None]) -> Callable[..., None]:
    """Let each message through the gate."""

    def handle_message(self: MasterRunner, client_id: str, msg: Message) -> None:
        MasterGate.of(self).receive(client_id, msg, lambda: original(self, client_id, msg))

    return handle_message


def wait_for_workers_report_after_ramp_up(original: Callable[..., float]) -> Callable[..., float]:
    """Return 0 seconds within the greenlet that receives."""

    def wait_s(self: MasterRunner) -> float:
        return 0.0 if MasterGate.of(self).is_receiving else original(self)

    return wait_s


def update_state(original: Callable[..., None]) -> Callable[..., None]:
    """Let a master run only what it has begun to start, and not stopped since."""

    def update_state(self: MasterRunner, new_state: str) -> None:
        if new_state != STATE_RUNNING or self.state in _UNDER_WAY:
            original(self, new_state)

    return update_state


def stop(original: Callable[..., None]) -> Callable[..., None]:
    """Let a headless master quit when Locust stops its test, and not only when it is told to quit."""

    def stop(self: MasterRunner, send_stop_to_client: bool = True) -> None:
        options: Any = self.environment.parsed_options
        is_headless = options is not None and getattr(options, "headless", False)
        ends_test = self.state in _UNDER_WAY and send_stop_to_client  # quitting stops without
        original(self, send_stop_to_client)
        if is_headless and ends_test:
            gevent.spawn(self.quit)

    return stop
