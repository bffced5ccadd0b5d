"""Locust's own options, variables and files with `loadtest run`: they have the same meaning as in Locust."""

import csv
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.endings import ended_well
from tests.faults.swarm import Witness

from .conftest import ROOT

pytestmark = [pytest.mark.native, pytest.mark.timeout(240)]

LOCUSTFILE = """
from locust import HttpUser, constant, events, tag, task


class {name}(HttpUser):
    wait_time = constant(0.1)

    @tag("read")
    @task
    def read(self):
        self.client.get(f"/{name}/{{self.environment.parsed_options.word}}")

    @task
    def untagged(self):
        self.client.get("/untagged")


class {name}Other(HttpUser):
    @task
    def other(self):
        self.client.get("/other-class")
"""


WITH_ARGUMENT = """

@events.init_command_line_parser.add_listener
def _(parser):
    parser.add_argument("--word", default="none")
"""


@pytest.fixture
def witness() -> Iterator[Witness]:
    """A target that counts."""
    witness = Witness()
    yield witness
    witness.close()


def loadtest(folder: Path, *options: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """`loadtest run` in a separate folder."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("LOADTEST_", "LOCUST_"))}
    settings = {"LOADTEST_EXPORTER_PORT": "0", "LOADTEST_RUNS_DIR": str(folder / "runs"), "LOADTEST_RUN_ID": "run"}
    return subprocess.run(
        [Path(sys.executable).with_name("loadtest"), "run", *options],
        cwd=folder, env={**kept, **settings, **variables}, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_the_hands_habits_work(tmp_path: Path, witness: Witness) -> None:
    """Files, load, tags, classes, the file's own argument, and every file that Locust writes work as usual."""
    (tmp_path / "shop.py").write_text(LOCUSTFILE.format(name="Shop") + WITH_ARGUMENT)
    (tmp_path / "admin.py").write_text(LOCUSTFILE.format(name="Admin"))
    done = loadtest(
        tmp_path, "-f", "shop.py", "-f", "./admin.py", "--headless", "--processes", "1", "-u2", "-r", "2", "-t", "4s",
        "-s", "2", "-H", witness.url, "--tags", "read", "--word=hi", "--html", "out/page_{u}_{r}_{t}.html", "--csv",
        "out/stats", "--csv-full-history", "--json-file", "out/numbers", "--json", "-L", "WARNING", "Shop", "Admin",
    )  # fmt: skip
    assert ended_well(done.returncode, done.stderr), done.stdout + done.stderr
    expected = {"/Shop/hi", "/Admin/hi"}
    rows = json.loads(done.stdout)
    assert {row["name"] for row in rows} == expected
    assert sum(row["num_requests"] for row in rows) == len(witness.requests)
    assert json.loads((tmp_path / "out" / "numbers.json").read_text()) == rows
    with (tmp_path / "out" / "stats_stats.csv").open() as file:
        assert {row["Name"] for row in csv.DictReader(file)} == {*expected, "Aggregated"}
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"stats_failures.csv", "stats_stats_history.csv", "page_2_2_4.html"} <= written
    record = json.loads((tmp_path / "runs" / "run" / "record.json").read_text())
    assert (record["configuration"]["users"], record["configuration"]["workers"]) == (2, 1)
    assert {series["scenario"] for series in record["series"]} == {"shop-admin"}


def test_locusts_variables_and_files_are_settings(tmp_path: Path, witness: Witness) -> None:
    """LOCUST_HOST and locust.conf configure the load; the command line and our own variables take precedence."""
    (tmp_path / "visits.py").write_text(LOCUSTFILE.format(name="Visitor") + WITH_ARGUMENT)
    (tmp_path / "locust.conf").write_text(
        "locustfile = visits.py\nusers = 50\nspawn-rate = 7\nprocesses = 9\ntags = read\n"
    )
    variables = {"LOCUST_HOST": witness.url, "LOADTEST_USERS": "3", "LOCUST_USERS": "40", "LOCUST_CSV": "out"}
    done = loadtest(tmp_path, "-t", "3s", "--workers", "1", "Visitor", **variables)
    assert ended_well(done.returncode, done.stdout), done.stdout + done.stderr
    record = json.loads((tmp_path / "runs" / "run" / "record.json").read_text())
    found = {name: record["configuration"][name] for name in ("scenario", "users", "spawn_rate", "run_time", "workers")}
    assert found == {"scenario": "visits.py", "users": 3, "spawn_rate": 7, "run_time": 3, "workers": 1}
    assert max(point["users"] for point in record["timeline"]) == 3
    assert record["context"]["target"]["hosts"] == [witness.url]
    assert {series["name"] for series in record["series"]} == {"/Visitor/none"}
    assert record["total"]["requests"] == len(witness.requests)
    assert (tmp_path / "out_stats.csv").exists()


@pytest.mark.parametrize("how", [("--autostart", "--autoquit", "1", "--class-picker"), ()])
def test_autostart_begins_a_test_with_the_web_ui(tmp_path: Path, witness: Witness, how: tuple[str, ...]) -> None:
    """With --autoquit the process ends after the test with the verdict's exit code; Locust's variables work alike."""
    (tmp_path / "visits.py").write_text(LOCUSTFILE.format(name="Visitor"))
    load = ("-u", "2", "-r", "2", "-t", "3s", "-s", "2", "-H", witness.url)
    variables = {} if how else {"LOCUST_AUTOSTART": "true", "LOCUST_AUTOQUIT": "1"}
    done = loadtest(tmp_path, "-f", "visits.py", *load, *how, "-P", "0", "Visitor", **variables)
    assert ended_well(done.returncode, done.stdout), done.stdout + done.stderr
    assert "web UI       http://127.0.0.1:" in done.stdout
    record = json.loads((tmp_path / "runs" / "run" / "record.json").read_text())
    assert record["total"]["requests"] == len(witness.requests) > 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--hst", "x"], "--hst is not an option. Allowed: those of `loadtest run --help`"),
        (["--master"], "--master is not an option of `loadtest run`, which starts the master and its workers itself."),
        (["Visitr"], "User class=Visitr is not known. Allowed: Visitor, VisitorOther. Next: did you mean Visitor?"),
    ],
)  # fmt: skip
def test_a_wrong_option_names_the_nearest(tmp_path: Path, options: list[str], words: str) -> None:
    """Nothing is started."""
    (tmp_path / "visits.py").write_text(LOCUSTFILE.format(name="Visitor") + WITH_ARGUMENT)
    done = loadtest(tmp_path, "-f", "visits.py", *options)
    assert (done.returncode, words in done.stderr) == (2, True), done.stderr
    assert not (tmp_path / "runs").exists()


def test_a_run_by_locusts_own_command_has_a_folder_of_its_own(tmp_path: Path, witness: Witness) -> None:
    """If another run began in the same second, its name gets a number; here all names of the next minutes are taken."""
    now, ending = datetime.now(UTC), "-health-quick"
    others = {f"{now + timedelta(seconds=later):%Y%m%dT%H%M%SZ}{ending}" for later in range(120)}
    for name in others:
        (tmp_path / "runs" / name).mkdir(parents=True)
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("LOADTEST_", "LOCUST_"))}
    settings = {"LOADTEST_EXPORTER_PORT": "0", "LOADTEST_RUNS_DIR": str(tmp_path / "runs")}
    done = subprocess.run(
        [Path(sys.executable).with_name("locust"), "-f", "locust/locustfile.py", "--headless", "-u1", "-t2s"],
        env={**kept, **settings, "LOADTEST_SCENARIO": "health", "LOADTEST_HOST": witness.url},
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    names = {folder.name for folder in (tmp_path / "runs").iterdir()} - others
    assert [name[len("20261121T093657Z") :] for name in names] == [f"{ending}-2"], done.stdout + done.stderr
    assert (tmp_path / "runs" / names.pop() / "record.json").exists()
