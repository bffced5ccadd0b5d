"""TaskWalker: tracks a user's position in its tasks, and executes the next one.

Both load models execute the same tasks and differ only in when the next one begins: after a wait in the closed model
(loadtest.users.task_loop), with an arrival in the open model (loadtest.users.pool). If a task is a TaskSet, the user
enters it and executes its tasks until one of them interrupts.

The semantics are Locust's, at a fraction of the cost. In Locust's own loop an iteration costs about as much as a whole
request of this product's HTTP client: a queue operation for every task, three calls to learn the wait time,
and a random choice over a sequence.
"""

from __future__ import annotations

import logging
import random
import traceback
from time import perf_counter
from types import FunctionType
from typing import TYPE_CHECKING, Any

from gevent import GreenletExit
from locust import TaskSet
from locust.exception import InterruptTaskSet, RescheduleTask, RescheduleTaskImmediately, StopTest, StopUser
from locust.user.task import LOCUST_STATE_RUNNING, LOCUST_STATE_STOPPING, DefaultTaskSet

from loadtest.measuring.labels import ITERATION, LOAD, SETUP
from loadtest.measuring.recorder import BROKEN_OFF, Recorder
from loadtest.measuring.users import PHASE, scenario_of

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger(__name__)


class TaskWalker:
    """Executes a user's tasks one by one.

    Args:
        user: a User of any class.
        has_own_loop: tells whether a TaskSet class must run in its own loop, as a single task.

    Attributes:
        level: the TaskSet that the user is in; its `wait_source` says how long to wait before the next task.
    """

    __slots__ = (
        "_begun", "_begun_s", "_count", "_done", "_has_own_loop", "_idle", "_last_request_s", "_outer", "level", "user",
    )  # fmt: skip

    def __init__(self, user: Any, has_own_loop: Callable[[type[TaskSet]], bool]) -> None:
        self.user = user
        self._has_own_loop = has_own_loop
        recorder, scenario = Recorder.of(user.environment), scenario_of(user)
        self._begun, self._idle = recorder.begun(scenario), recorder.idle(scenario)
        self._count = recorder.series(scenario, "", "", ITERATION).success
        self._begun_s: float | None = None  # the intended start of the current iteration
        self._done: Any = None  # the task that ended with the last step
        self._last_request_s: float | None = None  # when it was last checked
        user._taskset_instance = DefaultTaskSet(user)  # where Locust looks for it
        user._taskset_instance._task_queue = _Queue()
        self.level = Level(user._taskset_instance)
        self._outer: tuple[Level, ...] = ()

    def live(self, work: Callable[[TaskWalker], None]) -> None:
        """Run on_start, then the work, and on_stop when the user is stopped.

        Args:
            work: calls `step` until the user ends.

        Raises:
            Exception: the error that ended the user; it is reported.
        """
        user = self.user
        user._state = LOCUST_STATE_RUNNING
        began_s, is_started = perf_counter(), False
        try:
            _enter(user, SETUP)
            user.on_start()
            _enter(user, LOAD)
            is_started = True
            Recorder.of(user.environment).on_started(user, began_s)
            work(self)
        except (GreenletExit, StopUser, StopTest) as ending:
            Recorder.of(user.environment).on_end(user, ending, began_s, is_started=is_started)
            _enter(user, SETUP)
            stop_user(user, self._leave_all)
        except BaseException as error:  # such as gevent's Timeout, which ends the user like any other
            report(error, user)
            raise

    def begin(self) -> None:
        """Begin an iteration at its intended start; an iteration in progress continues."""
        if self._begun_s is None:
            now_s, intended_s = perf_counter(), self.user.intended_start_s
            self._begun_s = now_s if intended_s is None else min(intended_s, now_s)

    def end(self) -> None:
        """End the current iteration, and count its duration; one cut short by a stop is not counted."""
        begun_s, self._begun_s = self._begun_s, None
        if begun_s is not None:
            self._count(begun_s, begun_s, perf_counter(), 0)

    def step(self) -> bool:
        """Execute one task. An error in it is reported.

        Returns:
            Whether the next task should follow at once.

        Raises:
            StopUser, StopTest, GreenletExit: the user ends.
            RescheduleTaskImmediately, RescheduleTask: a task interrupted outside of a TaskSet.
            Exception: raised by a task, if the environment does not catch exceptions.
        """
        level = self.level
        try:
            task = level.queue.popleft() if level.queue else level.choose()
            if type(task) is FunctionType and level.is_plain:
                self._begun[task] += 1
                task(level.owner)
                self._done = task
                return False
            return self._execute_other(task)
        except InterruptTaskSet as interruption:
            self._done = None
            return self._leave(interruption)
        except RescheduleTaskImmediately:
            return True
        except RescheduleTask:
            self._done = None
            return False
        except (StopUser, StopTest):
            raise
        except Exception as error:
            self._done = None
            if not self.user.environment.catch_exceptions:
                raise
            report(error, level.task_set)
            return False

    def has_sent_nothing(self) -> bool:
        """Return whether the user, if of this product's classes, has sent no request since the last call."""
        before_s, self._last_request_s = self._last_request_s, self.user.last_request_s()
        return before_s is not None and before_s == self._last_request_s

    def note_idle(self) -> None:
        """Count the iteration that the last step ended as one without a request."""
        if self._done is not None:
            self._idle[self._done] += 1

    def _execute_other(self, task: Any) -> bool:
        """Execute a task that is not a plain function, as `step` does; for a TaskSet, its first task."""
        if not (isinstance(task, type) and issubclass(task, TaskSet)):
            self._begun[task] += 1
            self.level.task_set.execute_task(task)
            self._done = task
            return False
        task_set: Any = task(self.level.owner)
        if self._has_own_loop(task):
            if task.run is not TaskSet.run:
                self._begun[task] += 1
            else:  # Locust's loop counts its own tasks
                self._begun_s = None
            self._done = None
            task_set.run()
            return False
        try:
            task_set.on_start()
        except InterruptTaskSet as interruption:
            raise _rescheduling(interruption) from interruption
        self._outer = (*self._outer, self.level)
        self.level = Level(task_set)
        if self.user._state is LOCUST_STATE_STOPPING:
            raise StopUser
        return self.step()

    def _leave_all(self) -> None:
        """Call on_stop of the TaskSets that the user is in, and its own."""
        for level in (self.level, *reversed(self._outer)):
            _stop(level.task_set)
        self.user.on_stop()

    def _leave(self, interruption: InterruptTaskSet) -> bool:
        """Leave the innermost TaskSet; return whether the next task should follow at once."""
        if not self._outer:
            raise _rescheduling(interruption) from interruption
        left, (*outer, self.level) = self.level, self._outer
        self._outer = tuple(outer)
        _stop(left.task_set, passing=(StopUser, StopTest))
        return bool(interruption.reschedule)


class _Queue(list[Any]):
    """The tasks scheduled next; Locust uses a deque, which takes 700 bytes even when empty."""

    __slots__ = ()

    def popleft(self) -> Any:
        """Remove and return the first one."""
        return self.pop(0)

    def appendleft(self, task: Any) -> None:
        """Insert one before the others."""
        self.insert(0, task)


class Level:
    """A TaskSet that the user is in. The outermost is Locust's DefaultTaskSet, with the user's own tasks."""

    __slots__ = ("_own_choice", "is_plain", "owner", "queue", "task_set", "wait_source")

    def __init__(self, task_set: Any) -> None:
        kind = type(task_set)
        self.task_set = task_set
        self.queue = task_set._task_queue
        self.owner = task_set.user if kind is DefaultTaskSet else task_set  # the argument of its tasks
        self.is_plain = kind.execute_task in (TaskSet.execute_task, DefaultTaskSet.execute_task)
        keeps_choice = kind.get_next_task in (TaskSet.get_next_task, DefaultTaskSet.get_next_task)
        self._own_choice = None if keeps_choice else task_set.get_next_task
        # A TaskSet without its own wait_time uses its user's; in Locust that takes two more calls.
        asks_user = kind.wait_time is TaskSet.wait_time and task_set.user.wait_time is not None
        self.wait_source = task_set.user if asks_user else task_set

    def choose(self) -> Any:
        """Return the next task.

        It reads the list of tasks at each choice, as Locust does, because tags and scenarios may change it.
        """
        if self._own_choice is not None:
            return self._own_choice()
        tasks = self.owner.tasks
        if not tasks:
            return self.task_set.get_next_task()  # raises Locust's explanation
        return tasks[0] if len(tasks) == 1 else tasks[int(random.random() * len(tasks))]  # noqa: S311


def _enter(user: Any, phase: str) -> None:
    """Record a user's requests as requests of this phase from now on."""
    enter_phase = getattr(user, "enter_phase", None)  # of a LoadUser
    if enter_phase is not None:
        enter_phase(phase)
    else:
        setattr(user, PHASE, phase)


def _stop(task_set: Any, passing: tuple[type[Exception], ...] = ()) -> None:
    """Call on_stop, and report its errors, except those that must propagate."""
    try:
        task_set.on_stop()
    except passing:
        raise
    except Exception as error:
        report(error, task_set)


def stop_user(user: Any, on_stop: Callable[[], object]) -> None:
    """Call a user's on_stop, and report its error, or that it was cut short.

    Raises:
        Exception, GreenletExit: its error, or the stop that cut it short.
    """
    try:
        on_stop()
    except GreenletExit as ending:
        broken_off = GreenletExit(BROKEN_OFF).with_traceback(ending.__traceback__)
        Recorder.of(user.environment).add_exception(scenario_of(user), broken_off, ends_user=True)
        raise
    except Exception as error:
        report(error, user)
        raise


def report(error: BaseException, source: Any) -> None:
    """Log an error and fire Locust's event for it; `source` is the User or the TaskSet that raised it."""
    logger.error("%s\n%s", error, traceback.format_exc())
    user = source.user if isinstance(source, TaskSet) else source
    user.environment.events.user_error.fire(user_instance=source, exception=error, tb=error.__traceback__)


def _rescheduling(interruption: InterruptTaskSet) -> Exception:
    """Return the exception with which an interrupted TaskSet tells its parent when to continue."""
    kind = RescheduleTaskImmediately if interruption.reschedule else RescheduleTask
    return kind(interruption.reschedule)
