"""Profiles, think time, shapes and thresholds in real Locust processes, without a service under test."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from .conftest import ROOT

pytestmark = [pytest.mark.native, pytest.mark.timeout(120)]
LOCUSTFILE = Path(__file__).with_name("shaped_locustfile.py")
PROFILES = """
[climb]
think_time = "0.1s"
stages = [
  { users = 4, duration = "3s" },
  { users = 4, duration = "1s" },
]

[long]
stages = [{ users = 5, duration = "5m", ramp = "step" }, { users = 1, duration = "5m" }]
"""


@dataclass
class Sleepers:
    """A headless Locust with the locustfile in this folder."""

    folder: Path

    def start(self, profile: str, *rules: str, **variables: str) -> "subprocess.Popen[str]":
        """Start it with a profile of the test's own and rules."""
        profiles = self.folder / "profiles.toml"
        profiles.write_text(PROFILES)
        mine = {name: value for name, value in os.environ.items() if not name.startswith(("LOADTEST_", "LOCUST_"))}
        settings = {
            "LOADTEST_PROFILES_FILE": str(profiles),
            "LOADTEST_PROFILE": profile,
            "LOADTEST_SCENARIO": "sleep",
            "LOADTEST_THRESHOLD": ", ".join(rules),
            "LOADTEST_RUNS_DIR": str(self.folder),
            "LOADTEST_RUN_ID": "run",
        }
        return subprocess.Popen(
            [sys.executable, "-m", "locust", "-f", LOCUSTFILE, "--headless", "--only-summary"],
            cwd=ROOT,
            env={**mine, **settings, **variables},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, profile: str, *rules: str, **variables: str) -> tuple[int, str]:
        """Run it to its end; return exit code and output."""
        process = self.start(profile, *rules, **variables)
        output, _ = process.communicate(timeout=60)
        return process.returncode, output

    def record(self) -> dict[str, Any]:
        """Return the run's record."""
        document: dict[str, Any] = json.loads((self.folder / "run" / "record.json").read_text())
        return document


@pytest.fixture
def sleepers(tmp_path: Path) -> Sleepers:
    """Return Locust, ready to start."""
    return Sleepers(tmp_path)


def test_a_profile_ramps_thinks_and_ends(sleepers: Sleepers) -> None:
    """Users ramp up to the peak with the profile's think time instead of their own, and the test ends in time."""
    started = time.monotonic()
    code, output = sleepers.run("climb", 'requests{name="sleep/count"} > 0')
    record = sleepers.record()
    users = [point["users"] for point in record["timeline"]]
    assert max(users) == 4, users
    assert users[0] <= 2, users
    assert time.monotonic() - started >= 4
    assert 4 <= record["duration_s"] <= 7, output
    # 10 user-seconds are 100 requests at 0.1 s of think time, and 10 at the scenario's own second.
    assert 60 < record["total"]["requests"] <= 110
    assert [rule["outcome"] for rule in record["thresholds"]] == ["passed", "passed"]
    assert code == {"passed": 0, "not trustworthy": 5}[record["verdict"]["name"]]


def test_a_shape_of_ones_own_wins_over_the_profile(sleepers: Sleepers) -> None:
    """A LoadTestShape in the locustfile determines users and end, whatever the profile is."""
    code, output = sleepers.run("long", SHAPE="1")
    record = sleepers.record()
    assert max(point["users"] for point in record["timeline"]) == 2
    assert record["duration_s"] < 10
    assert code == {"passed": 0, "not trustworthy": 5}[record["verdict"]["name"]], output


def test_a_load_shape_that_ends_before_its_users_are_there_is_not_trustworthy(sleepers: Sleepers) -> None:
    """A shape asks for a hundred users, two a second, for three seconds: the intended load is not reached."""
    code, output = sleepers.run("long", SHAPE="100 users")
    record = sleepers.record()
    (sentence,) = [one["sentence"] for one in record["findings"] if one["rule"] == "load_not_reached"]
    assert "of the 100 requested users" in sentence
    assert (record["verdict"]["name"], code) == ("not trustworthy", 5), output


def test_a_broken_rule_aborts_the_run(sleepers: Sleepers) -> None:
    """With abort_on_fail a ten-minute profile ends after seconds; the verdict names the rule, and is a failure."""
    code, output = sleepers.run("long", "requests < 3 abort_on_fail", "max < 60s")
    record = sleepers.record()
    assert record["duration_s"] < 30
    assert any("requests < 3 ended the run after " in note for note in record["verdict"]["notes"]), record["verdict"]
    assert "aborted      requests < 3: failed with " in output
    assert {rule["rule"]: rule["outcome"] for rule in record["thresholds"] if rule["metric"] != "response_time"} == {
        "requests < 3 abort_on_fail": "failed",
        "error_ratio < 1%": "passed",
    }
    assert code == {"failed": 3, "not trustworthy": 5}[record["verdict"]["name"]]
    assert 'message="requests &lt; 3: failed with' in (sleepers.folder / "run" / "junit.xml").read_text()


def test_a_rule_without_samples_is_no_data(sleepers: Sleepers) -> None:
    """A rule whose warm-up outlasts the run is neither met nor violated, and the exit code says so."""
    code, output = sleepers.run("climb", "max < 1s warm_up=1m")
    record = sleepers.record()
    assert (record["thresholds"][1]["outcome"], record["thresholds"][1]["value"]) == ("no data", None), output
    assert code == {"no data": 4, "not trustworthy": 5}[record["verdict"]["name"]]


def test_sigterm_ends_a_shape_with_a_report(sleepers: Sleepers) -> None:
    """A ramping profile that SIGTERM ends early is reported on."""
    process = sleepers.start("long")
    deadline = time.monotonic() + 60
    while not (sleepers.folder / "run" / "record.stream").exists():
        assert time.monotonic() < deadline
        time.sleep(0.1)
    time.sleep(2)
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=60)
    assert "verdict" in output, output
    assert sleepers.record()["ended"]


def test_a_wrong_name_in_a_rule_is_refused_before_the_run(sleepers: Sleepers) -> None:
    """Locust itself exits with the code for usage errors, and nothing is written."""
    code, output = sleepers.run("climb", 'max{name="sleep/cuont"} < 1s')
    assert (code, (sleepers.folder / "run").exists()) == (2, False)
    assert "did you mean sleep/count?" in output
