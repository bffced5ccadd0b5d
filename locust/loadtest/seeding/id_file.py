"""Files that are whole or not there."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import orjson

from loadtest.exceptions import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import IO


def write_ids(file: Path, ids: Sequence[str]) -> None:
    """Write ids as a JSON array, one on a line; a file of that name is replaced when the new one is complete.

    Raises:
        UsageError: the file cannot be written.
    """
    with _replacing(file) as written:
        written.write(b"[\n" + b",\n".join(map(orjson.dumps, ids)) + b"\n]\n")


def check_writable(file: Path) -> None:
    """Check that a file could be written, before the work whose result it will hold.

    Raises:
        UsageError: it cannot.
    """
    if file.is_dir() or not os.access(file.parent, os.W_OK | os.X_OK):
        raise _cannot(file, "it is a folder" if file.is_dir() else "its folder is not there or cannot be written")


@contextlib.contextmanager
def _replacing(file: Path) -> Iterator[IO[bytes]]:
    try:
        with tempfile.NamedTemporaryFile(dir=file.parent, prefix=f".{file.name}.", delete=False) as partial:
            try:
                yield partial
                partial.flush()
                os.fsync(partial.fileno())
                Path(partial.name).chmod(0o644)
                Path(partial.name).replace(file)
            except BaseException:
                Path(partial.name).unlink(missing_ok=True)
                raise
    except OSError as error:
        raise _cannot(file, error.strerror or str(error)) from error


def _cannot(file: Path, reason: str) -> UsageError:
    return UsageError(
        f"OUT={file} cannot be written ({reason}). Allowed: a file in a folder that can be written. "
        "Next: choose another."
    )
