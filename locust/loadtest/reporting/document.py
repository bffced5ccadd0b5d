"""Document: a run as JSON, from which every report is made, at the run's end and at any time later.

docs/reference/record.md describes it, docs/reference/record.schema.json defines it.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from loadtest.exceptions import RecordError
from loadtest.measuring import record_file
from loadtest.measuring.record import DICT_FORMAT
from loadtest.run_folder import RunFolder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from loadtest.judging.outcome import Verdict
    from loadtest.measuring.record import RunRecord

Document = dict[str, Any]

INTERRUPTED: Final = "interrupted"
"""The verdict's name in the document of a run whose master ended before it could judge."""

_NEEDED: Final = (
    "run_id", "started_at", "duration_s", "load_s", "configuration", "context", "delivery", "workers", "total",
    "series", "scenarios", "errors", "events", "timeline", "blocks", "verdict", "findings", "thresholds",
)  # fmt: skip


def of(record: RunRecord, verdict: Verdict) -> Document:
    """Return the document of a run and its verdict."""
    return {
        **record.as_dict(),
        "verdict": {"name": verdict.outcome.value, "reasons": list(verdict.reasons)},
        "findings": [asdict(violation) for violation in verdict.violations],
        "thresholds": [result.as_dict() for result in verdict.results],
    }


def read(folder: Path) -> Document:
    """Return the document in a run's folder; of a run that was cut off, what its stream holds.

    Raises:
        RecordError: when the folder holds neither, or what it holds cannot be read.
    """
    path = RunFolder(folder).record
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return _cut_off(folder)
    except (OSError, ValueError) as error:
        raise RecordError(_unreadable(path, str(error))) from error
    try:
        document = json.loads(text)
    except ValueError as error:
        raise RecordError(_unreadable(path, f"it is truncated or damaged: {error}")) from error
    version = document.get("format") if isinstance(document, dict) else None
    if version != DICT_FORMAT:
        raise RecordError(_unreadable(path, f"its format is {version}"))
    lacking = [name for name in _NEEDED if name not in document]
    if lacking:
        raise RecordError(_unreadable(path, f"it lacks {', '.join(lacking)}"))
    return dict(document)


@contextmanager
def understood(folder: Path) -> Iterator[None]:
    """Say of a document that holds something else than this version writes that it cannot be read.

    Raises:
        RecordError: when what is made of it within this context fails.
    """
    try:
        yield
    except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError) as error:
        raise RecordError(_unreadable(RunFolder(folder).record, f"it holds what no run writes ({error})")) from error


def _cut_off(folder: Path) -> Document:
    if not folder.is_dir():
        raise RecordError(
            f"there is no run in {folder}. Allowed: a run's folder, or its name in the runs folder. "
            "Next: `loadtest history` lists them."
        )
    return {
        **record_file.read(RunFolder(folder).stream).as_dict(),
        "verdict": {"name": INTERRUPTED, "reasons": ["the master ended before it could report"]},
        "findings": [],
        "thresholds": [],
    }


def _unreadable(path: Path, why: str) -> str:
    stream = RunFolder(path.parent).stream
    other = (
        f"move it away, and the run is read from {stream}, without its verdict"
        if stream.exists()
        else "make the run again"
    )
    return (
        f"{path} cannot be read: {why}. Allowed: a whole document of format {DICT_FORMAT}, the one that this version "
        f"reads. Next: use the version of loadtest that wrote it, or {other}."
    )
