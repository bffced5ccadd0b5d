"""ScenarioData: the data that a scenario keeps in Redis during a run.

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
        scenario: loads and removes the data.
        redis_url: the Redis that holds it; None for a run without Redis.
        say: prints a line on the screen.
    """

    def __init__(self, scenario: Scenario, redis_url: str | None, say: Callable[[str], None]) -> None:
        self._scenario = scenario
        self._redis_url = redis_url
        self._say = say
        self.notes: Sequence[str] = ()
        """Notes about the data, for reports."""

    def load(self) -> None:
        """Load the data that the scenario needs before its first request, and show progress.

        Raises:
            Exception: whatever the scenario raises.
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
        self.notes = found if isinstance(found, list) else ()  # a user's own function may return anything
        self._say(f"data         {there:,} keys in place")

    def load_again(self) -> str:
        """Load the data again after Redis lost it, so that the rest of the run does not fail because of that moment.

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
        """Remove the data of the run with this id, if the scenario can."""
        if self._redis_url is not None and self._scenario.remove_data is not None:
            self._say(f"data         {self._scenario.remove_data(self._redis_url, run_id):,} keys removed")
