"""Document: a run as JSON. Every report is made from it, at the end of the run or at any later time.

docs/reference/record.md describes it, docs/reference/record.schema.json is its schema.
"""

from __future__ import annotations

import math
import textwrap
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from loadtest import untrusted
from loadtest.estimating import intervals
from loadtest.estimating.blocked_run import ALL, BlockedRun
from loadtest.exceptions import RecordError
from loadtest.judging.outcome import Outcome
from loadtest.judging.threshold import samples_needed, told_apart
from loadtest.measuring import record_dict, record_file
from loadtest.measuring.labels import ITERATION, TRANSACTION
from loadtest.measuring.record_dict import DICT_FORMAT, QUANTILES
from loadtest.progress import counted, milliseconds, one_line
from loadtest.run_folder import RunFolder

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from loadtest.estimating.intervals import Interval
    from loadtest.judging.outcome import Verdict
    from loadtest.measuring.blocks import BlockTable
    from loadtest.measuring.record import RunRecord

Document = dict[str, Any]
Series = dict[str, Any]

_LONGEST_BYTES: Final = 128 * 1024 * 1024
_MOST_VALUES: Final = 3_000_000
"""Bounds of a document: that of a day with all the names that are kept apart has a tenth of both."""
_LARGEST: Final = 1e20
"""The largest number: what a system calls unlimited memory is a tenth of it, and its square is still a float."""
_LONGEST_MESSAGE: Final = 160
"""Characters of an error's message beside the verdict."""
_REQUIRED: Final = (
    "run_id", "started_at", "duration_s", "load_s", "configuration", "context", "delivery", "workers", "total",
    "series", "streams", "scenarios", "errors", "events", "timeline", "blocks", "verdict", "findings", "thresholds",
)  # fmt: skip


def of(record: RunRecord, verdict: Verdict) -> Document:
    """Return the document of a run and its verdict."""
    made = {
        **record_dict.as_dict(record),
        "verdict": {"name": verdict.outcome.value, "reasons": list(verdict.reasons), "notes": list(verdict.notes)},
        "findings": [asdict(violation) for violation in verdict.violations],
        "thresholds": [result.as_dict() for result in verdict.results],
    }
    _add_intervals([made["total"]], made["series"], record.block_table())
    service = record.block_table(service=True)
    _add_intervals([made["total"]], made["series"], service, "service_time", "service_intervals")
    _add_intervals([], made["transactions"], record.of_phase(TRANSACTION).block_table())
    _add_intervals_of_iterations(made["scenarios"], record.of_phase(ITERATION))
    return made


def _add_intervals(
    whole: list[Series], every: list[Series], table: BlockTable, of: str = "response_time", key: str = "intervals"
) -> None:
    """Add the 95 % intervals of percentiles to the sum of all series, and to the most frequent ones.

    Args:
        whole: the sum, if there is one.
        every: in the order of the table.
        table: their blocks.
        of: of which times.
        key: what is added to each.
    """
    chosen = sorted(enumerate(every), key=lambda one: -requests_of(one[1]))[:MOST_WITH_INTERVALS]
    for rows, one in [*(([*range(len(every))], one) for one in whole), *(([row], one) for row, one in chosen)]:
        run = BlockedRun.of_table("", table, len(every), {ALL: rows}, 0.0)
        one[key] = {
            figure: _around(intervals.of_quantile(run.series[ALL], QUANTILES[figure]), one[of][figure])
            for figure in WITH_INTERVALS
            if run.blocks and requests_of(one) >= samples_needed(QUANTILES[figure])
        }


def _add_intervals_of_iterations(scenarios: list[Series], iterations: RunRecord) -> None:
    by_name = {one["scenario"]: one for one in scenarios}
    made = [{"made": view.requests, **by_name[view.scenario]} for view in iterations.series()]
    _add_intervals([], made, iterations.block_table(), "iteration_time")
    for one in made:
        if "intervals" in one:
            by_name[one["scenario"]]["intervals"] = one["intervals"]


def requests_of(series: Series) -> int:
    """Return how many requests a series has, or how many transactions."""
    return int(series["requests" if "requests" in series else "made"])


def _around(interval: Interval | None, value: float) -> list[float | None] | None:
    """Return an interval that holds the value of the whole run, whose first and last blocks it leaves out."""
    if interval is None:
        return None
    return [min(interval.low, value), max(interval.high, value) if math.isfinite(interval.high) else None]


def read(folder: Path) -> Document:
    """Return the document in a run's folder, or what the stream holds when the run was cut off.

    Raises:
        RecordError: when the folder holds neither of the two, or they cannot be read.
    """
    path = RunFolder(folder).record
    try:
        data = untrusted.read_file(path, _LONGEST_BYTES)
    except FileNotFoundError:
        return _cut_off(folder)
    except (OSError, ValueError) as error:
        raise RecordError(_unreadable(path, str(error))) from error
    try:
        document = untrusted.parse_json(data, _MOST_VALUES, _LARGEST)
    except ValueError as error:
        raise RecordError(_unreadable(path, f"it is truncated or damaged: {error}")) from error
    version = document.get("format") if isinstance(document, dict) else None
    if version != DICT_FORMAT:
        raise RecordError(_unreadable(path, f"its format is {version}"))
    missing = [name for name in _REQUIRED if name not in document]
    if missing:
        raise RecordError(_unreadable(path, f"it lacks {', '.join(missing)}"))
    return dict(document)


@contextmanager
def reading(folder: Path) -> Iterator[None]:
    """Refuse, as unreadable, a document whose content makes the work within this context fail.

    Raises:
        RecordError: in place of the errors that content of the wrong type or shape causes.
    """
    try:
        with np.errstate(divide="raise", over="raise", invalid="raise"):
            yield
    except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError) as error:
        raise RecordError(_unreadable(RunFolder(folder).record, f"its content is invalid ({error})")) from error


def load_s(document: Document) -> float:
    """Return how long there was load, in seconds."""
    return float(document["load_s"] or document["duration_s"])


def rate_per_s(series: dict[str, Any], document: Document) -> float:
    """Return the requests per second of a series over the load that its counts are of; 0 without load."""
    seconds = float(document.get("counted_s") or load_s(document))
    return float(series["requests"]) / seconds if seconds else 0.0


def notes(document: Document) -> list[str]:
    """Return what a reader has to know beside the verdict, one sentence each."""
    return [*document["context"].get("notes", ()), *document["verdict"].get("notes", ())]


def outcome_of(result: dict[str, Any]) -> str:
    """Return what a threshold came to, in words."""
    return f"{result['outcome']}, narrowly" if result.get("is_narrow") else str(result["outcome"])


def setup_sentence(document: Document) -> str:
    """Return what the users sent in on_start and on_stop, in a few words; empty when it was nothing."""
    total = document.get("setup", {}).get("total", {})
    if not total.get("requests"):
        return ""
    sent = counted(total["requests"], "request")
    return f"{sent} of on_start and on_stop, {total['failures']:,} failed; not in the load"


def iterations(document: Document) -> list[Series]:
    """Return the iterations of each scenario: how many were made, how many dropped, and how long they took.

    A record of an older version does not have them.
    """
    known = [one for one in document["scenarios"] if "iteration_time" in one]
    return [
        {**one, "name": one["scenario"], "made": one["iteration_time"]["count"], "response_time": one["iteration_time"]}
        for one in known
        if one["dropped"] or one["iteration_time"]["count"]
    ]


def iteration_sentences(document: Document) -> list[str]:
    """Return how many iterations each scenario made, how many were dropped, and how long they took, in a few words."""
    sentences = []
    for one in iterations(document):
        times = [(figure, percentile_ms(one, figure)) for figure in WITH_INTERVALS]
        known = ", ".join(_with_interval(one, figure, shown) for figure, shown in times if shown != "-")
        counts = f"{one['made']:,} of {one_line(one['name'])}, {one['dropped']:,} dropped"
        sentences.append(f"{counts}; {known}" if known else counts)
    return sentences


def _with_interval(series: Series, figure: str, shown: str) -> str:
    ends = interval_ms(series, figure)
    return f"{figure.removesuffix('_s')} {shown} ms{f' (95 % interval {ends})' if ends else ''}"


def target_sentence(document: Document) -> str:
    """Return which service was loaded, and why that one."""
    target = document["context"].get("target") or {}
    return str(target.get("sentence") or document["configuration"].get("host") or "not recorded")


def percentile_ms(series: dict[str, Any], figure: str, kind: str = "response_time") -> str:
    """Return a figure of a series' times in milliseconds, as text.

    A dash stands for a figure that does not exist, and for a percentile of fewer requests than it needs: it would be
    the slowest of a few, and change with each run.
    """
    if figure in QUANTILES and requests_of(series) < samples_needed(QUANTILES[figure]):
        return "-"
    return milliseconds(series[kind][figure])


WITH_INTERVALS: Final = ("p50_s", "p95_s", "p99_s")
"""The percentiles that have intervals."""
MOST_WITH_INTERVALS: Final = 40
"""The most names, the most frequent first, whose percentiles have intervals: each takes hundredths of a second."""
STREAM_HEADS: Final = (
    "answers", "ended by", "events", "events/s", "pace/s", "kB/s",
    "first byte p50", "p99", "first event p50", "p99", "gap p50", "p99", "max",
)  # fmt: skip
"""The figures of streamed responses; times in milliseconds. *pace* is the events per second within an answer."""


def stream_rows(document: Document) -> list[tuple[str, list[str]]]:
    """Return the request names whose answers were streamed, each with what `STREAM_HEADS` says."""
    return [
        (f"{one['method']} {one['name']}", _stream_figures(one))
        for one in sorted(document["streams"], key=lambda one: (one["name"], one["method"], one["scenario"]))
    ]


def _stream_figures(stream: dict[str, Any]) -> list[str]:
    rates = [stream["events_per_s"], stream["pace_per_s"], stream["bytes_per_s"] and stream["bytes_per_s"] / 1e3]
    times = [(kind, figure) for kind in ("first_byte", "first_event", "event_gap") for figure in ("p50_s", "p99_s")]
    return [
        f"{sum(stream['ended_by'].values()):,}",
        ", ".join(f"{who} {count:,}" for who, count in stream["ended_by"].items() if count) or "-",
        f"{stream['events']:,}",
        *("-" if rate is None else f"{rate:,.1f}" for rate in rates),
        *(
            percentile_ms({"requests": stream[kind]["count"], **stream}, figure, kind)
            for kind, figure in (*times, ("event_gap", "max_s"))
        ),
    ]


def interval_ms(series: dict[str, Any], figure: str, kind: str = "response_time") -> str:
    """Return the 95 % interval of a percentile in milliseconds, as text; empty where neither end is known."""
    key = "service_intervals" if kind == "service_time" else "intervals"
    if (ends := series.get(key, {}).get(figure)) is None:
        return ""
    low, high = ends
    if high is None and not low:
        return ""
    return f"≥ {milliseconds(low)}" if high is None else f"{milliseconds(low)} to {milliseconds(high)}"


def percentile_sentences(document: Document, figures: Sequence[str]) -> list[str]:
    """Return how sure the percentiles of all requests are, and why some are a dash, given those that are shown."""
    worded = {figure: interval_ms(document["total"], figure) for figure in WITH_INTERVALS}
    known = [f"{figure.removesuffix('_s')} {ends}" for figure, ends in worded.items() if ends]
    sentences = [f"95 % intervals of all requests, in ms: {', '.join(known)}"] if known else []
    least = min((one["requests"] for one in document["series"]), default=0)
    shares = [QUANTILES[one] for one in figures if one in QUANTILES]
    needed = {f"p{100 * share:g}": samples_needed(share) for share in shares}
    if least and (wanting := [f"{name} needs {count:,}" for name, count in needed.items() if count > least]):
        sentences.append(f"a dash marks a percentile of too few requests: {', '.join(wanting)}")
    return sentences


def times_apart(series: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the successes and the failures of a series, each as a series, where it has both: the more requests fail at
    once, the faster all of them together seem."""
    failures = series["failures"]
    successes = series["requests"] - failures
    if not (failures and successes):
        return []
    return [
        {"name": "succeeded", "requests": successes, "failures": 0, "response_time": series["success_time"]},
        {"name": "failed", "requests": failures, "failures": failures, "response_time": series["failure_time"]},
    ]


def failure_reasons(document: Document, most: int = 3) -> list[str]:
    """Return why requests failed, the most frequent reason first, each with the names that it met, and when."""
    reasons = []
    for (error_class, message), errors in _by_reason(document)[:most]:
        names = [_name_of(one) for one in errors]
        further = f" and {len(names) - 1} more" if len(names) > 1 else ""
        count = sum(one["occurrences"] for one in errors)
        words = textwrap.shorten(message, _LONGEST_MESSAGE, placeholder=" …")
        reasons.append(f"{count:,} with {error_class}: {words} ({names[0]}{further}), {seen(errors)}")
    return reasons


def failure_samples(document: Document, most: int = 3) -> list[tuple[str, dict[str, str]]]:
    """Return a sample of request and answer for each of the most frequent reasons, with what it is a sample of."""
    found = []
    for (error_class, _), errors in _by_reason(document):
        first = next((one for one in errors if one.get("evidence")), None)
        if first is not None:
            found.append((f"{_name_of(first)}: {error_class}", first["evidence"]))
    return found[:most]


def seen(errors: Sequence[dict[str, Any]]) -> str:
    """Return when errors came first and last."""
    first, last = (
        f"{datetime.fromtimestamp(moment, UTC):%H:%M:%S}"
        for moment in (min(one["first_seen"] for one in errors), max(one["last_seen"] for one in errors))
    )
    return f"at {first} UTC" if first == last else f"{first} to {last} UTC"


def _by_reason(document: Document) -> list[tuple[tuple[str, str], list[dict[str, Any]]]]:
    """Return the errors by class and message, the most frequent first."""
    reasons: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for error in document["errors"]:
        reasons.setdefault((error["error_class"], error["message"]), []).append(error)
    return sorted(reasons.items(), key=lambda reason: -sum(one["occurrences"] for one in reason[1]))


def _name_of(one: dict[str, Any]) -> str:
    return one_line(f"{one['method']} {one['name']}".strip())


def by_name(document: Document) -> list[dict[str, Any]]:
    """Return the series in the order in which every report shows them."""
    return sorted(document["series"], key=lambda one: (one["name"], one["method"], one["scenario"]))


def met(check: dict[str, Any]) -> str:
    """Return the share of a check that was met, as text; 100 % only where it never failed."""
    return f"{told_apart(100 * (check['made'] - check['failures']) / check['made'], 100)}%"


def earlier_and_own(document: Document) -> list[dict[str, Any]]:
    """Return the earlier runs that the document names, and itself as the last; nothing where it names none."""
    earlier = list(document.get("earlier", ()))
    return [*earlier, figures(document)] if earlier else []


def figures(document: Document) -> dict[str, Any]:
    """Return a run in a few figures, as later runs show it; times are in seconds."""
    total = document["total"]
    return {
        "run_id": document["run_id"],
        "started_at": document["started_at"],
        "verdict": document["verdict"]["name"],
        "requests_per_s": rate_per_s(total, document),
        **{time: total["response_time"][time] for time in ("p50_s", "p95_s", "p99_s")},
    }


def _cut_off(folder: Path) -> Document:
    if not untrusted.is_folder(folder):
        raise RecordError(
            f"there is no run in {folder}. Allowed: a run's folder, or its name in the runs folder. "
            "Next: `loadtest history` lists them."
        )
    record = record_file.read(RunFolder(folder).stream)
    reasons = [record.interruption.sentence] if record.interruption else []
    return {
        **record_dict.as_dict(record),
        "verdict": {
            "name": Outcome.INTERRUPTED.value,
            "reasons": [
                *reasons,
                "the record ends without a report: the master was killed, or could not write it, as with a full disk",
            ],
            "notes": [],
        },
        "findings": [],
        "thresholds": [],
    }


def _unreadable(path: Path, why: str) -> str:
    stream = RunFolder(path.parent).stream
    from_stream = f"move it away to read the run from {stream}, without its verdict"
    other = from_stream if untrusted.is_there(stream) else "repeat the run"
    return (
        f"{path} cannot be read: {why}. Allowed: a complete document of format {DICT_FORMAT}, the one that this "
        f"version reads. Next: use the version of loadtest that wrote it, or {other}."
    )
