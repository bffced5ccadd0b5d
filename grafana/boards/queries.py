"""Expressions that several panels share. Rates are over `$__rate_interval` and computed before they are summed."""

from __future__ import annotations

from grafana_foundation_sdk.builders import prometheus
from grafana_foundation_sdk.models import common as c
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

DATASOURCE = c.DataSourceRef(type_val="prometheus", uid="prometheus")
CHOSEN = 'scenario=~"$scenario", name=~"$name"'
SCENARIO = 'scenario=~"$scenario"'
CHOSEN_QUANTILE = "$quantile"
WINDOW = "[$__rate_interval]"
RANGE = "[$__range]"
RUN = 'loadtest_run_info{run_id=~"$run"}'
RUNS = 'run_id=~"$run", run_id!=""'
WITH_SUMS = {"loadtest_response_time_seconds", "loadtest_service_time_seconds"}
"""The histograms with recent quantiles per scenario and of all requests, too; in those the name is empty."""
NAMED = 'name!=""'
SHIFT = " offset ${shift}s"
"""Shifts the previous run to the time of the latest selected run, so that both begin together."""
BEFORE = 'run_id=~"$before", run_id!=""'


def of_run(expr: str) -> str:
    """Return the expression for the times in which a selected run was the current one, or the last."""
    return f"{expr} and on () {RUN}"


def of_run_before(expr: str) -> str:
    """Return the expression, which is shifted by `SHIFT`, for the times of the previous run."""
    return f"{expr} and on () loadtest_run_info{{{BEFORE}}}{SHIFT}"


def kept_before(metric: str, labels: str = "", by: str = "run_id") -> str:
    """Return the last values of a gauge of the previous run, which may be before the time range."""
    return f"max by ({by}) (last_over_time({metric}{{{', '.join(filter(None, (BEFORE, labels)))}}}[$__range]{SHIFT}))"


def kept(metric: str, labels: str = "", by: str = "run_id") -> str:
    """Return the last values of a per-run gauge in the time range, for each selected run, even long after it."""
    return f"max by ({by}) (last_over_time({metric}{{{', '.join(filter(None, (RUNS, labels)))}}}[$__range]))"


LATEST = f"topk(1, {kept('loadtest_run_start_time_seconds')})"


def latest(expr: str) -> str:
    """Return the expression, which has a value for each run, for the latest selected run in the time range."""
    return f"{expr} and on (run_id) {LATEST}"


def or_word(expr: str, label: str, word: str, value: int = 1) -> str:
    """Return the expression, or a value with a word as a label where it has no result."""
    return f'{expr} or on () label_replace(vector({value}), "{label}", "{word}", "", "")'


def highest(expr: str) -> str:
    """Return the highest value of an expression in the time range, during selected runs."""
    return f"max_over_time(({of_run(expr)})[$__range:2s])"


def rate(metric: str, labels: str = "", by: str = "", window: str = WINDOW) -> str:
    """Return the expression for the summed rates of a counter, per second."""
    braces = f"{{{labels}}}" if labels else ""
    return f"sum{f' by ({by})' if by else ''} (rate({metric}{braces}{window}))"


def quantile(q: float | str, histogram: str, labels: str = CHOSEN, by: str = "", window: str = WINDOW) -> str:
    """Return the expression for a quantile over all selected series, or by some labels; no value without samples."""
    by = f"{by}, le" if by else "le"
    return f"histogram_quantile({q}, {rate(f'{histogram}_bucket', labels, by, window)}) > 0"  # drops NaN


def recent(q: float | str, histogram: str, labels: str = CHOSEN, by: str = "", offset: str = "") -> str:
    """Return the expression for an exact quantile over the 10 s before each point, by some labels.

    Without labels it is that of all requests; if some scenarios or names are selected, that of the slowest of them,
    since quantiles cannot be aggregated. If points are more than 10 s apart, it is the highest in between.
    """
    metric = f"{histogram.removesuffix('_seconds')}_recent_seconds"

    def found(*selectors: str) -> str:
        selector = ", ".join((f'quantile="{q}"', *filter(None, (*selectors, labels))))
        return f"max_over_time({metric}{{{selector}}}[$__interval]{offset})"

    if histogram not in WITH_SUMS:
        return f"max{f' by ({by})' if by else ''} ({found()})"
    if by:
        return f"max by ({by}) ({found(NAMED)})"
    everything, of_scenarios, of_names = found('scenario=""', 'name=""'), found('name=""'), found()
    return f"max ({everything} or on () {of_scenarios} or on () {of_names})"


FEW_S = 4
"""Two scrapes: if a run begins within the time range, its first values are below this."""
LOAD_SECONDS = (
    f"sum(max_over_time(loadtest_run_load_seconds{RANGE}))"
    f" - (sum(min_over_time(loadtest_run_load_seconds{RANGE}) > {FEW_S}) or vector(0))"
)
"""The seconds of load in the time range, of all runs that began in it."""


def of_names(metric: str, aggregate: str, by: str) -> str:
    """Return an aggregate, by some labels, of a gauge that each selected run has for each selected name."""
    return f"{aggregate} by ({by}) (last_over_time({metric}{{{RUNS}, {CHOSEN}}}{RANGE}))"


def mean(histogram: str, labels: str = CHOSEN, by: str = "", window: str = WINDOW) -> str:
    """Return the expression for the mean of a histogram; no value where it has no samples."""
    return f"{rate(f'{histogram}_sum', labels, by, window)} / ({rate(f'{histogram}_count', labels, by, window)} > 0)"


REQUESTS_PER_S = rate("loadtest_requests_total", CHOSEN)
OPEN = f"sum(loadtest_arrival_rate_target_per_second{{{SCENARIO}}}) > 0"
"""Restricts a query to the times in which an open profile asks for arrivals."""
FAILED = f'{CHOSEN}, result="failure"'
ERROR_RATIO = f"{rate('loadtest_requests_total', FAILED)} / ({REQUESTS_PER_S} > 0)"


def curve(expr: str, legend: str = "") -> prometheus.Dataquery:
    """Return a query for a curve."""
    return prometheus.Dataquery().datasource(DATASOURCE).expr(expr).legend_format(legend).range()


def now(expr: str, legend: str = "") -> prometheus.Dataquery:
    """Return a query for the last value only."""
    return prometheus.Dataquery().datasource(DATASOURCE).expr(expr).legend_format(legend).instant()


def firing(labels: str = "") -> prometheus.Dataquery:
    """Return a query for the names of the firing alerts, or "none"."""
    selector = ", ".join(filter(None, ('alertstate="firing"', labels)))
    return now(or_word(f"max by (alertname) (ALERTS{{{selector}}})", "alertname", "none"), "{{alertname}}")


def column(expr: str) -> prometheus.Dataquery:
    """Return a query for a column of a table, with a row for each series."""
    return now(expr).format(PromQueryFormat.TABLE)


def cells(expr: str) -> prometheus.Dataquery:
    """Return a query for the buckets of a heatmap."""
    return curve(expr, "{{le}}").format(PromQueryFormat.HEATMAP)
