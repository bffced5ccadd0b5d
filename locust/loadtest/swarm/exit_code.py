"""ProcessExitCode: the exit code of a master's process, which both this product and the locustfile may set.

A locustfile can set `environment.process_exit_code`, often to 0 or 1 when Locust quits. Its 0 does not override the
verdict; any other code does, whatever the verdict.
"""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING, Any

from locust import log

from loadtest.exceptions import ExitCode
from loadtest.progress import output
from loadtest.session import Session
from loadtest.settings.urls import without_credentials
from loadtest.swarm import listeners

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from locust.env import Environment


class ProcessExitCode:
    """The exit code of one Environment's process. Use `ProcessExitCode.of`."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._code: int | None = None
        if not isinstance(sys.excepthook, partial):  # already installed for another Environment
            sys.excepthook = partial(_report_cause, sys.excepthook)
        # Locust calls these in reverse order, so this one runs last.
        handlers: list[Any] = environment.events.quitting._handlers
        handlers.insert(0, self._settle)

    @classmethod
    def of(cls, environment: Environment) -> ProcessExitCode:
        """Return the exit code of this Environment, creating it on first use."""
        return Session.of(environment).find_or_make(cls, lambda: cls(environment))

    def set(self, code: int) -> None:
        """Set the process's exit code, unless the locustfile sets one."""
        self._code = int(code)

    def _settle(self, **_: object) -> None:
        if self._code is None:
            return
        if not self._code and (reason := _late_error()):
            self._code = int(ExitCode.ERROR)
            output().print(f"error: {reason}", markup=False)
        theirs = self._environment.process_exit_code
        if not theirs:
            self._environment.process_exit_code = self._code
        elif theirs != self._code:
            output().print(f"exit code    {theirs}, set by the locustfile", markup=False)


def _late_error() -> str:
    """Return the error that occurred in this process outside its runs, as a sentence; empty if there was none."""
    if raised := listeners.take_raised():
        return (
            f"a listener of Locust's events raised {raised[0].exception}: {raised[0].message} at {raised[0].place}. "
            "Next: correct it; its work after the run is missing."
        )
    if log.unhandled_greenlet_exception:
        return (
            "a part of Locust ended with an error, such as the one that writes the files of --csv. Next: see the "
            "master's log; its output is missing or incomplete."
        )
    return ""


def _report_cause(
    tell: Callable[..., object], kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """Also print to the screen the error that ended the process, such as Locust failing to write the --html file."""
    output().print(
        f"error: {kind.__name__} ended the process: {without_credentials(str(error))}. Next: see the master's log; "
        "the files that Locust writes at the end are missing.",
        markup=False,
    )
    tell(kind, error, trace)
