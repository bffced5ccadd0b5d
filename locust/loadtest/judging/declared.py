"""Declared: notes on the requests and tasks that a scenario declares but that did not occur in a run.

A task may be missing by chance: the probability that none of n iterations runs a task with share p is (1 - p)^n.
So a task is named only if n is at least ln 0.05 / ln (1 - p).
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from loadtest.measuring.histogram import samples_needed
from loadtest.measuring.labels import OTHER
from loadtest.progress import listed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from loadtest.measuring.record import RunRecord


def notes(record: RunRecord) -> Iterator[str]:
    """Name the requests that the scenario declares and that no user made, and the tasks that none began."""
    phases = [record, record.setup] if record.setup else [record]
    made = {(view.method, view.name) for phase in phases for view in phase.counts()}
    declared = [(method, name) for method, name in record.context.get("declared", ())]
    never = [f"{method} {name}" for method, name in declared if (method, name) not in made]
    if never:
        yield f"{len(never)} of {len(declared)} declared requests were never made: {listed(never)}"
    tasks = record.context.get("tasks", ())
    if (OTHER, OTHER) in record.tasks:  # too many to be kept apart
        return
    never = _never_begun(record, tasks)
    if never:
        yield f"{len(never)} of {len({_key(one) for one in tasks})} tasks were never begun: {listed(never)}"


def _never_begun(record: RunRecord, tasks: Sequence[dict[str, Any]]) -> list[str]:
    of_user: dict[str, int] = defaultdict(int)
    for one in tasks:
        of_user[one["user"]] += record.tasks.get(_key(one), 0)
    never = {
        one["task"]: None
        for one in tasks
        if not record.tasks.get(_key(one)) and (one["share"] == 1 or _is_due(of_user[one["user"]], one["share"]))
    }
    return list(never)


def _is_due(iterations: int, share: float) -> bool:
    """Whether a task of this share is missing from so many iterations for a reason other than chance.

    Without iterations no user ran, so the answer is yes.
    """
    return not iterations or iterations >= samples_needed(1 - share)


def _key(task: dict[str, Any]) -> tuple[str, str]:
    return task["scenario"], task["task"]
