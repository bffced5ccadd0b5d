"""CsvTables: stats.csv by request name, steps.csv for iterations, transactions and checks, and timeline.csv.

Times are in seconds; missing figures are empty.
"""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any, Final

from loadtest.progress import one_line
from loadtest.reporting.document import by_name, iterations, rate_per_s

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from loadtest.reporting.document import Document

_QUANTILES: Final = ("p50_s", "p90_s", "p95_s", "p99_s", "p999_s", "p9999_s")
_FIGURES: Final = ("mean_s", "min_s", "max_s", *_QUANTILES)
_KINDS: Final = ("response_time", "service_time", "success_time", "failure_time")
_SPACES: Final = " \n\v\f\u00a0\ufeff"
_FORMULAS: Final = ("=", "+", "-", "@", "\t", "\r", "\uff1d", "\uff0b", "\uff0d", "\uff20")
STATS: Final = (
    *("scenario", "method", "name", "requests", "failures", "error_ratio", "requests_per_s"),
    *("response_bytes", "request_bytes"),
    *(f"{kind}_{figure}" for kind in _KINDS for figure in _FIGURES),
)
STEPS: Final = (
    *("kind", "scenario", "name", "made", "failures", "error_ratio"),
    *(f"response_time_{figure}" for figure in _FIGURES),
    "dropped",
)
TIMELINE: Final = ("second", "width_s", "requests", "failures", "requests_per_s", "users", *_QUANTILES)


def stats(document: Document) -> str:
    """Return a row for each request name, and one without a name for the total."""
    return _csv(STATS, (_row(series, document) for series in [*by_name(document), document["total"]]))


def steps(document: Document) -> str:
    """Return a row for the iterations of each scenario, and for each transaction and check."""
    judged = [(kind, one) for kind in ("transaction", "check") for one in document.get(f"{kind}s", ())]
    rows = [
        *(("iteration", {**one, "name": ""}) for one in iterations(document)),
        *((kind, {**one, "error_ratio": one["failures"] / one["made"]}) for kind, one in judged),
    ]
    return _csv(STEPS, ({"kind": kind, **one, **_times(one, ("response_time",))} for kind, one in rows))


def timeline(document: Document) -> str:
    """Return a row for each point of the time line."""
    rows = ({**point, "requests_per_s": point["requests"] / point["width_s"]} for point in document["timeline"])
    return _csv(TIMELINE, rows)


def _row(series: dict[str, Any], document: Document) -> dict[str, Any]:
    requests = series["requests"]
    return {
        **series,
        **_times(series, _KINDS),
        "error_ratio": series["failures"] / requests if requests else None,
        "requests_per_s": rate_per_s(series, document),
    }


def _times(one: dict[str, Any], kinds: Iterable[str]) -> dict[str, Any]:
    """Return the figures of times by column; a check has none."""
    return {f"{kind}_{figure}": value for kind in kinds for figure, value in (one.get(kind) or {}).items()}


def _csv(columns: Sequence[str], rows: Iterable[dict[str, Any]]) -> str:
    file = io.StringIO()
    writer = csv.DictWriter(file, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows({column: cell(row.get(column)) for column in columns} for row in rows)
    return file.getvalue()


def cell(value: Any) -> Any:
    """Return a value on one line that no spreadsheet takes for a formula, and no terminal for a control sequence."""
    if not isinstance(value, str):
        return value
    text = one_line(value)
    return f"'{text}" if value.lstrip(_SPACES).startswith(_FORMULAS) else text
