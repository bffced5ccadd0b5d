"""Users of workers that left go to those that stay, also when several leave at once.

Locust distributes the users again when a worker leaves. But a worker that leaves while it does so, as when
`docker compose up --scale locust_worker=1` ends several together, takes its users with it for the rest of the run: the
dispatcher marks that a distribution is due, and nothing acts on the mark. This does, once a second.

Locust hears of it when the worker has ended, and deals it users until then. Here it gets none from the moment at which
it begins to end: its users finish their tasks meanwhile, and it would refuse others.
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
    """Distribute the users of a running test again, within about a second, whenever that is due."""
    return gevent.spawn(_look, runner)


def let_go(runner: MasterRunner, worker: WorkerNode) -> None:
    """Deal a worker no users any more: its process has begun to end."""
    if worker not in staying([worker]):
        return
    setattr(worker, _ENDING, True)
    if runner._users_dispatcher is not None:  # a test is under way
        logger.info("%s ends: its users go to the others", worker.id)
        runner._users_dispatcher.remove_worker(worker)


def staying(workers: Iterable[WorkerNode]) -> list[WorkerNode]:
    """Return the workers that may be dealt users."""
    return [worker for worker in workers if not hasattr(worker, _ENDING)]


def _look(runner: MasterRunner) -> NoReturn:
    while True:
        gevent.sleep(LOOK_EVERY_S)
        dispatcher = runner._users_dispatcher
        settled = runner.state == STATE_RUNNING and runner.spawning_completed and runner.worker_count > 0
        if settled and dispatcher is not None and dispatcher._rebalance:
            logger.info("workers left: distributing %d users again", runner.target_user_count)
            runner.start(runner.target_user_count, runner.spawn_rate)
