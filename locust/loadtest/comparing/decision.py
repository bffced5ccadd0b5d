"""Decision: when a run that is compared with a baseline may end because the comparison has its answer.

Each look compares equally long parts of both runs, with its share of the permitted errors: see
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
    """Return the share of the permitted errors for a run's comparison: 1, unless the run could end at several looks."""
    configuration = document["configuration"]
    return looks.share(configuration["run_time"]) if configuration.get("until_decided") else 1.0


def as_long(base: BlockedRun, new: BlockedRun) -> tuple[BlockedRun, BlockedRun]:
    """Return both runs, from their beginning, cut to the length of the shorter one."""
    seconds = min(base.seconds, new.seconds)
    return base.first(seconds), new.first(seconds)


def look(config: Config, document: Document) -> Look:
    """Return whether the comparison of a run with its baseline has its answer, and what would prevent it.

    Args:
        config: the run's settings.
        document: the document of the run so far.

    Raises:
        RecordError: when the baseline cannot be read, or blocks are damaged.
        UsageError: when no baseline is set.
    """
    base = run_document.read(baselines.folder_for(config))
    runs = as_long(BlockedRun.of(base), BlockedRun.of(document))
    longest_s = config.run_time or 0.0
    found = compare(*runs, share=looks.share(longest_s))
    return Look(is_answer(found, longest_s), tuple(comparability.obstacles(base, document)))


def is_answer(found: Comparison, longest_s: float) -> bool:
    """Return whether a comparison is complete.

    It is if something is worse, or if every figure of all requests together is decided, as well as those figures of
    each request that the longest run could decide.

    Args:
        found: the comparison at a look.
        longest_s: the longest possible run, in seconds.
    """
    open_ = [
        one
        for name in found.names
        for one in name.differences
        if one.conclusion is Conclusion.INCONCLUSIVE
        and (name.name == ALL or (one.decided_after_s is not None and one.decided_after_s <= longest_s))
    ]
    return found.conclusion is Conclusion.WORSE or not open_
