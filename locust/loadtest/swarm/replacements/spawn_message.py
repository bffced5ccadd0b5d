"""How a worker takes in a spawn message, of which it gets one a second while users ramp up: what it costs, and when.

Locust asks for each option in the message whether it is one of its own, and each time builds its whole command-line
parser for the answer: 0.2 to 0.3 s in all, during which no user runs, no time is measured right and, on a busy machine,
no heartbeat leaves, so that the master counts the worker as lost. The answer is always the same: ask once.

And it drops a message that is older than the last one, by the master's clock: when that clock is set back by an hour,
it drops them all for an hour. The link keeps the order of messages, so an older one means that the clock was set.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Final

from locust import argument_parser, runners

if TYPE_CHECKING:
    from locust.rpc import Message

_STEP_S: Final = 1.0


def remember_options() -> None:
    """Make this process build Locust's default options once."""
    argument_parser.default_args_dict = functools.cache(argument_parser.default_args_dict)


def outlive_clock_steps() -> None:
    """Make workers of this process take spawn messages whose time lies before the last one's."""
    handle = runners.WorkerRunner.handle_message

    def handle_message(self: runners.WorkerRunner, msg: Message) -> None:
        if msg.type == "spawn" and msg.data["timestamp"] < self.last_received_spawn_timestamp - _STEP_S:
            self.last_received_spawn_timestamp = 0
        handle(self, msg)

    runners.WorkerRunner.handle_message = handle_message  # type: ignore[method-assign]
