"""Rebalancing: users of workers that leave move to the remaining workers, even when several leave at once.

Locust redistributes users when a worker leaves. But a worker that leaves during a redistribution, as when `docker
compose up --scale locust_worker=1` ends several together, takes its users with it for the rest of the run: the
dispatcher only sets a flag that a redistribution is due, and nothing reads the flag. Here it is checked once a second.

Locust learns that a worker ends only when it has ended, and assigns users to it until then. Here a worker gets no more
users from the moment at which it begins to end: it finishes its users' tasks, and would refuse new users.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final, NoReturn

import gevent
from locust.runners import STATE_RUNNING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from locust.runners import MasterRunner, WorkerNode

LOOK_EVERY_S: Final = 1.0
_ENDING: Final = "_is_ending"

logger = logging.getLogger(__name__)


def keep(runner: MasterRunner) -> gevent.Greenlet[..., NoReturn]:
    """Redistribute the users of a running test, within about a second, whenever that is due."""
    return gevent.spawn(_look, runner)


def stop_assigning(runner: MasterRunner, worker: WorkerNode) -> None:
    """Assign no more users to a worker that is shutting down."""
    if worker not in staying([worker]):
        return
    setattr(worker, _ENDING, True)
    if runner._users_dispatcher is not None:  # a test is running
        logger.info("%s is shutting down: its users go to the others", worker.id)
        runner._users_dispatcher.remove_worker(worker)


def staying(workers: Iterable[WorkerNode]) -> list[WorkerNode]:
    """Return the workers that may be assigned users."""
    return [worker for worker in workers if not hasattr(worker, _ENDING)]


def _look(runner: MasterRunner) -> NoReturn:
    while True:
        gevent.sleep(LOOK_EVERY_S)
        dispatcher = runner._users_dispatcher
        settled = runner.state == STATE_RUNNING and runner.spawning_completed and runner.worker_count > 0
        if settled and dispatcher is not None and dispatcher._rebalance:
            logger.info("workers left: distributing %d users again", runner.target_user_count)
            runner.start(runner.target_user_count, runner.spawn_rate)
