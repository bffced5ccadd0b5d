"""Preparation: what happens on the master between the start of a test and its first load.

When a listener of ``test_start`` raises, Locust logs the error and goes on, with a load for which nothing was prepared.
Here the first error in any listener refuses the start. The listener that creates the run is called last, so that the
run's time begins when everything is prepared.
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
    """Make the first error of a ``test_start`` listener end the start of the test.

    Args:
        environment: the Environment of a master, or of a process that runs alone.
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
    """Refuse to start the test: the process exits with the error's code, by default 1, or keeps serving the web UI.

    Raises:
        StopTest: always. In Locust it ends the code that starts the test.
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
