"""RunNames: what the record of the current run, or of the most recent one, says of each request name.

Counters and histograms go on from run to run and know neither extremes nor statuses; these are a run's own, and exact.

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
"""Kinds of failure, by name, class and status, with a number of their own: the most frequent."""
_SAID: Final = re.compile(r"status ([1-9]\d\d)\b")
"""How this product's own clients begin what they say of a status."""
_WITHIN: Final = re.compile(r"\b([1-9]\d\d)\b")


class RunNames:
    """The figures of a run by request name.

    Args:
        record: the run's; None before the first.
        shown: returns the labels under which a name is shown: its own, or those of `other`.
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
        """Return the failed requests by scenario, method, name, class and status; the rarest kinds as `other`."""
        counts: Counter[tuple[str, ...]] = Counter()
        for error in self._record.errors() if self._record else ():
            labels = self._shown(SeriesKey(error.scenario, error.method, error.name))[:3]
            counts[*labels, error.error_class, status_of(error)] += error.occurrences
        kinds = counts.most_common()
        rest = sum(count for _, count in kinds[MAX_FAILURES:])
        return dict(kinds[:MAX_FAILURES]) | ({(OTHER, OTHER, OTHER, OTHER, ""): rest} if rest else {})


def status_of(error: ErrorRow) -> str:
    """Return the HTTP status that a failure had, as its message says; empty where none came."""
    found = _SAID.match(error.message)
    if found is None and error.error_class.startswith("status_"):
        found = _WITHIN.search(error.message)
    return found[1] if found else ""
