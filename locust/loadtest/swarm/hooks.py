"""Hooks: a scenario's code that runs once per run, on the master, before and after the load."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final

import gevent

from loadtest.exceptions import StackError

if TYPE_CHECKING:
    from collections.abc import Callable

    from locust.env import Environment

    Hook = Callable[[Environment], object]

SETUP_LIMIT_S: Final = 300.0
TEARDOWN_LIMIT_S: Final = 20.0
"""Less than the time that an interrupted run has to end."""


class Hooks:
    """The hooks of one run.

    Args:
        environment: the argument of each hook.
        setup: prepares the service; None if there is nothing to do.
        teardown: removes what the run created. It is called once, and only after `setup` has completed.

    Attributes:
        removals: functions that remove the run's data, called by `tear_down` after `teardown`, each with the same
            limit.
    """

    def __init__(self, environment: Environment, setup: Hook | None, teardown: Hook | None) -> None:
        self._environment = environment
        self._setup = setup
        self._teardown = teardown
        self._is_due = False
        self.removals: list[Hook] = []

    def set_up(self) -> None:
        """Call `setup`.

        Raises:
            StackError: when it takes longer than `SETUP_LIMIT_S`, or when a timeout of its own expires.
            Exception: whatever `setup` raises.
        """
        self._call("setup", self._setup, SETUP_LIMIT_S)
        self._is_due = True

    def tear_down(self) -> None:
        """Call `teardown`, if it is due, and the removals, each of them once.

        Raises:
            StackError: when one takes longer than `TEARDOWN_LIMIT_S`, or when a timeout of its own expires.
            Exception: whatever one raises; the others are called nevertheless.
        """
        is_due, self._is_due = self._is_due, False
        removals, self.removals = self.removals, []
        with contextlib.ExitStack() as all_of_them:
            for removal in removals:
                all_of_them.callback(self._call, "removal of data", removal, TEARDOWN_LIMIT_S)
            if is_due:
                self._call("teardown", self._teardown, TEARDOWN_LIMIT_S)

    def _call(self, name: str, hook: Hook | None, limit_s: float) -> None:
        if hook is None:
            return
        limit = gevent.Timeout(limit_s)
        try:
            with limit:
                hook(self._environment)
        except gevent.Timeout as timeout:
            reason = "took too long" if timeout is limit else f"ended by its own timeout of {timeout.seconds} s"
            raise StackError(
                f"the scenario's {name} {reason}. Allowed: {limit_s:g} s. Next: do less in it, or before the run."
            ) from timeout
