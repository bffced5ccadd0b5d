"""ChartData: the data of the charts in report.html, in milliseconds and per second, rounded to keep it small.

Tested in tests/unit/reporting/test_run_page.py.
"""

from __future__ import annotations

import base64
import math
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from loadtest.measuring.histogram import Histogram
from loadtest.reporting.document import by_name

if TYPE_CHECKING:
    from loadtest.reporting.document import Document

MAX_NAMES: Final = 40
"""The most names whose distribution is drawn: those with the most requests."""
_SHORTEST_S: Final = 0.5
"""The shortest time under load for which a rate is drawn."""
_PER_DECADE: Final = 12
_DECADES: Final = 6
INVERSES: Final = tuple(10 ** (step / _PER_DECADE) for step in range(_PER_DECADE * _DECADES + 1))
"""1 / (1 - quantile) of the points of a distribution: 10 is the 90th percentile, 100 the 99th, up to 99.9999 %."""


def of(document: Document) -> dict[str, Any]:
    """Return the data."""
    points = document["timeline"]
    seconds = np.array([point["second"] for point in points], float)
    widths = _under_load_s(document, seconds)
    return {
        "time": [point["second"] for point in points],
        "throughput": _per_s(points, "requests", widths),
        "errors": _per_s(points, "failures", widths),
        "users": [point["users"] for point in points],
        **{name: [_ms(point[f"{name}_s"]) for point in points] for name in ("p50", "p95", "p99")},
        "load": _load(document, seconds),
        "events": document["events"],
        "inverses": [float(f"{inverse:.6g}") for inverse in INVERSES],
        "names": [_distribution("all requests", document["total"]), *_names(document)],
    }


def _begins_s(document: Document) -> float:
    return float(next((event["second"] for event in document["events"] if event["kind"] == "start"), 0.0))


def _under_load_s(document: Document, seconds: Any) -> Any:
    """How much of each point's time there was load: the first and the last second of a run are rarely whole ones."""
    widths = np.array([point["width_s"] for point in document["timeline"]], float)
    begins_s = _begins_s(document)
    ends_s = begins_s + document["load_s"] if document["load_s"] else np.inf
    return np.minimum(seconds + widths, ends_s) - np.maximum(seconds, begins_s)


def _per_s(points: Any, figure: str, widths: Any) -> list[float | None]:
    """A rate for each point; none where there was load for so short a time that a few requests would be a peak."""
    counts = np.array([point[figure] for point in points], float)
    rates = _short(counts / np.maximum(widths, _SHORTEST_S))
    return [rate if width >= _SHORTEST_S else None for rate, width in zip(rates, widths.tolist(), strict=True)]


def _load(document: Document, seconds: Any) -> dict[str, Any]:
    plan = document["context"].get("plan")
    if not plan:
        return {"label": "users", "planned": None, "rate": None}
    begins = _begins_s(document)
    times, levels = np.array(plan["levels"], float).T
    inside = (seconds + 1 >= begins) & (seconds < begins + plan["run_time_s"])
    planned = [
        value if ok else None
        for value, ok in zip(_short(np.interp(seconds - begins, times, levels)), inside.tolist(), strict=True)
    ]
    if plan["model"] == "open":
        return {"label": "users", "planned": None, "rate": planned}
    return {"label": "users", "planned": planned, "planned_label": "planned users", "rate": None}


def _names(document: Document) -> list[dict[str, Any]]:
    most = sorted(by_name(document), key=lambda series: -series["requests"])[:MAX_NAMES]
    return [_distribution(f"{series['method']} {series['name']}", series) for series in most]


def _distribution(name: str, series: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "response": _curve(series["response_time"]), "service": _curve(series["service_time"])}


def _curve(times: dict[str, Any]) -> list[float | None]:
    histogram = Histogram.from_bytes(base64.b64decode(times["histogram"]))
    inverses = [inverse for inverse in INVERSES if inverse <= histogram.count]
    return [_ms(value) for value in histogram.quantiles([1 - 1 / inverse for inverse in inverses])]


def _ms(value_s: float | None) -> float | None:
    return None if value_s is None or math.isnan(value_s) else float(f"{value_s * 1e3:.4g}")


def _short(values: Any) -> list[float]:
    return [float(f"{value:.4g}") for value in values.tolist()]
