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
_PER_DECADE: Final = 12
_DECADES: Final = 6
INVERSES: Final = tuple(10 ** (step / _PER_DECADE) for step in range(_PER_DECADE * _DECADES + 1))
"""1 / (1 - quantile) of the points of a distribution: 10 is the 90th percentile, 100 the 99th, up to 99.9999 %."""


def of(document: Document) -> dict[str, Any]:
    """Return the data."""
    points = document["timeline"]
    seconds = np.array([point["second"] for point in points], float)
    widths = np.array([point["width_s"] for point in points], float)
    return {
        "time": [point["second"] for point in points],
        "throughput": _short(np.array([point["requests"] for point in points], float) / widths),
        "errors": _short(np.array([point["failures"] for point in points], float) / widths),
        "users": [point["users"] for point in points],
        **{name: [_ms(point[f"{name}_s"]) for point in points] for name in ("p50", "p95", "p99")},
        "load": _load(document, seconds),
        "events": document["events"],
        "inverses": [float(f"{inverse:.6g}") for inverse in INVERSES],
        "names": [_distribution("all requests", document["total"]), *_names(document)],
    }


def _load(document: Document, seconds: Any) -> dict[str, Any]:
    plan = document["context"].get("plan")
    if not plan:
        return {"label": "users", "planned": None, "rate": None}
    begins = next((event["second"] for event in document["events"] if event["kind"] == "start"), 0.0)
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
