"""The loop in which a user executes its tasks, with Locust's semantics at a fraction of its cost.

Locust's own loop spends, per iteration and user, about as much as this product's HTTP client spends on a whole
request: a queue operation for every task, three calls to learn the wait time, a random choice over a sequence
and one trip around the event loop even when nobody waits. This loop does the same things in the same order and
leaves out what changes nothing:

- With a wait time of 0, Locust's loop sleeps for 0 seconds so that other users get their turn. A task that
  waited for the network has given them that turn already; only a task that has not is made to yield.
- The task is chosen with one random number.

A TaskSet that overrides a method of the loop itself (``run``, ``wait``, ``execute_task`` and the like) runs in
Locust's loop, unchanged.
"""

import functools
import logging
import random
import traceback
from time import perf_counter
from types import FunctionType
from typing import TYPE_CHECKING, Any, cast

import gevent
from locust import TaskSet
from locust.exception import InterruptTaskSet, RescheduleTask, RescheduleTaskImmediately, StopTest, StopUser
from locust.user.task import (
    LOCUST_STATE_RUNNING,
    LOCUST_STATE_STOPPING,
    LOCUST_STATE_WAITING,
    DefaultTaskSet,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from loadtest.users.base import LoadUser

logger = logging.getLogger(__name__)

_LOOP_METHODS = ("run", "execute_next_task", "execute_task", "schedule_task", "wait", "_sleep")


def run_task_set(task_set: TaskSet) -> None:
    """Execute a TaskSet's tasks until it is interrupted or its user stops.

    Args:
        task_set: A fresh instance; its user must be a LoadUser.

    Raises:
        RescheduleTaskImmediately, RescheduleTask: The TaskSet was interrupted; the parent's loop goes on.
        StopUser, StopTest, GreenletExit: The user ends.
        Exception: What a task raised, if the environment does not catch exceptions.
    """
    if not _has_stock_loop(type(task_set)):
        task_set.run()  # type: ignore[no-untyped-call]
        return
    try:
        task_set.on_start()
    except InterruptTaskSet as interruption:
        raise _rescheduling(interruption) from interruption
    failed = False
    while True:
        try:
            if failed:  # inside the try: a user that is stopped during this wait still gets its on_stop
                failed = False
                task_set.wait()  # type: ignore[no-untyped-call]
            _execute_tasks(task_set, cast("LoadUser", task_set.user))
        except InterruptTaskSet as interruption:
            _call_on_stop(task_set, (StopUser, StopTest, gevent.GreenletExit))
            raise _rescheduling(interruption) from interruption
        except (StopUser, StopTest, gevent.GreenletExit):
            _call_on_stop(task_set, ())
            raise
        except Exception as error:
            environment = task_set.user.environment
            environment.events.user_error.fire(user_instance=task_set, exception=error, tb=error.__traceback__)
            if not environment.catch_exceptions:
                raise
            logger.error("%s\n%s", error, traceback.format_exc())
            failed = True


@functools.cache
def _has_stock_loop(task_set_class: type[TaskSet]) -> bool:
    """Tell whether every method of the loop is Locust's own."""
    stock = (TaskSet, DefaultTaskSet)
    return all(any(getattr(task_set_class, name) is getattr(base, name) for base in stock) for name in _LOOP_METHODS)


def _execute_tasks(task_set: TaskSet, user: "LoadUser") -> None:
    """Execute one task after the other; leave only by an exception."""
    queue = task_set._task_queue
    choose = _chooser(task_set)
    # Tasks declared on the user take the user as their argument, those of a TaskSet the TaskSet.
    owner: Any = user if isinstance(task_set, DefaultTaskSet) else task_set
    # A TaskSet without a wait_time of its own asks its user, in Locust after two more calls.
    waits_as_user = type(task_set).wait_time is TaskSet.wait_time and user.wait_time is not None
    event_loop = gevent.get_hub().loop
    while True:
        task = queue.popleft() if queue else choose()
        if user._state is LOCUST_STATE_STOPPING:
            raise StopUser
        turn = event_loop.iteration
        try:
            if type(task) is FunctionType:
                task(owner)
            else:
                _execute_other(task, task_set, owner)
        except RescheduleTaskImmediately:
            if event_loop.iteration == turn:  # nothing waited: let others run, or a TaskSet that
                gevent.sleep(0)  # interrupts itself at once would hold the whole process
            continue
        except RescheduleTask:
            pass
        if user._state is LOCUST_STATE_STOPPING:
            raise StopUser
        user.intended_start_s = None
        pause_s = user.wait_time() if waits_as_user else task_set.wait_time()  # type: ignore[no-untyped-call]
        if pause_s > 0 or event_loop.iteration == turn:
            _pause(user, pause_s)


def _execute_other(task: Any, task_set: TaskSet, owner: Any) -> None:
    """Execute a task that is not a plain function: a nested TaskSet, a bound method or another callable."""
    if isinstance(task, type) and issubclass(task, TaskSet):
        run_task_set(task(owner))
    elif getattr(task, "__self__", None) is task_set:
        task()
    else:
        task(owner)


def _pause(user: "LoadUser", pause_s: float) -> None:
    """Sleep until the next iteration is due, and say when that is."""
    if pause_s > 0 and user.intended_start_s is None:
        user.intended_start_s = perf_counter() + pause_s
    user._state = LOCUST_STATE_WAITING
    gevent.sleep(pause_s)
    if user._state is LOCUST_STATE_STOPPING:
        raise StopUser
    user._state = LOCUST_STATE_RUNNING


def _chooser(task_set: TaskSet) -> "Callable[[], Any]":
    """The function that names the next task.

    The list of tasks is read at each choice, as in Locust, because tags and scenarios may change it.
    """
    stock = type(task_set).get_next_task in (TaskSet.get_next_task, DefaultTaskSet.get_next_task)
    if not stock:
        return task_set.get_next_task
    owner = task_set.user if isinstance(task_set, DefaultTaskSet) else task_set
    draw = random.random

    def choose() -> Any:
        tasks = owner.tasks
        if not tasks:
            return task_set.get_next_task()  # type: ignore[no-untyped-call]  # raises Locust's explanation
        return tasks[0] if len(tasks) == 1 else tasks[int(draw() * len(tasks))]

    return choose


def _call_on_stop(task_set: TaskSet, passing: tuple[type[BaseException], ...]) -> None:
    """Call on_stop; its errors are logged, except those that must pass."""
    try:
        task_set.on_stop()  # type: ignore[no-untyped-call]
    except passing:
        raise
    except Exception:
        logger.exception("Uncaught exception in on_stop of %s", type(task_set).__name__)


def _rescheduling(interruption: InterruptTaskSet) -> Exception:
    """What an interrupted TaskSet tells its parent."""
    kind = RescheduleTaskImmediately if interruption.reschedule else RescheduleTask
    return kind(interruption.reschedule)
