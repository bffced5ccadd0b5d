"""Lies of the generator's own machine: its delays and limits, which would be blamed on the service."""

import resource
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from loadtest.exceptions import ExitCode
from tests.endings import BUSY_MACHINE
from tests.lies.generator import busy_neighbours, generator, service

pytestmark = [pytest.mark.native, pytest.mark.timeout(240)]


def test_a_busy_neighbour_is_not_blamed_on_the_service(tmp_path: Path) -> None:
    """When other processes take its cores, a run is not trustworthy, and reports by how much."""
    with service() as host, generator(tmp_path, host) as running:
        running.wait_for_load()
        with busy_neighbours(4):
            ended = running.end()
    assert ended.code == ExitCode.NOT_TRUSTWORTHY
    assert "other_processes" in ended.rules
    assert "other processes kept the machine of " in ended.output
    shares = [one["mean"]["others_cpu_ratio"] for one in ended.document["workers"] if one["subject"] == "master"]
    assert shares[0] > 0.3


def test_a_calm_run_is_trusted(tmp_path: Path) -> None:
    """On a calm machine only shared cores are reported, in every output."""
    with service() as host, generator(tmp_path, host) as running:
        ended = running.end()
    assert ended.rules <= BUSY_MACHINE
    assert ended.code == (ExitCode.NOT_TRUSTWORTHY if ended.rules else ExitCode.PASSED)
    for text in (ended.output, *((tmp_path / "lie" / name).read_text() for name in ("summary.md", "junit.xml"))):
        assert "with the load generator; the cores were" in text


def test_a_process_that_is_stopped_for_seconds_is_found(tmp_path: Path) -> None:
    """A worker that is stopped for 3 of 10 s sends nothing meanwhile; its own clock shows the gap."""
    with service() as host, generator(tmp_path, host, LOADTEST_RUN_TIME="10s") as running:
        running.wait_for_load()
        (worker,) = running.workers()
        worker.suspend()
        time.sleep(3)
        worker.resume()
        ended = running.end()
    assert ended.code == ExitCode.NOT_TRUSTWORTHY
    assert "late_wake_ups" in ended.rules
    assert "worker 0 woke up" in ended.sentence("late_wake_ups")


STALLS = """
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager

import gevent

from loadtest.clients.http import HttpUser
from loadtest.scenarios import Scenario
from locust import constant, task

sleep = gevent.monkey.get_original("time", "sleep")


class Shopper(HttpUser):
    scenario = "stalls"
    wait_time = constant(0.05)

    @task
    def buy(self) -> None:
        self.client.get("/buy", name="buy")


class Blocking(HttpUser):  # not a Shopper: it would inherit the task beside its own
    scenario = "stalls"
    fixed_count = 1
    wait_time = constant(0.21)

    @task
    def block(self) -> None:
        sleep(0.09)  # a call that gevent does not know of


scenario = Scenario("stalls", (Shopper, Blocking), (("GET", "buy"),))
"""


def test_a_blocking_call_in_a_task_is_found(tmp_path: Path) -> None:
    """Stalls of 90 ms in every 300 ms make every other user late, although no single second looks bad."""
    file = tmp_path / "stalls.py"
    file.write_text(STALLS)
    with service() as host, generator(tmp_path, host, LOADTEST_SCENARIO=str(file)) as running:
        ended = running.end()
    assert ended.code == ExitCode.NOT_TRUSTWORTHY
    assert "late_wake_ups" in ended.rules
    assert "take blocking calls out of the scenario" in ended.sentence("late_wake_ups")


def test_one_slow_worker_is_not_hidden_in_the_merge(tmp_path: Path) -> None:
    """One of two workers is stopped every other moment, and the report names that worker."""
    with service() as host, generator(tmp_path, host, LOADTEST_WORKERS="2", LOADTEST_USERS="60") as running:
        running.wait_for_load()
        slow = running.workers()[0]
        until_s = time.monotonic() + 7
        while time.monotonic() < until_s and running.process.poll() is None:
            slow.suspend()
            time.sleep(0.6)
            slow.resume()
            time.sleep(0.05)
        ended = running.end()
    assert ended.code == ExitCode.NOT_TRUSTWORTHY
    assert "late_wake_ups" in ended.rules
    named = {finding["subject"] for finding in ended.document["findings"] if finding["rule"] == "uneven_workers"}
    assert len(named) == 1


@contextmanager
def quota(share: float) -> Iterator[Path]:
    """Yield a cgroup whose processes share this fraction of a core; skip the test if none can be created."""
    version_1, version_2 = Path("/sys/fs/cgroup/cpu"), Path("/sys/fs/cgroup")
    group = (version_1 if (version_1 / "cpu.cfs_quota_us").exists() or version_1.is_dir() else version_2) / "lies_test"
    try:
        group.mkdir()
    except OSError as error:
        pytest.skip(f"no cgroup can be made here: {error}")
    try:
        if (group / "cpu.cfs_quota_us").exists():
            (group / "cpu.cfs_quota_us").write_text(str(int(share * 100_000)))
        elif (group / "cpu.max").exists():
            (group / "cpu.max").write_text(f"{int(share * 100_000)} 100000")
        else:
            pytest.skip("the cpu controller is not available in this cgroup")
        yield group
    finally:
        until_s = time.monotonic() + 10
        while time.monotonic() < until_s:
            try:
                group.rmdir()
            except OSError:
                time.sleep(0.1)
            else:
                break


def test_a_quota_that_throttles_the_worker_is_found(tmp_path: Path) -> None:
    """A worker that gets a fiftieth of a core is throttled by the kernel most of the time, and reports it."""
    with quota(0.02) as group, service() as host, generator(tmp_path, host, LOADTEST_USERS="40") as running:
        running.wait_for_load()
        (worker,) = running.workers()
        (group / "cgroup.procs").write_text(str(worker.pid))
        ended = running.end()
    assert ended.code == ExitCode.NOT_TRUSTWORTHY
    assert "cpu_throttling" in ended.rules
    assert "was throttled by its cgroup" in ended.sentence("cpu_throttling")


def test_running_out_of_files_is_not_blamed_on_the_service(tmp_path: Path) -> None:
    """A worker without free file descriptors fails its own requests; neither resolver nor service is blamed."""
    with service() as host, generator(tmp_path, host, LOADTEST_USERS="100", LOADTEST_SPAWN_RATE="20") as running:
        running.wait_for_load()
        (worker,) = running.workers()
        resource.prlimit(worker.pid, resource.RLIMIT_NOFILE, (worker.num_fds() + 5, worker.num_fds() + 5))
        ended = running.end()
    assert ended.code == ExitCode.NOT_TRUSTWORTHY
    assert "this process may not open more files: raise the limit" in ended.sentence("generator_errors")
    assert {error["error_class"] for error in ended.document["errors"]} == {"generator"}


@contextmanager
def network_of_its_own() -> Iterator[tuple[str, ...]]:
    """A network namespace; yields the prefix of a command that runs in it. Skips the test if none can be created."""
    up = "ip link set lo up && echo up && exec sleep 300"
    with subprocess.Popen(["unshare", "--net", "sh", "-c", up], stdout=subprocess.PIPE, text=True) as holder:
        try:
            assert holder.stdout is not None
            if holder.stdout.readline() != "up\n":
                pytest.skip("no network namespace can be made here")
            yield ("nsenter", f"--net=/proc/{holder.pid}/ns/net")
        finally:
            holder.kill()


def test_running_out_of_local_ports_is_not_blamed_on_the_service(tmp_path: Path) -> None:
    """When local ports run out, new users fail to connect, and the generator's limit is named as the cause."""
    with (
        network_of_its_own() as inside,
        service(inside) as host,
        generator(tmp_path, host, prefix=inside, LOADTEST_USERS="100", LOADTEST_SPAWN_RATE="20") as running,
    ):
        running.wait_for_load()
        narrow = "echo 61000 61001 > /proc/sys/net/ipv4/ip_local_port_range"
        if subprocess.run([*inside, "sh", "-c", narrow], check=False).returncode:
            pytest.skip("the local ports of a namespace cannot be set here")
        ended = running.end()
    assert ended.code == ExitCode.NOT_TRUSTWORTHY
    assert "generator_errors" in ended.rules
    assert "this machine has no free local port" in ended.sentence("generator_errors")
    assert {error["error_class"] for error in ended.document["errors"]} == {"generator"}


HEAP = """
import gc

from loadtest.clients.http import HttpUser
from loadtest.scenarios import Scenario
from locust import constant, task

heap = [[number] for number in range(1_500_000)]


class Shopper(HttpUser):
    scenario = "heap"
    wait_time = constant(0.05)

    @task
    def buy(self) -> None:
        self.client.get("/buy", name="buy")


class Collecting(HttpUser):
    scenario = "heap"
    fixed_count = 1
    wait_time = constant(0.2)

    @task
    def collect(self) -> None:
        gc.collect()


scenario = Scenario("heap", (Shopper, Collecting), (("GET", "buy"),))
"""


def test_garbage_collection_of_a_large_heap_is_found(tmp_path: Path) -> None:
    """Pauses for the scenario's own garbage are the generator's, and are named as such."""
    file = tmp_path / "heap.py"
    file.write_text(HEAP)
    with service() as host, generator(tmp_path, host, LOADTEST_SCENARIO=str(file)) as running:
        ended = running.end()
    assert ended.code == ExitCode.NOT_TRUSTWORTHY
    assert "garbage_collection" in ended.rules
    assert "keep fewer objects in the scenario" in ended.sentence("garbage_collection")
