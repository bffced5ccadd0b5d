"""A run that was stopped while its users were being started stays stopped.

Locust goes on dealing users after a stop, to the end of the ramp-up, unless its own web UI stopped the run. Workers
leave that out (see `loadtest.measuring.swarm.messages.NO_RUN`). But the master then says that it is running, with
nothing to run, and takes the next start for a change of this one: no test starts, and nothing is measured.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from locust.runners import STATE_RUNNING, STATE_SPAWNING

if TYPE_CHECKING:
    from locust.runners import MasterRunner

_BEFORE: Final = (STATE_SPAWNING, STATE_RUNNING)


def keep(runner: MasterRunner) -> None:
    """Let this master run only what it has begun to start, and not stopped since."""
    update = runner.update_state

    def update_state(new_state: str) -> None:
        if new_state != STATE_RUNNING or runner.state in _BEFORE:
            update(new_state)

    runner.update_state = update_state  # type: ignore[method-assign]
