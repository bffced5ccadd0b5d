"""Under which names requests are recorded.

A lane is one command under one label. Its method is the Redis command, its name the label, or the command again
where no label is given.
"""

from typing import TYPE_CHECKING, ClassVar, Final
from weakref import WeakKeyDictionary

from loadtest.measuring.recorder import Recorder

if TYPE_CHECKING:
    from collections.abc import Callable

    from locust.env import Environment

    from loadtest.measuring.recorder import Series


MAX_LABELS: Final = 2_000
"""Pairs of scenario and label that get lanes of their own; a label beyond them is recorded as ``other``."""


class Lane:
    """One command under one label.

    Attributes:
        method: The command, in upper case.
        name: The label.
        series: Where the requests are recorded.
        success: The series' own, without a look-up.
    """

    __slots__ = ("method", "name", "series", "success")

    def __init__(self, method: str, name: str, series: "Series") -> None:
        """Bind a series."""
        self.method = method
        self.name = name
        self.series = series
        self.success: Callable[[float, float, float, int], None] = series.success


class Lanes(dict[str, Lane]):
    """The lanes of one label by command, in the spelling in which the command was given; made on first use."""

    _of_environment: ClassVar["WeakKeyDictionary[Environment, dict[tuple[str, str | None], Lanes]]"] = (
        WeakKeyDictionary()
    )

    def __init__(self, recorder: Recorder, scenario: str, label: str | None) -> None:
        """Begin without lanes; use ``of`` to share them between users."""
        super().__init__()
        self._recorder = recorder
        self._scenario = scenario
        self._label = label

    @classmethod
    def of(cls, environment: "Environment", scenario: str, label: str | None) -> "Lanes":
        """The lanes that all users of a scenario share."""
        known = cls._of_environment.setdefault(environment, {})
        if label is not None and len(known) >= MAX_LABELS and (scenario, label) not in known:
            label = "other"
        lanes = known.get((scenario, label))
        if lanes is None:
            lanes = known[scenario, label] = cls(Recorder.of(environment), scenario, label)
        return lanes

    def __missing__(self, command: str) -> Lane:
        """Make a command's lane."""
        method = command.upper()
        name = method if self._label is None else self._label
        lane = self[command] = Lane(method, name, self._recorder.series(self._scenario, method, name))
        return lane
