"""The files in runs/<id>/, each made from the run's document.

- record.json: the document, from which everything else can be made again;
- report.html: one page for people, which needs no network;
- summary.md: for a pull request's comment;
- junit.xml: the thresholds and the trust in the generator as test cases, for a build's page;
- stats.csv, timeline.csv: the figures by request name, and over time.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from loadtest.reporting import junit, markdown, run_page, tables
from loadtest.run_folder import RECORD, REPORT

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from loadtest.reporting.document import Document


def of(document: Document) -> dict[str, Callable[[], str]]:
    """Return what makes each file's text, by the file's name."""
    return {
        RECORD: lambda: json.dumps(document, indent=1, ensure_ascii=False),
        REPORT: lambda: run_page.html(document),
        "summary.md": lambda: markdown.summary(document),
        "junit.xml": lambda: junit.document(document),
        "stats.csv": lambda: tables.stats(document),
        "timeline.csv": lambda: tables.timeline(document),
    }


def write(folder: Path, texts: Mapping[str, Callable[[], str]]) -> list[str]:
    """Write files, each whole or not at all, and return a sentence for each one that could not be written."""
    problems = []
    for name, text in texts.items():
        path, part = folder / name, folder / f"{name}.part"
        try:
            part.write_text(text(), encoding="utf-8", errors="replace")
            part.replace(path)
        except OSError as error:
            problems.append(f"{path} could not be written ({error.strerror}). {_NEXT}")
            _remove(part)
    return problems


_NEXT = "Next: make room, then `loadtest report` makes it from what the folder holds."


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError:
        return
