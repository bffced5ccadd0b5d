"""Replacements for methods of Locust's users and their task loop: see `loadtest.swarm.replacements`."""

from __future__ import annotations

import functools
import logging
import sys
from collections import defaultdict
from time import perf_counter
from typing import TYPE_CHECKING, Final

import gevent
from locust import FastHttpUser, HttpUser, TaskSet
from locust.user.task import LOCUST_STATE_STOPPING, LOCUST_STATE_WAITING

from loadtest.measuring import labels
from loadtest.measuring.labels import LOAD, SETUP
from loadtest.measuring.recorder import ANSWERED, ITERATION, Recorder
from loadtest.measuring.users import PHASE, scenario_of
from loadtest.users.base import LoadUser
from loadtest.users.task_walker import report, stop_user

if TYPE_CHECKING:
    from collections.abc import Callable

    from locust import User
    from locust.runners import Runner

_log = logging.getLogger(__name__)
_ASKED: Final = "_was_asked_to_stop"
ENDING_S: Final = 6.0
"""Seconds that killed users may take to end. The master waits longer than that for the worker's last delta."""


def run(original: Callable[..., None]) -> Callable[..., None]:
    """Count requests in on_start and on_stop of Locust's own user classes as set-up, and report what ended a user.

    Locust reports an Exception in a task, but not a BaseException such as an expired gevent.Timeout.
    """

    @functools.wraps(original)
    def run(self: User) -> None:
        on_start, on_stop = self.on_start, self.on_stop
        began_s, is_started = perf_counter(), False
        if isinstance(self, (HttpUser, FastHttpUser)):
            setattr(self, ANSWERED, 0.0)

        def start_in_setup() -> None:
            nonlocal is_started
            setattr(self, PHASE, SETUP)
            on_start()
            setattr(self, PHASE, LOAD)
            is_started = True
            Recorder.of(self.environment).on_started(self, began_s)

        def stop_in_setup() -> None:
            ending = sys.exc_info()[1]
            if ending is not None:
                Recorder.of(self.environment).on_end(self, ending, began_s, is_started=is_started)
            setattr(self, PHASE, SETUP)
            stop_user(self, on_stop)

        self.on_start, self.on_stop = start_in_setup, stop_in_setup  # type: ignore[method-assign]
        try:
            original(self)
        except BaseException as error:
            if not isinstance(error, (Exception, gevent.GreenletExit)):
                report(error, self)
            raise

    return run


def stop(original: Callable[..., bool]) -> Callable[..., bool]:
    """End a user's wait at once, and record when a user stops itself.

    Locust kills a waiting user in the event loop's next iteration. If the wait ends before that, the user wakes and the
    kill interrupts a request of its next task or of its on_stop.
    """

    def stop(self: User, force: bool = False) -> bool:
        if self.greenlet is gevent.getcurrent():
            Recorder.of(self.environment).on_own_stop(self)
        if self._state == LOCUST_STATE_WAITING:
            self._state = LOCUST_STATE_STOPPING
            gevent.get_hub().loop.run_callback(gevent.getcurrent().switch)  # back here when the user waits or has ended
            self.greenlet.throw(gevent.GreenletExit)
            self.greenlet.join()
            return True
        return original(self, force)

    return stop


def user_classes_count(_original: property) -> property:
    """Count the users that are not stopping."""

    def count(self: Runner) -> dict[str, int]:
        present = _present(self, lambda user: not _is_leaving(user))
        return {kind.__name__: len(present[kind]) for kind in self.user_classes}

    return property(count)


def stop_users(_original: Callable[..., None]) -> Callable[..., None]:
    """Stop the requested number of users, none of which is stopping already. Wait for all stopping users.

    The wait is at most the stop timeout.

    A user that has not ended by then is killed. One that survives the kill is abandoned and recorded, because waiting
    for it would keep the worker's last delta from being sent.
    """

    def stop_users(self: Runner, user_classes_stop_count: dict[str, int]) -> None:
        if not user_classes_stop_count:
            return
        timeout_s, caller = self.environment.stop_timeout, gevent.getcurrent()
        present = _present(self, lambda user: not _is_leaving(user))
        asked = [
            user
            for name, count in user_classes_stop_count.items()
            for user in present[self.user_classes_by_name[name]][:count]
        ]
        for user in asked:
            setattr(user, _ASKED, True)  # before anything else counts users: the caller may be killed while it waits
        others = [user for user in asked if user.greenlet is not caller]
        until_s = perf_counter() + (timeout_s or ENDING_S)
        stops = [gevent.spawn(user.stop, force=not timeout_s) for user in others]
        gevent.joinall(stops, timeout=timeout_s or ENDING_S)
        leaving = [user for users in _present(self, _is_leaving).values() for user in users]
        leaving = [user for user in leaving if user.greenlet is not caller]
        gevent.joinall([user.greenlet for user in leaving], timeout=max(until_s - perf_counter(), 0.0))
        if late := [user for user in leaving if not user.greenlet.dead]:
            _log.info("%d users did not finish their tasks within %g s and are killed", len(late), timeout_s)
            gevent.killall([user.greenlet for user in late], block=False)
            gevent.joinall([user.greenlet for user in late], timeout=ENDING_S)
            for user in late:
                if not user.greenlet.dead:
                    Recorder.of(self.environment).on_unstopped(user)
        if len(others) < len(asked):
            gevent.kill(caller)  # a user that stops its own runner; it continues until it next waits

    return stop_users


def _is_leaving(user: User) -> bool:
    return user._state == LOCUST_STATE_STOPPING or hasattr(user, _ASKED)


def _present(runner: Runner, wanted: Callable[[User], bool]) -> dict[type[User], list[User]]:
    """Return the users of a runner that meet a condition, by class."""
    present = defaultdict(list)
    for one in list(runner.user_greenlets):
        for user in one.args[:1]:  # empty once it has ended
            if wanted(user):
                present[type(user)].append(user)
    return present


def execute_next_task(original: Callable[..., None]) -> Callable[..., None]:
    """Count the tasks that Locust's own loop executes, their durations, and the tasks that send no request."""

    def execute_next_task(self: TaskSet) -> None:
        user, task = self.user, self._task_queue[0]
        if isinstance(task, type) and issubclass(task, TaskSet):  # its own tasks are counted instead
            original(self)
            return
        recorder, scenario = Recorder.of(user.environment), scenario_of(user)
        recorder.begun(scenario)[task] += 1
        setattr(user, ITERATION, began_s := perf_counter())
        original(self)
        recorder.series(scenario, "", "", labels.ITERATION).success(began_s, began_s, perf_counter(), 0)
        if not isinstance(user, LoadUser) and getattr(user, ANSWERED, began_s) < began_s:
            recorder.idle(scenario)[task] += 1

    return execute_next_task
