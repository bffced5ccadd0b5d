"""Expressions that several panels share. Rates are over `$__rate_interval` and taken before they are summed."""

from __future__ import annotations

from grafana_foundation_sdk.builders import prometheus
from grafana_foundation_sdk.models import common as c
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

DATASOURCE = c.DataSourceRef(type_val="prometheus", uid="prometheus")
CHOSEN = 'scenario=~"$scenario", name=~"$name"'
SCENARIO = 'scenario=~"$scenario"'
WINDOW = "[$__rate_interval]"
RUN = 'loadtest_run_info{run_id=~"$run"}'


def of_run(expr: str) -> str:
    """Return the expression for the times in which a chosen run was the present one, or the last."""
    return f"{expr} and on () {RUN}"


def rate(metric: str, labels: str = "", by: str = "") -> str:
    """Return the expression of the summed rates of a counter, per second."""
    braces = f"{{{labels}}}" if labels else ""
    return f"sum{f' by ({by})' if by else ''} (rate({metric}{braces}{WINDOW}))"


def quantile(q: float, histogram: str, labels: str = CHOSEN, by: str = "") -> str:
    """Return the expression of a quantile over all series chosen, or by some labels."""
    return f"histogram_quantile({q}, {rate(f'{histogram}_bucket', labels, f'{by}, le' if by else 'le')})"


def mean(histogram: str, labels: str = CHOSEN, by: str = "") -> str:
    """Return the expression of the mean of what a histogram observed; no value where it observed nothing."""
    return f"{rate(f'{histogram}_sum', labels, by)} / ({rate(f'{histogram}_count', labels, by)} > 0)"


REQUESTS_PER_S = rate("loadtest_requests_total", CHOSEN)
FAILED = f'{CHOSEN}, result="failure"'
ERROR_RATIO = f"{rate('loadtest_requests_total', FAILED)} / ({REQUESTS_PER_S} > 0)"


def curve(expr: str, legend: str = "") -> prometheus.Dataquery:
    """Return a query that answers with a curve."""
    return prometheus.Dataquery().datasource(DATASOURCE).expr(expr).legend_format(legend).range()


def now(expr: str, legend: str = "") -> prometheus.Dataquery:
    """Return a query that answers with the last value only."""
    return prometheus.Dataquery().datasource(DATASOURCE).expr(expr).legend_format(legend).instant()


def column(expr: str) -> prometheus.Dataquery:
    """Return a query that answers with a row for each series: a column of a table."""
    return now(expr).format(PromQueryFormat.TABLE)


def cells(expr: str) -> prometheus.Dataquery:
    """Return a query that answers with the buckets of a heatmap."""
    return curve(expr, "{{le}}").format(PromQueryFormat.HEATMAP)
