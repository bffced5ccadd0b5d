"""The master goes on listening while it deals users anew.

When a worker comes back, Locust deals them from within the greenlet that receives messages, and then waits up to a
second for reports that only this greenlet could receive, twice in a row. Deltas, heartbeats and the end of the run wait
meanwhile. There it waits no longer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import gevent

if TYPE_CHECKING:
    from locust.rpc import Message
    from locust.runners import MasterRunner


def keep(runner: MasterRunner) -> None:
    """Keep this master attentive."""
    handle: Any = runner.handle_message
    wait_s: Any = runner._wait_for_workers_report_after_ramp_up
    listening: Any = None

    def handle_message(client_id: str, message: Message) -> None:
        nonlocal listening
        listening = gevent.getcurrent()
        handle(client_id, message)

    def wait_for_workers_report_s() -> float:
        return 0.0 if gevent.getcurrent() is listening else wait_s()

    changed: Any = runner
    changed.handle_message = handle_message
    changed._wait_for_workers_report_after_ramp_up = wait_for_workers_report_s
