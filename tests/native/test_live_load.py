"""The load is changed in the web UI while a test follows a profile: the change takes effect, and is recorded."""

import json
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from loadtest.reporting import document, run_page
from tests.native.test_start_form import PROFILES, Form, browse

from .conftest import Stack

pytestmark = [pytest.mark.native, pytest.mark.timeout(300)]

PROFILE = """
[plateau]
stages = [
  { users = 2, duration = "6s", ramp = "step" },
  { users = 3, duration = "6s", ramp = "step" },
]
"""


@pytest.fixture(scope="module")
def form(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Form]:
    """Yield the form of `loadtest run --ui` with a profile of two stages."""
    folder = tmp_path_factory.mktemp("live")
    (folder / "profiles.toml").write_text(PROFILES + PROFILE)
    stack = Stack(folder / "runs")
    options = ["--profiles-file", str(folder / "profiles.toml"), "--run-id", "live", "--workers", "2"]
    try:
        url = stack.start("--ui", "--scenario", "health", *options).read_until("web UI").rsplit("http://", 1)[1]
        yield Form(f"http://{url.split()[0]}", stack.runs_dir)
    finally:
        stack.process.terminate()
        stack.end()
    assert stack.wait_until_nothing_is_left() == []


def change(form: Form, level: str) -> tuple[int, str]:
    """Submit a level, and return the status and the message."""
    data = urllib.parse.urlencode({"level": level}).encode()
    try:
        with urllib.request.urlopen(f"{form.url}/loadtest-level", data, timeout=20) as answer:
            return answer.status, json.load(answer)["message"]
    except urllib.error.HTTPError as answer:
        with answer:
            return answer.code, json.load(answer)["message"]


def wait_for_load(form: Form, unit: str) -> None:
    """Wait until a test runs whose load can be changed."""
    until_s = time.monotonic() + 30
    while json.loads(form.get("/loadtest-result")).get("load") != unit:
        assert time.monotonic() < until_s
        time.sleep(0.1)


def planned(record: dict[str, Any]) -> float:
    """Return the number of arrivals that the planned levels add up to."""
    return float(record["context"]["plan"]["arrivals_total"])


def test_a_rate_is_changed(form: Form) -> None:
    """After the change, arrivals have the new rate; record, report and verdict mention it."""
    status, sentence = change(form, "5")
    assert (status, sentence.startswith("there is no load to change here.")) == (409, True)
    fields = {"load_profile": "constant-arrival-rate", "arrival_rate": "20", "run_time": "16s"}
    assert form.post(**fields, thresholds="")["success"]
    wait_for_load(form, "arrivals/s")
    for wrong in ("", "0", "many", "-3", "1e9"):
        status, sentence = change(form, wrong)
        assert (status, "Allowed: " in sentence) == (409, True), sentence
    time.sleep(1.0)  # so that arrivals begin at the old rate
    assert change(form, "60") == (200, "60 arrivals/s from now on")
    record = form.wait_for_record("live")
    [event] = [one for one in record["events"] if one["kind"] == "rate"]
    begins = next(one["second"] for one in record["events"] if one["kind"] == "start")
    assert event["text"] == "the arrival rate was changed to 60 per second"
    expected = 20 * (event["second"] - begins) + 60 * (16 - (event["second"] - begins))
    assert planned(record) == pytest.approx(expected, abs=60 * 0.1)  # seconds are noted to a tenth
    iterations = sum(one["iteration_time"]["count"] + one["dropped"] for one in record["scenarios"])
    assert iterations == pytest.approx(planned(record), abs=60 * 0.25)
    assert _missed(record) == []
    assert event["text"] in record["verdict"]["notes"]
    assert record["load_s"] == pytest.approx(16, abs=1)
    page = run_page.html(document.read(form.runs_dir / "live"))
    assert page.count(event["text"]) >= 2  # next to the verdict, and among the events of the charts
    levels = [level for t_s, level in record["context"]["plan"]["levels"]]
    assert (levels[0], levels[-1]) == (20, 60)


def test_users_of_a_profile_are_changed(form: Form) -> None:
    """The last change stays until the planned end, and later stages do not begin."""
    before = len(list(form.runs_dir.glob("*/record.json")))
    assert form.post(load_profile="plateau", thresholds="", arrival_rate="")["success"]
    wait_for_load(form, "users")
    status, sentence = change(form, "1000000")
    assert (status, sentence.split(". Allowed: ")[0]) == (409, "'1000000' users is not allowed")
    assert change(form, "4") == (200, "4 users from now on")
    time.sleep(2.5)
    assert change(form, "7") == (200, "7 users from now on")
    record = form.wait_for_record(f"live-{before + 1}" if before else "live")
    assert [one["text"] for one in record["events"] if one["kind"] == "users"] == [
        f"the number of users was changed to {users}, at 100 per second" for users in (4, 7)
    ]
    assert [one["text"] for one in record["events"] if one["kind"] == "stage"] == []
    users = {point["second"]: point["users"] for point in record["timeline"]}
    assert list(users.values())[-3:-1] == [7, 7]
    assert record["load_s"] == pytest.approx(12, abs=1.5)
    assert _missed(record) == []


def test_the_load_is_changed_in_a_browser(form: Form) -> None:
    """The page uses the unit of the profile, and shows the result."""
    assert form.post(load_profile="constant-arrival-rate", arrival_rate="5", run_time="10m", thresholds="")["success"]
    wait_for_load(form, "arrivals/s")
    assert browse("change_load", form.url, "8") == {"said": "8 arrivals/s from now on", "complaints": []}
    assert "8.0 arrivals/s planned" in json.loads(form.get("/loadtest-result"))["now"][0]
    form.stop()


def _missed(record: dict[str, Any]) -> list[str]:
    """Return the reports of missing load; on a busy machine, other checks may fail."""
    assert record["interruption"] is None
    return [one["sentence"] for one in record["findings"] if one["rule"] == "load_not_reached"]
