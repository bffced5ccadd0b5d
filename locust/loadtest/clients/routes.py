"""Routes: the common part of requests of one kind, computed once and looked up by a key.

A route holds at least the place where its requests are recorded. A table of routes belongs to one scenario and is
shared by all users of a Locust Environment with the same settings.

Tested by what is built on it: tests/unit/clients/http/test_client.py and tests/unit/clients/redis/test_recording.py.
"""

from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self, TypeVar
from weakref import WeakKeyDictionary

from loadtest.measuring.labels import LOAD
from loadtest.measuring.recorder import Recorder

if TYPE_CHECKING:
    from locust.env import Environment

    from loadtest.measuring.series import Series

MAX_TABLES: Final = 2_000
"""The maximum number of tables of an environment; scenarios that invent labels without end must not fill the memory."""


class Route:
    """The requests of one method and name.

    Attributes:
        method: The method, or the Redis command in upper case.
        name: The name under which the requests are recorded; ``other`` beyond the recorder's cap.
        series: Where they are recorded.
        success: The series' function for a request that succeeded, without a look-up.
    """

    __slots__ = ("method", "name", "series", "success")

    def __init__(self, method: str, series: "Series") -> None:
        """Bind a series."""
        self.method = method
        self.name = series.key.name
        self.series = series
        self.success: Callable[..., None] = series.success


Key = TypeVar("Key", bound=Hashable)
AnyRoute = TypeVar("AnyRoute", bound=Route)


class RouteTable(dict[Key, AnyRoute]):
    """The routes of one scenario, by key."""

    _shared: ClassVar["WeakKeyDictionary[Environment, dict[Hashable, Any]]"] = WeakKeyDictionary()

    def __init__(self, recorder: Recorder, scenario: str) -> None:
        """Start without routes; use ``shared`` for the table that the users of an environment share."""
        super().__init__()
        self._recorder = recorder
        self._scenario = scenario
        self.phase = LOAD

    @classmethod
    def shared(cls, environment: "Environment", scenario: str, *settings: Any, phase: str = LOAD) -> Self:
        """The table shared by all users of an environment with this scenario and these settings in a phase.

        Beyond ``MAX_TABLES``, a new table is not shared.

        Args:
            environment: The environment whose recorder counts the requests.
            scenario: The scenario's name.
            settings: Further arguments of the class, hashable.
            phase: The phase that the requests are recorded under.
        """
        tables = cls._shared.setdefault(environment, {})
        key = (cls, scenario, phase, *settings)
        table: Self | None = tables.get(key)
        if table is None:
            table = cls(Recorder.of(environment), scenario, *settings)
            table.phase = phase
            if len(tables) < MAX_TABLES:
                tables[key] = table
        return table

    def series(self, method: str, name: str) -> "Series":
        """Where requests of this method and name are recorded."""
        return self._recorder.series(self._scenario, method, name, self.phase)
