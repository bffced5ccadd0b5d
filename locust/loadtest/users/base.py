"""LoadUser: the base class of the HTTP and the RedisJSON users.

Everything in Locust's documentation of User applies: ``wait_time``, ``@task`` and its weights, tags, TaskSets,
``on_start`` and ``on_stop``, ``interrupt()``, ``stop_timeout``. There are two differences from the stock class: the
task loop costs less (see loadtest.users.task_loop), and an iteration knows its intended start.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gevent import Greenlet
from locust import User

from loadtest.measuring.labels import LOAD
from loadtest.measuring.recorder import Recorder
from loadtest.measuring.users import PHASE
from loadtest.users import task_loop
from loadtest.users.steps import Transaction
from loadtest.users.task_walker import TaskWalker

if TYPE_CHECKING:
    from gevent.pool import Group
    from locust.env import Environment


def _live(user: LoadUser) -> None:
    user.run()


class UserGreenlet(Greenlet):  # type: ignore[type-arg]  # generic only in its stub
    """Runs a user, which Locust looks for in its ``args``.

    It takes less memory than Locust's greenlet: the function to run belongs to the class, which saves a dictionary, and
    it does not record where it was spawned.
    """

    spawning_stack_limit = 0
    _run = staticmethod(_live)


class LoadUser(User):
    """Base class of users whose client reports to the recorder directly.

    Attributes:
        scenario: The name under which requests are recorded; by default the class's name.
        intended_start_s: When the current iteration was meant to begin, in seconds of ``time.perf_counter``, or
            None for "when its first request is sent". The task loop sets it to the end of the wait time; a
            ``wait_time`` function that follows a schedule sets it itself, to a time in the past if the iteration is
            already late. The iteration's first request uses it and resets it to None.
        times_arrivals: Whether a response ends when it reaches this machine, however late this process reads it; costs
            about 2 µs of CPU per receive.
        recorder: The recorder of this user's environment. In plain Locust, without this product's locustfile, it counts
            nothing, and Locust's own statistics count every request.
        failed_parts: How many requests, checks and transactions of this user have failed.
        phase: The phase that the user's requests are currently recorded under: ``setup`` in its on_start and on_stop,
            else ``load``.
    """

    abstract = True
    scenario: str
    intended_start_s: float | None = None
    times_arrivals: bool = False
    phase: str = LOAD
    failed_parts: int = 0

    def __init__(self, environment: Environment) -> None:
        """Create the user; it runs when Locust starts it."""
        super().__init__(environment)
        LoadUser.enter_phase(self, LOAD)  # set this early, the attributes take 400 bytes less per user
        self.recorder = Recorder.alongside_locust(environment)

    def start(self, group: Group) -> Greenlet[Any, Any]:
        """Run this user in a greenlet of a group, as Locust does, in a kilobyte less memory."""
        self._greenlet, self._group = UserGreenlet(None, self), group  # type: ignore[call-overload]  # no run
        # One function for all; otherwise each user would keep its own bound method.
        vars(group).setdefault("_discard", group._discard)  # type: ignore[attr-defined]  # not in the stub
        group.start(self._greenlet)
        return self._greenlet

    # Locust marks run() as final to prevent accidental overrides; here its loop is replaced on purpose.
    def run(self) -> None:  # type: ignore[misc]
        """Run on_start, then tasks until the user is stopped, then on_stop."""
        try:
            TaskWalker(self, task_loop.has_own_loop).live(task_loop.run)
        finally:
            self.close()

    def transaction(self, name: str) -> Transaction:
        """Return a context whose requests are also measured as one transaction: see `loadtest.users.steps`."""
        return Transaction(self, name)

    def last_request_s(self) -> float | None:
        """When the user last sent a request or got an answer, in seconds of ``time.perf_counter``; 0 before that, and
        None if the client does not know."""
        return None

    def enter_phase(self, phase: str) -> None:
        """Record the user's requests under this phase, ``setup`` or ``load``, from now on."""
        self.phase = phase
        setattr(self, PHASE, phase)
        self.intended_start_s = None

    def close(self) -> None:
        """Release the resources of the user's client; called once, after on_stop."""
