"""Measuring between real Locust processes: whatever happens, the record is correct."""

import csv
import json
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from loadtest.measuring import record_dict, record_file
from tests.native.measuring_processes import PATIENCE_S, Processes, wait_until

pytestmark = [pytest.mark.native, pytest.mark.timeout(180)]


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    """Processes that are ended after the test."""
    processes = Processes(tmp_path)
    yield processes
    processes.end()


def end(master: subprocess.Popen[bytes]) -> None:
    """Signal the master to end, and wait for it."""
    master.send_signal(signal.SIGTERM)
    master.wait(PATIENCE_S)


def assert_agrees_with_locust(result: dict[str, Any]) -> None:
    """Locust's statistics agree with the record: in total, per name, and in the table of errors."""
    names = {view["name"]: [view["requests"], view["failures"]] for view in result["series"]}
    total = [result["total"]["requests"], result["total"]["failures"]]
    assert result["locust"] == {"total": total, "names": names, "errors": result["total"]["failures"]}


def measured(result: dict[str, Any]) -> tuple[int, int]:
    """Requests and failures of a record."""
    return result["total"]["requests"], result["total"]["failures"]


def test_a_headless_run_is_counted_to_the_last_request(processes: Processes) -> None:
    """After a headless run with a run time, workers, record, file, Locust's statistics and its CSV agree exactly."""
    master = processes.master("--run-time", "4s")
    processes.worker()
    processes.worker()
    master.wait(PATIENCE_S)
    result = processes.result()
    assert measured(result) == processes.truth()
    assert measured(result)[0] > 100
    assert_agrees_with_locust(result)
    assert result["delivery"]["completeness"] == 1.0, result["delivery"]
    assert result["verdict"] == "passed" or all("for a core" in reason for reason in result["reasons"]), result
    with processes.folder.joinpath("csv_stats.csv").open(newline="") as file:
        last = list(csv.DictReader(file))[-1]
    assert (int(last["Request Count"]), int(last["Failure Count"])) == measured(result)
    read = record_file.read(processes.folder / "record.stream")
    assert read.ended
    assert record_dict.as_dict(read)["series"] == result["series"]
    assert record_dict.as_dict(read)["timeline"] == result["timeline"]
    assert sum(point["requests"] for point in result["timeline"]) == measured(result)[0]
    assert result["total"]["response_time"]["p50_s"] == pytest.approx(0.005, rel=0.3)


def test_a_killed_worker_loses_at_most_one_interval(processes: Processes) -> None:
    """After kill -9 of a worker the record misses at most its last interval, and says which worker and since when."""
    master = processes.master()
    victim, survivor = processes.worker(), processes.worker()
    processes.wait_for_load(victim, survivor, requests=300)
    victim.send_signal(signal.SIGKILL)
    victim.wait()
    wait_until(lambda: "setting state to missing" in processes.logs(), "the master misses the worker")
    end(master)
    result = processes.result()
    lost = processes.truth()[0] - measured(result)[0]
    rate_per_s = 50 * 3
    assert 0 <= lost <= 1.3 * rate_per_s
    assert_agrees_with_locust(result)
    [missing] = result["delivery"]["missing"]
    assert (missing["deltas"], missing["end_s"]) == (1, None)
    assert missing["worker"] in (0, 1)
    assert 1.0 > result["delivery"]["completeness"] > 0.8
    assert result["verdict"] == "not trustworthy"
    assert any(f"worker {missing['worker']}: 1 interval(s) missing" in reason for reason in result["reasons"])


def test_a_worker_that_is_scaled_away_takes_nothing_with_it(processes: Processes) -> None:
    """After SIGTERM a worker stops its users, sends its last samples and leaves; the run continues, complete."""
    master = processes.master()
    leaving, staying = processes.worker(), processes.worker()
    processes.wait_for_load(leaving, staying, requests=200)
    leaving.send_signal(signal.SIGTERM)
    assert leaving.wait(PATIENCE_S) == 0
    left_with = processes.truth(leaving)
    processes.wait_for_load(staying, requests=processes.truth(staying)[0] + 100)
    end(master)
    result = processes.result()
    assert processes.truth(leaving) == left_with
    assert measured(result) == processes.truth()
    assert result["delivery"]["completeness"] == 1.0, result["delivery"]
    assert_agrees_with_locust(result)


def test_a_worker_that_joins_during_the_run_is_counted(processes: Processes) -> None:
    """A worker that joins late is part of the record from its first request."""
    master = processes.master(workers=1)
    first = processes.worker()
    processes.wait_for_load(first)
    late = processes.worker()
    processes.wait_for_load(late, requests=50)
    end(master)
    result = processes.result()
    assert measured(result) == processes.truth()
    assert result["delivery"]["completeness"] == 1.0, result["delivery"]
    assert result["workers_seen"] == [0, 1]
    assert_agrees_with_locust(result)


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
def test_a_run_that_is_broken_off_is_counted_to_the_last_request(processes: Processes, ending: signal.Signals) -> None:
    """When SIGTERM or Ctrl-C stops the master, the record is complete before it is read."""
    master = processes.master()
    workers = [processes.worker(), processes.worker()]
    processes.wait_for_load(*workers)
    master.send_signal(ending)
    master.wait(PATIENCE_S)
    for worker in workers:
        worker.wait(PATIENCE_S)
    result = processes.result()
    assert measured(result) == processes.truth()
    assert result["delivery"]["completeness"] == 1.0, result["delivery"]
    assert_agrees_with_locust(result)
    assert record_file.read(processes.folder / "record.stream").ended


def test_ctrl_c_in_the_middle_of_a_second_that_is_being_counted(processes: Processes) -> None:
    """The master handles Ctrl-C once both record and Locust's statistics have a second's requests."""
    master = processes.master(MEASURING_INTERRUPT_IN="feed")
    workers = [processes.worker(), processes.worker()]
    for process in (master, *workers):
        process.wait(PATIENCE_S)
    result = processes.result()
    assert measured(result) == processes.truth()
    assert_agrees_with_locust(result)


def test_ctrl_c_in_the_middle_of_a_request(processes: Processes) -> None:
    """A worker handles Ctrl-C once the running user has finished its current step."""
    master = processes.master()
    leaving, staying = processes.worker(MEASURING_INTERRUPT_IN="request"), processes.worker()
    leaving.wait(PATIENCE_S)
    left_with = processes.truth(leaving)
    processes.wait_for_load(staying, requests=processes.truth(staying)[0] + 100)
    end(master)
    result = processes.result()
    assert processes.truth(leaving) == left_with
    assert measured(result) == processes.truth()
    assert result["delivery"]["completeness"] == 1.0, result["delivery"]
    assert_agrees_with_locust(result)


def test_a_killed_master_leaves_a_readable_record(processes: Processes) -> None:
    """After kill -9 of the master the record on disk holds all but the last two seconds."""
    master = processes.master()
    workers = [processes.worker(), processes.worker()]
    processes.wait_for_load(*workers, requests=300)
    before = processes.truth()[0]
    time.sleep(2.0)
    master.send_signal(signal.SIGKILL)
    master.wait()
    read = record_file.read(processes.folder / "record.stream")
    assert not read.ended
    assert before <= read.requests <= processes.truth()[0]
    assert read.requests == read.total().response_time.count


def test_a_broken_link_is_repaired_without_loss(processes: Processes) -> None:
    """When the master's socket is closed with pending messages, the deltas are sent again and counted once."""
    processes.environment["MEASURING_BREAK_LINK_AFTER_S"] = "3.3"
    master = processes.master("--run-time", "9s")
    processes.worker()
    processes.worker()
    master.wait(PATIENCE_S)
    result = processes.result()
    assert "Resetting RPC server" in processes.logs()
    assert measured(result) == processes.truth()
    assert result["delivery"]["completeness"] == 1.0, result["delivery"]
    assert_agrees_with_locust(result)


def test_runs_follow_each_other_in_the_web_ui(processes: Processes) -> None:
    """Two runs started and stopped in the web UI each have their own record, and the totals continue."""
    processes.locust("--master", "--web-port", str(processes.web_port), "--web-host", "127.0.0.1", "--master-bind-host", "127.0.0.1", "--master-bind-port", str(processes.port))  # fmt: skip  # noqa: E501
    workers = [processes.worker(), processes.worker()]
    wait_until(lambda: processes.logs().count("reported as ready") == 2, "both workers are ready")
    truths = []
    for number in (1, 2):
        processes.request("/swarm", "user_count=6&spawn_rate=100")
        before = processes.truth(*workers)[0]
        wait_until(lambda floor=before: processes.truth(*workers)[0] > floor + 300, "requests are made")
        processes.request("/stop", "")
        result = processes.result(number)
        truths.append(processes.truth())
        wait_until(lambda: json.loads(processes.request("/stats/requests"))["state"] == "stopped", "the run is stopped")
        own = truths[-1][0] - (truths[-2][0] if number == 2 else 0)
        assert measured(result)[0] == own
        assert result["delivery"]["completeness"] == 1.0, result["delivery"]
        assert_agrees_with_locust(result)
        assert result["totals"] == truths[-1][0]
    ids = {processes.result(number)["run_id"] for number in (1, 2)}
    files = [record_file.read(processes.folder / name) for name in ("record.stream", "record-2.stream")]
    assert {read.run_id for read in files} == ids
    assert [read.requests for read in files] == [measured(processes.result(number))[0] for number in (1, 2)]


def test_the_reset_button_resets_record_and_locust_alike(processes: Processes) -> None:
    """After a reset, record and Locust's statistics count from the same moment, and the totals continue."""
    processes.locust("--master", "--web-port", str(processes.web_port), "--web-host", "127.0.0.1", "--master-bind-host", "127.0.0.1", "--master-bind-port", str(processes.port))  # fmt: skip  # noqa: E501
    worker = processes.worker()
    wait_until(lambda: processes.logs().count("reported as ready") == 1, "the worker is ready")
    processes.request("/swarm", "user_count=3&spawn_rate=100")
    processes.wait_for_load(worker, requests=300)
    processes.request("/stats/reset", "")
    floor = processes.truth()[0]
    wait_until(lambda: processes.truth()[0] > floor + 200, "requests are made")
    processes.request("/stop", "")
    result = processes.result()
    assert 100 < measured(result)[0] < processes.truth()[0] - 100
    assert_agrees_with_locust(result)
    assert result["totals"] == processes.truth()[0]
    assert result["reset_at_s"] >= 1
    read = record_file.read(processes.folder / "record.stream")
    assert record_dict.as_dict(read)["series"] == result["series"]


def test_reset_after_spawning_resets_record_and_locust_alike(processes: Processes) -> None:
    """With --reset-stats record and Locust's statistics both leave the ramp-up out."""
    master = processes.master("--reset-stats", "--spawn-rate", "3")
    processes.worker()
    processes.worker()
    wait_until(lambda: "counting begins again" in processes.logs(), "the users run")
    floor = processes.truth()[0]
    wait_until(lambda: processes.truth()[0] > floor + 100, "requests are made")
    end(master)
    result = processes.result()
    assert 0 < measured(result)[0] < processes.truth()[0] == result["totals"]
    assert_agrees_with_locust(result)


def test_a_run_in_one_process_is_counted_to_the_last_request(processes: Processes) -> None:
    """The same holds without master and workers."""
    single = processes.locust("--headless", "--only-summary", "-u", "6", "-r", "100", "--run-time", "4s")
    single.wait(PATIENCE_S)
    result = processes.result()
    assert measured(result) == processes.truth()
    assert_agrees_with_locust(result)
    assert result["delivery"]["completeness"] == 1.0
    assert record_file.read(processes.folder / "record.stream").ended


def test_an_overloaded_worker_makes_the_run_not_trustworthy(processes: Processes) -> None:
    """A worker without spare CPU is named, with the value, its duration and what to do."""
    master = processes.master("--run-time", "15s", workers=1)
    processes.worker(MEASURING_BUSY_S="0.05")
    master.wait(PATIENCE_S)
    result = processes.result()
    assert result["verdict"] == "not trustworthy", result["workers"]
    # On a busy machine the worker does not get the CPU that it needs; its lag shows it all the same.
    reasons = [reason for reason in result["reasons"] if reason.startswith("worker 0 ")]
    assert any(
        ": add a worker" in reason and (" CPU for " in reason or " late (p99) for " in reason) for reason in reasons
    )
