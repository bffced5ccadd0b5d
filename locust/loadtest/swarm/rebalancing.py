"""Users of workers that left go to those that stay, also when several leave at once.

Locust distributes the users again when a worker leaves. But a worker that leaves while it does so, as when
`docker compose up --scale locust_worker=1` ends several together, takes its users with it for the rest of the run: the
dispatcher marks that a distribution is due, and nothing acts on the mark. This does, once a second.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final, NoReturn

import gevent
from locust.runners import STATE_RUNNING

if TYPE_CHECKING:
    from locust.runners import MasterRunner

LOOK_EVERY_S: Final = 1.0

logger = logging.getLogger(__name__)


def keep(runner: MasterRunner) -> gevent.Greenlet[..., NoReturn]:
    """Distribute the users of a running test again, within about a second, whenever that is due."""
    return gevent.spawn(_look, runner)


def _look(runner: MasterRunner) -> NoReturn:
    while True:
        gevent.sleep(LOOK_EVERY_S)
        dispatcher = runner._users_dispatcher
        settled = runner.state == STATE_RUNNING and runner.spawning_completed and runner.worker_count > 0
        if settled and dispatcher is not None and dispatcher._rebalance:
            logger.info("workers left together: distributing %d users again", runner.target_user_count)
            runner.start(runner.target_user_count, runner.spawn_rate)
