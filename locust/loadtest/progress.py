"""Progress: what a person sees while they wait, live on a terminal and as plain lines elsewhere."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Protocol

import gevent
from rich.console import Console
from rich.live import Live
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Callable

LIVE_INTERVAL_S = 1.0
PLAIN_INTERVAL_S = 5.0


class Snapshot(Protocol):
    """What a progress line tells; rates and percentiles are those of the last ten seconds."""

    elapsed_s: float
    users: int
    requests_per_s: float
    errors: int
    p95_s: float | None


class ProgressLine:
    """One line about the running test: rewritten each second on a terminal, printed every 5 s elsewhere.

    Args:
        snapshot: gives the present figures.
        total_s: the length of the run, or None when it has no end.
        console: where to print; by default standard output.
    """

    def __init__(self, snapshot: Callable[[], Snapshot], total_s: float | None, console: Console | None = None) -> None:
        self._snapshot = snapshot
        self._total_s = total_s
        self._console = console or Console(file=sys.stdout, highlight=False, soft_wrap=True)
        self._greenlet = gevent.spawn(self._live if self._console.is_terminal else self._plain)

    def stop(self) -> None:
        """Stop printing; a live line vanishes."""
        self._greenlet.kill()

    def _live(self) -> None:
        with Live(console=self._console, auto_refresh=False, transient=True) as live:
            while True:
                live.update(Text(self._line(), no_wrap=True, overflow="ellipsis"), refresh=True)
                gevent.sleep(LIVE_INTERVAL_S)

    def _plain(self) -> None:
        while True:
            gevent.sleep(PLAIN_INTERVAL_S)
            self._console.print(self._line())

    def _line(self) -> str:
        return progress_text(self._snapshot(), self._total_s)


def progress_text(now: Snapshot, total_s: float | None) -> str:
    """Return the figures as one line."""
    total = f"/{clock(total_s)}" if total_s else ""
    p95 = "-" if now.p95_s is None else milliseconds(now.p95_s)
    return (
        f"{clock(min(now.elapsed_s, total_s or now.elapsed_s))}{total}  users {now.users}  "
        f"{now.requests_per_s:,.0f} requests/s  errors {now.errors:,}  p95 {p95} ms"
    )


def clock(seconds: float) -> str:
    """Return a duration as 0:20 or 1:02:03."""
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"


def milliseconds(seconds: float) -> str:
    """Return seconds as milliseconds with three significant digits, the histogram's own precision."""
    value = seconds * 1000
    digits = 0 if value >= 100 else 1 if value >= 10 else 2 if value >= 1 else 3  # noqa: PLR2004 - powers of ten
    return f"{value:.{digits}f}"
