"""LoadUser: what the HTTP and the RedisJSON users have in common.

Everything that Locust says about a User holds: ``wait_time``, ``@task`` and its weights, tags, TaskSets,
``on_start`` and ``on_stop``, ``interrupt()``, ``stop_timeout``. Two things differ from the stock class: the
task loop costs less (see loadtest.users.task_loop), and an iteration knows when it was meant to begin.
"""

import logging
import traceback
from typing import TYPE_CHECKING

import gevent
from locust import User
from locust.exception import StopTest, StopUser
from locust.user.task import LOCUST_STATE_RUNNING, DefaultTaskSet

from loadtest.measuring.recorder import Recorder
from loadtest.users.task_loop import run_task_set

if TYPE_CHECKING:
    from locust.env import Environment

logger = logging.getLogger(__name__)


class LoadUser(User):
    """Base class of users whose client reports to the recorder directly.

    Attributes:
        scenario: The name under which requests are recorded. A subclass may set it; otherwise the recorder takes
            the class's name.
        intended_start_s: When the current iteration was meant to begin, in seconds of ``time.perf_counter``, or
            None for "when its first request is sent". The task loop sets it to the end of the wait time; a
            ``wait_time`` function that knows better (a pacing by schedule) sets it itself, in the past if the
            iteration is late already. The iteration's first request takes it and leaves None.
        recorder: The recorder of this user's environment.
    """

    abstract = True
    scenario: str
    intended_start_s: float | None = None

    def __init__(self, environment: "Environment") -> None:
        """Create the user; it runs when Locust starts it."""
        super().__init__(environment)
        self.recorder = Recorder.of(environment)

    # Locust marks run() as final so that nobody overrides it by mistake; here its loop is replaced on purpose.
    def run(self) -> None:  # type: ignore[misc]
        """Run on_start, then tasks until the user is stopped, then on_stop."""
        self._state = LOCUST_STATE_RUNNING
        self._taskset_instance = DefaultTaskSet(self)
        try:
            self._call_on_start()
            run_task_set(self._taskset_instance)
        except (gevent.GreenletExit, StopUser, StopTest):
            self.on_stop()  # type: ignore[no-untyped-call]
        finally:
            self.close()

    def close(self) -> None:
        """Release what the user's client holds; called once, after on_stop."""

    def _call_on_start(self) -> None:
        """Run on_start; report its error before it ends the user."""
        try:
            self.on_start()
        except (StopUser, StopTest):
            raise
        except Exception as error:
            logger.error("%s\n%s", error, traceback.format_exc())
            self.environment.events.user_error.fire(user_instance=self, exception=error, tb=error.__traceback__)
            raise
