"""Against: whether the capacity that a search found is better, the same or worse than an earlier one.

Two capacities are compared by the difference of their logarithms. Its interval is computed from the intervals of the
two by the method of variance estimates recovery (Zou and Donner, *Statistics in Medicine* 27, 2008), which does not
require symmetry. The conclusion follows the rules of `loadtest compare`: worse only if the whole interval is beyond the
margin. Two searches cannot be compared for the same reasons as two runs, such as different machines: see
`loadtest.comparing.comparability`.

Tested in tests/unit/capacity/test_against.py.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from loadtest import untrusted
from loadtest.comparing import comparability
from loadtest.comparing.difference import Conclusion, conclude
from loadtest.exceptions import RecordError, UsageError
from loadtest.reporting import document as run_document

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from loadtest.reporting.document import Document

MARGIN: Final = 0.10
"""The default margin. Intervals of ±3 % give ±4 % for their difference: with half the margin, few equal capacities
would be found to be the same."""
LONGER: Final = "5m"
"""The run time with which a search has enough steps for ±3 %."""
FILE: Final = "capacity.json"
_LONGEST_BYTES: Final = 16 * 1024 * 1024
_MAX_VALUES: Final = 100_000
_LARGEST: Final = 1e20


class Found(NamedTuple):
    """The result of a search."""

    run_id: str
    scenario: str
    slo: str
    rate_per_s: float
    low_per_s: float
    high_per_s: float
    """Infinity if only a lower bound is known."""

    @classmethod
    def read(cls, folder: Path) -> Found:
        """Read the result from the folder of the search's run.

        Raises:
            RecordError: when the folder contains no capacity, or cannot be read.
        """
        path = folder / FILE
        try:
            data = untrusted.read_file(path, _LONGEST_BYTES)
            found: dict[str, Any] = untrusted.parse_json(data, _MAX_VALUES, _LARGEST)
            high = found["high_per_s"]
            rates = float(found["rate_per_s"]), float(found["low_per_s"]), math.inf if high is None else float(high)
            _check(*rates)
            return cls(folder.name, str(found["scenario"]), str(found["slo"]), *rates)
        except (OSError, ValueError, TypeError, LookupError) as error:
            raise RecordError(
                f"{path} cannot be read as a capacity ({error}). Allowed: the folder of a run of `loadtest capacity`. "
                "Next: name another run."
            ) from error


def _check(rate: float, low: float, high: float) -> None:
    if not 0 <= low <= rate <= high:
        raise ValueError(f"the interval {low:g} to {high:g} does not contain {rate:g}")


def check(base: Found, scenario: str, slo: str) -> None:
    """Check, before a search, that its capacity can be compared with that of an earlier search.

    Raises:
        UsageError: when scenario or objective differ, or the earlier search found no rate.
    """
    for what, theirs, ours in (("scenario", base.scenario, scenario), ("objective", base.slo, slo)):
        if theirs != ours:
            raise UsageError(
                f"the capacity of {base.run_id} cannot be compared: its {what} is {theirs}, not {ours}. Allowed: a "
                f"search with the same scenario and objective. Next: name another run, or search with its {what}."
            )
    if not base.rate_per_s:
        raise UsageError(
            f"{base.run_id} found no capacity, so there is nothing to compare with. Allowed: a search that found a "
            "rate. Next: name another run."
        )


def read_run(folder: Path) -> Document:
    """Return the document of a search's run.

    Raises:
        RecordError: when it cannot be read.
    """
    with run_document.limited(folder), run_document.reading(folder):
        return run_document.read(folder)


def check_machine(base: Document) -> None:
    """Check, before a search, that the earlier search measured the service and not other work on its machine.

    Raises:
        UsageError: when it did not.
    """
    if problems := comparability.crowded(base):
        raise UsageError(
            f"the capacity of {base['run_id']} cannot be compared: {'; '.join(problems)}. Allowed: a search during "
            "which nothing else used the cores. Next: repeat it, or use --force."
        )


def surroundings(base: Document, new: Document, *, force: bool = False) -> tuple[list[str], list[str]]:
    """Return the obstacles to comparing two searches, and the notes for people; with `force`, obstacles become notes.

    Args:
        base: the earlier search, accepted by `check_machine`.
        new: the later search.
        force: compare regardless of other work on their machines.
    """
    problems, notes = comparability.surroundings(base, new)
    problems += comparability.crowded(new)
    return ([], [f"not comparable: {one}" for one in problems] + notes) if force else (problems, notes)


def conclusion(base: Found, new: Found, problems: Sequence[str] = ()) -> tuple[Conclusion, str]:
    """Return whether the new capacity is better, the same, worse, or not certain to be any of these; and a sentence.

    Args:
        base: the earlier result.
        new: the later result.
        problems: obstacles to a comparison, which make it inconclusive.
    """
    if not new.rate_per_s:
        return Conclusion.INCONCLUSIVE, f"inconclusive against {base.run_id}: no rate was found"
    change, low, high = difference(base, new)
    found = conclude(low, high, -math.log1p(MARGIN), math.log1p(MARGIN), more_is_better=True)
    upto = "more" if math.isinf(high) else f"{math.expm1(high):+.1%}"
    next_ = ""
    if problems:
        found = Conclusion.INCONCLUSIVE
        next_ = f"; {'; '.join(problems)}. Next: repeat the search on an otherwise idle machine, or use --force"
    elif found is Conclusion.INCONCLUSIVE:
        next_ = f". Next: give both searches a longer --run-time, such as {LONGER}"
    return found, (
        f"{found.value} against {base.run_id}: {base.rate_per_s:.4g}/s to {new.rate_per_s:.4g}/s, "
        f"{math.expm1(change):+.1%} ({math.expm1(low):+.1%} to {upto}), margin {MARGIN:.0%}{next_}"
    )


def difference(base: Found, new: Found) -> tuple[float, float, float]:
    """Return the difference of the two logarithms with its 95 % interval; an unknown end is infinite."""
    change = math.log(new.rate_per_s / base.rate_per_s)
    below = math.hypot(_log(new.rate_per_s, new.low_per_s), _log(base.high_per_s, base.rate_per_s))
    above = math.hypot(_log(new.high_per_s, new.rate_per_s), _log(base.rate_per_s, base.low_per_s))
    return change, change - below, change + above


def _log(upper: float, lower: float) -> float:
    return math.log(upper / lower) if lower else math.inf
