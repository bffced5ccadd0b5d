"""Files: the files in runs/<id>/, each made from the run's document.

- record.json: the document, from which all other files can be made again;
- report.html: a page for people, which needs no network;
- summary.md: for a comment on a pull request;
- junit.xml: the thresholds and the trust checks as test cases, for the results page of a build;
- stats.csv, steps.csv, timeline.csv: the figures by request name, of iterations, transactions and checks, and over
  time.
"""

from __future__ import annotations

import contextlib
import errno
import json
import logging
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from loadtest import atomic_file
from loadtest.exceptions import described
from loadtest.progress import printable_json
from loadtest.reporting import csv_tables, junit, markdown, run_page, summary
from loadtest.run_folder import RECORD, REPORT

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from loadtest.reporting.document import Document


_log = logging.getLogger(__name__)


_REMEDIES: Final[dict[int | None, str]] = dict.fromkeys((errno.ENOSPC, errno.EDQUOT), "free some space")
_OTHER: Final = "make it writable"
_REPEATED: Final = "it is written within seconds, as long as the master lives."
_AGAIN: Final = "let `loadtest report` write it again."
_PARTIAL: Final = (
    "repeat the run: record.stream has a part of it only, which `loadtest report` would show as an interrupted run."
)


def json_text(value: Any) -> str:
    """Return JSON for people and programs."""
    return printable_json(json.dumps(value, indent=1, ensure_ascii=False))


FILES: Final[dict[str, Callable[[Document], str]]] = {
    RECORD: json_text,
    REPORT: run_page.html,
    "summary.md": markdown.summary,
    "junit.xml": junit.document,
    "stats.csv": csv_tables.stats,
    "steps.csv": csv_tables.steps,
    "timeline.csv": csv_tables.timeline,
}
"""The function that makes the text of each file."""


def of(document: Document) -> dict[str, Callable[[], str]]:
    """Return functions that make the text of each file, by the file's name."""
    return {name: partial(make, document) for name, make in FILES.items()}


def write_verdict(file: Path, document: Document) -> list[str]:
    """Write the verdict into an existing file, which may be a mount point; return a sentence if that is impossible."""
    try:
        file.write_text(summary.verdict(document), encoding="utf-8")
    except OSError as error:
        problem = f"VERDICT_FILE={file} could not be written ({error.strerror})."
        return [f"{problem} Allowed: a file that can be written. Next: name another, or leave it out."]
    return []


def write(
    folder: Path, texts: Mapping[str, Callable[[], str]], *, is_streamed: bool = True, is_repeated: bool = False
) -> list[str]:
    """Write files, each completely or not at all, and return a sentence for each one that could not be made or written.

    Args:
        folder: the destination.
        texts: functions that make each file's text, by the file's name.
        is_streamed: whether the folder's record.stream contains the whole run, from which the files can be made again.
        is_repeated: whether this process retries what it cannot write now.
    """
    problems = []
    holds_run = is_streamed
    for name, text in texts.items():
        try:
            atomic_file.replace(folder / name, text().encode(errors="replace"))
            holds_run = holds_run or name == RECORD
        except OSError as error:
            then = _REPEATED if is_repeated else _AGAIN if holds_run else _PARTIAL
            advice = f"{_REMEDIES.get(error.errno, _OTHER)}, then {then}"
            problems.append(f"{folder / name} could not be written ({error.strerror}). Next: {advice}")
        except Exception as error:
            _log.exception("%s could not be generated", name)
            problems.append(
                f"{folder / name} could not be generated ({described(error)}). Next: report this as a bug in loadtest, "
                f"with {RECORD}."
            )
    return problems


def unwritten(folder: Path, texts: Mapping[str, Callable[[], str]]) -> dict[str, Callable[[], str]]:
    """Return the texts of missing files, made now, before another run changes what they show.

    Args:
        folder: the destination.
        texts: functions that make each file's text, by the file's name.

    Returns:
        Functions that return the texts, by the file's name.
    """
    left: dict[str, Callable[[], str]] = {}
    for name, text in texts.items():
        if not (folder / name).exists():
            with contextlib.suppress(Exception):  # the failure was reported when the file was to be written
                left[name] = partial(str, text())
    return left
