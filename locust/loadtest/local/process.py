"""ManagedProcess: one part of the stack, a child process with a log file that never outlives its parent.

Tested in tests/unit/local/test_process.py and tests/native/test_local_stack.py.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import time
from typing import IO, TYPE_CHECKING

from loadtest.exceptions import ExitCode, StackError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

# The child runs this before its program, so that the kernel ends it when its parent ends, even by SIGKILL (prctl 1 is
# PR_SET_PDEATHSIG). A preexec_fn would do the same, but needs a real fork, whose hooks make Python lose a
# KeyboardInterrupt.
_DIE_WITH_PARENT = (
    "import ctypes, os, sys; ctypes.CDLL(None).prctl(1, int(sys.argv[1])); os.execvp(sys.argv[2], sys.argv[2:])"
)
_POLL_S = 0.05
_PORTS = range(20_000, 30_000)
_TRIED_PORTS = 100
_LOG_TAIL_BYTES = 16_384
_NO_ERROR = re.compile(r"\[[^]]+\] \S+/(DEBUG|INFO|WARNING)/")
"""The beginning of a line in Locust's log; another greenlet may log after the error that ends the process."""


class ManagedProcess:
    """A child in its own session, so that Ctrl-C reaches only the parent, which ends the parts in order.

    Args:
        name: its name in messages.
        command: program and arguments.
        log: file for its standard error, and for its standard output unless `stdout` is given.
        environment: variables in addition to those of this process.
        stdout: an open file for its standard output.
        stdin: what it reads from; None for this process's own standard input.
        folder: where it runs; by default the present folder.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        log: Path,
        environment: Mapping[str, str] | None = None,
        stdout: IO[bytes] | IO[str] | None = None,
        *,
        stdin: int | None = subprocess.DEVNULL,
        folder: Path | None = None,
    ) -> None:
        self.name = name
        self.log = log
        with log.open("wb") as log_file:
            self._child = subprocess.Popen(  # noqa: S603 - our own commands
                [*_prefix(), *command],
                env={**os.environ, **(environment or {})},
                stdin=stdin,
                stdout=stdout or log_file,
                stderr=log_file,
                start_new_session=True,
                cwd=folder,
            )

    @property
    def pid(self) -> int:
        """The process id."""
        return self._child.pid

    @property
    def exit_code(self) -> int | None:
        """The exit code; None while it runs, the negative signal number when a signal ended it."""
        return self._child.poll()

    def wait_until(self, healthy: Callable[[], bool], timeout_s: float) -> float:
        """Wait until `healthy` returns True, and return the seconds that took.

        Raises:
            StackError: when the process ends first, or the timeout expires.
            UsageError: when it ends with the exit code of one.
        """
        started = time.monotonic()
        while not healthy():
            waited_s = time.monotonic() - started
            if self.exit_code is not None:
                kind = UsageError if self.exit_code == ExitCode.USAGE else StackError
                raise kind(
                    f"{self.name} ended with exit code {self.exit_code} before it was ready: "
                    f"{self.last_log_line()} Full log: {self.log}. Next: fix the cause and run again."
                )
            if waited_s > timeout_s:
                raise StackError(
                    f"{self.name} was not ready after {timeout_s:.0f} s (usual: a few). Last line of its log: "
                    f"{self.last_log_line()} Full log: {self.log}. Next: look there, then run again."
                )
            time.sleep(_POLL_S)
        return time.monotonic() - started

    def last_log_line(self) -> str:
        """Return the last line of the log above the level of a warning: the error, also of a traceback."""
        with self.log.open("rb") as log_file:
            log_file.seek(max(0, self.log.stat().st_size - _LOG_TAIL_BYTES))
            lines = [line.strip() for line in log_file.read().decode(errors="replace").splitlines() if line.strip()]
        if not lines:
            return "(the log is empty)."
        lines = [line for line in lines if not _NO_ERROR.match(line)] or lines
        places = [line for line in lines[-6:] if line.startswith('File "')]
        place = f" ({places[-1]})" if places else ""
        return f"“{lines[-1][:500]}”{place}."

    def terminate(self, signal_number: int = signal.SIGTERM) -> None:
        """Ask the process to end, without waiting for it."""
        if self.exit_code is None:
            self._child.send_signal(signal_number)

    def stop(self, grace_s: float = 5.0) -> None:
        """End the process and its children: SIGTERM, up to `grace_s` seconds to finish, then SIGKILL."""
        self.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._child.wait(grace_s)
        self.kill()

    def kill(self) -> None:
        """Kill the process and its whole session."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self._child.wait()


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that is free right now.

    The kernel assigns ports from 32,768 on to connections (ip(7), ``ip_local_port_range``). A load test opens
    thousands, and one of them could take such a port before the intended server listens on it.

    Raises:
        StackError: when none was found.
    """
    for _ in range(_TRIED_PORTS):
        port = _PORTS.start + secrets.randbelow(len(_PORTS))
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise StackError(
        f"no port of 127.0.0.1 is free among {_TRIED_PORTS} tried from {_PORTS.start} to {_PORTS.stop - 1}. Allowed: "
        "any of them. Next: stop what listens on them, or what prevents listening."
    )


def _prefix() -> list[str]:
    if sys.platform != "linux":
        return []
    return [sys.executable, "-IS", "-c", _DIE_WITH_PARENT, str(int(signal.SIGTERM))]
