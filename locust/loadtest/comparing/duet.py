"""Duet: two versions of a service under one schedule at the same time, compared pair by pair.

Both sides of a duet run on the same machine at the same moment, so whatever slows both cancels out (duet benchmarking,
Bulej et al., ICPE 2020). Requests that belong together are compared one by one. For percentiles, each draw of the
bootstrap takes the same seconds of both sides, and the error of a difference is that of the differences between the
draws.

Tested in tests/unit/comparing/test_duet.py.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, Final

from loadtest.comparing import core_waits, text
from loadtest.comparing.comparability import MIN_EXPECTED
from loadtest.comparing.comparison import compare
from loadtest.comparing.difference import Conclusion
from loadtest.comparing.pairing import Pairing
from loadtest.estimating.blocked_run import ALL, BlockedRun
from loadtest.estimating.looks import Look
from loadtest.estimating.resampling import PAIRS
from loadtest.judging.outcome import MEASURED
from loadtest.progress import listed

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from loadtest.comparing.comparison import Comparison
    from loadtest.comparing.core_waits import CoreWaits, Use
    from loadtest.comparing.pairing import Outcomes
    from loadtest.local.two_versions import Version
    from loadtest.reporting.document import Document

SIDES: Final = ("base", "new")
"""The scenario's name in the record, by side."""
MET_BY_BOTH: Final = frozenset({"other_processes"})
"""The trust checks whose violations affect both sides alike, and which the intervals reflect."""
MARGIN: Final = 0.01
"""The default margin: smaller than that of two runs, which differ by more than the noise within each of them."""
WAITED_RATIO: Final = 0.5
"""The share from which waiting for a core dominates response times: the share of all response times, or of the time of
one thread. While a thread waits, all requests queued for it wait too, and the thread's wait counts once."""
_SCENARIO: Final = '''"""A duet, written for one run."""

from loadtest.comparing.duet_user import scenario_of

scenario = scenario_of({name!r}, {of!r}, {hosts!r}, {redis_urls!r}, {until_decided!r})
'''


def write(
    folder: Path, name: str, of: str, versions: Sequence[Version], until_decided: tuple[float, float] | None = None
) -> Path:
    """Write the scenario of a duet into a folder, and return its file.

    Args:
        folder: an existing folder.
        name: the duet's name.
        of: the scenario that both sides follow.
        versions: the base and the new version.
        until_decided: the margin, and the longest run in seconds, of a duet that ends when its answer is known; None
            for one of fixed length.
    """
    base, new = versions
    redis_urls = (base.redis_url, new.redis_url) if base.redis_url and new.redis_url else None
    path = folder / f"{name}.py"
    hosts = (base.url, new.url)
    text = _SCENARIO.format(name=name, of=of, hosts=hosts, redis_urls=redis_urls, until_decided=until_decided)
    path.write_text(text, encoding="utf-8")
    return path


def compare_sides(
    document: Document,
    versions: Sequence[Version],
    margin: float,
    share: float = 1.0,
    uses: tuple[Use, Use] | None = None,
) -> tuple[Comparison, dict[str, Any]]:
    """Compare the two sides of a duet.

    Args:
        document: the run's document.
        versions: the base and the new version.
        margin: relative.
        share: the share of the permitted errors, above 0 up to 1, if the run could also have ended at other moments.
        uses: how the processes of the base and the new version used this machine's cores, if known. If waiting for a
            core dominated a response time, that time is not judged.

    Returns:
        The comparison, and its pairs by outcome with the correlation of their two times, ready for JSON.

    Raises:
        RecordError: when the document's blocks are damaged.
    """
    sides = (BlockedRun.of(document, side) for side in SIDES)
    base, new = (replace(run, run_id=version.name) for run, version in zip(sides, versions, strict=True))
    pairing = Pairing.of(document)
    outcomes, correlation = pairing.outcomes[ALL], pairing.correlation(base, new)
    notes = _notes(document, outcomes, correlation)
    if share < 1:
        notes.append(text.of_looks(share))
    if uses:
        notes.append(core_waits.sentence(*uses))
    found = _withheld(compare(base, new, margin, notes, pairing=pairing, share=share), pairing, document, uses)
    return found, {**asdict(outcomes), "correlation": correlation}


def _withheld(found: Comparison, pairing: Pairing, document: Document, uses: tuple[Use, Use] | None) -> Comparison:
    """Make every response time inconclusive if the sides did not send the same requests, or waited for a core."""
    reason = _unpaired(pairing) or (_waits_for_cores(document, uses) if uses else "")
    return found.without_times(reason) if reason else found


def _unpaired(pairing: Pairing) -> str:
    """Return why the requests of the two sides were not the same load; empty if they were.

    The other requests may be the same although the slowest page is no longer requested.
    """
    missing = {text.label(name): one.alone for name, one in pairing.outcomes.items() if name != ALL and not one.pairs}
    named = [f"{alone:,} {name}" for name, alone in missing.items() if alone >= MIN_EXPECTED]
    if not named and sum(missing.values()) > pairing.outcomes[ALL].pairs:
        named = list(missing)
    return f"{text.UNPAIRED}: {listed(named)}" if named else ""


def look(margin: float, share: float, waits: CoreWaits, document: Document) -> Look:
    """Return whether the answer of a duet is known: a figure is worse, or every request's figure by pairs is decided.

    Args:
        margin: relative.
        share: the share of the errors that this look may make, above 0 up to 1.
        waits: how long the processes of both versions have waited for a core.
        document: the document of the run so far.

    Raises:
        RecordError: when its blocks are damaged.
    """
    base, new = (BlockedRun.of(document, side) for side in SIDES)
    pairing = Pairing.of(document)
    found = compare(base, new, margin, pairing=pairing, share=share)
    decided = is_answer(_withheld(found, pairing, document, waits.uses()))
    verdict = document["verdict"]
    if verdict["name"] in MEASURED or is_fair(document):
        return Look(decided)
    return Look(decided, (f"it is {verdict['name']} so far", *verdict["reasons"]))


def is_answer(found: Comparison) -> bool:
    """Return whether a comparison of two sides gives the answer that `look` is after."""
    by_pairs = [one.conclusion for name in found.names for one in name.differences if one.metric == PAIRS]
    return found.conclusion is Conclusion.WORSE or (bool(by_pairs) and Conclusion.INCONCLUSIVE not in by_pairs)


def is_fair(document: Document) -> bool:
    """Return whether a run would have passed without the violations that affect both sides alike.

    The verdict's reasons include failed thresholds, names that never succeeded, and a failed set-up.
    """
    findings = document["findings"]
    return {one["rule"] for one in findings} <= MET_BY_BOTH and set(document["verdict"]["reasons"]) <= {
        one["sentence"] for one in findings
    }


def side(document: Document, version: Version) -> Document:
    """Return the run's document reduced to one side."""
    target = {"hosts": [version.url], "sentence": version.name}
    return {**document, "context": {**document["context"], "target": target}}


def _waits_for_cores(document: Document, uses: Sequence[Use]) -> str:
    """Return why the response times reflect the machine rather than the versions; empty if they do not."""
    load_s = document["load_s"]
    for side, use in zip(SIDES, uses, strict=True):
        response_s = sum(one["response_time"]["sum_s"] for one in document["series"] if one["scenario"] == side)
        if use.waited_s > WAITED_RATIO * response_s:
            return f"most of the response times of the {side} version was waiting for a core of this machine"
        if use.longest_s > WAITED_RATIO * load_s:
            return (
                f"the {side} version waited for a core of this machine for {use.longest_s:.0f} of {load_s:.0f} s: its "
                "response times include the queue that built up meanwhile"
            )
    return ""


def _notes(document: Document, outcomes: Outcomes, correlation: float | None) -> list[str]:
    """Return notes for people, in addition to the differences."""
    found = [outcomes.sentence()]
    if correlation is not None:
        found.append(
            f"the two times of a pair have a correlation of {correlation:.2f}: without the pairs, the same precision "
            f"would take {1 / max(1 - correlation, 0.001):,.1f} times as many requests"
        )
    if document["verdict"]["name"] not in MEASURED:
        met = " (which affected both sides equally)" if is_fair(document) else ""
        found.append(f"the run is {document['verdict']['name']}{met}: {'; '.join(document['verdict']['reasons'])}")
    if dropped := sum(one["dropped"] for one in document["scenarios"]):
        found.append(f"{dropped:,} pairs were dropped before they began")
    return found
