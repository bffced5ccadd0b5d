"""ScenarioData: what a scenario keeps in Redis during a run.

Tested in tests/native/test_keep_data.py and tests/native/test_redis_watch.py.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from loadtest.exceptions import described
from loadtest.progress import Steps

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from loadtest.scenarios import Scenario


class ScenarioData:
    """The data of one run.

    Args:
        scenario: knows what is loaded and removed.
        redis_url: where it is kept; None for a run without Redis.
        say: prints a line on the screen.
    """

    def __init__(self, scenario: Scenario, redis_url: str | None, say: Callable[[str], None]) -> None:
        self._scenario = scenario
        self._redis_url = redis_url
        self._say = say
        self.notes: Sequence[str] = ()
        """What reports say of the data."""

    def load(self) -> None:
        """Load what the scenario needs before its first request, and show how far that has got.

        Raises:
            Exception: what the scenario raises.
        """
        load_data, redis_url = self._scenario.load_data, self._redis_url
        if load_data is None or redis_url is None:
            return
        there = 0

        def progress(done: int, total: int) -> None:
            nonlocal there
            there = done
            steps.show(done, total)

        with Steps("data", sys.stdout) as steps:
            found = load_data(redis_url, progress)
        self.notes = found if isinstance(found, list) else ()  # somebody's own may return anything
        self._say(f"data         {there:,} keys in place")

    def load_again(self) -> str:
        """Load what Redis lost, so that the rest of the run is not the failure of that moment.

        Returns:
            What happened, as a sentence.
        """
        load_data, redis_url = self._scenario.load_data, self._redis_url
        if load_data is None or redis_url is None:
            return "Redis lost most of its keys: requests that need them fail from here on"
        try:
            load_data(redis_url, lambda _done, _total: None)
        except Exception as error:
            return f"Redis lost its data, and requests that need it fail from here on: {described(error)}"
        return "Redis lost its data, which was loaded again"

    def remove(self, run_id: str) -> None:
        """Remove what the run of this id left, if the scenario knows how."""
        if self._redis_url is not None and self._scenario.remove_data is not None:
            self._say(f"data         {self._scenario.remove_data(self._redis_url, run_id):,} keys removed")
