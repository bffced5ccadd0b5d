"""Runs `loadtest run` as a real process, and finds its output files."""

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import pytest

ROOT = Path(__file__).parents[2]
MARK = "LEFT_BEHIND_MARK"
GRACE_S = 15


@dataclass
class Stack:
    """A `loadtest run` as a process, and every process that descends from it, known by a mark in its environment."""

    runs_dir: Path
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)
    process: subprocess.Popen[str] | None = None

    def environment(self) -> dict[str, str]:
        """Return an environment with free ports, a folder of its own, and the mark."""
        mine = {name: value for name, value in os.environ.items() if not name.startswith(("LOADTEST_", "LOCUST_"))}
        mine.pop("REDIS_URL", None)
        ports = {f"LOADTEST_{name}_PORT": "0" for name in ("WEB", "EXPORTER", "TARGET")}
        return {**mine, **ports, "LOADTEST_RUNS_DIR": str(self.runs_dir), MARK: self.mark, "COLUMNS": "120"}

    def start(
        self,
        *arguments: str,
        cwd: Path = ROOT,
        command: str = "run",
        stdin: IO[bytes] | int = subprocess.DEVNULL,
        **variables: str,
    ) -> "Stack":
        """Start `loadtest run`, or another command that runs, with these arguments."""
        self.process = subprocess.Popen(
            [Path(sys.executable).with_name("loadtest"), command, *arguments],
            cwd=cwd,
            env={**self.environment(), **variables},
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        return self

    def read_until(self, text: str) -> str:
        """Read output until a line contains `text`, and return the output so far."""
        seen = ""
        for line in self.process.stdout:
            seen += line
            if text in line:
                return seen
        raise AssertionError(f"{text!r} never came:\n{seen}")

    def end(self, timeout_s: float = 90) -> tuple[int, str]:
        """Wait for the end; return the exit code and the rest of the output."""
        output, _ = self.process.communicate(timeout=timeout_s)
        return self.process.returncode, output

    def left(self) -> list[str]:
        """Return the command lines of living processes that have the mark."""
        found = []
        for folder in Path("/proc").iterdir():
            try:
                if folder.name.isdigit() and f"{MARK}={self.mark}".encode() in (folder / "environ").read_bytes():
                    command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                    found.append(f"{folder.name} {command}")
            except OSError:
                continue
        return found

    def pids(self, words: str) -> list[int]:
        """Return the ids of marked processes whose command line contains `words`."""
        return [int(line.split(" ", 1)[0]) for line in self.left() if words in line]

    def wait_until_nothing_is_left(self) -> list[str]:
        """Return the processes that are still alive after the time that the kernel and Gunicorn may take to end."""
        deadline = time.monotonic() + GRACE_S
        while (left := self.left()) and time.monotonic() < deadline:
            time.sleep(0.2)
        return left

    def run_dir(self) -> Path:
        """Return the folder of the only run."""
        (folder,) = self.runs_dir.iterdir()
        return folder


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    """Yield a stack to start; its processes are ended afterwards, by id."""
    stack = Stack(tmp_path / "runs")
    yield stack
    for line in stack.left():
        os.kill(int(line.split(" ", 1)[0]), signal.SIGKILL)
