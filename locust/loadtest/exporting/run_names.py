"""RunNames: figures per request name from the record of the current or most recent run.

Counters and histograms continue from run to run and have neither extremes nor status codes. These figures are of one
run, and exact.

Tested in tests/unit/exporting/test_run_names.py.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Final

from loadtest.measuring.labels import OTHER, SeriesKey

if TYPE_CHECKING:
    from collections.abc import Callable

    from loadtest.measuring.record import RunRecord
    from loadtest.measuring.record_rows import ErrorRow

MAX_FAILURES: Final = 100
"""The number of most frequent kinds of failure, by name, class and status, that are exported separately."""
_SAID: Final = re.compile(r"status ([1-9]\d\d)\b")
"""The beginning of this product's own clients' messages about a status code."""
_WITHIN: Final = re.compile(r"\b([1-9]\d\d)\b")


class RunNames:
    """The figures of a run by request name.

    Args:
        record: the run's record; None before the first run.
        shown: returns the labels under which a name is exported: its own, or those of `other`.
    """

    def __init__(self, record: RunRecord | None, shown: Callable[[SeriesKey], SeriesKey]) -> None:
        self._record = record
        self._shown = shown

    def lowest_s(self) -> dict[tuple[str, ...], float]:
        """Return the lowest response time in seconds by scenario, method and name."""
        return self._extremes(0, min)

    def highest_s(self) -> dict[tuple[str, ...], float]:
        """Return the highest response time in seconds by scenario, method and name."""
        return self._extremes(1, max)

    def _extremes(self, which: int, of: Callable[[float, float], float]) -> dict[tuple[str, ...], float]:
        found: dict[tuple[str, ...], float] = {}
        for key, *both_s in self._record.extremes() if self._record else ():
            labels = self._shown(SeriesKey(*key[:3]))[:3]
            found[labels] = of(found.get(labels, both_s[which]), both_s[which])
        return found

    def failures(self) -> dict[tuple[str, ...], int]:
        """Return the failed requests by scenario, method, name, class and status, with the rarest kinds as `other`."""
        counts: Counter[tuple[str, ...]] = Counter()
        for error in self._record.errors() if self._record else ():
            labels = self._shown(SeriesKey(error.scenario, error.method, error.name))[:3]
            counts[*labels, error.error_class, status_of(error)] += error.occurrences
        kinds = counts.most_common()
        rest = sum(count for _, count in kinds[MAX_FAILURES:])
        return dict(kinds[:MAX_FAILURES]) | ({(OTHER, OTHER, OTHER, OTHER, ""): rest} if rest else {})


def status_of(error: ErrorRow) -> str:
    """Return the HTTP status code in a failure's message; empty if there was none."""
    found = _SAID.match(error.message)
    if found is None and error.error_class.startswith("status_"):
        found = _WITHIN.search(error.message)
    return found[1] if found else ""
