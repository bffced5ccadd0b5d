"""Journey: a user's tasks, one for each arrival.

In the closed model a user works through its tasks in a loop. In the open model an arrival executes one task: chosen by
weight among the user's, or, once a nested TaskSet was entered, the next one of that TaskSet, where the user stays from
arrival to arrival until it interrupts. Wait times play no part: the arrivals say when. A TaskSet that brings its own
loop (it overrides ``run``) is one iteration as a whole.
"""

from __future__ import annotations

import contextlib
import logging
import random
import traceback
from types import FunctionType
from typing import TYPE_CHECKING, Any, Final

from locust import TaskSet
from locust.exception import InterruptTaskSet, RescheduleTask, RescheduleTaskImmediately, StopTest, StopUser
from locust.user.task import DefaultTaskSet

if TYPE_CHECKING:
    from locust import User

logger = logging.getLogger(__name__)

_IDLE_INTERRUPTIONS: Final = 10
"""How often an arrival may leave a TaskSet without having sent a request before it counts as executed."""


class Journey:
    """Where a user is in its tasks."""

    def __init__(self, user: User) -> None:
        self._user: Any = user
        self._root: Any = DefaultTaskSet(user)
        self._inner: list[Any] = []
        user._taskset_instance = self._root

    def step(self) -> None:
        """Execute one task.

        An interruption that asks for the next task at once gets it, as in the closed model, if this arrival has not
        sent a request yet.

        Raises:
            StopUser, StopTest, GreenletExit: the user ends.
            Exception: what a task raised, if the environment does not catch exceptions.
        """
        user = self._user
        try:
            for _ in range(_IDLE_INTERRUPTIONS):
                try:
                    self._execute(self._next())
                except InterruptTaskSet as interruption:
                    self._leave()
                    again = interruption.reschedule
                except RescheduleTaskImmediately:  # a TaskSet was interrupted in its on_start, or ran its own loop
                    again = True
                except RescheduleTask:
                    again = False
                else:
                    return
                if not again or user.intended_start_s is None:
                    return
        except (StopUser, StopTest):
            raise
        except Exception as error:
            self._report(error)

    def end(self) -> None:
        """Call on_stop of the TaskSets that the user is in, the innermost first."""
        while self._inner:
            with contextlib.suppress(StopUser, StopTest):
                self._leave()

    def _next(self) -> Any:
        task_set = self._inner[-1] if self._inner else self._root
        if task_set._task_queue:
            return task_set._task_queue.popleft()
        if task_set is self._root and (tasks := self._user.tasks):
            return tasks[int(random.random() * len(tasks))]  # noqa: S311 - a weighted choice, no secret
        return task_set.get_next_task()

    def _execute(self, task: Any) -> None:
        if not self._inner and type(task) is FunctionType:
            task(self._user)
        elif isinstance(task, type) and issubclass(task, TaskSet):
            self._enter(task)
        else:
            (self._inner[-1] if self._inner else self._root).execute_task(task)

    def _enter(self, kind: Any) -> None:
        task_set = kind(self._inner[-1] if self._inner else self._user)
        if kind.run is not TaskSet.run:
            task_set.run()
            return
        try:
            task_set.on_start()
        except InterruptTaskSet as interruption:
            rescheduling = RescheduleTaskImmediately if interruption.reschedule else RescheduleTask
            raise rescheduling(interruption.reschedule) from interruption
        self._inner.append(task_set)
        self._execute(self._next())

    def _leave(self) -> None:
        if not self._inner:
            return
        task_set = self._inner.pop()
        try:
            task_set.on_stop()
        except (StopUser, StopTest):
            raise
        except Exception:
            logger.exception("Uncaught exception in on_stop of %s", type(task_set).__name__)

    def _report(self, error: Exception) -> None:
        environment = self._user.environment
        instance = self._inner[-1] if self._inner else self._root
        environment.events.user_error.fire(user_instance=instance, exception=error, tb=error.__traceback__)
        if not environment.catch_exceptions:
            raise error
        logger.error("%s\n%s", error, traceback.format_exc())
