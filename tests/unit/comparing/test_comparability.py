"""Comparability: runs are compared only if they differ in nothing but the service under test."""

import copy
import re
from typing import Any

import pytest

from loadtest.comparing import baselines, comparability
from loadtest.exceptions import UsageError
from tests import reports


@pytest.fixture
def base() -> dict[str, Any]:
    """A run's document."""
    made = reports.run_document(reports.record(20))
    return {**made, "run_id": "old"}


def changed(base: dict[str, Any], **settings: Any) -> dict[str, Any]:
    """The same run with other settings."""
    other = copy.deepcopy(base)
    other["run_id"] = "new"
    other["configuration"].update(settings)
    return other


def test_alike_runs_are_compared_without_a_note(base: dict[str, Any]) -> None:
    """Two runs of the same kind need no note."""
    assert comparability.check(base, changed(base, host="http://127.0.0.1:4711")) == []


@pytest.mark.parametrize(("setting", "value"), [("scenario", "health"), ("profile", "stress"), ("users", 20)])
def test_other_load_is_refused(base: dict[str, Any], setting: str, value: object) -> None:
    """Another scenario, profile or number of users is named with both values; --force makes it a note."""
    other = changed(base, **{setting: value})
    with pytest.raises(UsageError, match=rf"{setting} is .* in one run and {value} in the other.*--force"):
        comparability.check(base, other)
    (note,) = comparability.check(base, other, force=True)
    assert note.startswith(f"not comparable: {setting} is ")


@pytest.mark.parametrize("verdict", ["not trustworthy", "no data", "interrupted"])
def test_a_baseline_that_means_nothing_is_refused_before_the_load(base: dict[str, Any], verdict: str) -> None:
    """Otherwise the run would end without its comparison."""
    comparability.check_settings(base, base["configuration"])
    base["verdict"]["name"] = verdict
    with pytest.raises(UsageError, match=rf"{base['run_id']} is {verdict}"):
        comparability.check_settings(base, base["configuration"])


def test_machines_that_were_loaded_differently_are_refused(base: dict[str, Any]) -> None:
    """Other processes took a third of the cores during one run only; a difference of a few percent is tolerated."""
    for taken, refused in ((0.33, True), (0.05, False)):
        runs = [copy.deepcopy(base), changed(base)]
        for run, others in zip(runs, (0.0, taken), strict=True):
            run["workers"] = [{"subject": "master", "seconds": 20.0, "mean": {"others_cpu_ratio": others}}]
        if refused:
            with pytest.raises(UsageError, match=r"other processes took 0% .* in one run and 33% in the other"):
                comparability.check(*runs)
        else:
            assert comparability.check(*runs) == []


def test_runs_that_mean_nothing_are_refused(base: dict[str, Any]) -> None:
    """Untrustworthy, interrupted and empty runs are not compared."""
    for verdict in ("not trustworthy", "interrupted", "no data"):
        other = {**changed(base), "verdict": {"name": verdict, "reasons": []}}
        with pytest.raises(UsageError, match=f"new is {verdict}"):
            comparability.check(base, other)


@pytest.mark.parametrize("kind", ["users", "rate"])
def test_a_load_that_a_person_changed_is_refused(base: dict[str, Any], kind: str) -> None:
    """The settings are the same, but the load is not; in a history such a run is alone."""
    other = changed(base)
    other["events"].append({"second": 5.0, "kind": kind, "text": "changed to 3"})
    for runs in ((base, other), (other, base)):
        with pytest.raises(UsageError, match=r"compared: somebody changed the load of new while it ran\. Allowed"):
            comparability.check(*runs)
    assert comparability.conditions(other) != comparability.conditions(base)


def test_a_profile_that_was_edited_is_refused(base: dict[str, Any]) -> None:
    """The same profile name with other stages is another load."""
    other = changed(base)
    other["context"]["plan"]["stages"] = []
    with pytest.raises(UsageError, match="stages of the load profile differ"):
        comparability.check(base, other)


def test_a_run_that_ended_early_is_refused(base: dict[str, Any]) -> None:
    """Half the load is not the same load."""
    with pytest.raises(UsageError, match="one run has 20 s of load, the other 10 s"):
        comparability.check(base, {**changed(base), "load_s": 10.0})


@pytest.mark.parametrize(("requests", "refused"), [(19, False), (20, True)])
def test_runs_with_different_requests_are_refused(base: dict[str, Any], requests: int, refused: bool) -> None:
    """Otherwise the comparison of the rest might pass although the slowest page is no longer requested."""
    base["series"][0]["requests"] = requests
    total = sum(row["requests"] for row in base["series"])
    other = changed(base)
    gone = other["series"].pop(0)
    other["series"][0]["requests"] += total - sum(row["requests"] for row in other["series"])
    for runs, (one, another) in (((base, other), ("old", "new")), ((other, base), ("old", "new"))):
        if not refused:
            assert comparability.check(*runs) == []
            continue
        said = f"{one} made {requests} requests {gone['method']} {gone['name']}, and {another} none"
        with pytest.raises(UsageError, match=re.escape(said)):
            comparability.check(*runs)
        assert said in comparability.obstacles(*runs)


def test_a_missing_name_that_is_expected_rarely_may_be_chance(base: dict[str, Any]) -> None:
    """A run that ended early, once it was decided, is a tenth as long."""
    first, second = ({**row, "requests": requests} for row, requests in zip(base["series"], (100, 900), strict=False))
    other = changed(base)
    base["series"], other["series"] = [first, second], [{**second, "requests": 90}]
    assert not any("requests" in problem for problem in comparability.obstacles(base, other))
    other["series"] = [{**second, "requests": 220}]
    assert any("made 100 requests" in problem for problem in comparability.obstacles(base, other))


def test_a_missing_name_may_be_among_those_that_are_not_kept_apart(base: dict[str, Any]) -> None:
    """Each process keeps a limited number of names apart, and which ones is a matter of chance."""
    row = {**base["series"][0], "requests": 1_000}
    other = changed(base)
    base["series"], other["series"] = [row, {**row, "name": "rare"}], [row, {**row, "name": "other"}]
    assert not any("rare" in problem for problem in comparability.obstacles(base, other))
    other["series"].pop()
    assert any("rare" in problem for problem in comparability.obstacles(base, other))


def test_a_run_with_many_names_less_names_five(base: dict[str, Any]) -> None:
    """With an address in each name, the message would otherwise be endless."""
    row = base["series"][0]
    base["series"] += [{**row, "name": f"page {number}", "requests": 1_000} for number in range(8)]
    other = changed(base)
    other["series"] = [one for one in other["series"] if not one["name"].startswith("page")]
    (note,) = [one for one in comparability.check(base, other, force=True) if "more" in one]
    assert note == "not comparable: and 3 more"


def test_other_machines_are_noted(base: dict[str, Any]) -> None:
    """Another processor or service is noted, but does not prevent the comparison."""
    other = changed(base)
    other["context"]["target"] = {"hosts": ["https://staging.example.com"], "sentence": "HOST"}
    other["context"]["host"]["cpu"] = "another"
    notes = comparability.check(base, other)
    assert [note.split("different ")[1].split(":")[0] for note in notes] == ["processors", "hosts"]


@pytest.mark.parametrize("path", ["shop.py", "./shop.py", "/srv/tests/shop.py"])
def test_a_scenarios_path_is_not_its_identity(base: dict[str, Any], path: str) -> None:
    """The same file at another path, or in another folder as on another machine, is the same scenario."""
    base["configuration"]["scenario"] = "shop.py"
    assert comparability.check(base, changed(base, scenario=path)) == []
    assert baselines.key_of(changed(base, scenario=path)) == "shop/quick"
    with pytest.raises(UsageError, match="scenario is"):
        comparability.check(base, changed(base, scenario="other.py"))


def test_an_imitation_is_not_compared_with_redis(base: dict[str, Any]) -> None:
    """A run against fakeredis describes another system; two such runs are compared."""
    other = changed(base)
    other["context"]["imitation"] = True
    for runs in ((base, other), (other, base)):
        with pytest.raises(UsageError, match="in new an imitation of Redis answered, in the other a real Redis did"):
            comparability.check(*runs)
    base["context"]["imitation"] = True
    assert comparability.check(base, other) == []
