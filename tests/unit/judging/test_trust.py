"""All rules about the generator together, and their documentation."""

from pathlib import Path

from loadtest.judging import generator_health as health
from loadtest.judging import idle, plan, steady, tallied
from loadtest.judging import record_checks as checks
from loadtest.judging.generator_health import PEAKS, SUSTAINED
from loadtest.measuring.health import LATE_S
from tests.trust_harness import record_with, rules


def test_a_calm_record_breaks_no_rule() -> None:
    """With requests on time, nothing dropped and nothing missing, no rule fails."""
    assert rules(record_with(lag_s=0.01)) == []


def test_the_documentation_states_every_limit() -> None:
    """The table of rules in docs/measuring.md has each rule with its limit and its advice, and no others."""
    text = Path(__file__).parents[3].joinpath("docs", "measuring.md").read_text(encoding="utf-8")
    section = text.split("## Trust\n", 1)[1].split("\n##", 1)[0]
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line.startswith("| `")
    ]

    def limit(name: str, value: float) -> str:
        if name.endswith("_per_s"):
            return f"≥ {value:.0f} times a second"
        return f"≥ {value * 1000:.0f} ms" if name.endswith("_s") else f"≥ {value:.0%}"

    rules_of_health = [
        [f"`{rule.name}`", f"{limit(name, rule.limit)} {suffix}", rule.advice]
        for group, suffix in ((SUSTAINED, f"for {health.SUSTAINED_S:.0f} s"), (PEAKS, "once"))
        for name, rule in group.items()
    ]
    late = f"≥ {checks.SCHEDULE_LAG_P99_S * 1000:.0f} ms"
    hung = f"≥ {checks.UNFINISHED_RATIO:.0%} of a name's requests without a response when their users were stopped"
    missing = f"≥ {plan.SHORTFALL_RATIO:.0%} of the profile's users or arrivals were missing, its ramp is that much "
    missing += "too long for the run, or users spent that share of their time in `on_start`, not counting the "
    missing += f"first {plan.LAG_S:.0f} s of each"
    raised = (
        f"≥ {checks.LISTENER_EXCEPTIONS} exception of a listener of Locust's events, on the master or a worker, or of "
        "a greenlet or thread of the scenario's own that no user spawned; such a greenlet that calls `sys.exit(0)`; "
        "≥ 1 `events.request` that cannot be counted, such as one whose `response_time` is not a number"
    )
    exceptions = f"≥ {checks.EXCEPTIONS_RATIO:.0%} of a scenario's iterations raised an exception, or of its users "
    exceptions += "ended with one; or a greenlet that one of its users spawned raised one"
    stall = f"≥ {checks.STALL_S} s without any response, and {checks.STALL_BY_MEDIAN} times the median response time"
    fast = f"≥ {checks.FAILURES_RATIO:.0%} of a name's requests, and ≥ {checks.FEW_FAILURES}, failed"
    fast += f", and their median is ≤ {checks.FASTER:.0%} of that of the successes"
    growing = f"the median of the last third is ≥ {steady.GROWTH:.0f} times that of the first, and ≥ "
    growing += f"{steady.GROWTH_S * 1000:.0f} ms longer, and it is still growing (constant load of "
    growing += f"{steady.BATCH * steady.MIN_BATCHES} s to an hour; no threshold failed)"
    lookups = f"≥ {tallied.LOOKUP_RATIO:.0%} of all response times, ≥ {tallied.LOOKUP_S * 1000:.0f} ms each, "
    lookups += f"and at least {tallied.MIN_LOOKUPS} look-ups"
    answers = f"< {tallied.VARIED_RATIO:.0%} of at least {tallied.COMPARED_ANSWERS} responses differed from the "
    answers += "previous one, although `Expect(varies=True)` declares that they vary"
    no_request = f"≥ {plan.SHORTFALL_RATIO:.0%} of a scenario's iterations sent no request in the open model, "
    no_request += f"≥ {idle.IDLE_RATIO:.0%} in the closed one, of at least {idle.MIN_ITERATIONS} iterations"
    again = f"≥ {tallied.RESENT_RATIO:.0%} of a name's requests, and at least {tallied.MIN_RESENT}, were retried"
    away = f"≥ {tallied.AWAY_SHARE:.0%} of all requests, of at least {tallied.AWAY_NAMES} names, were redirected to "
    away += f"one place, each name ≥ {tallied.AWAY_RATIO:.0%} of the time"
    missed = f"≥ {tallied.MISS_RATIO:.0%} of a name's commands to Redis, and at least {tallied.MIN_MISSES}, "
    missed += "found nothing"
    software = "worker ran another version of this package, or other files of the scenario, than the master"
    silent = f"≥ {checks.SILENCE_RATIO:.0%} of the load at its end, and ≥ {checks.SILENCE_S} s"
    impossible = f"≥ {checks.REFUSED_RATIO:.1%} negative, not a number or above an hour"
    astray = (
        "no request went to the host that HOST names; in a duet, requests of a side went to the other version, or none "
        "of its requests went to its own"
    )
    rules_of_records = [
        ["`other_processes`", f"≥ {health.CROWDED_RATIO:.0%} of the run"],
        [
            "`run_delay`",
            f"≥ {health.RUN_DELAY_RATIO:.0%} of the median response time, and ≥ {health.RUN_DELAY_S * 1000:.1f} ms",
        ],
        [
            "`late_wake_ups`",
            f"≥ {health.LATE_SHARE:.0%} of the median, p95 or p99 of the response times, and ≥ {LATE_S * 1000:.0f} ms",
        ],
        [
            "`uneven_workers`",
            f"mean ≥ {health.SLOWER:.0f} times the others', or ≤ {health.SHARE:.0%} of its share of the requests",
        ],
        ["`schedule_lag`", f"{late} (p99 of a scenario, and at least {checks.LATE_ITERATIONS} iterations)"],
        ["`dropped_iterations`", f"≥ {checks.DROPPED_RATIO:.0%} of a scenario's iterations"],
        ["`completeness`", f"< {checks.COMPLETENESS:.0%}"],
        ["`other_software`", f"≥ {checks.OTHER_WORKERS} {software}"],
        [
            "`generator_errors`",
            f"≥ {checks.GENERATOR_ERRORS} error of class `generator`, in the load or the set-up",
        ],
        ["`unfinished_requests`", f"{hung}, or as many as {checks.UNFINISHED_USERS_RATIO:.0%} of the users"],
        [
            "`task_exceptions`",
            exceptions,
        ],
        [
            "`listener_exceptions`",
            raised,
        ],
        ["`idle_iterations`", no_request],
        [
            "`load_not_reached`",
            missing,
        ],
        ["`load_exceeded`", f"≥ {plan.SURPLUS_RATIO:.0%} more iterations than the profile has arrivals (open model)"],
        ["`stall`", f"{stall}, while half of the users waited (closed model)"],
        ["`silence`", f"{silent}, without a request while users ran (closed model)"],
        [
            "`fast_failures`",
            f"{fast}, and ≥ {checks.FASTER_S * 1000:.0f} ms shorter",
        ],
        ["`unsteady`", growing],
        ["`name_lookups`", lookups],
        ["`resent_requests`", f"{again} because the service closed the connection without a response"],
        [
            "`empty_redirects`",
            f"≥ {tallied.NOWHERE_RATIO:.0%} of a name's responses had status 3xx without a usable redirect",
        ],
        ["`only_misses`", missed],
        ["`redirected_away`", away],
        ["`another_host`", astray],
        ["`same_answers`", answers],
        [
            "`durations`",
            f"{impossible}, or all of ≥ {checks.UNTIMED_REQUESTS} of a name 0",
        ],
    ]
    assert rows[: len(rules_of_health)] == rules_of_health
    assert [row[:2] for row in rows[len(rules_of_health) :]] == rules_of_records
