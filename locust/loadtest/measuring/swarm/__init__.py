"""Wires the measuring core into Locust: recorder and outbox on workers, collector and record on the master.

Call `of` once Locust has made its runner, which is what the ``init`` event is for::

    @events.init.add_listener
    def on_init(environment, **_):
        swarm.of(environment).stream_to(Path("runs/1/record.bin"))

**The way of a delta.** A worker folds its samples in small slices and cuts a delta at each whole second of the wall
clock. The master merges it, acknowledges it, and once a second brings everything that came into the record, the totals,
Locust's own statistics and the file on disk.

**The end of a run.** Locust's master fires ``test_stopping``, then ends the workers in its own way; headless it only
waits half a second. So the listener for ``test_stopping`` drains first: it asks every living worker to stop its users
and to send its last delta, and waits until all are here, at most the stop timeout plus `DRAIN_S`. Then it closes the
record, before any listener of ``test_stop`` or ``quitting`` reads it. A worker that is ended by itself (SIGTERM, as
when it is scaled away) stops its users, sends its last delta and waits for the acknowledgement, at most `DRAIN_S`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from locust.runners import MasterRunner, WorkerRunner

from loadtest.measuring.swarm.local import LocalSwarm
from loadtest.measuring.swarm.master import MasterSwarm
from loadtest.measuring.swarm.view import Snapshot, Swarm
from loadtest.measuring.swarm.worker import WorkerSwarm

if TYPE_CHECKING:
    from locust.env import Environment

__all__ = ["Snapshot", "Swarm", "of"]

_ATTRIBUTE: Final = "loadtest_swarm"  # where an Environment keeps its swarm


def of(environment: Environment) -> Swarm:
    """The swarm as this Locust Environment sees it, made and wired on first use.

    Raises:
        RuntimeError: when Locust has not made its runner yet; call this from the ``init`` event on.
    """
    swarm: Swarm | None = getattr(environment, _ATTRIBUTE, None)
    if swarm is None:
        runner = environment.runner
        if runner is None:
            raise RuntimeError("Locust has no runner yet: call swarm.of(environment) from the init event on")
        if isinstance(runner, WorkerRunner):
            swarm = WorkerSwarm(environment, runner)
        elif isinstance(runner, MasterRunner):
            swarm = MasterSwarm(environment, runner)
        else:
            swarm = LocalSwarm(environment)
        setattr(environment, _ATTRIBUTE, swarm)
    return swarm
