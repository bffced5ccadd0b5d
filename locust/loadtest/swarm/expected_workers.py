"""What happens when fewer workers connect than were expected: an error that says how many did, or a run with those.

Locust waits for ``--expect-workers`` for at most ``--expect-workers-max-wait`` seconds, logs that it gave up, and exits
with code 1.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import gevent

if TYPE_CHECKING:
    from locust.env import Environment
    from locust.runners import MasterRunner

_BEFORE_S = 1.0  # Locust checks once a second, so decide before its last check

logger = logging.getLogger(__name__)


def watch(environment: Environment, runner: MasterRunner, *, go_on: bool) -> None:
    """Decide, shortly before Locust stops waiting, whether to run with the workers that connected.

    Args:
        environment: the master's Environment, with Locust's parsed options.
        runner: the master's runner.
        go_on: reduce the expected number to the number of connected workers, if there are any.
    """
    longest_s = getattr(environment.parsed_options, "expect_workers_max_wait", 0)
    if longest_s:
        gevent.spawn_later(max(0.0, longest_s - _BEFORE_S), _decide, environment.parsed_options, runner, go_on)


def _decide(options: Any, runner: MasterRunner, go_on: bool) -> None:
    came, expected = len(runner.clients), options.expect_workers
    if came >= expected:
        return
    if go_on and came:
        logger.warning(
            "%d of %d workers connected within %d s: continuing with these", came, expected, _waited_s(options)
        )
        options.expect_workers = came
        return
    logger.error(
        "%d of %d workers connected within %d s. Allowed: all that are expected. Next: read the logs of those that "
        "are missing, expect fewer, or set LOADTEST_FEWER_WORKERS=1 to continue with those that connect.",
        came, expected, _waited_s(options),
    )  # fmt: skip


def _waited_s(options: Any) -> int:
    return int(options.expect_workers_max_wait)
