"""Lies about what is counted: set-up, warm-up, thresholds that judge nothing, an imitation of the target."""

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gevent
import pytest
from gevent.pywsgi import WSGIServer

from loadtest.estimating.blocked_run import BlockedRun
from loadtest.exceptions import ExitCode
from tests.native.conftest import Stack
from tests.servers import imitation

pytestmark = [pytest.mark.native, pytest.mark.timeout(240)]

SCENARIO = """
from locust import constant, tag, task

from loadtest.clients.http import HttpUser
from loadtest.scenarios import Scenario


class Visitor(HttpUser):
    scenario = "mine"
    wait_time = constant(0.02)

    @tag("read")
    @task
    def page(self):
        self.client.get("/page", name="mine/page")


class Editor(Visitor):
    weight = 0


scenario = Scenario("mine", (Visitor, Editor), (("GET", "mine/page"), ("GET", "mine/never")))
"""

HOT_KEY = """
from locust import constant, task

from loadtest.clients.redis import RedisJsonUser
from loadtest.scenarios import Scenario


class Reader(RedisJsonUser):
    scenario = "mine"
    wait_time = constant(0.01)

    def on_start(self):
        self.client.set("user:1", "a")

    @task
    def read(self):
        self.client.get("user:1")


scenario = Scenario("mine", (Reader,), (("GET", "GET"),))
"""


@dataclass
class Lies:
    """A service on this machine with configured responses, and runs against it."""

    stack: Stack
    folder: Path
    url: str
    answer: Callable[[str], str]
    """Given a path, returns the status line."""

    def run(self, *arguments: str, scenario: str = SCENARIO, rules: str = "", **variables: str) -> tuple[int, str]:
        """Make a run of a scenario; return its exit code and output."""
        (self.folder / "mine.py").write_text(scenario)
        (self.folder / "rules.toml").write_text(f"thresholds = [{rules}]\n")
        variables["LOADTEST_THRESHOLDS_FILE"] = str(self.folder / "rules.toml")
        common = ["--scenario", str(self.folder / "mine.py"), "--host", self.url, "--workers", "1"]
        self.stack.start(*common, *arguments, **variables)
        return self.stack.end(200)

    def record(self) -> dict[str, Any]:
        """Return the run's document."""
        return json.loads((self.stack.run_dir() / "record.json").read_text())

    def said_in(self, words: str) -> set[str]:
        """Return the outputs, for people and for build tools, that contain these words."""
        files = ("report.html", "summary.md", "junit.xml")
        return {name for name in files if words in (self.stack.run_dir() / name).read_text().replace("\\", "")}


EVERYWHERE = {"report.html", "summary.md", "junit.xml"}


@pytest.fixture
def lies(tmp_path: Path) -> Iterator[Lies]:
    """Yield a service that returns 200 for everything until it is configured otherwise."""
    stack = Stack(tmp_path / "runs")

    def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        start_response(lies.answer(environ["PATH_INFO"]), [("Content-Type", "text/plain")])
        return [b"an answer"]

    server = WSGIServer(("127.0.0.1", 0), application, log=None)
    server.start()
    lies = Lies(stack, tmp_path, f"http://127.0.0.1:{server.server_port}", lambda _path: "200 OK")
    yield lies
    server.stop()
    for line in stack.left():
        os.kill(int(line.split(" ", 1)[0]), signal.SIGKILL)


FEW = ("--users", "5", "--spawn-rate", "5", "--run-time", "4s")
PAUSE = """
[pause]
stages = [
  { users = 5, duration = "2s", ramp = "step" },
  { users = 0, duration = "2s", ramp = "step" },
]
"""


def test_a_percentile_of_too_few_samples_is_no_data(lies: Lies) -> None:
    """p99.9 of some hundred requests is their maximum: the rule has no data and says what it needs."""
    code, output = lies.run(*FEW, rules="'p99.9 < 10s'")
    assert code in {ExitCode.NO_DATA, ExitCode.NOT_TRUSTWORTHY}, output  # on a busy machine
    (result,) = lies.record()["thresholds"]
    assert (result["outcome"], result["value"]) == ("no data", None)
    assert "p99.9 needs 2,995 samples, and there were " in result["sentence"]
    assert lies.said_in("p99.9 needs 2,995 samples") == EVERYWHERE


def test_a_rule_on_a_name_that_nobody_requested_is_no_data(lies: Lies) -> None:
    """A rule on a declared request that was never made has no data, and reports it."""
    (lies.folder / "profiles.toml").write_text(PAUSE)
    profile = {"LOADTEST_PROFILES_FILE": str(lies.folder / "profiles.toml")}
    code, output = lies.run(*FEW, "--profile", "pause", **profile, rules="""'error_ratio{name="mine/never"} < 1%'""")
    assert code in {ExitCode.NO_DATA, ExitCode.NOT_TRUSTWORTHY}, output  # on a busy machine
    assert "no request had name 'mine/never'" in lies.record()["thresholds"][0]["sentence"]
    assert lies.said_in("no users of Editor ran: its weight is 0") == EVERYWHERE
    assert lies.said_in("the profile has no users") == EVERYWHERE


def test_a_rule_that_no_run_can_break_is_refused_before_load(lies: Lies) -> None:
    """An error ratio of at most 100 % can never be exceeded: the rule is a usage error, and no run is made."""
    code, output = lies.run(*FEW, rules="'error_ratio <= 100%'")
    assert (code, lies.stack.runs_dir.exists()) == (ExitCode.USAGE, False), output
    assert "no run can violate it: a ratio is 0% to 100%" in output


def test_a_run_without_rules_of_which_every_request_failed_has_failed(lies: Lies) -> None:
    """A run without thresholds does not claim that all were met, and 100 % errors fail it."""
    lies.answer = lambda _path: "500 Internal Server Error"
    code, output = lies.run(*FEW)
    assert code in {ExitCode.THRESHOLD_FAILED, ExitCode.NOT_TRUSTWORTHY}, output
    assert lies.said_in("requests failed, most often with status_5xx") == EVERYWHERE
    assert lies.said_in("no threshold was set") == EVERYWHERE


def test_a_warm_up_is_left_out_of_the_judgement_and_stays_in_the_record(lies: Lies) -> None:
    """A cold cache takes 1.5 s for two seconds: no threshold judges them, the record keeps them, and a note says so."""
    began_s = []

    def cold_at_first(_path: str) -> str:
        began_s[1:] = [time.monotonic()]
        gevent.sleep(1.5 if began_s[-1] - began_s[0] < 2 else 0.0)
        return "200 OK"

    lies.answer = cold_at_first
    load = ("--users", "5", "--spawn-rate", "5", "--run-time", "9s")
    rules = "'max < 1400ms', 'p0 > 1us warm_up=1s'"
    code, output = lies.run(*load, rules=rules, LOADTEST_WARM_UP="5s")
    assert code in {ExitCode.PASSED, ExitCode.NOT_TRUSTWORTHY}, output
    record = lies.record()
    assert [one["rule"] for one in record["thresholds"]] == [
        "max(response_time) < 1400ms warm_up=5s",
        "p0(response_time) > 1us warm_up=1s",
    ]
    assert record["thresholds"][0]["outcome"] == "passed"
    assert record["total"]["response_time"]["max_s"] > 1.49
    assert lies.said_in("the first 5 s of load were warm-up: part of the figures shown, but of no") == EVERYWHERE


def test_a_warm_up_that_is_found_is_left_out_of_the_judgement_and_of_comparisons(lies: Lies) -> None:
    """The service is cold for six seconds: no warm-up was declared, and the record has the one that was detected."""
    began_s = []

    def cold_at_first(_path: str) -> str:
        began_s[1:] = [time.monotonic()]
        gevent.sleep(0.4 if began_s[-1] - began_s[0] < 6 else 0.0)
        return "200 OK"

    lies.answer = cold_at_first
    scenario = SCENARIO.replace("constant(0.02)", "constant(0.3)")
    load = ("--users", "8", "--spawn-rate", "8", "--run-time", "34s", "--warm-up", "auto")
    code, output = lies.run(*load, scenario=scenario, rules="'p95 < 10s'")
    assert code in {ExitCode.PASSED, ExitCode.NOT_TRUSTWORTHY}, output
    record = lies.record()
    assert 5 < record["warm_up_s"] < 12, output
    assert [event["kind"] for event in record["events"]].count("warmup") == 1
    (result,) = record["thresholds"]
    assert " warm_up=" in result["rule"]
    assert result["value"] < record["total"]["response_time"]["p95_s"]
    assert lies.said_in("s of load were warm-up: part of the figures shown, but of no threshold") == EVERYWHERE
    assert BlockedRun.of(record).seconds <= record["load_s"] - 5


def test_errors_that_are_faster_than_successes_do_not_pass(lies: Lies) -> None:
    """Two thirds of the requests are refused at once: the overall median is low, and the run is not trustworthy."""
    asked = []

    def refuse_some(_path: str) -> str:
        asked.append(_path)
        if len(asked) % 3:
            return "503 Service Unavailable"
        gevent.sleep(0.2)
        return "200 OK"

    lies.answer = refuse_some
    code, output = lies.run(*FEW, rules="""'p50 < 150ms', 'p50{result="success"} < 1s'""")
    assert code == ExitCode.NOT_TRUSTWORTHY, output
    assert "fast_failures" in {finding["rule"] for finding in lies.record()["findings"]}
    (series,) = lies.record()["series"]
    assert series["success_time"]["min_s"] > 0.19
    assert series["failure_time"]["p50_s"] < series["success_time"]["p50_s"] / 2
    assert lies.said_in("mine/page failed, in") == EVERYWHERE
    assert "so percentiles of all requests are too low" in output


def test_statistics_reset_in_the_middle_are_noted_with_the_verdict(lies: Lies) -> None:
    """Failures that a reset removed are reported, and rates cover only the time since."""
    asked = []

    def fail_first(path: str) -> str:
        asked.append(path)
        return "500 Internal Server Error" if len(asked) < 40 else "200 OK"

    lies.answer = fail_first
    ramp = ("--users", "8", "--spawn-rate", "2", "--run-time", "8s")
    code, output = lies.run(*ramp, rules="'requests > 1'", LOCUST_RESET_STATS="true")
    assert code in {ExitCode.PASSED, ExitCode.NOT_TRUSTWORTHY}, output
    record = lies.record()
    (note,) = [note for note in record["verdict"]["notes"] if "reset" in note]
    assert "in no figure of this run: " in note
    assert note.endswith("39 of them failed")
    assert [event["text"] for event in record["events"] if event["kind"] == "reset"] == [note]
    assert lies.said_in("39 of them failed") == EVERYWHERE
    assert record["counted_s"] == pytest.approx(record["load_s"] - record["reset_at_s"], abs=1.0)


def test_a_tag_that_no_task_has_is_refused_before_load(lies: Lies) -> None:
    """With a misspelt tag users have no task: the run lists the existing tags and makes no load."""
    code, output = lies.run(*FEW, LOCUST_TAGS="raed")
    assert code == ExitCode.USAGE, output
    assert "LOCUST_TAGS=raed: no task has the tag 'raed'. Allowed: read. Next: did you mean read?" in output


LOGIN = SCENARIO.replace(
    '    @tag("read")',
    """    def on_start(self):
        self.client.post("/login", name="mine/login")

    @tag("read")""",
).replace('("GET", "mine/never")', '("POST", "mine/login")')


@pytest.mark.parametrize(
    "load",
    [
        ("--users", "10", "--spawn-rate", "10", "--run-time", "4s"),
        ("--profile", "constant-arrival-rate", "--rate", "40", "--users", "40", "--run-time", "4s"),
    ],
    ids=["closed", "open"],
)
def test_requests_of_on_start_are_no_load(lies: Lies, load: tuple[str, ...]) -> None:
    """A slow login counts in no percentile, count or rule of the load; only a rule on it judges it."""
    lies.answer = slow_login
    rules = """'p50 < 350ms', 'error_ratio{phase="setup"} <= 0%', 'max{phase="setup"} < 300ms'"""
    rules += """, 'max{name="mine/login"} < 9s'"""
    code, output = lies.run(*load, scenario=LOGIN, rules=rules)
    assert code in {ExitCode.THRESHOLD_FAILED, ExitCode.NOT_TRUSTWORTHY}, output
    record = lies.record()
    assert {one["name"] for one in record["series"]} == {"mine/page"}
    (login,) = record["setup"]["series"]
    assert login["name"] == "mine/login"
    assert login["response_time"]["min_s"] > 0.4
    assert [result["outcome"] for result in record["thresholds"]] == ["passed", "passed", "failed", "no data"]
    assert 'Next: add phase="setup" to the selector' in record["thresholds"][3]["sentence"]
    assert "requests of on_start and on_stop, 0 failed; not in the load" in output


def slow_login(path: str) -> str:
    """Respond to a login after 400 ms, to everything else immediately."""
    gevent.sleep(0.4 if path == "/login" else 0)
    return "200 OK"


def test_failed_logins_are_no_pass(lies: Lies) -> None:
    """Users whose login failed may still get pages with status 200: a rule on all errors includes the set-up's."""
    lies.answer = lambda path: "503 Service Unavailable" if path == "/login" else "200 OK"
    code, output = lies.run(*FEW, scenario=LOGIN, rules="'error_ratio < 1%'")
    assert code in {ExitCode.THRESHOLD_FAILED, ExitCode.NOT_TRUSTWORTHY}, output  # on a busy machine
    assert "5 of the 5 requests of its set-up failed, most often with status_5xx" in output
    assert lies.said_in("5 of the 5 requests of its set-up failed") == EVERYWHERE
    assert '<failure message="5 of the 5 requests' in (lies.stack.run_dir() / "junit.xml").read_text()


def test_an_imitation_that_answers_is_named_in_every_report(lies: Lies, tmp_path: Path) -> None:
    """The figures are those of fakeredis: the verdict stays, and notes name the imitation and a hot key."""
    with imitation(tmp_path) as url:
        code, output = lies.run(*FEW, rules="'error_ratio < 1%'", scenario=HOT_KEY, REDIS_URL=url)
    assert code in {ExitCode.PASSED, ExitCode.NOT_TRUSTWORTHY}, output
    assert lies.record()["context"]["imitation"] is True
    assert "note         an imitation of Redis, such as fakeredis, answered" in output
    assert lies.said_in("an imitation of Redis, such as fakeredis, answered") == EVERYWHERE
    assert "the commands of scenario mine used one Redis key, user:1 (" in output
    assert lies.said_in("the commands of scenario mine used one Redis key, user:1 (") == EVERYWHERE
