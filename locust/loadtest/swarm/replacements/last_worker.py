"""A headless master whose last worker was lost ends, with the report of what was measured until then.

Locust stops the test then, and quits when the last worker said goodbye. When it was lost without a word the master
stays, with nothing to wait for: nobody would ever end it, nor the pipeline that waits for its exit code.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import gevent
from locust.runners import STATE_RUNNING, STATE_SPAWNING

if TYPE_CHECKING:
    from locust.runners import MasterRunner


def end_with(runner: MasterRunner) -> None:
    """Let this headless master quit when Locust stops its test, and not only when it is told to quit."""
    stop = runner.stop

    def stop_and_quit(send_stop_to_client: bool = True) -> None:
        is_under_way = runner.state in (STATE_SPAWNING, STATE_RUNNING)  # else there is nothing to stop
        stop(send_stop_to_client)
        if is_under_way and send_stop_to_client:  # quitting stops without
            gevent.spawn(runner.quit)

    runner.stop = stop_and_quit  # type: ignore[method-assign]
