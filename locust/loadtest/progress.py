"""Progress: what a person sees while they wait, live on a terminal and as plain lines elsewhere."""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING

import gevent
from rich.console import Console
from rich.live import Live
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Callable

    from loadtest.measuring.swarm import Snapshot

LIVE_INTERVAL_S = 1.0
PLAIN_INTERVAL_S = 5.0
PLAIN_WIDTH = 120


def output() -> Console:
    """Return standard output as a console, wide enough for tables where it is no terminal."""
    console = Console(file=sys.stdout, highlight=False, soft_wrap=True)
    return (
        console if console.is_terminal else Console(file=sys.stdout, highlight=False, soft_wrap=True, width=PLAIN_WIDTH)
    )


class ProgressLine:
    """One line about the running test: rewritten each second on a terminal, printed every 5 s elsewhere.

    Args:
        snapshot: gives the present figures.
        total_s: the length of the run, or None when it has no end.
        console: where to print.
    """

    def __init__(self, snapshot: Callable[[], Snapshot], total_s: float | None, console: Console) -> None:
        self._snapshot = snapshot
        self._total_s = total_s
        self._console = console
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
    p95 = "-" if math.isnan(now.p95_s) else milliseconds(now.p95_s)
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
