"""Decision: when a run that is compared with a baseline may end, because the comparison has its answer.

Each look compares as much of both runs as the newer one has, with its share of the errors: see
`loadtest.estimating.looks`.

Tested in tests/unit/comparing/test_decision.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from loadtest.comparing import baselines, comparability
from loadtest.comparing.comparison import Comparison, compare
from loadtest.comparing.difference import Conclusion
from loadtest.estimating import looks
from loadtest.estimating.blocked_run import ALL, BlockedRun
from loadtest.estimating.looks import Look
from loadtest.reporting import document as run_document

if TYPE_CHECKING:
    from loadtest.reporting.document import Document
    from loadtest.settings.config import Config


def share(document: Document) -> float:
    """Return the share of the errors that a run's comparison may make: all, unless it could end at several looks."""
    configuration = document["configuration"]
    return looks.share(configuration["run_time"]) if configuration.get("until_decided") else 1.0


def as_long(base: BlockedRun, new: BlockedRun) -> tuple[BlockedRun, BlockedRun]:
    """Return as much of two runs, from their beginning, as the shorter one has."""
    seconds = min(base.seconds, new.seconds)
    return base.first(seconds), new.first(seconds)


def look(config: Config, document: Document) -> Look:
    """Return whether the comparison of a run with its baseline has its answer, and whether it would be made.

    Args:
        config: of the run.
        document: of the run so far.

    Raises:
        RecordError: when the baseline cannot be read, or blocks are damaged.
        UsageError: when no baseline is set.
    """
    base = run_document.read(baselines.folder_for(config))
    runs = as_long(BlockedRun.of(base), BlockedRun.of(document))
    longest_s = config.run_time or 0.0
    found = compare(*runs, share=looks.share(longest_s))
    return Look(is_answer(found, longest_s), tuple(comparability.hindrances(base, document)))


def is_answer(found: Comparison, longest_s: float) -> bool:
    """Return whether a comparison says what can be said.

    Something is worse; or every figure of all requests together is decided, and of each request those which the
    longest run could decide.

    Args:
        found: at a look.
        longest_s: of the run; in seconds.
    """
    open_ = [
        one
        for name in found.names
        for one in name.differences
        if one.conclusion is Conclusion.INCONCLUSIVE
        and (name.name == ALL or (one.decided_after_s is not None and one.decided_after_s <= longest_s))
    ]
    return found.conclusion is Conclusion.WORSE or not open_
