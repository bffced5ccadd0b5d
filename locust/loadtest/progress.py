"""Progress: status output during a run, live on a terminal and as plain lines elsewhere."""

from __future__ import annotations

import io
import math
import os
import re
import sys
import time
from typing import IO, TYPE_CHECKING, Any, Self

import gevent
from rich.console import Console, ConsoleOptions, RenderableType
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.segment import Segment
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from rich.progress import TaskID

    from loadtest.measuring.snapshot import Snapshot

LIVE_INTERVAL_S = 1.0
PLAIN_INTERVAL_S = 10.0
PLAIN_WIDTH = 120
HANG_S = 2.0
"""The age of the oldest unanswered request from which the progress line shows it."""
_COMMANDS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


class Screen(io.TextIOBase):
    """An output file that may disappear, such as a terminal that is closed or a pipe whose reader exits.

    Further output is then discarded, and the run continues to its report.
    """

    def __init__(self, file: Any) -> None:
        self._file = file

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """The file's encoding."""
        return str(self._file.encoding)

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return bool(self._file.isatty())

    def fileno(self) -> int:
        """The file's descriptor."""
        return int(self._file.fileno())

    def write(self, text: str) -> int:
        """Write text; discard it if the file has disappeared."""
        self._try(lambda: self._file.write(text))
        return len(text)

    def flush(self) -> None:
        """Flush the file; discard its buffer if the file has disappeared."""
        self._try(self._file.flush)

    def _try(self, show: Callable[[], object]) -> None:
        try:
            show()
        except OSError:  # Python flushes the buffer at exit, which must not fail
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._file.fileno())
            os.close(nowhere)


def printable(text: str) -> str:
    """Return an untrusted text with ``?`` in place of control characters for terminals and text direction."""
    return _COMMANDS.sub("?", text)


def one_line(text: str) -> str:
    """Return an untrusted text as `printable` does, on one line: each line break becomes a space."""
    return printable(" ".join(text.splitlines()))


def printable_json(text: str) -> str:
    """Return equivalent JSON in which each control character for terminals is escaped."""
    return _COMMANDS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


class PrintableConsole(Console):
    """A console that prints untrusted texts without their control characters; only its own are sent to the terminal."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """See rich."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(printable(segment.text), segment.style)


def output(file: IO[str] | None = None) -> Console:
    """Return standard output, or another file, as a console; if it is not a terminal, wide enough for tables."""
    screen: Any = Screen(file or sys.stdout)
    console = PrintableConsole(file=screen, highlight=False, soft_wrap=True)
    if console.is_terminal:
        return console
    return PrintableConsole(file=screen, highlight=False, soft_wrap=True, width=PLAIN_WIDTH)


class ProgressLine:
    """One line about the running test: rewritten each second on a terminal, printed every 10 s elsewhere.

    Args:
        snapshot: returns the current figures.
        total_s: the length of the run in seconds; None if unknown.
        console: the console to print to.
    """

    def __init__(self, snapshot: Callable[[], Snapshot], total_s: float | None, console: Console) -> None:
        self._snapshot = snapshot
        self._total_s = total_s
        self._console = console
        self._greenlet = gevent.spawn(self._live if self._console.is_terminal else self._plain)

    def stop(self) -> None:
        """Stop printing; a live line disappears."""
        self._greenlet.kill()

    def _live(self) -> None:
        with Live(console=self._console, auto_refresh=False, transient=True) as live:
            while True:
                live.update(Text(one_line(self._line()), no_wrap=False, overflow="fold"), refresh=True)
                gevent.sleep(LIVE_INTERVAL_S)

    def _plain(self) -> None:
        while True:
            gevent.sleep(PLAIN_INTERVAL_S)
            self._console.print(one_line(self._line()), markup=False)

    def _line(self) -> str:
        return progress_text(self._snapshot(), self._total_s)


def progress_text(now: Snapshot, total_s: float | None) -> str:
    """Return the figures as one line."""
    errors = f"{now.errors:,} {now.reason}" if now.errors else "0"
    times = " ".join(
        f"{name} {milliseconds(s)}" for name, s in (("p50", now.p50_s), ("p95", now.p95_s), ("p99", now.p99_s))
    )
    waiting = now.in_flight
    hang = f"  {waiting.requests:,} unanswered, up to {waiting.oldest_s:.0f} s" if waiting.oldest_s >= HANG_S else ""
    return (
        f"{_done(now.elapsed_s, total_s)}  users {now.users}  {now.requests_per_s:,.0f} requests/s  errors {errors}  "
        f"{times} ms{hang}"
    )


def _done(elapsed_s: float, total_s: float | None) -> str:
    if not total_s:
        return clock(elapsed_s)
    done_s = min(elapsed_s, total_s)
    return f"{clock(done_s)}/{clock(total_s)} {done_s / total_s:.0%} {clock(math.ceil(total_s - done_s))} left"


def clock(seconds: float) -> str:
    """Return a duration as 0:20 or 1:02:03."""
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, in the plural except for 1."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def listed(names: Sequence[str], most: int = 5) -> str:
    """Return the first of several names, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def size(count_bytes: int) -> str:
    """Return a number of bytes with three significant digits and a decimal unit, such as 1.23 MB."""
    value, unit = float(count_bytes), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if value < 999.5:  # noqa: PLR2004 - larger values round to 1000
            break
        value, unit = value / 1000, larger
    return f"{value:.3g} {unit}"


def milliseconds(seconds: float | None) -> str:
    """Return seconds as milliseconds with three significant digits, the histogram's own precision.

    None and NaN, which mean that a figure does not exist, become a dash.
    """
    if seconds is None or math.isnan(seconds):
        return "-"
    value = seconds * 1000
    digits = 0 if value >= 100 else 1 if value >= 10 else 2 if value >= 1 else 3  # noqa: PLR2004 - powers of ten
    return f"{value:.{digits}f}"


class Steps:
    """The progress of countable work: a bar on a terminal, elsewhere a plain line every 10 s, on standard error.

    Args:
        what: the work, in a word or two.
        file: where to show it; by default standard error, so that standard output contains only the result.
    """

    def __init__(self, what: str, file: IO[str] | None = None) -> None:
        self._what = what
        screen: Any = Screen(file or sys.stderr)
        self._console = PrintableConsole(file=screen, highlight=False, soft_wrap=True)
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._shown_s = time.monotonic()

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
            self._bar = Progress(*columns, console=self._console, transient=True)
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def show(self, done: int, total: int) -> None:
        """Show how much of the work is done."""
        if self._bar is not None:
            if self._task is None:
                self._task = self._bar.add_task(self._what, total=total)
            self._bar.update(self._task, completed=done, total=total)
        elif time.monotonic() - self._shown_s >= PLAIN_INTERVAL_S:
            self._shown_s = time.monotonic()
            self._console.print(f"{self._what:12} {done:,} of {total:,}", markup=False)
