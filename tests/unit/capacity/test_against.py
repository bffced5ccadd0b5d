"""Against: the capacity of two searches compared."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from loadtest.capacity.against import Found, check, check_machine, conclusion, difference, surroundings
from loadtest.comparing.difference import Conclusion
from loadtest.exceptions import RecordError, UsageError
from tests import reports


def found(rate_per_s: float, low_per_s: float, high_per_s: float, run_id: str = "night-41") -> Found:
    """Return the result of a search."""
    return Found(run_id, "health", "p99 < 100ms", rate_per_s, low_per_s, high_per_s)


@pytest.mark.parametrize(
    ("new", "conclusion_"),
    [
        (found(70, 66, 75), Conclusion.WORSE),
        (found(140, 136, 145), Conclusion.BETTER),
        (found(100, 96.5, 103.5), Conclusion.SAME),
        (found(100, 88, 112), Conclusion.INCONCLUSIVE),
        (found(89, 86, 92), Conclusion.INCONCLUSIVE),
        (found(150, 140, math.inf), Conclusion.BETTER),
        (found(100, 98, math.inf), Conclusion.INCONCLUSIVE),
        (found(0, 0, math.inf), Conclusion.INCONCLUSIVE),
    ],
)
def test_a_capacity_is_worse_where_the_whole_interval_is(new: Found, conclusion_: Conclusion) -> None:
    """100/s is compared with 98 to 102, with a margin of 10 %; a lower bound has no known upper end."""
    assert conclusion(found(100, 98, 102), new)[0] is conclusion_


def test_the_difference_is_said_with_its_interval() -> None:
    """The text has both rates, the change and the margin."""
    said = conclusion(found(100, 98, 102), found(80, 78, 82, "night-42"))[1]
    assert said == "worse against night-41: 100/s to 80/s, -20.0% (-22.5% to -17.4%), margin 10%"


def test_an_inconclusive_comparison_says_what_next() -> None:
    """If the intervals are too wide, it recommends longer searches."""
    said = conclusion(found(100, 94, 106), found(95, 90, 101, "night-42"))[1]
    assert said.startswith("inconclusive against night-41: 100/s to 95/s, -5.0%")
    assert said.endswith("Next: give both searches a longer --run-time, such as 5m")


def run_beside(others: float, crowded: float = 0.0, run_id: str = "night-42") -> dict[str, Any]:
    """Return the document of a search with other work on its machine."""
    mean = {"others_cpu_ratio": others, "crowded_ratio": crowded}
    made = reports.run_document(reports.record(20))
    return {**made, "run_id": run_id, "workers": [{"subject": "master", "seconds": 120.0, "mean": mean}]}


def test_a_search_beside_other_work_is_not_compared() -> None:
    """It is refused even if as much other work ran during the other search; with --force this is noted."""
    quiet, busy = run_beside(0.02), run_beside(0.6, 0.9)
    assert surroundings(quiet, run_beside(0.05)) == ([], [])
    problems, _ = surroundings(quiet, busy)
    assert [one.split(" of ")[0] for one in problems] == [
        "other processes took 2%",
        "other processes crowded the machine",
    ]
    assert surroundings(busy, busy)[0] == ["other processes crowded the machine of master for 90% of night-42"]
    assert surroundings(quiet, busy, force=True) == ([], [f"not comparable: {one}" for one in problems])
    unfit, said = conclusion(found(100, 98, 102), found(150, 145, 155), problems)
    assert unfit is Conclusion.INCONCLUSIVE
    assert "+50.0%" in said
    assert said.endswith("Next: repeat the search on an otherwise idle machine, or use --force")
    with pytest.raises(UsageError, match=r"crowded the machine of master for 90% .*--force"):
        check_machine(busy)
    check_machine(quiet)


def test_the_difference_of_two_lower_bounds_is_not_known() -> None:
    """Neither end of the interval is known."""
    bound = found(100, 98, math.inf)
    assert difference(bound, bound)[1:] == (-math.inf, math.inf)


def test_only_searches_of_the_same_kind_are_compared() -> None:
    """Another scenario, another objective, and a search without a result are refused before the load begins."""
    base = found(100, 98, 102)
    check(base, "health", "p99 < 100ms")
    for scenario, slo, words in (
        ("documents", base.slo, "its scenario is health, not documents"),
        ("health", "p99 < 1s", "its objective is p99 < 100ms, not p99 < 1s"),
    ):
        with pytest.raises(UsageError, match=words):
            check(base, scenario, slo)
    with pytest.raises(UsageError, match="night-41 found no capacity"):
        check(found(0, 0, math.inf), "health", base.slo)


def test_a_capacity_is_read_from_the_folder_of_its_run(tmp_path: Path) -> None:
    """An unknown upper end is null there; a folder without a result, or with a damaged one, is an error."""
    with pytest.raises(RecordError, match="cannot be read as a capacity"):
        Found.read(tmp_path)
    path = tmp_path / "capacity.json"
    for text in (
        "{",
        "[]",
        "{}",
        '{"scenario": "x", "slo": "y", "rate_per_s": "z", "low_per_s": 1, "high_per_s": 1}',
        '{"scenario": "x", "slo": "y", "rate_per_s": 160, "low_per_s": 160, "high_per_s": 80}',
    ):
        path.write_text(text)
        with pytest.raises(RecordError, match="cannot be read as a capacity"):
            Found.read(tmp_path)
    path.write_text(json.dumps({"scenario": "x", "slo": "y", "rate_per_s": 9, "low_per_s": 8.5, "high_per_s": None}))
    assert Found.read(tmp_path) == (tmp_path.name, "x", "y", 9.0, 8.5, math.inf)
