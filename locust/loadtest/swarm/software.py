"""Software: the code that a process of the swarm runs, to detect a worker whose code differs from the master's.

Every process has its own copy of the package and of the scenario's files: images may be built at different times, and a
file may change between two starts. Without this check, such a worker's requests would count as those of the scenario
that the run names.
"""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, NamedTuple

from pydantic import Field

from loadtest import __version__
from loadtest.session import Session

if TYPE_CHECKING:
    from collections.abc import Iterable

    from locust.env import Environment

_PACKAGE: Final = Path(__file__).parents[1]
_SHIPPED: Final = "shipped"
"""The folder in which an installed package brings the files that are next to it in a checkout."""
_Name = Annotated[str, Field(strict=True, max_length=1024)]


class Software(NamedTuple):
    """The software of one process."""

    package: _Name
    """The version of this package, with a digest of its modules."""
    scenario: _Name
    """The scenario's name, with a digest of its files; for a built-in scenario these are the package's."""

    @classmethod
    def of(cls, scenario: str, files: Iterable[Path]) -> Software:
        """Return the software of this process.

        Args:
            scenario: the scenario's name.
            files: the files of its code that are not part of the package.

        Raises:
            OSError: when a file cannot be read.
        """
        modules = [path for path in _PACKAGE.rglob("*.py") if _SHIPPED not in path.relative_to(_PACKAGE).parts]
        return cls(f"{__version__} {_digest(modules)}", f"{scenario} {_digest(files)}")

    def differs_by(self, other: Software | None) -> str:
        """Return what another process has that differs from this one; empty when they are the same.

        Args:
            other: the software that the other process reported; None when it reported none, as earlier versions do.
        """
        if other is None or other.package != self.package:
            return "another version of loadtest"
        return "" if other.scenario == self.scenario else "another scenario, or other files of it,"


def _digest(files: Iterable[Path]) -> str:
    """Return a digest of the files' names and contents, independent of their folders."""
    parts = sorted(f"{file.name} {sha256(file.read_bytes()).hexdigest()}" for file in files)
    return sha256("\n".join(parts).encode()).hexdigest()[:16]


def note(environment: Environment, scenario: str, files: Iterable[Path]) -> None:
    """Record what this process runs, so that it is reported to its peers: see `Software.of`."""
    Session.of(environment).put(Software, Software.of(scenario, files))
