"""Load run: requests, responses and response times."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from boards import redis
from boards.frame import board
from boards.generator import completeness
from boards.panels import (
    BAD,
    DOUBTFUL,
    GOOD,
    QUIET,
    Column,
    colored,
    curves,
    distribution,
    figure,
    limits,
    on_the_right,
    rows,
    thin,
    with_limits,
    word,
)
from boards.queries import (
    CHOSEN,
    CHOSEN_QUANTILE,
    ERROR_RATIO,
    FAILED,
    LOAD_SECONDS,
    OPEN,
    RANGE,
    REQUESTS_PER_S,
    SCENARIO,
    SHIFT,
    WINDOW,
    cells,
    column,
    curve,
    kept,
    latest,
    mean,
    now,
    of_names,
    of_run,
    of_run_before,
    or_word,
    quantile,
    rate,
    recent,
)

if TYPE_CHECKING:
    from grafana_foundation_sdk.builders import dashboard, stat, timeseries

VERDICTS = {"passed": GOOD, "failed": BAD, "not trustworthy": DOUBTFUL, "no data": QUIET, "interrupted": DOUBTFUL}
RESPONSE_TIME = "loadtest_response_time_seconds"
BY_NAME = "method, name"
EXACT = "To 1 %, over the 10 s before each point; where points are further apart, the highest in between."
INTERPOLATED = "Quantiles are interpolated between the bounds of buckets; a run's report has them to 1 %."
OF_SEVERAL = "Of several names or scenarios that are chosen, the slowest."


def overview() -> list[stat.Panel]:
    """The latest selected run, in progress or as it ended; also shown on Home."""
    failed = kept("loadtest_run_requests", 'result="failure"')
    requests = kept("loadtest_run_requests", by="run_id, result")
    return [
        word(
            "Verdict",
            "Of the latest run, or the one that it would get if it ended now: passed, failed (a threshold failed), "
            "no data, not trustworthy (a trust check failed: see Generator), or interrupted (ended before its plan was "
            "done).",
            now(
                or_word(latest(f"{kept('loadtest_run_verdict', by='run_id, verdict')} == 1"), "verdict", "none yet"),
                "{{verdict}}",
            ),
            VERDICTS,
        ),
        word(
            "State",
            "What the master does at the end of the time range: ready, spawning, running, cleanup, stopping or "
            "stopped; over, when the chosen run is an earlier one or the master has gone.",
            now(or_word(of_run("loadtest_run_state == 1"), "state", "over"), "{{state}}"),
            {"running": GOOD, "spawning": GOOD},
        ),
        figure(
            "Requests",
            "Requests that the run has finished, failed ones included.",
            "locale",
            now(latest(f"sum by (run_id) ({requests})"), "requests"),
        ),
        figure(
            "Requests per second",
            "The run's requests by the seconds of its load.",
            "reqps",
            now(latest(f"sum by (run_id) ({requests}) / ({kept('loadtest_run_load_seconds')} > 0)"), "requests"),
        ),
        figure(
            "Failed",
            "Share of the run's requests that failed. Red from 1 %.",
            "percentunit",
            now(latest(f"{failed} / (sum by (run_id) ({requests}) > 0)"), "failed"),
        ).thresholds(limits(0.01)),
        figure(
            "p95",
            "95 % of the run's requests were answered within this time, counted from their intended start.",
            "s",
            now(latest(kept("loadtest_run_response_time_seconds", 'quantile="0.95"')), "p95"),
        ),
    ]


def run_row() -> list[Any]:
    """The run on one time axis, and in figures."""
    return [
        _at_a_glance(),
        *overview(),
        figure(
            "Peak users",
            "The highest number of concurrent users; in an open profile, those that its arrivals needed.",
            "none",
            now(latest(kept("loadtest_run_users_peak")), "users"),
        ),
        figure(
            "Time of load",
            "How long the run's load has lasted so far, or lasted.",
            "s",
            now(latest(kept("loadtest_run_load_seconds")), "load"),
        ),
        figure(
            "Stage",
            "Number of the profile's stage at the end of the time range.",
            "none",
            now(of_run("loadtest_run_stage > 0"), "stage"),
        ),
        *(
            figure(
                f"p{share}",
                f"{share} % of the run's requests were answered within this time, counted from their intended start.",
                "s",
                now(latest(kept("loadtest_run_response_time_seconds", f'quantile="{share / 100:g}"')), f"p{share}"),
            )
            for share in (50, 99)
        ),
        completeness(),
    ]


def _at_a_glance() -> timeseries.Panel:
    """Load, requests, errors and response time on one time axis."""
    panel = curves(
        "At a glance",
        "Load, requests and failed requests per second on the left; p95 of the response time on the right, thin that "
        f"of the run before of the same scenario, from a common zero; see Compare. {EXACT} {OF_SEVERAL}",
        "short",
        curve(of_run(f"sum(loadtest_users{{{SCENARIO}}})"), "users"),
        curve(of_run(REQUESTS_PER_S), "requests/s"),
        curve(of_run(rate("loadtest_requests_total", FAILED)), "failed/s"),
        curve(of_run(recent(0.95, RESPONSE_TIME)), "p95"),
        curve(of_run_before(recent(0.95, RESPONSE_TIME, offset=SHIFT)), "p95 before"),
        span=24,
    )
    colored(panel, {"failed/s": BAD})
    return on_the_right(on_the_right(thin(panel, "p95 before"), "p95", "s"), "p95 before", "s")


def load_row() -> list[Any]:
    """Load and responses."""
    return [
        curves(
            "Users",
            "Users that run, and the target of a closed load profile. An open profile has arrivals instead.",
            "short",
            curve(of_run(f"sum(loadtest_users{{{SCENARIO}}})"), "real"),
            curve(of_run(f"sum(loadtest_users_target{{{SCENARIO}}}) > 0"), "wanted"),
            span=6,
        ),
        curves(
            "Arrivals",
            "Iterations per second of an open profile: planned, started, and dropped because all users were busy. "
            "A closed profile plans none.",
            "ops",
            curve(of_run(OPEN), "wanted"),
            curve(of_run(f"{rate('loadtest_schedule_lag_seconds_count', SCENARIO)} and on () ({OPEN})"), "started"),
            curve(of_run(f"{rate('loadtest_iterations_dropped_total', SCENARIO)} and on () ({OPEN})"), "dropped"),
            span=6,
        ).no_value("A closed profile has no arrivals"),
        colored(
            curves(
                "Requests by result",
                "Requests finished per second, succeeded and failed.",
                "reqps",
                curve(of_run(rate("loadtest_requests_total", CHOSEN, "result")), "{{result}}"),
                span=6,
                stacked=True,
            ),
            {"success": GOOD, "failure": BAD},
        ),
        curves(
            "Received and sent",
            "Bytes per second: of response bodies, and of requests as the built-in clients sent them.",
            "Bps",
            curve(of_run(rate("loadtest_response_bytes_total", CHOSEN)), "received"),
            curve(of_run(rate("loadtest_request_bytes_total", CHOSEN)), "sent"),
            span=6,
        ),
        curves(
            "Requests by name",
            "Requests finished per second by name, failed ones included.",
            "reqps",
            curve(of_run(f"{rate('loadtest_requests_total', CHOSEN, BY_NAME)} > 0"), "{{method}} {{name}}"),
            span=12,
            stacked=True,
            many=True,
        ),
        with_limits(
            curves(
                "Error ratio",
                "Share of the requests that failed. Dashed: the run's thresholds on it.",
                "percentunit",
                curve(of_run(ERROR_RATIO), "failed"),
                span=6,
            ),
            "error_ratio",
            "limit {{name}}",
            "B",
        ),
        curves(
            "Errors by class",
            "Failed requests per second by error class.",
            "reqps",
            curve(
                or_word(of_run(f"{rate('loadtest_errors_total', CHOSEN, 'class')} > 0"), "class", "none", 0),
                "{{class}}",
            ),
            span=6,
            stacked=True,
        ),
    ]


def latency_row() -> list[Any]:
    """Response times."""
    both = [
        curve(of_run(recent(q, f"loadtest_{kind}_time_seconds")), f"{kind} p{int(q * 100)}")
        for q in (0.5, 0.95, 0.99)
        for kind in ("response", "service")
    ]
    # Traces are exemplars of the buckets; those of the slowest requests are near the p99 curve.
    both[-2].expr(of_run(f"({recent(0.99, RESPONSE_TIME)} or {quantile(0.99, RESPONSE_TIME)})")).exemplar(True)
    return [
        with_limits(
            curves(
                "Response time beside service time",
                "Response time counts from the intended start of a request: what a user would have waited. Service "
                "time counts from the send. When they differ, the generator or a queue in front of the service is the "
                f"cause. Dashed: the run's thresholds on them. The scale is logarithmic. {EXACT} {OF_SEVERAL}",
                "s",
                *both,
                span=9,
                logarithmic=True,
            ),
            "response_time|service_time",
            "limit of {{metric}} {{aggregate}} {{name}}",
            "G",
        ),
        distribution(
            "Response time, distribution",
            "Requests by response time: a column is a point in time, a cell's colour the number of requests in it.",
            cells(of_run(f"sum by (le) (increase({RESPONSE_TIME}_bucket{{{CHOSEN}}}{WINDOW}))")),
            span=9,
        ),
        _in_flight(),
    ]


def _in_flight() -> timeseries.Panel:
    """A hanging service, while it hangs: unanswered requests are not in any other panel yet."""
    panel = curves(
        "Requests in flight",
        "Requests that wait for their response on the left; on the right, how long the oldest of them has waited. When "
        "that rises second by second, the service hangs: such requests are in no other panel until they end.",
        "short",
        curve(of_run("max(loadtest_requests_in_flight)"), "in flight"),
        curve(of_run("max(loadtest_request_oldest_age_seconds)"), "oldest"),
        span=6,
    )
    return on_the_right(panel, "oldest", "s")


def machines_row() -> list[Any]:
    """The resources that were saturated when response times rose, on one time axis."""
    workers, target = "loadtest_worker_{}_ratio", "target_app_{}"
    return [
        curves(
            "Response time",
            f"The quantile selected above, to compare with what the machines were doing. {OF_SEVERAL}",
            "s",
            curve(of_run(recent(CHOSEN_QUANTILE, RESPONSE_TIME)), "response time"),
            span=6,
        ),
        curves(
            "CPU",
            "CPU of the busiest worker and of the sample target's processes together; 100 % is one core. A worker that "
            "is near it measures its own queue.",
            "percentunit",
            curve(of_run(f"max({workers.format('cpu')})"), "busiest worker"),
            curve(of_run(rate(target.format("cpu_seconds_total"))), "target"),
            span=6,
        ),
        on_the_right(
            curves(
                "Memory",
                "Memory in use by its limit: of the fullest worker's container or machine, and of Redis, if it has "
                "one; on the right, the resident memory of the sample target's processes together.",
                "percentunit",
                curve(of_run(f"max({workers.format('memory')})"), "fullest worker"),
                curve(of_run(f"{redis.USED} / ({redis.MAX} > 0)"), "redis"),
                curve(of_run(f"sum({target.format('resident_memory_bytes')})"), "target"),
                span=6,
            ),
            "target",
            "bytes",
        ),
        curves(
            "Network",
            "Bytes per second: what the generator received and sent, all that its busiest machine did, all that the "
            "sample target's container or machine did, and what Redis took in and gave out.",
            "Bps",
            curve(of_run(rate("loadtest_response_bytes_total", SCENARIO)), "received"),
            curve(of_run(rate("loadtest_request_bytes_total", SCENARIO)), "sent"),
            curve(of_run("loadtest_network_bytes_per_second"), "machine {{direction}}"),
            curve(of_run(rate(target.format("network_bytes_total"), by="direction")), "target {{direction}}"),
            curve(of_run(rate("redis_net_input_bytes_total")), "redis in"),
            curve(of_run(rate("redis_net_output_bytes_total")), "redis out"),
            span=6,
        ),
    ]


def streams_row() -> list[Any]:
    """Responses streamed as events."""
    return [
        curves(
            "Time to first event",
            "From the intended start of a request to the head of its response, and to the first event or token. "
            f"{OF_SEVERAL}",
            "s",
            *(
                curve(of_run(recent(q, f"loadtest_stream_first_{part}_seconds")), f"{part} p{int(q * 100)}")
                for part in ("byte", "event")
                for q in (0.5, 0.95)
            ),
        ),
        curves(
            "Time between events",
            f"From an event or token of an answer to the next one. {OF_SEVERAL}",
            "s",
            *(
                curve(of_run(recent(q, "loadtest_stream_event_gap_seconds")), f"p{int(q * 100)}")
                for q in (0.5, 0.95, 0.99)
            ),
        ),
        curves(
            "Events",
            "Events or tokens per second, and how many streamed responses ended in a second, by what ended them.",
            "ops",
            curve(of_run(rate("loadtest_stream_events_total", CHOSEN)), "events"),
            curve(of_run(f"{rate('loadtest_streams_total', CHOSEN, 'ended_by')} > 0"), "ended by {{ended_by}}"),
        ),
    ]


def connections_row() -> list[Any]:
    """Time that a request spends on anything other than the response."""
    phases, opened = "loadtest_connection_phase_seconds", 'phase=~"dns|connect|tls"'
    return [
        with_limits(
            curves(
                "Connection phases",
                "The quantile selected above: of new connections the lookup of the host's name, TCP and TLS; of "
                "responses in parts the wait for the first byte, and receiving the rest. Dashed: the run's thresholds "
                "on them.",
                "s",
                curve(of_run(recent(CHOSEN_QUANTILE, phases, "", "phase")), "{{phase}}"),
                span=12,
            ),
            "(dns|connect|tls|waiting|receiving)_time",
            "limit of {{metric}} {{aggregate}} {{name}}",
            "B",
        ),
        on_the_right(
            curves(
                "Connections",
                "Lookups of names, TCP connections and TLS handshakes per second; on the right, the connections that "
                "are open. A client keeps its connections: after the start of a run few are opened, unless the "
                "service closes them.",
                "ops",
                curve(of_run(f"{rate(f'{phases}_count', opened, 'phase')} > 0"), "{{phase}}"),
                curve(of_run("loadtest_connections_open"), "open"),
                span=12,
            ),
            "open",
            "short",
        ),
    ]


def names_row() -> list[Any]:
    """Requests that stand out."""
    count = f"sum by ({BY_NAME}) (increase(loadtest_requests_total{{{CHOSEN}}}[$__range]))"
    failed = f"sum by ({BY_NAME}) (increase(loadtest_requests_total{{{FAILED}}}[$__range]))"
    present = f"and on ({BY_NAME}) ({count} > 0)"
    lowest = of_names("loadtest_run_response_time_min_seconds", "min", BY_NAME)
    highest = of_names("loadtest_run_response_time_max_seconds", "max", BY_NAME)
    failures = of_names("loadtest_run_failures", "sum", f"{BY_NAME}, class, status")
    return [
        rows(
            "Names",
            "Each name in the time range, the slowest first at the chosen quantile. Links of Home set it to a run's. "
            f"{INTERPOLATED} Min and max are exact, of the whole run.",
            {"method": ("method", 90), "name": ("name", 300)},
            Column("quantile", "s", column(quantile(CHOSEN_QUANTILE, RESPONSE_TIME, by=BY_NAME, window=RANGE))),
            *(
                Column(f"p{int(q * 100)}", "s", column(quantile(q, RESPONSE_TIME, by=BY_NAME, window=RANGE)))
                for q in (0.5, 0.95, 0.99)
            ),
            Column("mean", "s", column(mean(RESPONSE_TIME, by=BY_NAME, window=RANGE)), 70),
            Column("min", "s", column(f"{lowest} {present}"), 70),
            Column("max", "s", column(f"{highest} {present}"), 70),
            Column("requests", "locale", column(f"round({count}) > 0"), 80),
            Column("per s", "none", column(f"{count} / on () group_left () ({LOAD_SECONDS} > 0)"), 60),
            Column("failed", "percentunit", column(f"{failed} / ({count} > 0)"), 65),
        ),
        rows(
            "Errors by name",
            "Failed requests of the chosen runs by name, class and HTTP status, the most frequent first. A run's "
            "report has their messages, and samples of them.",
            {"method": ("method", 90), "name": ("name", 400), "class": ("class", 200), "status": ("status", 80)},
            Column("failed", "locale", column(failures), 90),
            Column("of all failed", "percentunit", column(f"{failures} / on () group_left () sum({failures})"), 110),
        ).no_value("No request failed"),
        curves(
            "Response time by name",
            f"The quantile selected above. The slowest names stand out here. {EXACT}",
            "s",
            curve(of_run(recent(CHOSEN_QUANTILE, RESPONSE_TIME, by=BY_NAME)), "{{method}} {{name}}"),
            span=24,
            many=True,
        ),
    ]


def steps_row() -> list[Any]:
    """A scenario's measurements other than requests."""
    time, iterations = "loadtest_transaction_time_seconds", "loadtest_iteration_time_seconds"
    return [
        with_limits(
            curves(
                "Iteration time",
                "The quantile selected above, by scenario: from the intended start of an iteration to the end of its "
                "task. Dashed: the run's thresholds on it.",
                "s",
                curve(of_run(recent(CHOSEN_QUANTILE, iterations, SCENARIO, "scenario")), "{{scenario}}"),
                span=12,
            ),
            "iteration_time",
            "limit of {{aggregate}}",
            "B",
        ),
        curves(
            "Iterations",
            "Tasks that came to their end per second, by scenario.",
            "ops",
            curve(of_run(rate(f"{iterations}_count", SCENARIO, "scenario")), "{{scenario}}"),
            span=12,
        ),
        rows(
            "Transactions",
            "Several requests measured as one, in the time range, the slowest first at the chosen quantile.",
            {"name": ("transaction", 170)},
            Column("quantile", "s", column(quantile(CHOSEN_QUANTILE, time, SCENARIO, "name", RANGE))),
            Column("p50", "s", column(quantile(0.5, time, SCENARIO, "name", RANGE))),
            Column("mean", "s", column(mean(time, SCENARIO, "name", RANGE))),
            *_made_and_failed("loadtest_transactions_total"),
            span=12,
        ),
        with_limits(
            curves(
                "Transaction time",
                "The quantile selected above, by transaction. Dashed: the run's thresholds on them.",
                "s",
                curve(of_run(recent(CHOSEN_QUANTILE, time, SCENARIO, "name")), "{{name}}"),
                span=12,
            ),
            "transaction_time",
            "limit of {{aggregate}} {{name}}",
            "B",
        ),
        rows(
            "Checks",
            "Named conditions of the scenario, met or not, in the time range; those that failed most first.",
            {"name": ("check", 250)},
            *reversed(_made_and_failed("loadtest_checks_total")),
        ),
    ]


def _made_and_failed(metric: str) -> list[Column]:
    """Return the count in the time range, and the share that failed."""
    made = f"sum by (name) (increase({metric}{{{SCENARIO}}}{RANGE}))"
    failed = f'sum by (name) (increase({metric}{{{SCENARIO}, result="failure"}}{RANGE}))'
    return [
        Column("made", "locale", column(f"round({made}) > 0")),
        Column("failed", "percentunit", column(f"{failed} / ({made} > 0)")),
    ]


def build() -> dashboard.Dashboard:
    """Return the dashboard."""
    return board(
        "load_run",
        "One load test: what was requested, what was answered, and how long it took.",
        {
            "Run": run_row(),
            "Load": load_row(),
            "Latency": latency_row(),
            "Machines": machines_row(),
            "Connections": connections_row(),
            "Names": names_row(),
            "Steps": steps_row(),
            "Streams": streams_row(),
        },
        chosen=("run", "scenario", "name", "quantile", "before"),
    )
