"""Console tables: tables of labels and figures that fit any terminal width."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Final, NamedTuple

from rich.box import SIMPLE
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from loadtest.progress import one_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from rich.console import Console, ConsoleOptions, RenderResult

_GAP: Final = "  "
_ANY_WIDTH: Final = 100_000
_HEAD: Final = 12
"""The width of the word at the beginning of a line on the terminal."""


class _Row(NamedTuple):
    labels: Sequence[Text]
    figures: Sequence[Text]
    style: str


class ConsoleTable:
    """A table that is never truncated: if its columns do not fit, each row's labels are above its figures.

    Args:
        title: the line above it.
        labels: the headings of the text columns, on the left.
        figures: the headings of the number columns. Those that do not fit next to each other continue below.
    """

    def __init__(self, title: str, labels: Sequence[str], figures: Sequence[str]) -> None:
        self._title = one_line(title)
        self._labels = labels
        self._figures = figures
        self._rows: list[_Row] = []

    def add_row(self, labels: Sequence[str | Text], figures: Sequence[str | Text], style: str = "") -> None:
        """Add a row, with a cell for each heading."""
        self._rows.append(_Row(list(map(_text, labels)), list(map(_text, figures)), style))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """See rich."""
        wide = self._wide()
        if Measurement.get(console, options.update(width=_ANY_WIDTH), wide).maximum <= options.max_width:
            yield wide
        else:
            yield Text(f"{self._title}\n")
            yield from self._narrow(options.max_width)

    def _wide(self) -> Table:
        table = Table(title=self._title, title_justify="left", box=SIMPLE)
        for heading in self._labels:
            table.add_column(heading, no_wrap=True)
        for heading in self._figures:
            table.add_column(heading, justify="right", no_wrap=True)
        for row in self._rows:
            table.add_row(*row.labels, *row.figures, style=row.style)
        return table

    def _narrow(self, width: int) -> Iterator[Text]:
        columns = [(Text(heading), *(row.figures[i] for row in self._rows)) for i, heading in enumerate(self._figures)]
        widths = [max(cell.cell_len for cell in column) for column in columns]
        for group in _groups(widths, width):
            for cells in zip(*(columns[index] for index in group), strict=True):
                for cell, index in zip(cells, group, strict=True):
                    cell.align("right", widths[index])
            yield _line((columns[index][0] for index in group), "bold")
            for number, row in enumerate(self._rows, start=1):
                yield Text(" ".join(label.plain for label in row.labels if label), no_wrap=False, overflow="fold")
                yield _line((columns[index][number] for index in group), row.style)
            yield Text()


def _line(figures: Iterable[Text], style: str) -> Text:
    return Text(style=style).append(_GAP).append(Text(_GAP).join(figures))


def _groups(widths: Sequence[int], most: int) -> Iterator[list[int]]:
    """Yield groups of columns that fit next to each other."""
    group: list[int] = []
    for index, width in enumerate(widths):
        if group and sum(widths[one] + len(_GAP) for one in group) + width + len(_GAP) > most:
            yield group
            group = []
        group.append(index)
    yield group


def _text(cell: str | Text) -> Text:
    return cell if isinstance(cell, Text) else Text(one_line(cell))


def print_line(console: Console, head: str, text: str) -> None:
    """Print a word and a sentence next to it; on a terminal, the sentence is wrapped to the right of the word."""
    text = one_line(text)
    if console.is_terminal:
        width = max(20, console.width - _HEAD - 1)
        text = f"\n{'':{_HEAD + 1}}".join(textwrap.wrap(text, width)) or text
    console.print(f"{head:{_HEAD}} {text}", markup=False)
