"""A worker whose connection closed is lost within about a second, not after four to five without a heartbeat.

The kernel closes the connections of a dead process at once, and Locust does not look. What follows from a loss, giving
the worker's users to the others above all, stays Locust's: it is only told that no heartbeat is to be waited for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import gevent
from locust.runners import STATE_MISSING

from loadtest.swarm.disconnections import Disconnections

if TYPE_CHECKING:
    from locust.runners import MasterRunner

RETURN_S: Final = 0.5
"""A worker whose connection broke has so long to make another before it counts as lost."""


def watch(runner: MasterRunner) -> None:
    """Tell Locust of workers whose connection closed, as long as the runner lives."""

    def look() -> None:
        known = [client.id for client in runner.clients.all if client.state != STATE_MISSING]
        for worker in disconnections.gone(known):
            runner.clients[worker].heartbeat = -1  # Locust looks once a second

    def look_soon() -> None:
        gevent.spawn_later(RETURN_S, look)

    disconnections = Disconnections(runner, look_soon)
