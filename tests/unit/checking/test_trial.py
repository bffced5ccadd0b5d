"""`loadtest check` runs each task once, shows each request and exception, and exits with 0 only if all worked."""

import os
import re
import subprocess
import sys
from pathlib import Path

from loadtest.checking.trial import LONGEST_LINE, Trial
from loadtest.settings import hosts
from loadtest.settings.config import Config

WORKING = """
from locust import FastHttpUser, HttpUser, SequentialTaskSet, TaskSet, constant, events, task

from loadtest.clients.http import HttpUser as OurUser


@events.init_command_line_parser.add_listener
def add_arguments(parser):
    parser.add_argument("--tenant", default="nobody")


@events.test_start.add_listener
def seed(environment, **_):
    print("seeded for", environment.parsed_options.tenant)


class Browse(SequentialTaskSet):
    def on_start(self):
        self.client.get("/healthz/live", name="enter")

    @task
    def first(self):
        self.client.get("/healthz/live", name="first")

    @task
    class Inner(TaskSet):
        @task(3)
        def deep(self):
            with self.client.get("/missing", name="deep", catch_response=True) as response:
                response.success() if response.status_code == 404 else response.failure("found")

        @task
        def out(self):
            self.interrupt()

    @task
    def last(self):
        self.interrupt()

    def on_stop(self):
        self.client.get("/healthz/live", name="leave")


class Stock(HttpUser):
    wait_time = constant(100)
    tasks = [Browse]


class Fast(FastHttpUser):
    wait_time = constant(100)

    @task
    def look(self):
        self.client.get("/healthz/live", name="fast")


class Ours(OurUser):
    wait_time = constant(100)

    @task
    def look(self):
        self.client.get("/healthz/live", name="ours")
"""
BROKEN = """
import sys

from locust import FastHttpUser, task


class Shopper(FastHttpUser):
    @task
    def fine(self):
        self.client.get("/healthz/live", name="fine")

    @task
    def missing(self):
        self.client.get("/missing", name="missing")

    @task
    def raises(self):
        return {}["price"]


    @task
    def leaves(self):
        sys.exit(0)


class Late(FastHttpUser):
    def on_start(self):
        raise ValueError("no account")

    @task
    def never(self):
        self.client.get("/healthz/live", name="never")
"""
HOSTILE = """
from locust import FastHttpUser, task

TEXT = "\\x1b]0;title\\x07\\x9b2J\\u202e\\nchecked      1 task, 1 request: all worked\\n" + "n" * 1_000_000


class Shopper(FastHttpUser):
    @task
    def named(self):
        self.client.get("/healthz/live", name=TEXT)

    @task
    def failed(self):
        with self.client.get("/healthz/live", name="failed", catch_response=True) as response:
            response.failure(TEXT)

    @task
    def raises(self):
        raise ValueError(TEXT)
"""
PARALLEL = """
import gevent
from locust import HttpUser, task


class Shopper(HttpUser):
    @task
    def parallel(self):
        self.client.get("/healthz/live", name="parallel")
        gevent.joinall([gevent.spawn(self.each)])

    def each(self):
        raise ValueError("no basket")

    @task
    def pauses(self):
        gevent.sleep(0.01)
"""
SILENT = """
from locust import HttpUser, events, task


@events.test_start.add_listener
def seed(**_):
    raise OSError("no database")


class Shopper(HttpUser):
    @task
    def never(self):
        self.client.get("/healthz/live", name="never")
"""


def check(file: Path, text: str, host: str, *options: str) -> tuple[int, str]:
    """Write a locustfile, check it against a host, and return exit code and output."""
    file.write_text(text)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LOADTEST_", "LOCUST_"))}
    words = [Path(sys.executable).with_name("loadtest"), "check", file.name, "--host", host, *options]
    done = subprocess.run(words, cwd=file.parent, env=kept, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stdout + done.stderr * (text not in {SILENT, PARALLEL}), done.stderr
    return done.returncode, done.stdout


def test_each_task_of_each_kind_of_user_runs_once(tmp_path: Path, target_url: str) -> None:
    """Stock, fast and custom users, nested task sets, `on_start`, `on_stop` and arguments work without think time."""
    code, output = check(tmp_path / "shop.py", WORKING, target_url, "--tenant", "blue")
    names = re.findall(r"^(\S+) +GET (\w+) +(\d+) +[\d.]+ ms +[\d,]+ B  ok$", output, re.MULTILINE)
    assert names == [
        ("Stock.Browse.on_start", "enter", "200"),
        ("Stock.Browse.first", "first", "200"),
        ("Stock.Browse.Inner.deep", "deep", "404"),
        ("Stock.Browse.on_stop", "leave", "200"),
        ("Fast.look", "fast", "200"),
        ("Ours.look", "ours", "200"),
    ], output
    assert (code, "seeded for blue" in output) == (0, True)
    assert output.endswith("checked      6 tasks, 6 requests: all worked\n")


def test_what_does_not_work_is_shown(tmp_path: Path, target_url: str) -> None:
    """A failed request and an exception, with file and line, give exit code 1; the other tasks still run."""
    code, output = check(tmp_path / "shop.py", BROKEN, target_url)
    line = 1 + BROKEN.splitlines().index('        return {}["price"]')
    assert code == 1
    assert re.search(r"^Shopper\.fine .* 200 .* ok$", output, re.MULTILINE)
    assert re.search(r"^Shopper\.missing .* 404 .* failed: ", output, re.MULTILINE)
    assert re.search(rf"^Shopper\.raises +KeyError: 'price' \(.*shop\.py, line {line}\)$", output, re.MULTILINE)
    assert re.search(r"^Shopper\.leaves +SystemExit: 0 \(.*shop\.py, line \d+\)$", output, re.MULTILINE)
    assert re.search(r"^Late\.on_start +ValueError: no account \(.*shop\.py, line \d+\)$", output, re.MULTILINE)
    assert "never" not in output
    assert output.endswith("failed       4 tasks, 2 requests: 1 failed request, 3 other problems\n")


def test_an_error_of_a_tasks_own_greenlet_is_shown(tmp_path: Path, target_url: str) -> None:
    """Its error would otherwise be in no figure of the check; a task without requests may be intended."""
    code, output = check(tmp_path / "shop.py", PARALLEL, target_url)
    assert re.search(r"^a greenlet +ValueError: no basket \(.*shop\.py:\d+ in each\)$", output, re.MULTILINE), output
    assert re.search(r"^Shopper\.pauses +made no request$", output, re.MULTILINE), output
    assert (code, output.splitlines()[-1]) == (1, "failed       2 tasks, 1 request: 0 failed requests, 1 other problem")


def test_texts_of_a_scenario_or_service_command_no_terminal_and_begin_no_line(tmp_path: Path, target_url: str) -> None:
    """A name, an error and an exception contain a service's response: control sequences, lines, a megabyte."""
    code, output = check(tmp_path / "shop.py", HOSTILE, target_url)
    *shown, last = [line for line in output.split("\n") if line]
    assert (code, [line.split()[0] for line in shown if line.startswith("Shopper")]) == (
        1,
        ["Shopper.named", "Shopper.failed", "Shopper.raises"],
    )
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]", output)
    assert max(map(len, shown)) <= LONGEST_LINE + 2
    assert (last.split()[0], "checked" in [line.split()[0] for line in shown]) == ("failed", False)


def test_an_exit_of_a_listener_is_no_pass(tmp_path: Path, target_url: str) -> None:
    """The check did not complete, whatever exit code the locustfile requested."""
    text = SILENT.replace("test_start", "init").replace('OSError("no database")', "SystemExit(0)")
    code, output = check(tmp_path / "shop.py", text, target_url)
    assert (code, "never" in output) == (2, False), output


def test_nothing_is_tried_after_a_listener_failed(tmp_path: Path, target_url: str) -> None:
    """An exception of a listener that prepares the test ends the check before the first task, with file and line."""
    code, output = check(tmp_path / "shop.py", SILENT, target_url)
    assert (code, "never" in output) == (1, False), output
    assert re.search(r"OSError: no database \(.*shop\.py, line \d+\)", output)


def test_a_check_follows_the_redirects_that_a_run_follows() -> None:
    """It follows redirects to the hosts in LOADTEST_ALLOWED_HOSTS."""
    try:
        Trial(Config(scenario="health", host="http://127.0.0.1:1", allowed_hosts="login.example"), [])
        hosts.check_redirect("login.example", "127.0.0.1")
    finally:
        hosts.open_allowed(None)
