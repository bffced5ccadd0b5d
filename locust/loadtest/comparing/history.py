"""History: the runs in the runs folder, by scenario and profile, with sparklines of their figures.

Tested in tests/unit/comparing/test_commands.py.
"""

from __future__ import annotations

import contextlib
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, TypeVar

from loadtest.comparing import baselines
from loadtest.exceptions import RecordError
from loadtest.judging.outcome import Outcome
from loadtest.progress import Steps, milliseconds
from loadtest.reporting import document as run_document
from loadtest.reporting.console_table import ConsoleTable
from loadtest.reporting.document import rate_per_s
from loadtest.run_folder import RunFolder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from rich.console import Console

Run = TypeVar("Run")

SPARKS: Final = "▁▂▃▄▅▆▇█"
SPARK_RUNS: Final = 30
EARLIER_RUNS: Final = 20
"""The number of latest runs in the folder among which a report looks for those of its scenario and profile."""


@dataclass(frozen=True)
class Entry:
    """One run. Times are in seconds; missing figures are None."""

    run_id: str
    started_at: str
    key: str
    """Scenario and profile."""
    verdict: str
    requests: int
    requests_per_s: float
    error_ratio: float | None
    p50_s: float | None
    p95_s: float | None
    p99_s: float | None
    commit: str | None
    is_baseline: bool

    @property
    def is_interrupted(self) -> bool:
        """Whether the run ended before its plan was completed."""
        return self.verdict == Outcome.INTERRUPTED.value

    def as_dict(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        return asdict(self)


def entries(runs_dir: Path) -> tuple[list[Entry], list[str]]:
    """Return the runs, oldest first, and an error for each folder whose record cannot be read.

    Raises:
        RecordError: when the runs folder cannot be read.
    """
    known = set(baselines.read(runs_dir).items())

    def read(folder: Path) -> Entry:
        with run_document.reading(folder):
            entry = _entry(folder, known)
            _labels(entry), _figures(entry)
        return entry

    found, problems = each_run(runs_dir, read)
    return sorted(found, key=lambda entry: entry.started_at), problems


def each_run(runs_dir: Path, read: Callable[[Path], Run]) -> tuple[list[Run], list[str]]:
    """Return the result of `read` for each run, by name, and an error for each folder whose record cannot be read.

    Raises:
        RecordError: when the runs folder cannot be read.
    """
    found, problems = [], []
    try:
        folders = list(RunFolder.all(runs_dir))
    except FileNotFoundError:
        return [], []
    except OSError as error:
        raise RecordError(
            f"the runs folder {runs_dir} cannot be read ({error.strerror}). Next: change its owner, or set RUNS_DIR."
        ) from error
    with Steps("history") as steps:
        for done, folder in enumerate(folders):
            steps.show(done, len(folders))
            try:
                with run_document.limited(folder.path):
                    found.append(read(folder.path))
            except RecordError as error:
                problems.append(str(error))
    return found, problems


def earlier(runs_dir: Path, document: run_document.Document) -> list[dict[str, Any]]:
    """Return the figures of earlier runs of a document's scenario and profile, oldest first.

    They are among the latest `EARLIER_RUNS` of the folder. Interrupted and unreadable runs are left out, as are those
    after one that takes too many resources to read.
    """
    key, found = baselines.key_of(document), []
    try:
        records = [folder for folder in RunFolder.all(runs_dir) if folder.record.is_file()]
        latest = sorted(records, key=lambda folder: folder.record.stat().st_mtime)[-EARLIER_RUNS:]
    except OSError:
        return []
    with contextlib.suppress(RecordError), run_document.limited(*(folder.path for folder in latest)):
        for folder in latest:
            with contextlib.suppress(RecordError), run_document.reading(folder.path):
                other = run_document.read(folder.path)
                is_whole = other["verdict"]["name"] != Outcome.INTERRUPTED.value
                if is_whole and baselines.key_of(other) == key and other["run_id"] != document["run_id"]:
                    found.append(run_document.figures(other))
    return sorted(found, key=lambda run: str(run["started_at"]))


def _entry(folder: Path, known: set[tuple[str, str]]) -> Entry:
    document = run_document.read(folder)
    total, times = document["total"], document["total"]["response_time"]
    shown = {one: None if run_document.lacking(times, one) else times[one] for one in ("p50_s", "p95_s", "p99_s")}
    key = baselines.key_of(document)
    return Entry(
        folder.name,
        document["started_at"],
        key,
        str(document["verdict"]["name"]),
        total["requests"],
        rate_per_s(total, document),
        total["failures"] / total["requests"] if total["requests"] else None,
        shown["p50_s"],
        shown["p95_s"],
        shown["p99_s"],
        (document["context"].get("source") or {}).get("commit"),
        (key, folder.name) in known,
    )


def sparkline(values: Iterable[float | None]) -> str:
    """Return one character per value, scaled from the lowest to the highest; a blank for a missing one."""
    shown = list(values)[-SPARK_RUNS:]
    present = [value for value in shown if value is not None]
    if not present:
        return ""
    low, reach = min(present), max(present) - min(present)
    return "".join(
        " " if value is None else SPARKS[round((value - low) / reach * (len(SPARKS) - 1)) if reach else 0]
        for value in shown
    )


def show(found: Sequence[Entry], console: Console) -> None:
    """Print a table for each scenario and profile, with the newest run last and sparklines below."""
    for key in sorted({entry.key for entry in found}):
        own = [entry for entry in found if entry.key == key]
        right = ("requests", "per s", "failed", "p50 ms", "p95 ms", "p99 ms")
        table = ConsoleTable(key, ("run", "started", "verdict"), right)
        for entry in own:
            table.add_row(_labels(entry), _figures(entry), "bold" if entry.is_baseline else "")
        console.print(table)
        for name, values in (
            ("throughput", [entry.requests_per_s for entry in own]),
            ("p50", [entry.p50_s for entry in own]),
            ("p99", [entry.p99_s for entry in own]),
        ):
            console.print(f"  {name:11} {sparkline(values)}", markup=False)


def _labels(entry: Entry) -> tuple[str, str, str]:
    mark = " (baseline)" if entry.is_baseline else ""
    return f"{entry.run_id}{mark}", f"{datetime.fromisoformat(entry.started_at):%Y-%m-%d %H:%M}", entry.verdict


def _figures(entry: Entry) -> list[str]:
    ratio = "-" if entry.error_ratio is None else f"{entry.error_ratio:.2%}"
    times = map(milliseconds, (entry.p50_s, entry.p95_s, entry.p99_s))
    return [f"{entry.requests:,}", f"{entry.requests_per_s:,.1f}", ratio, *times]
