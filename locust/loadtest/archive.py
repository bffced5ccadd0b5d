"""Archive: a finished or interrupted run, read back from its folder."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from loadtest import summary
from loadtest.exceptions import RecordError
from loadtest.measuring import record_file

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

STREAM = "record.stream"
"""The record as it grew; it is there however the run ended."""
DOCUMENT = "record.json"
"""The whole record with its verdict; it is there when the run could report."""


def show(folder: Path, console: Console) -> None:
    """Print the summary of a run as it was when it ended, or until it was cut off.

    Raises:
        RecordError: when the folder holds no record that can be read.
    """
    console.print(summary.table(record_file.read(folder / STREAM)))
    document = _document(folder)
    for rule in document.get("thresholds", []):
        console.print(f"threshold    {rule['rule']}: {rule['outcome']}", markup=False)
    verdict = document.get("verdict", {"name": "interrupted", "reasons": ["the master ended before it could report"]})
    summary.show_verdict(verdict["name"], verdict["reasons"], console)


def as_json(folder: Path) -> str:
    """Return the whole record as JSON: the run's document, or, of an interrupted run, what the stream holds.

    Raises:
        RecordError: when the folder holds no record that can be read.
    """
    document = _document(folder) or record_file.read(folder / STREAM).as_dict()
    return json.dumps(document, indent=1, ensure_ascii=False)


def _document(folder: Path) -> dict[str, Any]:
    path = folder / DOCUMENT
    try:
        document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise RecordError(
            f"{path} cannot be read ({error}). Allowed: the document of a run. "
            f"Next: remove it, and the record is read from {folder / STREAM} alone."
        ) from error
    return document
