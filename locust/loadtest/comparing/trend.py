"""Trend: a history in the form that pages draw, and the part of it that the report of its latest run shows.

Tested in tests/unit/comparing/test_changes.py.
"""

from __future__ import annotations

import math
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from loadtest.comparing import text as words
from loadtest.comparing.changes import ChangedRun, History, Series, histories, series_of
from loadtest.comparing.difference import METRICS, Conclusion, Difference
from loadtest.comparing.run_figures import RunFigures
from loadtest.estimating.blocked_run import ALL
from loadtest.exceptions import RecordError
from loadtest.reporting import document as run_document
from loadtest.run_folder import RunFolder

if TYPE_CHECKING:
    from loadtest.estimating.blocked_run import Name
    from loadtest.reporting.document import Document

MAX_RUNS: Final = 100
"""The number of latest runs in the folder among which a report looks for those of its history."""
MAX_NAMES: Final = 100
"""The maximum number of names for which a report computes its history: each takes hundredths of a second. Runs with
more names are left to `loadtest history --changes`."""
MAX_STRIPS: Final = 12


def figures(document: Document, run_id: str) -> RunFigures | None:
    """Return a finished run's figures for its history; None for one with too many names, or without blocks."""
    if len(document["series"]) > MAX_NAMES:
        return None
    with suppress(RecordError), run_document.reading(Path(run_id)):
        return RunFigures.of(document, run_id)
    return None


def of(runs_dir: Path, own: RunFigures) -> dict[str, Any]:
    """Return the history of a run, ready for JSON: its changes, and strips of all requests' and of changed figures.

    Earlier runs are included if their figures are kept in their folders.

    Args:
        runs_dir: the runs folder.
        own: the run's figures.
    """
    alike = [run for run in _kept(runs_dir) if (run.key, run.conditions) == (own.key, own.conditions)]
    found = next(iter(histories([*(run for run in alike if run.run_id != own.run_id), own])), None)
    if found is None or len(found.runs) == 1:
        return {}
    chosen: dict[tuple[Name, str], None] = {(ALL, metric): None for metric in METRICS} | changed_figures(found)
    series = series_of(found.runs)
    return {
        "sentence": words.of_history(found),
        "changed": [changed(one) for one in found.changed],
        "strips": [strip(found, *which, series[which]) for which in list(chosen)[:MAX_STRIPS] if which in series],
    }


def _kept(runs_dir: Path) -> list[RunFigures]:
    """Return the kept figures of the latest runs."""
    with suppress(OSError):
        records = [folder for folder in RunFolder.all(runs_dir) if folder.record.is_file()]
        latest = sorted(records, key=lambda folder: folder.record.stat().st_mtime)[-MAX_RUNS:]
        return [kept for folder in latest if (kept := RunFigures.kept(folder.path)) is not None]
    return []


def changed_figures(history: History) -> dict[tuple[Name, str], None]:
    """Return the figures that changed, each once, in chronological order."""
    return {(name, difference.metric): None for one in history.changed for name, difference in one.changes}


def changed(one: ChangedRun) -> dict[str, Any]:
    """Return a change, ready for JSON, with a description in words."""
    sentences = [words.sentence(name, difference) for name, difference in one.changes[: words.MAX_CHANGES]]
    further = words.further(one)
    return {
        **one.as_dict(),
        "is_worse": one.is_worse,
        "between": words.between(one),
        "sentences": [*sentences, *([further] if further else [])],
    }


def strip(history: History, name: Name, metric: str, series: Series) -> dict[str, Any]:
    """Return the data to draw a figure over a history's runs. `runs` is their number; a place is a run's index from 0.

    `levels` are first place, last place plus one, and value; `changes` are the first place after each change, and what
    it is.
    """
    places, kept = series
    values = [value if metric == "error_ratio" else math.exp(value) for value, _ in kept]
    own = _changes_of(history, name, metric)
    limits = [places[0], *(place for place, _ in own), places[-1] + 1]
    levels = [own[0][1].base, *(difference.new for _, difference in own)] if own else []
    worded = Difference(metric, None, None, None, None, None, Conclusion.SAME)
    return {
        "title": f"{words.label(name)}: {words.HEADINGS[metric]}",
        "ends": f"{words.value(worded, min(values))} to {words.value(worded, max(values))}",
        "runs": len(history.runs),
        "places": places,
        "values": values,
        "levels": [[start, stop, level] for (start, stop), level in zip(pairwise(limits), levels, strict=False)],
        "changes": [[place, difference.conclusion.value] for place, difference in own],
    }


def _changes_of(history: History, name: Name, metric: str) -> list[tuple[int, Difference]]:
    starts = {run.run_id: place for place, run in enumerate(history.runs)}
    return [
        (starts[one.first.run_id], difference)
        for one in history.changed
        for changed_name, difference in one.changes
        if (changed_name, difference.metric) == (name, metric)
    ]
