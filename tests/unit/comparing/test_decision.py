"""Decision: a run compared with its baseline ends once the comparison has a verdict, and not before."""

import json

import numpy as np
import pytest

from bench.compare.simulation import System, run
from loadtest.comparing import baselines, decision
from loadtest.comparing.commands import compare_documents
from loadtest.comparing.comparison import Comparison, compare
from loadtest.estimating.blocked_run import ALL, BlockedRun, Name
from loadtest.estimating.looks import Look
from loadtest.exceptions import UsageError
from loadtest.measuring.record import DECIDED, RunRecord
from loadtest.reporting import document as run_document
from loadtest.reporting import files
from loadtest.reporting.document import Document
from loadtest.settings.config import Config
from tests import reports

LONGEST_S = 120.0
CONFIG = Config(scenario="documents", profile="quick", baseline="baseline", run_time=LONGEST_S, until_decided=True)


def new(seconds: int, slower: float = 1.0) -> Document:
    """Return an unfinished run."""
    record = reports.record(seconds, per_s=60, slower=slower, seed=2)
    record.run_id = "new"
    record.configuration |= {"run_time": LONGEST_S, "until_decided": True}
    return json.loads(json.dumps(reports.run_document(record)))


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """The settings of a run, with a baseline of two minutes."""
    runs_dir = tmp_path_factory.mktemp("runs")
    record: RunRecord = reports.record(int(LONGEST_S), per_s=60)
    record.run_id = "old"
    record.configuration |= {"run_time": LONGEST_S}
    (runs_dir / "old").mkdir()
    assert files.write(runs_dir / "old", files.of(reports.run_document(record))) == []
    baselines.save(runs_dir, reports.run_document(record), "old")
    return CONFIG.model_copy(update={"runs_dir": runs_dir})


@pytest.mark.parametrize(("slower", "seconds", "decided"), [(1.3, 30, True), (1.0, 6, False), (1.0, 90, True)])
def test_a_run_is_decided_when_it_is_worse_or_everything_is_known(
    slower: float, seconds: int, decided: bool, config: Config
) -> None:
    """30 % slower is decided soon; an equal run not in six seconds, but in 90 against as much of the baseline."""
    assert decision.look(config, new(seconds, slower)) == Look(decided)


def test_a_run_that_would_not_be_compared_says_why(config: Config) -> None:
    """The verdict is clear, but the run is not trustworthy, was changed by hand, or has another machine."""
    so_far = new(30, 1.3)
    so_far["verdict"] = {"name": "not trustworthy", "reasons": ["worker 0 was at 97% CPU"], "notes": []}
    found = decision.look(config, so_far)
    assert found == Look(True, ("it is not trustworthy so far", "worker 0 was at 97% CPU"))
    so_far = new(30, 1.3)
    so_far["events"].append({"second": 5.0, "kind": "users", "text": "changed to 3"})
    assert decision.look(config, so_far).obstacles == ("somebody changed the load of new",)
    so_far = new(30, 1.3)
    so_far["workers"] = [{"subject": "master", "seconds": 30.0, "mean": {"others_cpu_ratio": 0.6}}]
    (busy,) = decision.look(busy_less(config), so_far).obstacles
    assert busy == "other processes took 0% of the generator's cores in one run and 60% in the other"


def busy_less(config: Config) -> Config:
    """Return the settings, with a baseline on an otherwise idle machine."""
    path = baselines.folder_for(config) / "record.json"
    document = json.loads(path.read_text())
    document["workers"] = [{"subject": "master", "seconds": LONGEST_S, "mean": {"others_cpu_ratio": 0.0}}]
    path.write_text(json.dumps(document))
    return config


def found(requests_per_s: float, rare_per_s: float) -> Comparison:
    """Return the comparison of two equal runs, one of whose names is rare."""
    random, runs = np.random.default_rng(3), []
    for _ in range(2):
        (many,), (few,) = (
            run(System(names=1, requests_per_s=per_s, weather=0.0, spread=0.2, failing=0.0), random).series.values()
            for per_s in (requests_per_s, rare_per_s)
        )
        runs.append(BlockedRun("r", 1, len(many.requests), {ALL: many, Name("s", "GET", "rare"): few}))
    return compare(*runs)


def test_a_request_that_the_longest_run_cannot_decide_holds_up_nothing() -> None:
    """A request every two seconds would take hours; in a run of a day there would be enough time."""
    comparison = found(400, 0.5)
    assert [one.conclusion.value for one in comparison.names[0].differences] == ["same"] * 5
    assert decision.is_answer(comparison, LONGEST_S)
    assert not decision.is_answer(comparison, 24 * 3600.0)


def test_a_run_that_ended_early_is_compared_with_as_much_of_its_baseline(config: Config) -> None:
    """Its intervals share the error rate of all looks; a run that was cut off for another reason is refused."""
    base = run_document.read(baselines.folder_for(config))
    early = new(60)
    with pytest.raises(UsageError, match=r"one run has 120 s of load, the other 60 s"):
        compare_documents(base, early)
    early["events"].append({"second": 60.0, "kind": DECIDED, "text": "the answer was known"})
    comparison = compare_documents(base, early)
    assert "the run could end at 6 moments, which share the errors of the intervals" in comparison.notes
    early["configuration"]["until_decided"] = False
    alone = compare_documents(base, early)
    widths = [one.high - one.low for made in (comparison, alone) for one in made.names[0].differences[2:3]]
    assert widths[0] > 1.1 * widths[1]
