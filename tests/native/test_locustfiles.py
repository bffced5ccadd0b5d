"""Locustfiles of the shapes that public ones have, as they are: under stock Locust, and under this product.

The target counts, and what both report is compared with that. Files that need a process of their own (by their shape,
arguments, exit code …) run alone, the others together, which is much faster. A request whose path is in `FAILING` is
one that the file, or the status, makes a failure.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import gevent
import pytest
from gevent.pool import Pool
from gevent.pywsgi import WSGIServer

from loadtest.exceptions import ExitCode
from tests.endings import ended_well
from tests.faults.swarm import ROOT

pytestmark = [pytest.mark.native, pytest.mark.timeout(400)]

FOLDER = Path(__file__).parent / "locustfiles"
TOGETHER = {
    "without failures": (
        "abstract_bases", "clean_up", "csv_beside", "fixed_count", "listens", "markov", "messages", "nested", "prints",
        "seeding", "sequential", "task_functions",
    ),
    "with failures": ("catch_response", "custom_client", "excuses", "fast_users", "grpc_like", "our_base"),
}  # fmt: skip
ALONE = ("arguments", "pytest_style", "raises", "sets_exit_code", "stages", "tags")
HELPERS = ("words_beside",)
RUNS = {**TOGETHER, **{name: (name,) for name in ALONE}}
OPTIONS = {
    "arguments": ("--secret", "s3"),
    "tags": ("--tags", "read", "--exclude-tags", "slow"),
    "without failures": ("-u", "20"),
    "with failures": ("-u", "8"),
}
LOAD = ("--headless", "-u", "4", "-r", "20", "-s", "20", "--only-summary")
STATUSES = {"/missing": "404 Not Found", "/forgiven": "404 Not Found", "/broken": "500 Internal Server Error"}
FAILING = ("/missing", "/broken", "/wrong")
NOT_REPORTED = re.compile("^/seed/")
"""Requests that a file sends with a client which reports nothing."""
UNSTOPPABLE = {"pytest_style": 4}
"""Users whose loop never ends by itself: stopped, each leaves a request behind that one side may not have counted."""
FORGOTTEN_BY_STOCK = 4
"""Stock Locust may kill a user whose wait just ended, and forgets the request that it has sent by then."""
ENOUGH = """
import gevent
from locust import events

seen = []


@events.init.add_listener
def note(environment, **_kwargs):
    def end(**_kwargs):
        seen.append(1)
        if len(seen) == 15 * environment.parsed_options.num_users:
            gevent.spawn(environment.runner.quit)

    environment.events.request.add_listener(end)
"""
"""Ends stock Locust, whose run time begins with its own start, and is over before a slow machine has started it."""
AT_ONCE = 4


class Target:
    """A server that counts by path; its answers depend on the path."""

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
        """Return the requests that the files report, and how many of them failed."""
        return self.paths.total(), sum(self.paths[path] for path in FAILING)

    def close(self) -> None:
        """End it."""
        self._server.stop()


class Ran:
    """Some files, run one way, in one process."""

    def __init__(self, name: str, folder: Path, *, is_ours: bool) -> None:
        """Run them to their end."""
        target = Target()
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("LOADTEST_", "LOCUST_"))}
        files = ",".join(str(folder / f"{file}.py") for file in RUNS[name])
        own = folder / f"{name} {is_ours}"
        own.mkdir()
        if is_ours:
            settings = {"EXPORTER_PORT": "0", "RUNS_DIR": str(own), "RUN_ID": "run", "SCENARIO": files}
            kept |= {f"LOADTEST_{setting}": value for setting, value in settings.items()}
            how = ["-f", str(ROOT / "locust/locustfile.py"), "--config", str(ROOT / "local_conf/locust.conf")]
        else:
            how = ["-f", files]
        if name != "stages":  # whose shape ends it
            how += ["-t", "4s"] if is_ours else []
            how[1] += "" if is_ours else f",{folder / 'enough.py'}"
        options = [*LOAD, *OPTIONS.get(name, ()), "-H", target.url, "--json-file", str(own / "statistics")]
        done = subprocess.run(
            [sys.executable, "-m", "locust", *how, *options],
            cwd=own, env=kept, stdin=subprocess.DEVNULL, check=False, capture_output=True, text=True,
        )  # fmt: skip
        target.close()
        self.code, self.output = done.returncode, done.stdout + done.stderr
        self.paths, self.counted = target.paths, target.counted()
        self.rows = _read(own / "statistics.json")
        self.record = _read(own / "run" / "record.json")

    def reported(self) -> tuple[int, int]:
        """Return the requests and failures of Locust's statistics."""
        return sum(row["num_requests"] for row in self.rows), sum(row["num_failures"] for row in self.rows)

    def recorded(self) -> tuple[int, int]:
        """Return the requests and failures of the record, those of on_start and on_stop included."""
        totals = self.record["total"], self.record["setup"]["total"]
        return sum(total["requests"] for total in totals), sum(total["failures"] for total in totals)


def _read(path: Path) -> Any:
    return json.loads(path.read_text()) if path.exists() else {}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, bool], Ran]:
    """Every run, both ways, some at once."""
    folder = tmp_path_factory.mktemp("locustfiles") / "files"
    shutil.copytree(FOLDER, folder)  # away from this repository's settings of pytest
    (folder / "enough.py").write_text(ENOUGH)
    pool = Pool(AT_ONCE)
    jobs = {(name, way): pool.spawn(Ran, name, folder, is_ours=way) for name in RUNS for way in (False, True)}
    gevent.joinall(list(jobs.values()), raise_error=True)
    return {way: job.value for way, job in jobs.items()}


def test_every_file_is_run() -> None:
    """None is forgotten."""
    assert sorted(path.stem for path in FOLDER.glob("*.py")) == sorted(
        [*HELPERS, *(f for r in RUNS.values() for f in r)]
    )


@pytest.mark.parametrize("name", RUNS)
def test_every_request_and_failure_is_counted(runs: dict[tuple[str, bool], Ran], name: str) -> None:
    """The record, and Locust's statistics both ways, hold what the target counted."""
    stock, ours = runs[name, False], runs[name, True]
    assert ours.record, ours.output
    assert ours.recorded() == ours.reported(), ours.output
    for ran, forgotten in ((stock, FORGOTTEN_BY_STOCK), (ours, 0)):
        differences = [abs(one - other) for one, other in zip(ran.reported(), ran.counted, strict=True)]
        assert max(differences) <= max(forgotten, UNSTOPPABLE.get(name, 0)), (ran.reported(), ran.counted, ran.output)
        assert ran.counted[0] >= 8, ran.output
        assert len(ran.paths) >= len(RUNS[name]), ran.paths
    assert [path for path in ours.paths if "against-the-tags" in path] == []


@pytest.mark.parametrize("name", RUNS)
def test_exit_codes_agree(runs: dict[tuple[str, bool], Ran], name: str) -> None:
    """What stock Locust ends with 0 passes; what it does not, fails by a rule or by the file's own code."""
    stock, ours = runs[name, False], runs[name, True]
    if name == "sets_exit_code":
        assert (stock.code, ours.code) == (7, 7), ours.output
        assert "exit code    7, set by the locustfile" in ours.output
    elif name == "raises":
        assert (stock.code, ours.code) == (1, ExitCode.NOT_TRUSTWORTHY), ours.output
    elif name == "with failures":
        assert stock.code == 1, stock.output
        assert ours.code in (ExitCode.THRESHOLD_FAILED, ExitCode.NOT_TRUSTWORTHY), ours.output
    else:
        assert stock.code == 0, stock.output
        assert ended_well(ours.code, ours.output), ours.output


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("arguments", "greeting hello"),
        ("without failures", "confirmed took ada"),
        ("without failures", "imported ('one', 'two')"),
    ],
)
def test_what_a_file_prints_is_seen(runs: dict[tuple[str, bool], Ran], name: str, words: str) -> None:
    """Its arguments, messages and imports work as under stock Locust."""
    assert [words in runs[name, is_ours].output for is_ours in (False, True)] == [True, True]


@pytest.mark.parametrize("is_ours", [False, True])
def test_a_listener_gets_every_request(runs: dict[tuple[str, bool], Ran], is_ours: bool) -> None:
    """A file that counts by itself counts what is reported, which under us is what the target counts."""
    ran = runs["without failures", is_ours]
    assert f"listened {ran.reported()[0]}\n" in ran.output
    assert not is_ours or ran.reported() == ran.counted


def test_the_names_are_those_of_stock_locust(runs: dict[tuple[str, bool], Ran]) -> None:
    """A request has the name and the method that it has under stock Locust."""
    known = {("GET", f"/{name}") for name in ("right", "wrong", "forgiven", "missing", "broken", "read", "group/[id]")}
    known |= {("GET", "/fresh?_=..."), ("POST", "/wrong"), ("RPC", "good"), ("RPC", "broken")}
    known |= {("grpc", "/shop.Shop/order"), ("grpc", "/shop.Shop/broken")}
    for is_ours in (False, True):
        names = {(row["method"], row["name"]) for row in runs["with failures", is_ours].rows}
        assert names <= known
        assert {("GET", "/read"), ("GET", "/broken"), ("grpc", "/shop.Shop/order"), ("RPC", "good")} <= names
