"""Page: a self-contained HTML file without external resources, and the elements that several pages share.

Its Content-Security-Policy allows the page's own scripts, by their hash, and nothing else. Names and messages come from
systems under test, and must pass through `text` or `json_for_script`.

Tested in tests/unit/reporting/test_run_page.py.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from datetime import UTC, datetime
from importlib import resources
from typing import TYPE_CHECKING, Any, Final

from loadtest import __version__

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

ASSETS: Final = resources.files("loadtest") / "assets"
_FORBIDDEN: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
_SEPARATORS: Final = re.compile(r"([/_.?=-]|&amp;)(?=\w)")
_ESCAPED: Final = str.maketrans(
    {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}
)


def text(value: object) -> str:
    """Return text escaped for the inside of an element or of a quoted attribute."""
    return html.escape(_FORBIDDEN.sub("\N{REPLACEMENT CHARACTER}", str(value)))


def name(value: object) -> str:
    """Return the name of a request, in which lines may break after separators but not within words."""
    return _SEPARATORS.sub(r"\1<wbr>", text(value))


def json_for_script(value: Any) -> str:
    """Return JSON that cannot end the script element around it."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).translate(_ESCAPED)


def asset(name: str) -> str:
    """Return the text of a file in assets/."""
    return (ASSETS / name).read_text(encoding="utf-8")


def whole(title: str, body: str, data: Any = None) -> str:
    """Return a complete page.

    Args:
        title: plain text.
        body: HTML.
        data: the data of its charts; None for a page without charts.
    """
    scripts = [] if data is None else [asset("uPlot.iife.min.js"), asset("report.js")]
    hashes = " ".join(f"'sha256-{_sha256(script)}'" for script in scripts) or "'none'"
    policy = f"default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src {hashes}; base-uri 'none'"
    tail = ""
    if data is not None:
        tail = f'<script type="application/json" id="data">{json_for_script(data)}</script>\n'
        tail += "\n".join(f"<script>{script}</script>" for script in scripts)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="generator" content="loadtest {__version__}">
<title>{text(title)}</title>
<link rel="icon" href="data:,">
<style>{asset("uPlot.min.css") if data is not None else ""}
{asset("report.css")}</style>
</head>
<body>
<a class="skip" href="#main">Skip to the content</a>
{body}
{tail}
</body>
</html>
"""


def table(
    label: str,
    heads: Sequence[str],
    rows: Iterable[str],
    foot: str = "",
    *,
    key: str = "",
    numbers: Iterable[int] | None = None,
) -> str:
    """Return a table that scrolls sideways on a small screen.

    Args:
        label: its name for screen readers.
        heads: the headings of its columns.
        rows: its rows, as HTML.
        foot: a last row that is not sorted, as HTML.
        key: the id of a table that can be sorted by its headings, which are buttons, and searched by its first column;
            all other columns contain numbers. Empty for a plain table.
        numbers: the columns that contain numbers, counted from 0; by default those in which the first row has one.
    """

    rows = list(rows)
    cells = re.findall(r"<t[hd][^>]*>", rows[0]) if rows else []
    kinds = {index for index, cell in enumerate(cells) if "class='n" in cell} if numbers is None else {*numbers}

    def head(index: int, word: str) -> str:
        inner = f"<button type='button'>{word}</button>" if key else word
        return f"<th scope='col'{' class=n' if index in kinds else ''}>{inner}</th>"

    kind = f" class='sortable' id='{key}'" if key else ""
    search = f"<input type='search' data-for='{key}' placeholder='Search' aria-label='Search {label}' hidden>"
    scroll = f"<div class='scroll' tabindex='0' role='region' aria-label='{label}'>"
    return (
        f"{search if key else ''}{scroll}<table{kind}><thead><tr>"
        f"{''.join(head(index, word) for index, word in enumerate(heads))}</tr></thead>"
        f"<tbody>{''.join(rows)}</tbody>{f'<tfoot>{foot}</tfoot>' if foot else ''}</table></div>"
    )


def facts(title: str, values: Mapping[str, object]) -> str:
    """Return a heading and a list of names with their values."""
    rows = "".join(f"<dt>{text(name.replace('_', ' '))}</dt><dd>{text(value)}</dd>" for name, value in values.items())
    return f"<div><h3>{title}</h3><dl>{rows}</dl></div>"


def section(key: str, title: str, body: str, hint: str = "") -> str:
    """Return a section from its id, its heading, its content as HTML, and a hint next to the heading."""
    small = f" <small>{hint}</small>" if hint else ""
    return f"<section id='{key}' aria-labelledby='{key}-title'><h2 id='{key}-title'>{title}{small}</h2>{body}</section>"


def moment(epoch_s: float) -> str:
    """Return the time of day in UTC, for seconds since the epoch."""
    return f"{datetime.fromtimestamp(epoch_s, UTC):%H:%M:%S}"


def _sha256(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
