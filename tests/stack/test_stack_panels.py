"""The dashboards on the stack's Prometheus: their panels before, during and after runs, and for an older run."""

import math
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import pytest

from tests.stack.compose import filled
from tests.stack.evidence import USERS, Evidence
from tests.stack.panels import BOARDS, Look, expression_of, panel_of
from tests.stack.published_dashboards import DASHBOARD_11985, DASHBOARD_12081, ERRORS_OF_11985

STATES: dict[str, Callable[[Evidence], Look]] = {
    "no run yet": lambda seen: Look(seen.project, seen.ready_s),
    "a closed run": lambda seen: Look(seen.project, seen.middle_s),
    "a closed run that is over": lambda seen: Look(seen.project, seen.end_s),
    "an open run": lambda seen: Look(seen.project, seen.killed_s),
    "an earlier run while another goes on": lambda seen: Look(seen.project, seen.killed_s, seen.record["run_id"]),
    "an open run after its last arrival": lambda seen: Look(seen.project, seen.over_s),
    "the last run, long after it": lambda seen: Look(seen.project, seen.gone_s),
    "an earlier run, long after it": lambda seen: Look(seen.project, seen.gone_s, seen.record["run_id"]),
}
"""Looks at the dashboards in every state that they have something, or nothing, to show of."""
OF_THE_FIRST = ("a closed run that is over", "an earlier run while another goes on", "an earlier run, long after it")
OF_THE_SECOND = ("an open run after its last arrival", "the last run, long after it")
NOT_MADE = (
    "loadtest_transaction",
    "loadtest_check",
    "loadtest_stream",
    'metric=~"transaction_time"',
    'metric=~"iteration_time"',
    'metric=~"(dns',
)
NOT_ALWAYS = ("by (phase, le)", "loadtest_run_failures")
"""What no user of this stack's runs makes, and what they make only at their start, or when a request fails."""
TILES = ("Requests", "Failed", "Peak users", "Time of load", "p50", "p95", "p99", "Completeness")
MANY_CORES = {"CPU", "Worker CPU", "Busiest worker"}
"""Shares that may be above 100 %."""


def _queries() -> list[Any]:
    """Every query of a panel, with a test id."""
    return [
        pytest.param(target["expr"], id=f"{uid}: {panel['title']} {target['refId']}")
        for uid, board in BOARDS.items()
        for panel in board["panels"]
        for target in panel.get("targets", [])
        if not any(metric in target["expr"] for metric in (*NOT_MADE, *NOT_ALWAYS))
    ]


@pytest.mark.parametrize("expression", _queries())
def test_every_dashboard_query_answers(evidence: Evidence, expression: str) -> None:
    """During the closed or the open run, each query of each panel returns a number."""
    asked = filled(expression).replace(" > 0", " >= 0")  # queries whose values are left out when they are 0
    moments = (evidence.middle_s, evidence.killed_s)
    rows = [row for at_s in moments for row in evidence.project.query(asked, at_s)]
    assert any(row["value"][1] != "NaN" for row in rows)


@pytest.mark.parametrize("state", STATES)
def test_no_panel_shows_what_is_wrong(evidence: Evidence, state: str) -> None:
    """In no state does a panel show an error, NaN, a tile without text, or a figure of another run."""
    look = STATES[state](evidence)
    wrong = [
        f"{uid}: {panel['title']}: {what}"
        for uid, board in BOARDS.items()
        for panel in board["panels"]
        for what in _faults(look, panel)
    ]
    assert wrong == []


@pytest.mark.parametrize("state", [one for one in STATES if one != "no run yet"])
def test_no_tile_of_a_run_is_empty(evidence: Evidence, state: str) -> None:
    """During the run, after it and days later, each tile of its figures has one value."""
    look = STATES[state](evidence)
    shown = {title: look.rows(expression_of("load_run", title)) for title in ("Verdict", "State", *TILES)}
    assert [title for title, rows in shown.items() if len(rows) != 1] == []


def test_the_rate_of_names_is_the_records(evidence: Evidence) -> None:
    """Requests per second by name are those of the seconds under load, however long the time range is.

    The query is made when the run's end was scraped: Prometheus extrapolates an increase to the end of the range, by up
    to a scrape interval of 2 s, which is 7 % of so short a run.
    """
    record = evidence.record
    (scraped,) = evidence.project.query("max(timestamp(loadtest_requests_total))", evidence.end_s)
    at_s = float(scraped["value"][1]) + 0.001
    range_s = math.ceil(at_s - datetime.fromisoformat(record["started_at"]).timestamp()) + 30
    look = Look(evidence.project, at_s, record["run_id"], range_s)
    (asked,) = [one["expr"] for one in panel_of("load_run", "Names")["targets"] if "loadtest_run_load" in one["expr"]]
    in_total = sum(float(row["value"][1]) for row in look.rows(asked))
    assert in_total == pytest.approx(record["total"]["requests"] / record["counted_s"], rel=0.05)


def _faults(look: Look, panel: dict[str, Any]) -> Iterator[str]:
    """Yield the problems of a panel's responses."""
    look_of = panel.get("fieldConfig", {}).get("defaults", {})
    is_share = look_of.get("unit") == "percentunit" and panel["title"] not in MANY_CORES
    looks = panel.get("fieldConfig", {}).get("overrides", [])
    of_another_unit = {
        one["matcher"]["options"] for one in looks if "unit" in {each["id"] for each in one["properties"]}
    }
    for target in panel.get("targets", []):
        try:
            rows = look.rows(target["expr"])
        except ValueError as error:
            yield str(error)
            continue
        if panel["type"] == "stat" and not rows and not look_of.get("noValue"):
            yield "blank"
        for row in rows:
            number, run_id = float(row["value"][1]), row["metric"].get("run_id")
            is_change = " - 1" in target["expr"]
            above = is_share and number > 1 and target.get("legendFormat") not in of_another_unit
            if not math.isfinite(number) or (number < 0 and not is_change) or above:
                yield f"{row['metric']} is {number}"
            if look.run != ".*" and run_id is not None and run_id not in look.query(target["expr"]):
                yield f"it is of the run {run_id}"


def test_before_the_first_run_the_tiles_say_so(evidence: Evidence) -> None:
    """The verdict is a word, the state is the master's, and no tile has a figure."""
    look = STATES["no run yet"](evidence)
    verdict, state = (look.rows(expression_of("load_run", title)) for title in ("Verdict", "State"))
    assert [row["metric"]["verdict"] for row in verdict] == ["none yet"]
    assert [row["metric"]["state"] for row in state] == ["ready"]
    assert {title: look.rows(expression_of("load_run", title)) for title in TILES} == {title: [] for title in TILES}


@pytest.mark.parametrize("state", [*OF_THE_FIRST, *OF_THE_SECOND])
def test_figures_are_those_of_the_record(evidence: Evidence, state: str) -> None:
    """A run's tiles show its record's figures, also when it is selected during a later run, or days later."""
    record = evidence.record if state in OF_THE_FIRST else evidence.second
    shown, expected = _shown(STATES[state](evidence)), _expected(record)
    # Whole seconds until its end is scraped.
    assert shown.pop("Time of load") == pytest.approx(expected.pop("Time of load"), abs=1.0)
    assert shown == pytest.approx(expected)


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("a closed run", {"running"}),
        ("an open run", {"running", "spawning"}),  # the users of the killed worker start on the others
        ("an open run after its last arrival", {"stopped"}),
        ("an earlier run while another goes on", {"over"}),
        ("the last run, long after it", {"over"}),
    ],
)
def test_the_state_is_that_of_the_chosen_run(evidence: Evidence, state: str, expected: set[str]) -> None:
    """The master's state is shown for the run that it belongs to."""
    (row,) = STATES[state](evidence).rows(expression_of("load_run", "State"))
    assert row["metric"]["state"] in expected


def test_a_profile_asks_for_users_or_for_arrivals(evidence: Evidence) -> None:
    """A closed profile requests users, an open one arrivals; a finished one neither."""
    asked = {}
    for state in ("a closed run", "an open run", "an open run after its last arrival"):
        look = STATES[state](evidence)
        (_, users), (arrivals, *_) = (panel_of("load_run", title)["targets"] for title in ("Users", "Arrivals"))
        asked[state] = [[float(row["value"][1]) for row in look.rows(one["expr"])] for one in (users, arrivals)]
    assert asked["a closed run"] == [[USERS], []]
    assert asked["an open run after its last arrival"] == [[], []]
    users_wanted, (rate_per_s,) = asked["an open run"]
    assert users_wanted == []
    assert 0 < rate_per_s <= 40


def _shown(look: Look) -> dict[str, float | str]:
    """Return the values that the tiles of Load run show."""
    (verdict,) = look.rows(expression_of("load_run", "Verdict"))
    shown: dict[str, float | str] = {"Verdict": verdict["metric"]["verdict"]}
    for title in TILES:
        (row,) = look.rows(expression_of("load_run", title))
        shown[title] = float(row["value"][1])
    return shown


def _expected(record: dict[str, Any]) -> dict[str, float | str]:
    """Return the record's values for them."""
    total = record["total"]
    return {
        "Verdict": record["verdict"]["name"],
        "Requests": total["requests"],
        "Failed": total["failures"] / total["requests"],
        "Peak users": max(point["users"] for point in record["timeline"]),
        "Time of load": record["counted_s"],
        **{name: total["response_time"][f"{name}_s"] for name in ("p50", "p95", "p99")},
        "Completeness": record["delivery"]["completeness"],
    }


@pytest.mark.parametrize(
    ("mark", "expected"),
    [
        ("Run starts", {"middle", "killed", "end"}),
        ("Run ends", {"end"}),
        ("Stages", {"killed"}),
        ("Workers lost", {"killed"}),
    ],
)
def test_runs_are_marked(evidence: Evidence, mark: str, expected: set[str]) -> None:
    """Start, end, stages and lost workers are marked, each at the time at which it happened."""
    (expression,) = {
        one["expr"] for board in BOARDS.values() for one in board["annotations"]["list"] if one["name"] == mark
    }
    moments = {"middle": evidence.middle_s, "end": evidence.end_s, "killed": evidence.killed_s}
    answers = {name: evidence.project.query(filled(expression), at_s) for name, at_s in moments.items()}
    assert expected <= {name for name, rows in answers.items() if rows}
    for name in expected:
        (row,) = answers[name]
        assert 0 < moments[name] - float(row["value"][1]) / 1000 < 300


@pytest.mark.parametrize("expression", [*DASHBOARD_11985, *DASHBOARD_12081])
def test_published_dashboards_are_answered(evidence: Evidence, expression: str) -> None:
    """During the run, the queries of dashboards 11985 and 12081 return numbers."""
    rows = evidence.project.query(expression, evidence.middle_s)
    assert rows
    assert all(row["value"][1] != "NaN" for row in rows)


def test_published_dashboards_count_nothing_twice(evidence: Evidence) -> None:
    """Dashboard 11985's total, its sum over the names, and the record are the same number."""
    total, by_name = 'locust_requests_num_requests{method=~""}', 'sum(locust_requests_num_requests{method=~".+"})'
    in_total = {float(row["value"][1]) for q in (total, by_name) for row in evidence.project.query(q, evidence.end_s)}
    assert {evidence.record["total"]["requests"]} == in_total
    assert evidence.project.query(ERRORS_OF_11985, evidence.end_s) == []
