"""ChartData: the data of the charts in report.html, in milliseconds and per second, rounded to keep it small.

Tested in tests/unit/reporting/test_run_page.py.
"""

from __future__ import annotations

import base64
import math
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from loadtest.judging.metric import METRICS
from loadtest.measuring.blocks import BlockTable
from loadtest.measuring.histogram import BINS_PER_OCTAVE, EDGES_NS, MIDDLES_NS, Histogram, samples_needed
from loadtest.reporting.document import by_name, earlier_and_own

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from loadtest.reporting.document import Document

    Columns = npt.NDArray[np.int64]

MAX_NAMES: Final = 40
"""The maximum number of names that are drawn: those with the most requests."""
MAX_CLASSES: Final = 8
"""The maximum number of error classes that are drawn: the most frequent ones."""
MAX_INTERVALS: Final = 150
"""The maximum number of points in a name's curves."""
_MIN_INTERVALS: Final = 4
"""The minimum number of intervals, each with one percentile, into which a run is divided."""
_BARS_PER_OCTAVE: Final = 4
_SHORTEST_S: Final = 0.5
"""The shortest time under load, in seconds, for which a rate or a percentile is drawn."""
_PER_DECADE: Final = 12
_DECADES: Final = 6
INVERSES: Final = tuple(10 ** (step / _PER_DECADE) for step in range(_PER_DECADE * _DECADES + 1))
"""1 / (1 - quantile) of the points of a distribution: 10 is the 90th percentile, 100 the 99th, up to 99.9999 %."""
_SHARES: Final = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
ALL: Final = "all requests"


def of(document: Document) -> dict[str, Any]:
    """Return the data."""
    points = document["timeline"]
    seconds = np.array([point["second"] for point in points], float)
    widths = _under_load_s(document, seconds, np.array([point["width_s"] for point in points], float))
    names = _names(document)
    return {
        "time": [point["second"] for point in points],
        "throughput": _per_s([point["requests"] for point in points], widths),
        "errors": _errors(points, widths),
        "users": [point["users"] for point in points],
        **{name: _at(seconds, names[0]["over_time"], name) for name in _SHARES},
        "load": _load(document, seconds),
        "events": document["events"],
        "unjudged": _unjudged(document),
        "limits": [_limit(one) for one in document["thresholds"]],
        "inverses": [float(f"{inverse:.6g}") for inverse in INVERSES],
        "names": names,
        "transactions": _transactions(document),
        "trend": [_run(one) for one in earlier_and_own(document)],
    }


def _begins_s(document: Document) -> float:
    return float(next((event["second"] for event in document["events"] if event["kind"] == "start"), 0.0))


def _under_load_s(document: Document, seconds: Any, widths: Any) -> Any:
    """Return how much of each point's time was under load: the first and last second of a run are rarely whole."""
    begins_s = _begins_s(document)
    ends_s = begins_s + document["load_s"] if document["load_s"] else np.inf
    return np.minimum(seconds + widths, ends_s) - np.maximum(seconds, begins_s)


def _per_s(counts: Any, widths: Any) -> list[float | None]:
    """Return a rate for each point; None where the load was so short that a few requests would look like a peak."""
    return _under_load(_short(np.array(counts, float) / np.maximum(widths, _SHORTEST_S)), widths)


def _under_load(values: Sequence[float | None], widths: Any) -> list[float | None]:
    return [value if width >= _SHORTEST_S else None for value, width in zip(values, widths.tolist(), strict=True)]


def _at(seconds: Any, over_time: dict[str, Any], name: str) -> list[float | None]:
    """Return the values of a curve at these seconds; None after its end."""
    places = (seconds // over_time["width_s"]).astype(int).tolist()
    return [over_time[name][place] if place < len(over_time[name]) else None for place in places]


def _errors(points: Any, widths: Any) -> list[dict[str, Any]]:
    """Return the rate of each error class, most frequent first; of all errors if there are no classes."""
    totals: dict[str, int] = {}
    for point in points:
        for error_class, count in point.get("errors", {}).items():
            totals[error_class] = totals.get(error_class, 0) + count
    classes = sorted(totals, key=lambda one: -totals[one])[:MAX_CLASSES]
    by_class = [
        {"name": one, "values": _per_s([point["errors"].get(one, 0) for point in points], widths)} for one in classes
    ]
    return by_class or [{"name": "failed", "values": _per_s([point["failures"] for point in points], widths)}]


def _load(document: Document, seconds: Any) -> dict[str, Any]:
    plan = document["context"].get("plan")
    if not plan:
        return {"planned": None, "rate": None}
    begins = _begins_s(document)
    times, levels = np.array(plan["levels"], float).T
    inside = (seconds + 1 >= begins) & (seconds < begins + plan["run_time_s"])
    planned = [
        value if ok else None
        for value, ok in zip(_short(np.interp(seconds - begins, times, levels)), inside.tolist(), strict=True)
    ]
    return {"planned": None, "rate": planned} if plan["model"] == "open" else {"planned": planned, "rate": None}


def _unjudged(document: Document) -> list[dict[str, Any]]:
    """Return the intervals that no threshold counts: preparation before the load, and the warm-up."""
    begins = _begins_s(document)
    spans = [(0.0, begins, "set-up"), (begins, begins + document["warm_up_s"], "warm-up")]
    return [{"from": start, "to": end, "text": text} for start, end, text in spans if end > start]


def _limit(result: dict[str, Any]) -> dict[str, Any]:
    """Return what a threshold limits, and the limit, in the unit of the chart that shows it."""
    is_time = METRICS[result["metric"]].kind == "time"
    return {
        "metric": result["metric"],
        "selector": {label: value for label, value in result["selector"].items() if label != "scenario"},
        "text": result["rule"],
        "value": result["limit"] * (1e3 if is_time else 1.0),
    }


def _names(document: Document) -> list[dict[str, Any]]:
    """Return the curves of all requests together, and of the names with the most requests."""
    counts, bins, width_s = _columns(document["blocks"])
    indices = {_key(series): index for index, series in enumerate(document["series"])}
    every = _curves(ALL, {}, document["total"])
    drawn = [{**every, "over_time": _over_time(document, counts, bins, width_s)}]
    for series in sorted(by_name(document), key=lambda series: -series["requests"])[:MAX_NAMES]:
        index = indices[_key(series)]
        labels = {"method": series["method"], "name": series["name"]}
        own = counts[:, counts[1] == index], bins[:, bins[1] == index]
        one = _curves(f"{series['method']} {series['title']}", labels, series)
        drawn.append({**one, "over_time": _over_time(document, *own, width_s)})
    return drawn


def _key(series: dict[str, Any]) -> tuple[str, ...]:
    return series["scenario"], series["method"], series["name"]


def _transactions(document: Document) -> list[dict[str, Any]]:
    """Return the curves of the most frequent transactions; empty for a record without their blocks."""
    if "transaction_blocks" not in document:
        return []
    counts, bins, width_s = _columns(document["transaction_blocks"])
    numbered = sorted(enumerate(document["transactions"]), key=lambda one: -one[1]["made"])
    return [
        {
            "name": f"transaction {one['name']}",
            "labels": {"name": one["name"]},
            "bars": _bars(_histogram(one["response_time"])),
            "over_time": _over_time(document, counts[:, counts[1] == index], bins[:, bins[1] == index], width_s),
        }
        for index, one in numbered[:MAX_NAMES]
    ]


def _columns(blocks: dict[str, Any]) -> tuple[Columns, Columns, int]:
    table = BlockTable.of(blocks)
    return table.counts.astype(np.int64), table.response_time.astype(np.int64), table.width_s


def _histogram(times: dict[str, Any]) -> Histogram:
    return Histogram.from_bytes(base64.b64decode(times["histogram"]))


def _curves(name: str, labels: dict[str, str], series: dict[str, Any]) -> dict[str, Any]:
    response = _histogram(series["response_time"])
    return {
        "name": name,
        "labels": labels,
        "response": _distribution(response),
        "service": _distribution(_histogram(series["service_time"])),
        "bars": _bars(response),
    }


def _distribution(histogram: Histogram) -> list[float | None]:
    inverses = [inverse for inverse in INVERSES if inverse <= histogram.count]
    return [_ms(value) for value in histogram.quantiles([1 - 1 / inverse for inverse in inverses])]


def _bars(histogram: Histogram) -> dict[str, list[Any]]:
    """Return the counts between edges in milliseconds. There is one more edge than counts."""
    wide = BINS_PER_OCTAVE // _BARS_PER_OCTAVE
    counts = np.add.reduceat(histogram.counts, np.arange(0, len(histogram.counts), wide))
    filled = np.flatnonzero(counts)
    if not len(filled):
        return {"edges": [], "counts": []}
    first, last = int(filled[0]), int(filled[-1]) + 1
    edges_ns = EDGES_NS[np.minimum(np.arange(first, last + 1) * wide, len(EDGES_NS) - 1)]
    return {"edges": _short(edges_ns / 1e6), "counts": counts[first:last].tolist()}


def _over_time(document: Document, counts: Columns, bins: Columns, width_s: int) -> dict[str, Any]:
    """Return rates and percentiles over time."""
    many = int(counts[0].max(initial=-1)) + 1
    wide = max(1, math.ceil(many / MAX_INTERVALS))
    starts = np.arange(0, many, wide) * width_s
    widths = _under_load_s(document, starts, np.minimum(wide * width_s, many * width_s - starts))
    requests, failures = (np.bincount(counts[0] // wide, counts[row], len(starts)) for row in (2, 3))
    times = {name: _percentile(share, bins[0] // wide, bins, len(starts)) for name, share in _SHARES.items()}
    return {
        "time": starts.tolist(),
        "width_s": wide * width_s,
        "requests": _per_s(requests, widths),
        "failures": _per_s(failures, widths),
        **{name: _under_load(values, widths) for name, values in times.items()},
    }


def _percentile(share: float, at: Columns, bins: Columns, intervals: int) -> list[float | None]:
    """Return a percentile for each interval, by nearest rank.

    Neighbouring intervals with too few requests each share the percentile of all their requests; if all of them
    together have too few, there is none.
    """
    needed, total = samples_needed(share), int(bins[3].sum())
    if total < needed:
        return [None] * intervals
    merged = max(1, min(math.ceil(needed * intervals / total), intervals // _MIN_INTERVALS))
    at = at // merged
    order = np.lexsort((bins[2], at))
    summed = np.cumsum(bins[3][order])
    inside = np.bincount(at, bins[3], math.ceil(intervals / merged)).astype(np.int64)
    ranks = np.cumsum(inside) - inside + np.maximum(1, np.ceil(share * inside)).astype(np.int64)
    places = np.minimum(np.searchsorted(summed, ranks), len(summed) - 1)
    values = (MIDDLES_NS[bins[2][order][places]] / 1e9).tolist()
    shown = [_ms(value) if count >= needed else None for value, count in zip(values, inside.tolist(), strict=True)]
    return [shown[interval // merged] for interval in range(intervals)]


def _run(entry: dict[str, Any]) -> dict[str, Any]:
    times = {name: _ms(entry[f"{name}_s"]) for name in _SHARES}
    return {"run": entry["run_id"], "throughput": float(f"{entry['requests_per_s']:.4g}"), **times}


def _ms(value_s: float | None) -> float | None:
    return None if value_s is None or math.isnan(value_s) else float(f"{value_s * 1e3:.4g}")


def _short(values: Any) -> list[float]:
    return [float(f"{value:.4g}") for value in values.tolist()]
