"""A duet end to end: each iteration reaches both versions with the same data, and only one of them fails."""

import json
import threading
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import redis

from loadtest.comparing.duet import SIDES
from loadtest.estimating.blocked_run import ALL, BlockedRun
from loadtest.exceptions import ExitCode

from .conftest import Stack

pytestmark = [pytest.mark.native, pytest.mark.timeout(360)]

SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "reference" / "record.schema.json").read_text())
USERS = 50
"""More than there are at a time: an iteration that is under way at the end has no pairs."""
SCENARIO = """
import random

from locust import constant, task

from loadtest.clients.http import HttpUser
from loadtest.feeding.feed import Feed


class Shopper(HttpUser):
    wait_time = constant(0.3)
    feeder = Feed([f"user {number}" for number in range(10_000)])

    @task(3)
    def look(self):
        self.client.get(f"/look/{random.randrange(10**9)}", name="/look")
        order = {"price": random.random(), "kind": random.choice("abc"), "user": self.feeder.next()}
        self.client.post("/buy", json=order)

    @task
    def leave(self):
        self.client.get("/leave")
"""


LEAVING = """
import random

from locust import constant, task
from locust.exception import StopUser

from loadtest.clients.http import HttpUser


class Leaver(HttpUser):
    wait_time = constant(0.1)

    def __init__(self, environment):
        super().__init__(environment)
        self.corner = random.randrange(10)

    def on_start(self):
        self.shelf = random.randrange(10)

    @task
    def buy(self):
        if self.client.post(f"/buy/{self.shelf}", json={"kind": random.choice("abc")}).status_code != 200:
            raise StopUser
        self.client.get(f"/look/{self.corner}")
"""


class Service(ThreadingHTTPServer):
    """A version of a service; it keeps its requests, and returns 500 for some of them."""

    daemon_threads = True

    def __init__(self, *, fails: bool) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.fails = fails
        self.got: Counter[tuple[str, bytes]] = Counter()
        self.failed = 0
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        """Its base URL."""
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    """Returns 500 for every third letter that is bought, if the service fails."""

    protocol_version = "HTTP/1.1"

    def answer(self) -> None:
        """Keep the request, and respond to it."""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        server: Any = self.server
        server.got[self.path, body] += 1
        is_failing = server.fails and b'"a"' in body
        server.failed += is_failing
        self.send_response(500 if is_failing else 200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_POST = answer  # noqa: N815 - as http.server calls them

    def log_message(self, *_: Any) -> None:
        """Log nothing."""


OPEN = ("--rate", "30", "--run-time", "120s", "--until-decided")
CLOSED = ("--profile", "quick", "--run-time", "6s")


@pytest.mark.parametrize("load", [OPEN, CLOSED], ids=["open", "closed"])
def test_both_versions_get_the_same_and_a_failure_of_one_is_reported(
    load: tuple[str, ...], stack: Stack, tmp_path: Path
) -> None:
    """Each request has a counterpart on the other side, with the same random data and the same item of a feed, which no
    other request has; only the new version fails, which ends the run early, as soon as it is decided."""
    base, new = Service(fails=False), Service(fails=True)
    (tmp_path / "shop.py").write_text(SCENARIO)
    stack.start(
        base.url, new.url, "-f", str(tmp_path / "shop.py"), *load, "--workers", "1", command="duet",
    )  # fmt: skip
    code, output = stack.end(300)
    assert code in {ExitCode.THRESHOLD_FAILED, ExitCode.NOT_TRUSTWORTHY}, output
    made = json.loads((stack.run_dir() / "comparison.json").read_text())
    unlike = (base.got - new.got) + (new.got - base.got)
    assert sum(unlike.values()) <= USERS  # of iterations under way at the end
    assert sum(base.got.values()) > 150
    users = [json.loads(body)["user"] for path, body in base.got if path == "/buy"]
    assert len(set(users)) == len(users)
    assert f"target       {base.url} of Shopper_base, {new.url} of Shopper_new" in output
    assert (base.failed, new.failed > 10) == (0, True)
    pairs = made["pairs"]
    assert (pairs["base_failed"], pairs["alone"]) == (0, 0)
    assert new.failed - USERS <= pairs["new_failed"] <= new.failed
    counted, sent = pairs["both_succeeded"] + pairs["new_failed"], sum(base.got.values())
    assert sent - 2 * USERS <= counted <= sent
    assert (made["base"], made["new"]) == (base.url, new.url)
    assert f"only the new one in {pairs['new_failed']:,}" in output
    assert "GET /leave: difference over time" in (stack.run_dir() / "comparison.html").read_text()
    document = json.loads((stack.run_dir() / "record.json").read_text())
    jsonschema.validate(document, SCHEMA)
    # A busy machine may prevent a verdict; then the run continues.
    is_decided = "decided" in {event["kind"] for event in document["events"]}
    assert is_decided is (load == OPEN and "goes on      the answer" not in output), output
    assert ("the answer was known after" in output) is (load == OPEN)
    ratios = BlockedRun.of_pairs(document).series[ALL]
    assert 0 < ratios.requests.sum() <= pairs["both_succeeded"]


def test_users_that_one_side_ends_are_pairs_until_then(stack: Stack, tmp_path: Path) -> None:
    """The other side's user ends only after the response to its request, and the last iteration counts. Random choices
    in `__init__` and `on_start` are the same on both sides."""
    base, new = Service(fails=False), Service(fails=True)
    (tmp_path / "leave.py").write_text(LEAVING)
    load = ("--rate", "20", "--run-time", "6s", "--workers", "1")
    stack.start(base.url, new.url, "-f", str(tmp_path / "leave.py"), *load, command="duet")
    _, output = stack.end(300)
    made = json.loads((stack.run_dir() / "comparison.json").read_text())["pairs"]
    document = json.loads((stack.run_dir() / "record.json").read_text())
    failed = {side: sum(row["failures"] for row in document["series"] if row["scenario"] == side) for side in SIDES}
    assert new.failed > 5, output
    assert (failed["base"], failed["new"]) == (0, new.failed), output
    # Only the base continues, with the second request of such an iteration.
    assert (made["new_failed"], made["base_failed"], made["alone"]) == (new.failed, 0, new.failed), output


def test_the_sample_target_of_a_commit_meets_that_of_the_working_tree(stack: Stack) -> None:
    """`make duet BASE=HEAD`: each side has its own Redis with the scenario's data, which users may load directly.

    If the new version's Redis loses that data, it is loaded again.
    """
    stack.start("--base", "HEAD", "--scenario", "documents", "--rate", "20", "--run-time", "10s", command="duet")
    begun = stack.read_until("keys in place")
    ports = [line.rsplit(" ", 1)[1] for line in begun.splitlines() if line.startswith("redis ") and " on port " in line]
    time.sleep(3)  # keys are counted once a second
    with redis.Redis(port=int(ports[1])) as of_new:
        of_new.flushall()
    code, output = stack.end(300)
    assert code in {ExitCode.PASSED, ExitCode.THRESHOLD_FAILED, ExitCode.NO_DATA, ExitCode.NOT_TRUSTWORTHY}, output
    made = json.loads((stack.run_dir() / "comparison.json").read_text())
    assert (made["base"].startswith("HEAD ("), made["new"]) == (True, "the working tree")
    pairs = made["pairs"]
    assert pairs["both_succeeded"] > 50
    failed = pairs["base_failed"] + pairs["new_failed"] + pairs["both_failed"]
    assert failed < pairs["both_succeeded"] / 2  # without the data in both, nearly all would
    assert "documents/resp/" in output
    events = json.loads((stack.run_dir() / "record.json").read_text())["events"]
    assert [one["text"] for one in events if one["kind"] == "redis"] == ["Redis lost its data, which was loaded again"]


def test_a_duet_that_begins_in_the_same_second_as_another_has_a_folder_of_its_own(stack: Stack) -> None:
    """Its name gets a number, and its comparison is there; here all names of the next minutes are taken."""
    now, ending = datetime.now(UTC), "-duet-health-constant-arrival-rate"
    others = {f"{now + timedelta(seconds=later):%Y%m%dT%H%M%SZ}{ending}" for later in range(120)}
    for name in others:
        (stack.runs_dir / name).mkdir(parents=True)
    urls = [Service(fails=False).url for _ in range(2)]
    stack.start(*urls, "--scenario", "health", "--rate", "5", "--run-time", "4s", "--workers", "1", command="duet")
    _, output = stack.end(300)
    names = {folder.name for folder in stack.runs_dir.iterdir()} - others
    assert [name[len("20261121T093657Z") :] for name in names] == [f"{ending}-2"], output
    assert (stack.runs_dir / names.pop() / "comparison.html").exists(), output


@pytest.mark.parametrize(
    ("scenario", "words"),
    [
        ("health", "127.0.0.1:1 does not accept connections"),
        ("documents", "SCENARIO=documents does not work in a duet of two URLs"),
    ],
)
def test_what_cannot_be_a_duet_is_wrong_usage(scenario: str, words: str, stack: Stack) -> None:
    """A version that does not respond, and a scenario that needs a Redis, are usage errors before anything starts."""
    stack.start("http://127.0.0.1:1", "http://127.0.0.1:1", "--scenario", scenario, command="duet")
    code, output = stack.end(300)
    assert (code, words in output) == (ExitCode.USAGE, True), output
