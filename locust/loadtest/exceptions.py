"""The error tree and the exit codes.

    LoadtestError                    1  the run could not be carried out
    ├── UsageError                   2  wrong usage: a setting, an option or a file that a person wrote
    ├── StackError                   1  a part of the stack did not start or went away
    └── RecordError                  1  a run's record cannot be read, merged or written

An error's text is one paragraph: what was wrong, the value, what is allowed, the next step. The command line
prints it without a traceback. Failed requests to the system under test are not in this tree: they are
measurements, counted by class.

Tested in tests/contracts/test_docs.py.
"""

import difflib
import logging
import signal
import site
import sys
import sysconfig
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from typing import NoReturn


class ExitCode(IntEnum):
    """The exit codes of this product's processes."""

    PASSED = 0
    ERROR = 1
    USAGE = 2
    THRESHOLD_FAILED = 3
    NO_DATA = 4
    NOT_TRUSTWORTHY = 5
    INTERRUPTED = 130


class LoadtestError(Exception):
    """The run could not be carried out."""

    exit_code = ExitCode.ERROR


class UsageError(LoadtestError):
    """A setting, an option or a file that a person wrote is wrong."""

    exit_code = ExitCode.USAGE


class StackError(LoadtestError):
    """A part of the stack did not start or went away."""


class RecordError(LoadtestError):
    """A run's record cannot be read, merged or written."""


class NoRunError(RecordError, UsageError):
    """There is no run where a person named one."""


class Interrupted(KeyboardInterrupt):
    """A signal told this process to end."""

    def __init__(self, signal_number: int) -> None:
        name = "Ctrl-C" if signal_number == signal.SIGINT else signal.Signals(signal_number).name
        super().__init__(f"interrupted by {name} before it was done")
        self.signal_number = signal_number


def raise_signals() -> None:
    """Raise Interrupted for Ctrl-C, SIGTERM and SIGHUP; one that is ignored (nohup) is left so."""

    def interrupt(signal_number: int, _frame: object) -> NoReturn:
        raise Interrupted(signal_number)

    for signal_number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(signal_number) is not signal.SIG_IGN:
            signal.signal(signal_number, interrupt)


@contextmanager
def exit_on_error() -> Iterator[None]:
    """End the process with an error's sentence and exit code when one of this tree is raised."""
    try:
        yield
    except LoadtestError as error:
        logging.basicConfig(format="%(message)s")
        logging.getLogger("loadtest").error("%s", error)
        sys.exit(int(error.exit_code))


def described(error: BaseException) -> str:
    """Return an exception with the file and line that raised it: the last that is no library's."""
    frames = traceback.extract_tb(error.__traceback__)
    libraries = (*site.getsitepackages(), sysconfig.get_path("stdlib"))
    own = [frame for frame in frames if not frame.filename.startswith(libraries)] or frames
    place = f" ({own[-1].filename}, line {own[-1].lineno})" if own else ""
    return f"{type(error).__name__}: {error}{place}"


def unknown_name(what: str, value: str, known: list[str]) -> str:
    """Return the sentence for an unknown name, with the nearest known one."""
    nearest = nearest_name(value, known)
    hint = f"did you mean {nearest}?" if nearest else f"use one of them, such as {known[0]}."
    return f"{what}={value} is not known. Allowed: {', '.join(known)}. Next: {hint}"


def nearest_name(value: str, known: list[str]) -> str | None:
    """Return the known name nearest to the value, or None when none is similar."""
    return next(iter(difflib.get_close_matches(value, known, n=1)), None)
