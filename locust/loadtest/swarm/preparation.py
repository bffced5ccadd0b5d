"""Preparation: what happens on the master between the start of a test and its first load.

Locust logs an error of a listener of ``test_start`` and goes on, with load that nothing was prepared for. Here the
first error, in any listener, refuses the start. The listener that makes the run is called last, so that the run's
time begins when everything is prepared.
"""

from __future__ import annotations

import logging
import traceback
from typing import TYPE_CHECKING, Any, NoReturn

import gevent
from locust.exception import StopTest

from loadtest.exceptions import ExitCode, LoadtestError, described
from loadtest.progress import output
from loadtest.swarm.exit_code import ProcessExitCode

if TYPE_CHECKING:
    from collections.abc import Callable

    from locust.env import Environment

_log = logging.getLogger(__name__)


def fire_strictly(environment: Environment, make_run: Callable[..., None], clean_up: Callable[[], None]) -> None:
    """Have the Environment's ``test_start`` end with its first error.

    Args:
        environment: of a master, or of a process that runs alone.
        make_run: called after all listeners.
        clean_up: called before a start is refused.
    """
    event: Any = environment.events.test_start

    def fire(*, reverse: bool = False, **more: Any) -> None:
        listeners = event._handlers[::-1] if reverse else event._handlers.copy()
        for listener in (*listeners, make_run):
            try:
                listener(**more)
            except StopTest:
                raise
            except (Exception, SystemExit) as error:  # sys.exit(0) would end the process as if the run had passed
                clean_up()
                refuse(environment, error)

    event.fire = fire


def refuse(environment: Environment, error: BaseException) -> NoReturn:
    """Have no test: the process ends with the error's exit code, by default 1, or, with the web UI, goes on serving.

    Raises:
        StopTest: always; in Locust it ends what starts the test.
    """
    sentence = str(error)
    if not isinstance(error, LoadtestError):
        sentence = f"the run could not be prepared: {described(error)}. Next: correct it, and start again."
    _log.error("%s", sentence, exc_info=None if isinstance(error, LoadtestError) else error)
    output().print(f"error: {sentence}", markup=False)
    runner: Any = environment.runner
    runner.log_exception("master", sentence, "".join(traceback.format_exception(error)))  # for the web UI
    if getattr(environment.parsed_options, "headless", False):
        ProcessExitCode.of(environment).set(error.exit_code if isinstance(error, LoadtestError) else ExitCode.ERROR)
        gevent.spawn(runner.quit)
    raise StopTest(sentence) from error
