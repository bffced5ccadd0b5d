"""The web UI's start form: each start of one process has its own load profile, arrival rate and thresholds."""

import json
import re
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gevent
import pytest

from .conftest import Stack

pytestmark = [pytest.mark.native, pytest.mark.timeout(120)]

PROFILES = """
[climb]
stages = [
  { users = 4, duration = "2s" },
  { users = 4, duration = "3s" },
]
"""
SCENARIO = """
import time
from dataclasses import replace
from pathlib import Path

from loadtest.scenarios import health

FOLDER = Path(__file__).parent


class User(health.HealthUser):
    scenario = "probes"


def set_up(environment):
    with (FOLDER / "set_ups").open("a") as file:
        file.write("one more ")
    while (FOLDER / "hold").exists():
        time.sleep(0.05)


scenario = replace(health.scenario, name="probes", user_classes=(User,), setup=set_up)
"""
_NOT_YET = ("is stopping", "no worker is ready")


@dataclass
class Form:
    """The start form of a running web UI, and the runs that it started."""

    url: str
    runs_dir: Path

    def get(self, path: str) -> str:
        """Return a page."""
        with urllib.request.urlopen(f"{self.url}{path}", timeout=20) as page:
            text: str = page.read().decode()
            return text

    def read(self) -> dict[str, Any]:
        """Return the form's own fields as the page shows them."""
        settings = re.search(r"window\.templateArgs = (\{.*\})", self.get("/"))
        assert settings
        fields: dict[str, Any] = json.loads(settings[1])["extra_options"]
        return fields

    def post(self, **values: str) -> dict[str, Any]:
        """Send the form, and again while the last test's workers are not ready for another one."""
        data = urllib.parse.urlencode({"user_count": "1", "spawn_rate": "1", **values}).encode()
        until_s = time.monotonic() + 20
        while True:
            found: dict[str, Any] = {}
            try:
                with urllib.request.urlopen(f"{self.url}/swarm", data, timeout=20) as answer:
                    found = json.loads(answer.read())
            except urllib.error.HTTPError as answer:
                with answer:
                    found = json.loads(answer.read()) | {"status": answer.status}
            if time.monotonic() > until_s or not any(words in found["message"] for words in _NOT_YET):
                return found
            time.sleep(0.2)

    def stop(self) -> None:
        """Stop the test."""
        with urllib.request.urlopen(f"{self.url}/stop", b"", timeout=60) as answer:
            assert json.load(answer)["success"]

    @property
    def users(self) -> int:
        """The number of running users."""
        users: int = json.loads(self.get("/stats/requests"))["user_count"]
        return users

    def wait_for_record(self, name: str) -> dict[str, Any]:
        """Return a run's record once it exists and is complete."""
        file = self.runs_dir / name / "record.json"
        until_s = time.monotonic() + 30
        while not file.exists() and time.monotonic() < until_s:
            time.sleep(0.1)
        time.sleep(0.3)
        record: dict[str, Any] = json.loads(file.read_text())
        return record


@pytest.fixture(scope="module")
def form(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Form]:
    """Yield the form of `loadtest run --ui` with a profile of the test's own."""
    folder = tmp_path_factory.mktemp("form")
    (folder / "profiles.toml").write_text(PROFILES)
    (folder / "probes.py").write_text(SCENARIO)
    stack = Stack(folder / "runs")
    options = ["--profiles-file", str(folder / "profiles.toml"), "--run-id", "ui", "--workers", "1"]
    try:
        url = (
            stack.start("--ui", "--scenario", str(folder / "probes.py"), *options)
            .read_until("web UI")
            .rsplit("http://", 1)[1]
        )
        yield Form(f"http://{url.split()[0]}", stack.runs_dir)
    finally:
        stack.process.terminate()
        stack.end()
    assert stack.wait_until_nothing_is_left() == []


def browse(what: str, *arguments: str) -> dict[str, Any]:
    """Return what a person in a browser sees."""
    command = [sys.executable, str(Path(__file__).with_name("web_ui_browser.py")), what, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stderr
    seen: dict[str, Any] = json.loads(done.stdout)
    return seen


def test_the_form_has_the_fields(form: Form) -> None:
    """The start page offers every profile, including external ones, an arrival rate and thresholds, each explained."""
    fields = form.read()
    choices = fields["load_profile"]["choices"]
    assert set(fields) == {"load_profile", "arrival_rate", "thresholds"}
    assert (choices[0], fields["load_profile"]["default_value"]) == ("as-entered", "as-entered")
    assert {"quick", "constant-arrival-rate", "climb"} <= set(choices)
    assert all(one["help_text"] for one in fields.values())


WRONG = {
    "unknown profile": ({"load_profile": "constant-arival-rate"}, "did you mean constant-arrival-rate?"),
    "rule without unit": ({"load_profile": "climb", "thresholds": "p99 < 50"}, "50 has no unit"),
    "rule on an unknown name": ({"thresholds": 'p99{name="health/life"} < 1s'}, "did you mean health/live?"),
    "rate of a closed profile": ({"load_profile": "climb", "arrival_rate": "20"}, "RATE=20 does not apply"),
    "rate without a profile": ({"arrival_rate": "20"}, "an arrival rate of 20 does not apply"),
    "rate that is no number": ({"load_profile": "constant-arrival-rate", "arrival_rate": "nan"}, "arrival rate 'nan'"),
    "no users": ({"user_count": ""}, "Invalid user_count value"),
    "a shape without a class picker": ({"shape_class": "Default"}, "'shape_class' is not a field of this form"),
    "run time": ({"load_profile": "climb", "run_time": "soon"}, "run time 'soon' is not allowed"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_said_and_nothing_starts(form: Form, case: str) -> None:
    """A wrong value gives status 400 and a message, and the master stays as it was."""
    values, words = WRONG[case]
    before = json.loads(form.get("/stats/requests"))["state"]
    answer = form.post(**values)
    assert (answer["success"], answer["status"], words in answer["message"]) == (False, 400, True), answer
    assert json.loads(form.get("/stats/requests"))["state"] == before


@pytest.mark.timeout(360)
def test_each_start_chooses_anew(form: Form) -> None:
    """An open profile, then a closed one that ramps, then Locust's own fields: each start makes its own run."""
    fields = {"load_profile": "constant-arrival-rate", "arrival_rate": "20", "run_time": "5s"}
    answer = form.post(**fields, thresholds="p95(response_time) < 10s, requests > 1000")
    assert answer["success"], answer
    assert "cannot change while" in form.post(load_profile="climb")["message"]
    record = form.wait_for_record("ui")
    requests = {series["name"]: series["requests"] for series in record["series"]}
    rules = {rule["rule"]: rule["outcome"] for rule in record["thresholds"]}
    assert requests == {"health/live": 100, "health/ready": 100}
    expected = {"error_ratio < 1%": "passed", "p95(response_time) < 10s": "passed", "requests > 1000": "failed"}
    assert rules == expected
    assert tuple(record["configuration"][k] for k in ("profile", "rate", "run_time")) == (
        "constant-arrival-rate",
        20,
        5,
    )
    assert form.read()["load_profile"]["default_value"] == "constant-arrival-rate"

    seen = browse("start_after_a_test", form.url, "climb", "requests > 0")
    assert seen["run_times"] == ["5", "5s"]  # that of the last start, then the profile's own
    assert {"Profile"}.isdisjoint(seen["labels"])
    assert [label for label in seen["labels"] if label.startswith("Load Profile")] != []
    assert [link for link in seen["links"] if "Azure" in link] == []
    assert " ".join(seen["end"]).startswith("Host http://")
    assert "STOPPED Workers 1 " in " ".join(seen["end"])
    assert seen["can_start"]
    record = form.wait_for_record("ui-2")
    users = [point["users"] for point in record["timeline"]]
    assert (max(users), min(users) < 4) == (4, True), users
    assert {rule["rule"] for rule in record["thresholds"]} == {"error_ratio < 1%", "requests > 0"}
    assert (record["configuration"]["profile"], record["configuration"]["rate"]) == ("climb", None)

    answer = form.post(load_profile="as-entered", thresholds="", user_count="3", spawn_rate="3", run_time="3s")
    assert answer["success"], answer
    record = form.wait_for_record("ui-3")
    assert max(point["users"] for point in record["timeline"]) == 3
    assert [rule["rule"] for rule in record["thresholds"]] == ["error_ratio < 1%"]
    assert (record["configuration"]["profile"], record["configuration"]["users"]) == ("as-entered", 3)
    assert record["interruption"] is None
    assert record["load_s"] > 2.9  # the preparation is not part of the run time
    # The end of the last test does not affect the next one.
    logs = "".join(log.read_text() for log in (form.runs_dir / "ui" / "logs").glob("worker_*.log"))
    assert "no word from the master" not in logs


@pytest.mark.timeout(300)
def test_the_page_shows_the_result_and_has_the_files(form: Form) -> None:
    """A browser shows the verdict of the last run, its thresholds, a chart of response time next to service time, and
    report and record as downloads."""
    if not list(form.runs_dir.glob("*/record.json")):  # when this test is run alone
        assert form.post(run_time="2s")["success"]
        form.wait_for_record("ui")
    seen = browse("look_at_result", form.url)
    result = json.loads(form.get("/loadtest-result"))
    assert result["is_over"]
    assert seen["text"].startswith(f"Verdict: {result['verdict']}")
    assert [one["rule"] for one in result["thresholds"] if one["rule"] not in seen["text"]] == []
    assert seen["complaints"] == []
    assert seen["drawn"] == ["0.0,45.0 400.0,2.0", "0.0,66.5 400.0,66.5"]
    assert seen["legend_px"] >= 14  # on a phone, too, where the drawing is small
    assert seen["thresholds_above_reasons"]
    assert (seen["sample"], seen["note"]) == ("GET /<b>a\n\n→ no answer", "note: a note")
    assert list(seen["saved"]) == [f"{result['run_id']}-{name}" for name in ("report.html", "record.json")]
    assert seen["saved"][f"{result['run_id']}-report.html"] == "<!DOCTYPE html>"
    for name in ("../record.json", "logs", "record.stream"):
        with pytest.raises(urllib.error.HTTPError, match="404"):
            form.get(f"/loadtest-result/{urllib.parse.quote(name, safe='')}")


def test_a_start_that_says_nothing_inherits_nothing(form: Form) -> None:
    """A start without profile, rate, rules and host uses the defaults, whatever the last start used."""
    before = len(list(form.runs_dir.glob("*/record.json")))
    elsewhere = {"host": "http://localhost:1", "thresholds": "requests > 100000"}
    fields = {"load_profile": "constant-arrival-rate", "arrival_rate": "20", "run_time": "2s"}
    assert form.post(**fields, **elsewhere)["success"]
    assert "host cannot change while a test is under way" in form.post(host="http://localhost:2", **fields)["message"]
    record = form.wait_for_record(_name(before))
    assert _failures(record) == 80
    # The second open run on the same worker: its end is not mistaken for the first one's.
    assert record["duration_s"] < 20

    answer = form.post(user_count="7", spawn_rate="7", host="")
    assert answer["success"], answer
    _wait_for(lambda: form.users == 7)
    form.stop()
    record = form.wait_for_record(_name(before + 1))
    assert [rule["rule"] for rule in record["thresholds"]] == ["error_ratio < 1%"]
    configuration = record["configuration"]
    assert [configuration[name] for name in ("profile", "users", "rate", "run_time")] == ["as-entered", 7, None, None]
    assert _failures(record) == 0


@pytest.mark.parametrize("profile", ["climb", "as-entered"])
def test_a_stop_while_a_test_is_prepared_stops_it(form: Form, profile: str) -> None:
    """Its load ends as soon as it has begun, and the record says why."""
    before = len(list(form.runs_dir.glob("*/record.json")))
    started = {"load_profile": profile, "run_time": "20s"}
    assert form.post(**started)["success"]
    changed = {"climb": {"user_count": "3"}, "as-entered": {"run_time": "60s"}}[profile]
    refused = form.post(**(started | changed))  # for which Locust would report success without effect
    form.stop()
    assert (refused["status"], "cannot change while" in refused["message"]) == (409, True)
    record = form.wait_for_record(_name(before))
    assert record["duration_s"] < 15
    assert record["interruption"]["by"] == "stopped in the web UI"
    assert json.loads(form.get("/stats/requests"))["state"] in ("stopped", "ready")


def test_a_change_while_a_test_is_prepared_waits_for_it(form: Form) -> None:
    """The test is prepared once, and then has the changed number of users."""
    before, folder = len(list(form.runs_dir.glob("*/record.json"))), form.runs_dir.parent
    (folder / "set_ups").unlink(missing_ok=True)
    (folder / "hold").touch()
    assert form.post(load_profile="as-entered")["success"]
    _wait_for((folder / "set_ups").exists)
    change = gevent.spawn(form.post, user_count="3", spawn_rate="3")
    gevent.sleep(1.0)  # without the wait, the preparation would be aborted
    (folder / "hold").unlink()
    assert change.get()["success"]
    _wait_for(lambda: form.users == 3)
    form.stop()
    record = form.wait_for_record(_name(before))
    assert (folder / "set_ups").read_text() == "one more "
    changes = [event["text"] for event in record["events"] if event["kind"] == "users"]
    assert changes == ["the number of users was changed to 3, at 3 per second"]


def _wait_for(condition: Callable[[], bool]) -> None:
    until_s = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < until_s
        gevent.sleep(0.1)


def _name(number: int) -> str:
    """Return the name of the folder of a run of the process, counted from 0."""
    return f"ui-{number + 1}" if number else "ui"


def _failures(record: dict[str, Any]) -> int:
    """Return how many requests of a run failed."""
    return sum(series["failures"] for series in record["series"])
