"""The closed model's loop: a user executes a task, waits, and executes the next one.

With a wait time of 0, Locust's loop sleeps for 0 seconds after every task so that other users get their turn. A task
that waited for the network has already yielded; here only a task that did not wait is made to yield.

A TaskSet that overrides a method of Locust's loop (`LOOP_METHODS`) runs in Locust's loop, unchanged.
"""

from __future__ import annotations

from functools import cache
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final

import gevent
from locust import TaskSet
from locust.exception import StopUser
from locust.user.task import LOCUST_STATE_RUNNING, LOCUST_STATE_STOPPING, LOCUST_STATE_WAITING

from loadtest.measuring.turn import end_turn, sleep

if TYPE_CHECKING:
    from loadtest.users.task_walker import TaskWalker

LOOP_METHODS: Final = ("run", "execute_next_task", "execute_task", "schedule_task", "wait", "_sleep")


@cache
def has_own_loop(kind: type[TaskSet]) -> bool:
    """Return whether a TaskSet class overrides a method of Locust's loop."""
    return any(getattr(kind, name) is not getattr(TaskSet, name) for name in LOOP_METHODS)


def run(walker: TaskWalker) -> None:
    """Execute tasks until an exception ends the user; see `TaskWalker.step`."""
    user, event_loop = walker.user, gevent.get_hub().loop
    while True:
        if user._state is LOCUST_STATE_STOPPING:
            raise StopUser
        turn = event_loop.iteration
        walker.begin()
        if walker.step():
            if event_loop.iteration == turn:  # nothing waited: a TaskSet that interrupts itself immediately would
                end_turn()  # otherwise block the whole process
            continue
        walker.end()
        if user._state is not LOCUST_STATE_STOPPING:
            if user.intended_start_s is not None or (event_loop.iteration == turn and walker.has_sent_nothing()):
                walker.note_idle()
            user.intended_start_s = None
            wait_s = walker.level.wait_source.wait_time()
            if wait_s > 0 or event_loop.iteration == turn:
                _wait(user, wait_s)


def _wait(user: Any, wait_s: float) -> None:
    """Sleep until the next iteration is due, and record that time."""
    if wait_s > 0 and user.intended_start_s is None:
        user.intended_start_s = perf_counter() + wait_s
    user._state = LOCUST_STATE_WAITING
    if wait_s > 0:
        sleep(wait_s)
    else:
        end_turn()
    if user._state is LOCUST_STATE_STOPPING:
        raise StopUser
    user._state = LOCUST_STATE_RUNNING
