"""`loadtest capacity` end to end: a short search, and its usage errors."""

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from loadtest.exceptions import ExitCode

from .conftest import ROOT, Stack

pytestmark = [pytest.mark.native, pytest.mark.timeout(150)]


@pytest.fixture
def queue(request: pytest.FixtureRequest) -> Iterator[str]:
    """Yield the base URL of a queue with 4 servers of 20 ms, which sustains 100 iterations of two requests a second."""
    service_s = getattr(request, "param", "0.02")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    process = subprocess.Popen([sys.executable, ROOT / "bench/capacity/target.py", str(port), "4", service_s])
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            break
        except OSError:
            time.sleep(0.05)
    yield f"http://127.0.0.1:{port}"
    process.kill()
    process.wait()


def capacity(stack: Stack, *arguments: str) -> tuple[int, str]:
    """Run `loadtest capacity`; return its exit code and output."""
    stack.process = subprocess.Popen(
        [Path(sys.executable).with_name("loadtest"), "capacity", *arguments],
        cwd=ROOT,
        env=stack.environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return stack.end(timeout_s=120)


def test_a_search_between_bounds(stack: Stack, queue: str) -> None:
    """A search whose bounds stay below the queue's capacity finds a lower bound, and writes its chart and steps."""
    bounds = ["--rate", "20", "--users", "50", "--scenario", "health", "--host", queue]
    code, output = capacity(stack, "--slo", "p99(response_time) < 5s, error_ratio < 1%", *bounds)
    assert (code, stack.wait_until_nothing_is_left()) == (ExitCode.PASSED, []), output
    found = json.loads((stack.run_dir() / "capacity.json").read_text())
    assert (found["complete"], found["rate_per_s"], found["high_per_s"]) == (True, 20.0, None)
    # A step in which a busy machine delayed the generator is not trustworthy, and is repeated.
    steps = [step for step in found["steps"] if step["outcome"] != "not trustworthy"]
    assert [step["rate_per_s"] for step in steps] == [10.0, 20.0]
    for step in steps:
        assert step["requests_per_s"] == pytest.approx(2 * step["rate_per_s"], rel=0.25)
        assert step["p50_s"] == pytest.approx(0.02, abs=0.02)
        assert step["reasons"][0].startswith("p99(response_time) < 5s: passed with ")
    assert "at least 20 arrivals/s (it was the highest rate allowed)" in output
    assert "<svg" in (stack.run_dir() / "capacity.html").read_text()


@pytest.mark.timeout(300)
def test_a_search_on_another_machine_is_not_compared(stack: Stack, queue: str) -> None:
    """A capacity includes other work on the generator's cores: the earlier search has an impossible amount of it.

    A search on a busy machine is not compared, either: it is refused before the load. With --force both are compared,
    and the reason is a note. Neither search knows its upper end, so the comparison is inconclusive all the same.
    """
    bounds = ["--rate", "10", "--users", "50", "--scenario", "health", "--host", queue]
    search = ["--slo", "p99(response_time) < 5s", *bounds]
    code, output = capacity(stack, *search, "--run-id", "earlier")
    assert code == ExitCode.PASSED, output
    path = stack.runs_dir / "earlier" / "record.json"
    record = json.loads(path.read_text())
    master = next(one["mean"] for one in record["workers"] if one["subject"] == "master")
    master |= {"others_cpu_ratio": 2.0, "crowded_ratio": 0.0}
    path.write_text(json.dumps(record))
    for force, words in (
        ([], "; other processes took 200% of the generator's cores in one run"),
        (["--force"], "note         not comparable: other processes took 200% of the generator's cores in one run"),
    ):
        code, output = capacity(stack, *search, "--against", "earlier", *force)
        assert code == ExitCode.NO_DATA, output
        assert "comparison   inconclusive against earlier: " in output
        assert words in output, output[-1_000:]
        assert ("Next: repeat the search on an otherwise idle machine, or use --force" in output) is not bool(force)
    master["crowded_ratio"] = 0.5
    path.write_text(json.dumps(record))
    code, output = capacity(stack, *search, "--against", "earlier")
    assert (code, "crowded the machine of master for 50% of earlier" in output) == (ExitCode.USAGE, True), output


# So slow that no delay of the generator on a busy machine could be the cause instead.
@pytest.mark.parametrize("queue", ["0.5"], indirect=True)
def test_an_objective_that_nothing_keeps(stack: Stack, queue: str) -> None:
    """When not even the lowest rate meets the objective, the search says so, and exits like a failed threshold."""
    bounds = ["--rate", "1", "--scenario", "health", "--host", queue]
    code, output = capacity(stack, "--slo", "p50(response_time) < 1ms", *bounds)
    assert code == ExitCode.THRESHOLD_FAILED, output
    assert "capacity     none: not even 0.5 arrivals/s met the objective" in output


BAD_INPUT = {
    "no unit": (["--slo", "p99 < 50"], "has no unit"),
    "unknown name": (["--slo", 'p99{name="documents/red"} < 50ms'], "documents/red"),
    "no objective": ([], "--slo"),
    "rate": (["--slo", "p99 < 50ms", "--rate", "0"], "RATE=0"),
}


@pytest.mark.parametrize("case", BAD_INPUT)
def test_bad_input_is_refused_before_anything_starts(stack: Stack, case: str) -> None:
    """A wrong objective or bound exits immediately with code 2, and the error names it."""
    arguments, words = BAD_INPUT[case]
    code, output = capacity(stack, *arguments)
    assert code == ExitCode.USAGE, output
    assert words in output
    assert "Traceback" not in output
    assert not stack.runs_dir.exists()
