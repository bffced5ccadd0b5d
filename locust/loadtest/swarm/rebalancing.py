"""Users of workers that left go to those that stay, also when several leave at once.

Locust deals the users anew when a worker leaves. But its dispatcher does not always note the end of that dealing, and a
worker that leaves then, as when `docker compose up --scale locust_worker=1` ends several together, takes its users
with it for the rest of the run. What remains is a mark in the dispatcher that it owes a new deal. Here somebody looks.
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
    """Deal the users of a running test anew, within about a second, whenever Locust owes it."""
    return gevent.spawn(_look, runner)


def _look(runner: MasterRunner) -> NoReturn:
    while True:
        gevent.sleep(LOOK_EVERY_S)
        dealer = runner._users_dispatcher
        settled = runner.state == STATE_RUNNING and runner.spawning_completed and runner.worker_count > 0
        if settled and dealer is not None and dealer._rebalance:
            logger.info("workers left together: dealing %d users anew", runner.target_user_count)
            runner.start(runner.target_user_count, runner.spawn_rate)
