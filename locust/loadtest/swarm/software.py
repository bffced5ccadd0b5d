"""Software: what a process of the swarm runs, so that a worker with other code than the master's is noticed.

Every process brings a copy of the package and of the scenario's files: an image that was built at another time, a file
that was changed between two starts. The requests of such a worker would count as those of the scenario that the run
names.
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
"""The folder with which an installed package brings what lies beside it in a checkout."""
_Name = Annotated[str, Field(strict=True, max_length=1024)]


class Software(NamedTuple):
    """What one process runs."""

    package: _Name
    """The version of this package, with a digest of its modules."""
    scenario: _Name
    """The scenario's name, with a digest of its files; of a built-in one they are the package's."""

    @classmethod
    def of(cls, scenario: str, files: Iterable[Path]) -> Software:
        """Return what this process runs.

        Args:
            scenario: the scenario's name.
            files: those of its code that are not the package's.

        Raises:
            OSError: when a file cannot be read.
        """
        modules = [path for path in _PACKAGE.rglob("*.py") if _SHIPPED not in path.relative_to(_PACKAGE).parts]
        return cls(f"{__version__} {_digest(modules)}", f"{scenario} {_digest(files)}")

    def differs_by(self, other: Software | None) -> str:
        """Return what another process has that this one has not; empty where it is the same.

        Args:
            other: what the other process says of itself; None where it says nothing, as versions before this did.
        """
        if other is None or other.package != self.package:
            return "another version of loadtest"
        return "" if other.scenario == self.scenario else "another scenario, or other files of it,"


def _digest(files: Iterable[Path]) -> str:
    """Return a digest of the files' names and contents, wherever they are."""
    parts = sorted(f"{file.name} {sha256(file.read_bytes()).hexdigest()}" for file in files)
    return sha256("\n".join(parts).encode()).hexdigest()[:16]


def note(environment: Environment, scenario: str, files: Iterable[Path]) -> None:
    """Have this process say to its peers what it runs: see `Software.of`."""
    Session.of(environment).put(Software, Software.of(scenario, files))
