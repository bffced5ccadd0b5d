"""A secret in a file of its own, so that it is in no environment, no process list and no log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from loadtest.exceptions import UsageError

if TYPE_CHECKING:
    from pathlib import Path

LONGEST: Final = 1024
"""Characters of the longest secret."""


def read_secret(file: Path, name: str, shortest: int) -> str:
    """Return the one line of a file.

    Args:
        file: its path.
        name: the setting that names it, for the error.
        shortest: the fewest characters.

    Raises:
        UsageError: when it cannot be read, is too short or too long, or has several lines. The text is not shown.
    """
    allowed = f"Allowed: a readable file with {shortest} to {LONGEST} characters in one line."
    try:
        with file.open(encoding="utf-8") as opened:
            text = opened.read(8 * LONGEST).strip()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise UsageError(f"{name}={file} cannot be read ({reason}). {allowed} Next: make one.") from error
    if not shortest <= len(text) <= LONGEST or not text.isprintable():
        raise UsageError(f"{name}={file} holds {len(text)} characters. {allowed} Next: put a longer secret into it.")
    return text
