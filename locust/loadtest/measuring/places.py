"""Place: where in the code an exception was raised, and whose code that is.

Tested by tests/unit/measuring/test_recorder.py.
"""

from __future__ import annotations

import sysconfig
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from types import FrameType, TracebackType

_PACKAGE: Final = str(Path(__file__).parents[1])
_SCENARIOS: Final = f"{_PACKAGE}/scenarios/"
_CLIENTS: Final = f"{_PACKAGE}/clients/"
_REPLACED: Final = f"{_PACKAGE}/swarm/replacements/"
_LIBRARIES: Final = (
    f"{_PACKAGE}/",
    "src/gevent/",
    *(sysconfig.get_paths()[kind] for kind in ("stdlib", "purelib", "platlib")),
)


class Place(NamedTuple):
    """The place where an exception was raised."""

    path: str
    line: int
    function: str

    @classmethod
    def of(cls, trace: TracebackType | None) -> Place:
        """The innermost frame in the scenario's own code; the innermost of all frames if there is none."""
        places = cls.all_of(trace)
        own = [place for place in places if place.is_of_scenario]
        return (own or places or [cls("?", 0, "?")])[-1]

    @classmethod
    def of_caller(cls) -> Place | None:
        """The innermost frame of this greenlet in the scenario's own code; None if there is none."""
        calls = (cls.at(frame, line) for frame, line in traceback.walk_stack(None))
        return next((place for place in calls if place.is_of_scenario), None)

    @classmethod
    def all_of(cls, trace: TracebackType | None) -> list[Place]:
        """The places of all frames, innermost last."""
        return [cls.at(frame, line) for frame, line in traceback.walk_tb(trace)]

    @classmethod
    def at(cls, frame: FrameType, line: int) -> Place:
        """The place of one frame."""
        return cls(frame.f_code.co_filename, line, frame.f_code.co_name)

    @property
    def is_of_scenario(self) -> bool:
        """Whether it is in neither a library nor this product."""
        return self.path.startswith(_SCENARIOS) or not self.path.startswith(_LIBRARIES)

    @property
    def is_request(self) -> bool:
        """Whether it is in a client that itself counts a request whose user is stopped."""
        return self.path.startswith(_CLIENTS) or (self.path.startswith(_REPLACED) and self.function == "request")

    def __str__(self) -> str:
        path = Path(self.path)
        shown = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
        return f"{shown}:{self.line} in {self.function}"
