"""LogLines: Locust's logs without terminal control sequences and without secrets in URLs.

Log lines quote services, workers and scenarios, and are shown on terminals, in the web UI and in files.
"""

from __future__ import annotations

import io
import logging
import sys
from typing import TYPE_CHECKING, Any, Final

from loadtest.progress import printable
from loadtest.settings.urls import without_credentials

if TYPE_CHECKING:
    from collections.abc import Iterable

OF_LOCUST: Final = ("", "locust", "locust.stats_logger")
"""The loggers that Locust sets up. The last one prints its tables of request names."""
_HANDLERS: Final = ("console", "console_plain", "log_reader", "file")


class LogLines(logging.Formatter):
    """A formatter that cleans the output of another formatter.

    Args:
        formatter: the other formatter; None for logging's default.
    """

    def __init__(self, formatter: logging.Formatter | None) -> None:
        super().__init__()
        self._formatter = formatter or logging.Formatter()

    def format(self, record: logging.LogRecord) -> str:
        """Return the cleaned text of a record."""
        return printable(without_credentials(self._formatter.format(record)))


def clean(loggers: Iterable[logging.Logger]) -> None:
    """Clean the output of Locust's handlers of these loggers. A second call changes nothing."""
    for handler in {handler for logger in loggers for handler in logger.handlers if handler.name in _HANDLERS}:
        if not isinstance(handler.formatter, LogLines):
            handler.setFormatter(LogLines(handler.formatter))


class CleanStream(io.TextIOBase):
    """A text stream that cleans lines as `LogLines` does.

    Args:
        stream: the underlying stream.
    """

    def __init__(self, stream: Any) -> None:
        super().__init__()
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write a text of one or more lines."""
        self._stream.write(printable(without_credentials(text)))
        return len(text)

    def flush(self) -> None:
        """See `io.IOBase`."""
        self._stream.flush()

    def fileno(self) -> int:
        """See `io.IOBase`."""
        return int(self._stream.fileno())

    def isatty(self) -> bool:
        """See `io.IOBase`."""
        return bool(self._stream.isatty())


def clean_errors() -> None:
    """Clean this process's standard error, where exceptions in a scenario's own greenlets and threads are printed."""
    if not isinstance(sys.stderr, CleanStream):
        sys.stderr = CleanStream(sys.stderr)
