"""RunFolder: the folder with the results of a run, and the name of a run.

runs/20261121T093657Z-documents-quick/
    record.stream    the record as it grew; it exists however the run ended
    record.json      the run's document; it exists if the run wrote its report
    report.html, …   generated from the document, see `loadtest.reporting.files`
    logs/            the logs of the stack's processes
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import tempfile
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from loadtest import untrusted
from loadtest.exceptions import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

RECORD: Final = "record.json"
STREAM: Final = "record.stream"
REPORT: Final = "report.html"
_NOT_IN_NAMES: Final = re.compile(r"[^A-Za-z0-9._-]+")
_NAME_CHARS: Final = 90  # a RUN_ID has up to 100, which leaves room for a number


def new_run_id(*parts: str) -> str:
    """Return a name for a run that begins now: the UTC time, then the parts, without characters that RUN_ID forbids."""
    allowed = (_NOT_IN_NAMES.sub("-", part).strip("-") for part in parts)
    return "-".join((f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}", *filter(None, allowed)))[:_NAME_CHARS]


class _Held:
    """An open folder. While it is open, its inode number is not reused, even if it is removed and created again."""

    def __init__(self, path: Path) -> None:
        """Raises OSError when it is not a folder, or cannot be read."""
        self._descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def is_at(self, path: Path) -> bool:
        """Return whether a path leads to this folder."""
        try:
            return os.path.samestat(os.fstat(self._descriptor), path.stat())
        except OSError:
            return False

    def __del__(self) -> None:
        with contextlib.suppress(AttributeError):  # it could not be opened
            os.close(self._descriptor)


@dataclass(frozen=True)
class RunFolder:
    """The folder of one run.

    Attributes:
        path: its path.
        held: the open folder, if this process created it or took it over; None if it was only found.
    """

    path: Path
    held: _Held | None = field(default=None, compare=False)

    @classmethod
    def create(cls, runs_dir: Path, run_id: str) -> RunFolder:
        """Create the folder of a run that must not exist yet.

        Raises:
            UsageError: when it exists, or cannot be created.
        """
        folder = cls(runs_dir / run_id)
        return folder._made(exist_ok=False)

    @classmethod
    def begin(cls, runs_dir: Path, run_id: str | None, *parts: str) -> RunFolder:
        """Create the folder of a run that begins now.

        Args:
            runs_dir: the runs folder.
            run_id: its name; None for `new_run_id` of the parts, with a number if another run began in that second.
            parts: the parts of that name.

        Raises:
            UsageError: when it exists, or cannot be created.
        """
        if run_id:
            return cls.create(runs_dir, run_id)
        run_id = name = new_run_id(*parts)
        number = 1
        while True:
            try:
                return cls.create(runs_dir, name)
            except UsageError as error:
                if not isinstance(error.__cause__, FileExistsError):
                    raise
            number += 1
            name = f"{run_id}-{number}"

    @classmethod
    def create_next(cls, runs_dir: Path, run_id: str) -> RunFolder:
        """Create the folder of a run. If a run of this name exists, a number is appended: night-2, night-3.

        Raises:
            UsageError: when it cannot be created.
        """
        numbered = (run_id if number == 1 else f"{run_id}-{number}" for number in itertools.count(1))
        try:
            folder = next(folder for name in numbered if not (folder := cls(runs_dir / name)).holds_run)
        except OSError as error:  # this account may not read the folder
            raise _unwritable(runs_dir, error) from error
        return folder._made(exist_ok=True)  # the command line has already created it

    @classmethod
    def find(cls, run: str, runs_dir: Path) -> RunFolder:
        """Return the folder with this path, or with this name in the runs folder; it may not exist."""
        return cls(Path(run) if untrusted.is_there(Path(run)) else runs_dir / run)

    @classmethod
    def all(cls, runs_dir: Path) -> Iterator[RunFolder]:
        """Yield the folders that contain a run, sorted by name.

        Raises:
            OSError: when the runs folder cannot be read.
        """
        for path in sorted(runs_dir.iterdir()):
            if (folder := cls(path)).holds_run:
                yield folder

    @property
    def name(self) -> str:
        """The run's name."""
        return self.path.name

    @property
    def record(self) -> Path:
        """The run's document."""
        return self.path / RECORD

    @property
    def stream(self) -> Path:
        """The record as it grew."""
        return self.path / STREAM

    @property
    def report(self) -> Path:
        """The HTML report."""
        return self.path / REPORT

    @property
    def logs(self) -> Path:
        """The folder of the processes' logs."""
        return self.path / "logs"

    @property
    def cause(self) -> Path:
        """The file in which the supervisor says why it stopped the master; it exists only if a process was lost."""
        return self.logs / "cause"

    @property
    def holds_run(self) -> bool:
        """Whether a run has begun to write here."""
        return self.stream.exists() or self.record.exists()

    @property
    def is_the_same(self) -> bool:
        """Whether the path still leads to the folder that was created, which may have been removed or replaced."""
        return self.held is not None and self.held.is_at(self.path)

    def _made(self, *, exist_ok: bool) -> RunFolder:
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=exist_ok)  # results are private to this account
            _try_to_write(self.path)  # an existing one may belong to another account
            return replace(self, held=_Held(self.path))
        except FileExistsError as error:
            raise UsageError(
                f"RUN_ID={self.name} is taken: {self.path} exists. Allowed: a name that no run has. "
                "Next: choose another RUN_ID."
            ) from error
        except OSError as error:
            raise _unwritable(self.path.parent, error) from error


def check_writable(runs_dir: Path) -> None:
    """Check that runs can be written to the runs folder, or to the parent in which it would be created.

    Raises:
        UsageError: when they cannot.
    """
    folder = runs_dir.absolute()
    try:
        while not folder.exists():
            folder = folder.parent
        _try_to_write(folder)
    except OSError as error:
        raise _unwritable(runs_dir, error) from error


def _try_to_write(folder: Path) -> None:
    """Create a file and remove it: permissions alone do not show that a file system is read-only."""
    with tempfile.TemporaryFile(dir=folder):
        pass


def _unwritable(runs_dir: Path, error: OSError) -> UsageError:
    return UsageError(
        f"RUNS_DIR={runs_dir} cannot be written ({error.strerror}). Allowed: a folder that user {os.getuid()} "
        "can write to. Next: set RUNS_DIR to one, or change its owner; in Compose, RUN_AS=$(id -u):$(id -g) is you."
    )
