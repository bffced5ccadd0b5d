"""Document: a run as JSON, from which every report is made, at the end of the run or at any later time.

docs/reference/record.md describes it; docs/reference/record.schema.json is its schema.
"""

from __future__ import annotations

import textwrap
from collections import Counter
from contextlib import contextmanager, suppress
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from loadtest import untrusted
from loadtest.exceptions import NoRunError, RecordError
from loadtest.judging.outcome import Outcome
from loadtest.judging.threshold import rounded_for_limit
from loadtest.measuring import record_dict, record_file
from loadtest.measuring.histogram import samples_needed
from loadtest.measuring.labels import MAX_OTHER_SERIES, MAX_SCENARIOS, MAX_SERIES, PHASES
from loadtest.measuring.record_dict import DICT_FORMAT, QUANTILES
from loadtest.progress import counted, milliseconds, one_line
from loadtest.reporting import groups, percentile_intervals
from loadtest.run_folder import RunFolder

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from loadtest.judging.outcome import Verdict
    from loadtest.measuring.health import Watch
    from loadtest.measuring.record import RunRecord

Document = dict[str, Any]
Series = dict[str, Any]
Times = dict[str, Any]
"""The figures of a histogram: see `loadtest.measuring.record_dict.histogram_dict`."""

_LONGEST_BYTES: Final = 128 * 1024 * 1024
_MAX_VALUES: Final = 3_000_000
"""Limits of a document's size. The document of a one-day run with the most distinct names reaches a tenth of each."""
_LARGEST: Final = 1e20
"""The largest number: a tenth of it is what systems report as unlimited memory, and its square is still a float."""
_MAX_SERIES: Final = MAX_SERIES + MAX_OTHER_SERIES + len(PHASES)
_MAX_ROWS: Final = {
    "series": _MAX_SERIES,
    "streams": _MAX_SERIES,
    "transactions": _MAX_SERIES,
    "checks": _MAX_SERIES,
    "connections": _MAX_SERIES,
    "scenarios": 2 * MAX_SCENARIOS,
    "workers": 10_000,
    "errors": 10_000,
    "tallies": 10_000,
    "traces": 10_000,
    "tasks": 10_000,
    "exceptions": 10_000,
    "events": 10_000,
    "findings": 10_000,
    "thresholds": 10_000,
    "earlier": 1_000,
    "timeline": 100_000,
}
"""The maximum number of rows in each list: for lists with labels, the limit of distinct labels; for others, several
times what is kept."""
_LONGEST_CPU_S: Final = 10.0
_CPU_S_PER_MIB: Final = 6.0
"""Further seconds of CPU time per MiB of a record: on a slow machine, a time line by seconds takes up to 5 s per
MiB."""
_MAX_MEMORY_BYTES: Final = 3 * 1024**3
"""Bytes of memory beyond the process's own: a comparison of two runs with 200 names takes 1.1 GB."""
_MIB: Final = 1024**2
_LONGEST_MESSAGE: Final = 160
"""Characters of an error's message next to the verdict."""
_MAX_VERSIONS: Final = 3
"""The maximum number of versions of the service that are named: a run may include several hosts, or a deployment."""
_REQUIRED: Final = (
    "run_id", "started_at", "duration_s", "load_s", "configuration", "context", "delivery", "workers", "total",
    "series", "streams", "scenarios", "errors", "events", "timeline", "blocks", "verdict", "findings", "thresholds",
)  # fmt: skip


def of(record: RunRecord, verdict: Verdict) -> Document:
    """Return the document of a run and its verdict."""
    return {
        **_measured(record),
        **_judged(verdict),
    }


def so_far(record: RunRecord, verdict: Verdict, watch: Watch, load_s: float) -> Document:
    """Return the part that a comparison reads of the document of a run in progress, without intervals of percentiles.

    Args:
        record: the run's record.
        verdict: the verdict on the record so far.
        watch: the observations of the processes.
        load_s: the seconds of load so far.
    """
    workers = list(watch.summary())
    return {**record_dict.as_dict(record), "workers": workers, "load_s": load_s, **_judged(verdict)}


def _judged(verdict: Verdict) -> Document:
    return {
        "verdict": {"name": verdict.outcome.value, "reasons": list(verdict.reasons), "notes": list(verdict.notes)},
        "findings": [asdict(violation) for violation in verdict.violations],
        "thresholds": [result.as_dict() for result in verdict.results],
    }


def _measured(record: RunRecord) -> Document:
    """Return the measurements, with the interval of each percentile."""
    made = record_dict.as_dict(record)
    made["groups"] = groups.of(made["series"])
    percentile_intervals.add(made, record)
    return made


def read(folder: Path) -> Document:
    """Return the document in a run's folder, or the content of the stream if the run was cut off.

    Raises:
        RecordError: when the folder has neither of the two, or they cannot be read.
    """
    path = RunFolder(folder).record
    try:
        data = untrusted.read_file(path, _LONGEST_BYTES)
    except FileNotFoundError:
        return _cut_off(folder)
    except (OSError, ValueError) as error:
        raise RecordError(_unreadable(path, str(error))) from error
    try:
        document = untrusted.parse_json(data, _MAX_VALUES, _LARGEST)
    except ValueError as error:
        raise RecordError(_unreadable(path, f"it is truncated or damaged: {error}")) from error
    version = document.get("format") if isinstance(document, dict) else None
    if version != DICT_FORMAT:
        raise RecordError(_unreadable(path, f"its format is {version}"))
    missing = [name for name in _REQUIRED if name not in document]
    if missing:
        raise RecordError(_unreadable(path, f"it lacks {', '.join(missing)}"))
    for name, most in _MAX_ROWS.items():
        if isinstance(rows := document.get(name), list) and len(rows) > most:
            raise RecordError(_unreadable(path, f"it holds {len(rows)} {name}; allowed are {most}"))
    return dict(document)


@contextmanager
def reading(folder: Path) -> Iterator[None]:
    """Within this context, treat a document whose content makes the work fail as unreadable.

    Raises:
        RecordError: instead of the errors that content of the wrong type or shape causes.
    """
    try:
        with np.errstate(divide="raise", over="raise", invalid="raise"):
            yield
    except untrusted.WRONG_FORM as error:
        raise RecordError(_unreadable(RunFolder(folder).record, f"its content is invalid ({error})")) from error


@contextmanager
def limited(*folders: Path) -> Iterator[None]:
    """Limit the resources for work on the records of runs to what their length justifies. Main thread only.

    Raises:
        RecordError: when the work takes too much CPU time or memory.
    """
    names = " and ".join(str(folder) for folder in folders)
    cpu_s = _LONGEST_CPU_S + _CPU_S_PER_MIB * sum(map(_record_bytes, folders)) / _MIB

    def refused(reason: str) -> RecordError:
        return RecordError(
            f"{names} cannot be used: {reason}. Allowed: several times what a record of that length takes that this "
            "product wrote. Next: use a run with fewer names, or leave out a folder that is from elsewhere."
        )

    with untrusted.bounded(refused, cpu_s, _MAX_MEMORY_BYTES):
        yield


def _record_bytes(folder: Path) -> int:
    run = RunFolder(folder)
    for path in (run.record, run.stream):
        with suppress(OSError):
            return path.stat().st_size
    return 0


def load_s(document: Document) -> float:
    """Return how long there was load, in seconds."""
    return float(document["load_s"] or document["duration_s"])


def rate_per_s(series: dict[str, Any], document: Document) -> float:
    """Return the requests per second of a series over the load that its counts cover; 0 without load."""
    seconds = float(document.get("counted_s") or load_s(document))
    return float(series["requests"]) / seconds if seconds else 0.0


def notes(document: Document) -> list[str]:
    """Return the notes of the verdict, one sentence each."""
    return [*document["context"].get("notes", ()), *document["verdict"].get("notes", ())]


def outcome_of(result: dict[str, Any]) -> str:
    """Return the outcome of a threshold in words."""
    return f"{result['outcome']}, narrowly" if result.get("is_narrow") else str(result["outcome"])


def service_version(document: Document) -> str | None:
    """Return the version of the service: from the setting, or else from its responses; None if neither has it."""
    named = document.get("service_versions", [])[:_MAX_VERSIONS]
    return document["configuration"].get("version") or ", ".join(named) or None


def setup_sentence(document: Document) -> str:
    """Return a short description of the requests in on_start and on_stop; empty if there were none."""
    total = document.get("setup", {}).get("total", {})
    if not total.get("requests"):
        return ""
    sent = counted(total["requests"], "request")
    return f"{sent} of on_start and on_stop, {total['failures']:,} failed; not in the load"


def iterations(document: Document) -> list[Series]:
    """Return the iterations of each scenario: how many were made, how many were dropped, and their durations.

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
    return [
        f"{one['made']:,} of {one_line(one['name'])}, {one['dropped']:,} dropped; "
        + ", ".join(_in_words(one["iteration_time"], figure) for figure in ("p50_s", "p95_s", "p99_s"))
        for one in iterations(document)
    ]


def _in_words(times: Times, figure: str) -> str:
    ends = interval_ms(times, figure)
    shown = lacking(times, figure) or f"{milliseconds(times[figure])} ms"
    return f"{figure.removesuffix('_s')} {shown}{f' (95 % interval {ends})' if ends else ''}"


def target_sentence(document: Document) -> str:
    """Return which service was loaded, and where its address came from."""
    target = document["context"].get("target") or {}
    return str(target.get("sentence") or document["configuration"].get("host") or "not recorded")


def percentile_ms(times: Times, figure: str) -> str:
    """Return a figure of times in milliseconds, as text; a dash if it does not exist or is `lacking`."""
    return "-" if lacking(times, figure) else milliseconds(times[figure])


def lacking(times: Times, figure: str) -> str:
    """Return how many samples a percentile needs and how many there are, if there are too few; otherwise nothing.

    With too few samples it would be the slowest of a few, and differ from run to run.
    """
    needed, has = (samples_needed(QUANTILES[figure]) if figure in QUANTILES else 0), times["count"]
    return f"needs {needed:,}, has {has:,}" if has < needed else ""


STREAM_HEADS: Final = (
    "answers", "ended by", "events", "events/s", "pace/s", "kB/s",
    "first byte p50", "p99", "first event p50", "p99", "gap p50", "p99", "max",
)  # fmt: skip
"""The figures of streamed responses; times are in milliseconds. *pace* is the events per second within a response."""


STREAM_TIMES: Final = (
    *((kind, figure) for kind in ("first_byte", "first_event", "event_gap") for figure in ("p50_s", "p99_s")),
    ("event_gap", "max_s"),
)
"""The last of these figures: which times, and which figure of them."""


def stream_rows(document: Document) -> list[tuple[Series, list[str]]]:
    """Return the request names with streamed responses, each with the figures in `STREAM_HEADS`."""
    return [(one, _stream_figures(one)) for one in by_name(document, "streams")]


def _stream_figures(stream: dict[str, Any]) -> list[str]:
    rates = [stream["events_per_s"], stream["pace_per_s"], stream["bytes_per_s"] and stream["bytes_per_s"] / 1e3]
    return [
        f"{sum(stream['ended_by'].values()):,}",
        ", ".join(f"{who} {count:,}" for who, count in stream["ended_by"].items() if count) or "-",
        f"{stream['events']:,}",
        *("-" if rate is None else f"{rate:,.1f}" for rate in rates),
        *(percentile_ms(stream[kind], figure) for kind, figure in STREAM_TIMES),
    ]


def ms_with_interval(times: Times, figure: str) -> str:
    """Return a figure in milliseconds with its interval in brackets, or what it is lacking."""
    ends = interval_ms(times, figure)
    return lacking(times, figure) or f"{milliseconds(times[figure])}{f' ({ends})' if ends else ''}"


def interval_ms(times: Times, figure: str) -> str:
    """Return the 95 % interval of a percentile in milliseconds, as text; empty if neither end is known."""
    if (ends := times.get("intervals", {}).get(figure)) is None:
        return ""
    low, high = ends
    if high is None and not low:
        return ""
    return f"≥ {milliseconds(low)}" if high is None else f"{milliseconds(low)} to {milliseconds(high)}"


def times_sentences(document: Document, dashes: Sequence[str] = ()) -> list[str]:
    """Return why percentiles have no intervals, and why some are a dash; `dashes` are the figures shown as one."""
    total, sentences = document["total"]["response_time"], []
    if total["count"] and not any(total.get("intervals", {}).values()):
        sentences.append("no 95 % intervals: the run is too short, with fewer than six independent segments")
    shown = [times for times in _every_time(document) if times and times["count"]]
    few = {figure: [times["count"] for times in shown if lacking(times, figure)] for figure in dashes}
    if needed := [f"{one[:-2]} needs {samples_needed(QUANTILES[one]):,}" for one, counts in few.items() if counts]:
        fewest = min(min(counts) for counts in few.values() if counts)
        sentences.append(
            f"a dash marks a percentile with too few samples: {', '.join(needed)}; the fewest are {fewest:,}"
        )
    return sentences


def _every_time(document: Document) -> list[Times | None]:
    """Return the times of each row in the tables of requests, transactions and streamed responses."""
    kinds = ("response_time", "success_time", "failure_time", *dict(STREAM_TIMES))
    rows = [*document["series"], *document.get("transactions", ()), *document["streams"]]
    return [row[kind] for row in rows for kind in kinds if kind in row]


def times_apart(series: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the successes and the failures of a series, each as a series, if it has both: fast failures make all
    requests together seem faster."""
    failures = series["failures"]
    successes = series["requests"] - failures
    if not (failures and successes):
        return []
    return [
        {"name": "succeeded", "requests": successes, "failures": 0, "response_time": series["success_time"]},
        {"name": "failed", "requests": failures, "failures": failures, "response_time": series["failure_time"]},
    ]


def failure_reasons(document: Document, most: int = 3) -> list[str]:
    """Return why requests failed, the most frequent reason first, each with the affected names and times."""
    reasons = []
    for (error_class, message), errors in _by_reason(document)[:most]:
        names = [name_of(one) for one in errors]
        further = f" and {len(names) - 1} more" if len(names) > 1 else ""
        count = sum(one["occurrences"] for one in errors)
        words = textwrap.shorten(message, _LONGEST_MESSAGE, placeholder=" …")
        reasons.append(f"{count:,} with {error_class}: {words} ({names[0]}{further}), {seen(errors)}")
    return reasons


def failure_samples(document: Document, most: int = 3) -> list[tuple[str, dict[str, str]]]:
    """Return an example exchange for each of the most frequent reasons, with a title."""
    found = []
    for (error_class, _), errors in _by_reason(document):
        first = next((one for one in errors if one.get("evidence")), None)
        if first is not None:
            found.append((f"{name_of(first)}: {error_class}", first["evidence"]))
    return found[:most]


def seen(errors: Sequence[dict[str, Any]]) -> str:
    """Return when errors first and last occurred."""
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


def name_of(one: dict[str, Any]) -> str:
    """Return method and name of a series on one line; for a result of `by_name`, its title."""
    return one_line(f"{one['method']} {one.get('title', one['name'])}".strip())


def by_name(document: Document, kind: str = "series") -> list[dict[str, Any]]:
    """Return the series, or the streams, in the order in which every report shows them.

    Each has a title: its name, with its scenario if others have the same method and name, as both sides of a duet do.
    """
    ordered = sorted(document[kind], key=lambda one: (one["name"], one["method"], one["scenario"]))
    alike = Counter((one["name"], one["method"]) for one in ordered)
    return [
        {**one, "title": f"{one['name']} ({one['scenario']})" if alike[one["name"], one["method"]] > 1 else one["name"]}
        for one in ordered
    ]


def met(check: dict[str, Any]) -> str:
    """Return the share of passed checks, as text; 100 % only if the check never failed."""
    return f"{rounded_for_limit(100 * (check['made'] - check['failures']) / check['made'], 100)}%"


def earlier_and_own(document: Document) -> list[dict[str, Any]]:
    """Return the earlier runs that the document names, followed by itself; empty if it names none."""
    earlier = list(document.get("earlier", ()))
    return [*earlier, figures(document)] if earlier else []


def figures(document: Document) -> dict[str, Any]:
    """Return a run as the few figures that later runs show; times are in seconds."""
    total, times = document["total"], document["total"]["response_time"]
    return {
        "run_id": document["run_id"],
        "started_at": document["started_at"],
        "verdict": document["verdict"]["name"],
        "requests_per_s": rate_per_s(total, document),
        **{time: None if lacking(times, time) else times[time] for time in ("p50_s", "p95_s", "p99_s")},
        "intervals": times.get("intervals", {}),
    }


def _cut_off(folder: Path) -> Document:
    if not untrusted.is_folder(folder):
        raise NoRunError(
            f"there is no run in {folder}. Allowed: a run's folder, or its name in the runs folder. "
            "Next: `loadtest history` lists them."
        )
    record = record_file.read(RunFolder(folder).stream)
    reasons = [record.interruption.sentence] if record.interruption else []
    return {
        **_measured(record),
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
