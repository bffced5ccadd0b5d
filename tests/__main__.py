"""Runs all tests: those with real processes, in two halves, in parallel with those of faults, lies, the Compose stack,
Kubernetes, and the computing ones; then those that need an idle machine.

    python -m tests

The first seven are pytest processes; one more than the number of cores run at once. The output of the first is shown
immediately; the others have lower priority, and are shown when all have ended. Tests that measure tens of milliseconds
come last, alone. The exit code is that of the first process that failed.

A few failed tests run once more, alone: a process that waited seconds for a core can exceed a test's time limit. A
second failure counts, and a warning lists those that passed the second time.
"""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Self

GIVE_WAY = ("nice", "-n", "5")
POLL_S = 0.5
FOLDER = Path(__file__).parent
REAL = FOLDER / "native"
FAULTS = FOLDER / "faults"
LIES = FOLDER / "lies"
STACK = FOLDER / "stack"
KUBERNETES = FOLDER / "kubernetes"
ON_CLUSTER = KUBERNETES / "test_kubernetes.py"
"""What of them is tested each time; the others take ten minutes more."""
QUIET = REAL / "test_open_model.py"
TESTS_FAILED = 1
"""Pytest's exit code when it ran to its end and tests failed: https://docs.pytest.org/en/stable/reference/exit-codes"""
MAX_AGAIN = 12
"""Failures in more files than this in one process are not the machine's. The tests of a file may share a run."""
AT_ONCE = (os.cpu_count() or 1) + 1
"""Groups that share the machine. Seven on two cores left a test on a slow machine too little for its limits of time."""


class Group:
    """A pytest process that runs in parallel with others, once it is started.

    Args:
        arguments: pytest's arguments, such as the tests.
        command: a prefix of the command, such as nice; the output is then kept until the end.
    """

    def __init__(self, *arguments: str | Path, command: tuple[str, ...] = ()) -> None:
        self._arguments = arguments
        self._command = command
        self._cache = tempfile.TemporaryDirectory()
        self._output = tempfile.TemporaryFile("w+") if command else None  # noqa: SIM115 - closed by wait
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it."""
        errors = subprocess.STDOUT if self._command else None
        self._process = subprocess.Popen([*self._command, *self._pytest()], stdout=self._output, stderr=errors)

    @property
    def is_running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    def wait(self) -> None:
        """Wait for its end, and show its output unless that was shown immediately."""
        assert self._process is not None, "a group is started first"
        self._process.wait()
        if self._output is not None:
            self._output.seek(0)
            sys.stdout.write(self._output.read())
            self._output.close()
        sys.stdout.flush()

    def judge(self) -> int:
        """Return its exit code; if a few tests failed, run those again first, and return the second result."""
        assert self._process is not None, "a group is started first"
        failed = self._failed()
        files = {test.partition("::")[0] for test in failed}
        if self._process.returncode != TESTS_FAILED or not 0 < len(files) <= MAX_AGAIN:
            return self._process.returncode
        _say("failed, and run once more, alone", failed)
        code = subprocess.run(self._pytest("--last-failed"), check=False).returncode
        if code == 0:
            _say("warning: passed only when run once more, alone", failed)
        return code

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.terminate()
        self._cache.cleanup()

    def _pytest(self, *options: str) -> list[str | Path]:
        cache = f"cache_dir={self._cache.name}"
        return [sys.executable, "-m", "pytest", "-o", cache, *options, *self._arguments]

    def _failed(self) -> list[str]:
        written = Path(self._cache.name) / "v/cache/lastfailed"
        return list(json.loads(written.read_text())) if written.exists() else []


def main() -> int:
    """Run them, and return the exit code."""
    real = [path for path in sorted(REAL.glob("test_*.py")) if path != QUIET]
    computing = [
        path
        for path in sorted(FOLDER.iterdir())
        if path not in {REAL, FAULTS, LIES, STACK, KUBERNETES} and next(path.rglob("test_*.py"), None)
    ]
    giving_way = (real[1::2], [STACK], computing, [FAULTS], [LIES], [ON_CLUSTER])  # the longest first
    with contextlib.ExitStack() as ends:
        groups = [ends.enter_context(Group(*real[::2]))]
        groups += [ends.enter_context(Group(*arguments, command=GIVE_WAY)) for arguments in giving_way]
        for group in groups:
            while sum(one.is_running for one in groups) >= AT_ONCE:
                time.sleep(POLL_S)
            group.start()
        for group in groups:
            group.wait()
        codes = [group.judge() for group in groups]
    if any(codes):
        return next(filter(None, codes))
    with Group(QUIET) as quiet:
        quiet.start()
        quiet.wait()
        return quiet.judge()


def _say(what: str, tests: list[str]) -> None:
    sys.stdout.write("\n  ".join([f"tests: {what}:", *tests]) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
