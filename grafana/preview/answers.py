"""Record what a Prometheus answers to the dashboards' queries: `python -m preview.answers URL SECONDS`, in grafana/.

The answers of the last SECONDS seconds go to answers.json, rounded to three digits, from which the preview draws.
"""

from __future__ import annotations

import json
import math
import re
import sys
import time
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

from preview import dashboards

FILE = Path(__file__).parent / "answers.json"
STEP_S = 5
RATE_INTERVAL = "10s"
"""Grafana's $__rate_interval is four scrapes of 2 s, and at least the step and one scrape."""
ALL = ".*"
TIMEOUT_S = 30


def record(url: str, seconds: int, until_s: int) -> dict[str, Any]:
    """Ask every query of the dashboards, and return the answers with the time range.

    Args:
        url: Prometheus' base URL.
        seconds: the length of the time range.
        until_s: its end, in seconds since the epoch.

    Returns:
        `range` and `instant`, by expression, the series of each answer: `metric`, and `value` or `values`; the values
        of a curve begin at `from_s` and are `step_s` apart, null where there is none.
    """
    from_s = until_s - seconds
    answers: dict[str, Any] = {"from_s": from_s, "to_s": until_s, "step_s": STEP_S, "range": {}, "instant": {}}
    values = _variables(url, seconds, until_s)
    for query in dashboards.queries(dashboards.read()):
        expr = _filled(query.expr, values)
        if query.instant:
            rows = _ask(f"{url}/api/v1/query", query=expr, time=str(until_s))
            found = [{"metric": row["metric"], "value": _number(row["value"][1])} for row in rows]
        else:
            rows = _ask(f"{url}/api/v1/query_range", query=expr, start=str(from_s), end=str(until_s), step=str(STEP_S))
            found = [{"metric": row["metric"], "values": _on_grid(row["values"], from_s, until_s)} for row in rows]
        answers["instant" if query.instant else "range"][query.expr] = found
    return answers


def _variables(url: str, seconds: int, until_s: int) -> dict[str, str]:
    """Return the values of the dashboards' variables: all of what can be chosen, and what Grafana would find first."""
    values = {
        "$__rate_interval": RATE_INTERVAL,
        "$__interval": f"{STEP_S}s",
        "$__range": f"{seconds}s",
        "$run": ALL,
        "$scenario": ALL,
        "$name": ALL,
        "$quantile": "0.95",
    }
    for name, expr, regex in dashboards.asked_variables(dashboards.read()):
        rows = _ask(f"{url}/api/v1/query", query=_filled(expr, values), time=str(until_s))
        found = [re.search(regex, _as_grafana_says(row)) for row in rows]
        values |= dict.fromkeys((f"${name}", f"${{{name}}}"), max((match[1] for match in found if match), default=""))
    return values


def _as_grafana_says(row: dict[str, Any]) -> str:
    """Return the text that Grafana applies a variable's regular expression to."""
    labels = ",".join(f'{name}="{value}"' for name, value in row["metric"].items())
    moment_s, value = row["value"]
    return f"{{{labels}}} {value} {round(moment_s * 1000)}"


def _filled(expr: str, values: dict[str, str]) -> str:
    for variable, value in values.items():
        expr = expr.replace(variable, value)
    return expr


def _ask(address: str, **parameters: str) -> list[dict[str, Any]]:
    with urllib.request.urlopen(f"{address}?{urllib.parse.urlencode(parameters)}", timeout=TIMEOUT_S) as answer:  # noqa: S310
        result: list[dict[str, Any]] = json.load(answer)["data"]["result"]
    return result


def _on_grid(values: list[tuple[float, str]], from_s: int, until_s: int) -> list[float | None]:
    by_time = {round(moment): _number(text) for moment, text in values}
    return [by_time.get(moment) for moment in range(from_s, until_s + 1, STEP_S)]


def _number(text: str) -> float | None:
    """Three digits draw a curve; what counts milliseconds since the epoch is kept whole."""
    value = float(text)
    if not math.isfinite(value):
        return None
    if value == int(value):
        return int(value)
    return round(value) if abs(value) > 1e6 else float(f"{value:.3g}")  # noqa: PLR2004


def main() -> int:
    """Record the last seconds."""
    url, seconds = sys.argv[1].rstrip("/"), int(sys.argv[2])
    answers = record(url, seconds, int(time.time()))
    FILE.write_text(json.dumps(answers, separators=(",", ":"), sort_keys=True) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
