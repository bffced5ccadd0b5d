"""LogLines: Locust's logs, without what commands a terminal and without the secrets of URLs.

They quote what services, workers and scenarios say, and are shown on terminals, in the web UI and in files.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from loadtest.progress import printable
from loadtest.settings.urls import without_credentials

if TYPE_CHECKING:
    from collections.abc import Iterable

OF_LOCUST: Final = ("", "locust", "locust.stats_logger")
"""The loggers that Locust sets up; the last has its tables of request names."""
_HANDLERS: Final = ("console", "console_plain", "log_reader", "file")


class LogLines(logging.Formatter):
    """Formats as another formatter does.

    Args:
        formatter: the other one; None for logging's own.
    """

    def __init__(self, formatter: logging.Formatter | None) -> None:
        super().__init__()
        self._formatter = formatter or logging.Formatter()

    def format(self, record: logging.LogRecord) -> str:
        """Return the text of a record."""
        return printable(without_credentials(self._formatter.format(record)))


def clean(loggers: Iterable[logging.Logger]) -> None:
    """Have what Locust's handlers of these loggers write be clean; a second call changes nothing."""
    for handler in {handler for logger in loggers for handler in logger.handlers if handler.name in _HANDLERS}:
        if not isinstance(handler.formatter, LogLines):
            handler.setFormatter(LogLines(handler.formatter))
