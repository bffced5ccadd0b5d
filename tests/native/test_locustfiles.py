"""Locustfiles in the style of public ones, unchanged, on a real master with workers.

They run under stock Locust, under this product, and under this product with `--fast`. The counts that each reports are
compared with those of the target. Files that need separate processes (because of their shape, arguments, exit code …)
run alone, the others together, which is much faster. Requests with a path in `FAILING` fail by the file or the status.
"""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import urllib.request
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gevent
import pytest
from gevent.pool import Pool
from gevent.pywsgi import WSGIServer

from loadtest.exceptions import ExitCode
from loadtest.local.process import free_port
from tests.endings import ended_well
from tests.faults.swarm import ROOT

pytestmark = [pytest.mark.native, pytest.mark.timeout(900)]

FOLDER = Path(__file__).parent / "locustfiles"
TOGETHER = {
    "without failures": (
        "abstract_bases", "clean_up", "csv_beside", "fixed_count", "listens", "markov", "messages", "nested", "prints",
        "seeding", "sequential", "task_functions",
    ),
    "with failures": (
        "arguments", "catch_response", "custom_client", "excuses", "fast_users", "grpc_like", "our_base", "raises",
    ),
}  # fmt: skip
ALONE = ("host_port", "pytest_style", "sets_exit_code", "stages", "tags")
HELPERS = ("words_beside",)
RUNS = {**TOGETHER, **{name: (name,) for name in ALONE}}
WAYS = [(name, way) for name in RUNS for way in ("stock", "ours", *(("fast",) if name in TOGETHER else ()))]
"""What `--fast` does depends on the classes, and the files that run together have all kinds of them."""
OPTIONS = {
    "pytest_style": ("-s", "2"),
    "tags": ("--tags", "read", "--exclude-tags", "slow"),
    "without failures": ("-u", "20"),
    "with failures": ("-u", "12", "--secret", "s3"),
}
LOAD = ("--headless", "-u", "4", "-r", "20", "-s", "20", "--only-summary")
WORKERS = {name: 2 if name in TOGETHER else 1 for name in RUNS} | {"pytest_style": 0}
"""None: it runs in one process under us, because pytest, with this suite's plugins, collects the file in each."""
STATUSES = {"/missing": "404 Not Found", "/forgiven": "404 Not Found", "/broken": "500 Internal Server Error"}
FAILING = ("/missing", "/broken", "/wrong")
NOT_REPORTED = re.compile("^/seed/")
"""Requests that a file sends with a client which reports nothing."""
UNSTOPPABLE = {"pytest_style": 4}
"""Users whose loop never ends by itself: stopped, each leaves a request behind that one side may not have counted."""
FORGOTTEN_BY_STOCK = 4
"""Stock Locust may kill a user whose wait just ended, and forgets the request that it has sent by then."""
STOPS = {"stages": 3}
"""How often users are stopped, if more than once: a shape does it at each stage."""
ENOUGH = """
import gevent
from locust import events
from locust.runners import MasterRunner

finished = []


@events.init.add_listener
def register(environment, runner, **_kwargs):
    def finish(**_kwargs):
        runner.stop()
        runner._send_stats()
        runner.send_message("finished")

    def end(**_kwargs):
        finished.append(1)
        if len(finished) == len(runner.clients):
            gevent.spawn(runner.quit)

    if isinstance(runner, MasterRunner):
        runner.register_message("finished", end)
    else:
        runner.register_message("finish", finish, concurrent=True)


@events.test_start.add_listener
def begin(environment, **_kwargs):
    if isinstance(environment.runner, MasterRunner):
        gevent.spawn(watch, environment.runner, 15 * environment.parsed_options.num_users)


def watch(runner, enough):
    while runner.stats.num_requests < enough:
        gevent.sleep(0.1)
    if runner.shape_greenlet:
        runner.shape_greenlet.kill()
    runner.send_message("finish")
"""
"""Ends stock Locust after some requests of each user, and when its workers have reported the last.

Its own run time begins with its start, and is over before a slow machine has started it; and its master waits half a
second for the workers' last reports."""
AT_ONCE = 2
TOOLS = Path(sys.executable).parent


class Target:
    """A server that counts by path; its responses depend on the path."""

    def __init__(self) -> None:
        """Listen on a free port."""
        self.paths: Counter[str] = Counter()
        self._server = WSGIServer(("127.0.0.1", 0), self._answer, log=None)
        self._server.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def _answer(self, environ: dict[str, Any], start_response: Any) -> list[bytes]:
        path = environ["PATH_INFO"]
        environ["wsgi.input"].read()
        if not NOT_REPORTED.search(path):
            self.paths[path] += 1
        start_response(STATUSES.get(path, "200 OK"), [("Content-Type", "application/json")])
        return [b'{"status":"ok"}']

    def counted(self) -> tuple[int, int]:
        """Return the number of requests that the files report, and the number of failures among them."""
        return self.paths.total(), sum(self.paths[path] for path in FAILING)

    def close(self) -> None:
        """End it."""
        self._server.stop()


class Ran:
    """Some files, run one way, by a master and workers."""

    def __init__(self, name: str, folder: Path, way: str) -> None:
        """Run them to their end."""
        target = Target()
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("LOADTEST_", "LOCUST_"))}
        kept["PYTEST_ADDOPTS"] = "-p no:schemathesis -p no:anyio -p no:hypothesispytest"  # of this suite, and slow
        files = ",".join(str(folder / f"{file}.py") for file in RUNS[name])
        own = folder / f"{name} {way}"
        own.mkdir()
        host = target.url.removeprefix("http://") if name == "host_port" else target.url
        options = [*LOAD, *OPTIONS.get(name, ()), "-H", host, "--json-file", str(own / "statistics")]
        if way == "stock":
            port = str(free_port())
            files += f",{folder / 'enough.py'}"
            link = ["--processes", str(WORKERS[name] or 1), "--master-bind-port", port, "--master-port", port]
            command = [TOOLS / "locust", "-f", files, *link]
        else:
            settings = {"EXPORTER_PORT": "0", "RUNS_DIR": str(own), "RUN_ID": "run", "SCENARIO": files}
            command = [TOOLS / "loadtest", "run", *(["--fast"] if way == "fast" else [])]
            if WORKERS[name]:
                settings["WORKERS"] = str(WORKERS[name])
            else:
                command = [
                    TOOLS / "locust",
                    "-f",
                    ROOT / "locust/locustfile.py",
                    "--config",
                    ROOT / "local_conf/locust.conf",
                ]
            kept |= {f"LOADTEST_{setting}": value for setting, value in settings.items()}
            options += [] if name == "stages" else ["-t", "4s"]
        done = subprocess.run(
            [*command, *options],
            cwd=own, env=kept, stdin=subprocess.DEVNULL, check=False, capture_output=True, text=True,
        )  # fmt: skip
        target.close()
        logs = [log.read_text() for log in sorted((own / "run" / "logs").glob("*.log"))]
        self.code, self.output = done.returncode, "\n".join((done.stdout, done.stderr, *logs))
        self.paths, self.counted = target.paths, target.counted()
        self.rows = _read(own / "statistics.json")
        self.record = _read(own / "run" / "record.json")

    def reported(self) -> tuple[int, int]:
        """Return the requests and failures of Locust's statistics; ours leave out the set-up, which is added here."""
        shown = sum(row["num_requests"] for row in self.rows), sum(row["num_failures"] for row in self.rows)
        return shown[0] + self._of("setup")[0], shown[1] + self._of("setup")[1]

    def recorded(self) -> tuple[int, int]:
        """Return the requests and failures of the record, those of on_start and on_stop included."""
        return self._of("load")[0] + self._of("setup")[0], self._of("load")[1] + self._of("setup")[1]

    def _of(self, phase: str) -> tuple[int, int]:
        part = self.record.get("setup", {}) if phase == "setup" else self.record
        total = part.get("total", {"requests": 0, "failures": 0})
        return total["requests"], total["failures"]


def _read(path: Path) -> Any:
    return json.loads(path.read_text()) if path.exists() else {}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Ran]:
    """Every run, each way, some at once."""
    folder = tmp_path_factory.mktemp("locustfiles") / "files"
    shutil.copytree(FOLDER, folder)  # outside of this repository and its pytest settings
    (folder / "enough.py").write_text(ENOUGH)
    pool = Pool(AT_ONCE)
    jobs = {(name, way): pool.spawn(Ran, name, folder, way) for name, way in WAYS}
    gevent.joinall(list(jobs.values()), raise_error=True)
    return {way: job.value for way, job in jobs.items()}


def test_every_file_is_run() -> None:
    """Every file in the folder is part of a run."""
    assert sorted(path.stem for path in FOLDER.glob("*.py")) == sorted(
        [*HELPERS, *(f for r in RUNS.values() for f in r)]
    )


@pytest.mark.parametrize(("name", "way"), WAYS)
def test_every_request_and_failure_is_counted(runs: dict[tuple[str, str], Ran], name: str, way: str) -> None:
    """The record, and Locust's statistics each way, have the target's counts."""
    ran = runs[name, way]
    forgotten = FORGOTTEN_BY_STOCK * STOPS.get(name, 1) if way == "stock" else 0
    differences = [abs(one - other) for one, other in zip(ran.reported(), ran.counted, strict=True)]
    assert max(differences) <= max(forgotten, UNSTOPPABLE.get(name, 0)), (ran.reported(), ran.counted, ran.output)
    assert ran.counted[0] >= 8, ran.output
    assert len(ran.paths) >= len(RUNS[name]), ran.paths
    assert [path for path in ran.paths if "against-the-tags" in path] == []
    if way != "stock":
        assert ran.recorded() == ran.reported(), ran.output
        assert {f"worker {index}" for index in range(WORKERS[name])} <= {
            one["subject"] for one in ran.record["workers"]
        }


@pytest.mark.parametrize(("name", "way"), WAYS)
def test_exit_codes_agree(runs: dict[tuple[str, str], Ran], name: str, way: str) -> None:
    """Files that end with 0 under stock Locust pass; others fail by a rule or by their own exit code."""
    ran, is_stock = runs[name, way], way == "stock"
    if name == "sets_exit_code":
        assert ran.code == 7, ran.output
        assert is_stock or "exit code    7, set by the locustfile" in ran.output
    elif name == "with failures":  # one of the files raises, which is a failure with any thresholds
        assert ran.code == (1 if is_stock else ExitCode.NOT_TRUSTWORTHY), ran.output
    elif is_stock:
        assert ran.code == 0, ran.output
    else:
        assert ended_well(ran.code, ran.output), ran.output


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("with failures", "greeting hello"),
        ("without failures", "confirmed took ada"),
        ("without failures", "imported ('one', 'two')"),
    ],
)
def test_what_a_file_prints_is_seen(runs: dict[tuple[str, str], Ran], name: str, words: str) -> None:
    """Its arguments, messages between master and workers, and imports work as under stock Locust."""
    assert [words in runs[name, way].output for way in ("stock", "ours")] == [True, True]


@pytest.mark.parametrize("way", ["stock", "ours", "fast"])
def test_a_listener_gets_every_request(runs: dict[tuple[str, str], Ran], way: str) -> None:
    """A file that counts in its workers gets every reported request; in our runs that is the target's count."""
    ran = runs["without failures", way]
    listened = re.findall(r"^listened (\d+)$", ran.output, re.MULTILINE)
    assert sum(map(int, listened)) == ran.reported()[0], listened
    assert way == "stock" or ran.reported() == ran.counted


def test_the_names_are_those_of_stock_locust(runs: dict[tuple[str, str], Ran]) -> None:
    """A request has the same name and method as under stock Locust."""
    known = {("GET", f"/{name}") for name in ("right", "wrong", "forgiven", "missing", "broken", "read", "group/[id]")}
    known |= {("GET", "/fresh?_=..."), ("POST", "/wrong"), ("RPC", "good"), ("RPC", "broken")}
    known |= {("grpc", "/shop.Shop/order"), ("grpc", "/shop.Shop/broken"), ("GET", "/hello/s3"), ("GET", "/stumble")}
    for way in ("stock", "ours", "fast"):
        names = {(row["method"], row["name"]) for row in runs["with failures", way].rows}
        assert names <= known
        assert {("GET", "/read"), ("GET", "/broken"), ("grpc", "/shop.Shop/order"), ("RPC", "good")} <= names


def test_fast_moves_the_classes_that_it_may(runs: dict[tuple[str, str], Ran]) -> None:
    """Of the files that run together, every HttpUser and FastHttpUser is moved, but no User with its own client."""
    notes = [note for name in TOGETHER for note in runs[name, "fast"].record["context"]["notes"]]
    assert [note for note in notes if not note.startswith("fast: ")] == []
    moved = {word for note in notes for word in note.removeprefix("fast: ").partition(" on ")[0].split(", ")}
    assert {"Fast", "Judge", "Excused", "Customer", "Walker", "Listener", "Buyer"} <= moved
    assert moved.isdisjoint({"Caller", "Shopper", "Ours"})


def test_plain_locust_counts_our_base_class_with_its_web_ui(tmp_path: Path) -> None:
    """Locust's page shows each request that the target counted, and Locust exits as usual after failures."""
    target, port, web_port = Target(), str(free_port()), free_port()
    link = ["--processes", "1", "--master-bind-port", port, "--master-port", port, "--web-port", str(web_port)]
    load = ["-u", "4", "-r", "20", "-s", "20", "-H", target.url, "--autostart", "--web-host", "127.0.0.1"]
    log = tmp_path / "log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [TOOLS / "locust", "-f", FOLDER / "our_base.py", *link, *load],
            cwd=tmp_path, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
        )  # fmt: skip
    web = f"http://127.0.0.1:{web_port}"
    try:
        _await(lambda: target.paths["/wrong"] > 5, log)
        _get(f"{web}/stop", b"")
        _await(lambda: _get(f"{web}/stats/requests")["state"] == "stopped", log)
        _await(lambda: _shown(_get(f"{web}/stats/requests")) == target.counted(), log)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()
        target.close()
    assert process.returncode == 1, log.read_text()


def _shown(page: Any) -> tuple[int, int]:
    total = page["stats"][-1]
    return total["num_requests"], total["num_failures"]


def _get(url: str, body: bytes | None = None) -> Any:
    with urllib.request.urlopen(url, body) as answer:
        return json.load(answer)


def _await(condition: Callable[[], bool], log: Path) -> None:
    for _ in range(600):
        with contextlib.suppress(OSError):
            if condition():
                return
        gevent.sleep(0.1)
    raise AssertionError(log.read_text())
