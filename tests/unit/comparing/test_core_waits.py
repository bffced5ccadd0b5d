"""CoreWaits: how long processes on this machine compute and wait, by side; unknown values are not shown."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from loadtest.comparing.core_waits import CoreWaits, Use, sentence

BUSY = """
import os, socket, sys, time
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
server = socket.create_server(("127.0.0.1", 0))
print(server.getsockname()[1], flush=True)
sys.stdin.readline()
until_s = time.monotonic() + float(sys.argv[1])
while time.monotonic() < until_s:
    pass
print("done", flush=True)
sys.stdin.readline()
"""


@contextmanager
def serving(busy_s: float) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run a process that listens on a port and, on request, computes on the first core for some time."""
    command = [sys.executable, "-c", BUSY, str(busy_s)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        yield process, f"http://127.0.0.1:{process.stdout.readline().strip()}"
        process.stdin.write("\n")
        process.stdin.flush()


def numbers(sentence: str) -> list[float]:
    """Return the seconds in a sentence."""
    return [float(word) for word in sentence.split() if word.replace(".", "", 1).isdigit()]


def test_what_two_processes_on_one_core_wait_is_told_by_side() -> None:
    """Both want the same core for 1 and 2 s, and each waits while the other one has it."""
    with ExitStack() as stack:
        made = [stack.enter_context(serving(busy_s)) for busy_s in (1.0, 2.0)]
        waits = CoreWaits.of([url for _, url in made])
        assert max(map(sum, waits.uses() or ()), default=0.0) < 0.5
        for process, _ in made:
            process.stdin.write("\n")  # type: ignore[union-attr]
            process.stdin.flush()  # type: ignore[union-attr]
        for process, _ in made:
            process.stdout.readline()  # type: ignore[union-attr]
        base, new = waits.uses() or (Use(0.0, 0.0, 0.0),) * 2
    assert 0.05 < base.computed_s < 1.1
    assert sum(base[:2]) == pytest.approx(1.0, abs=0.3)
    assert sum(new[:2]) == pytest.approx(2.0, abs=0.3)
    assert [one.longest_s for one in (base, new)] == pytest.approx([one.waited_s for one in (base, new)], abs=0.05)
    assert min(base.waited_s, new.waited_s) > 0.1
    assert numbers(sentence(base, new)) == pytest.approx([*base[:2], *new[:2]], abs=0.05)


@pytest.mark.parametrize("urls", [("http://192.0.2.1:80",) * 2, ("http://127.0.0.1:1",) * 2])
def test_what_processes_used_that_cannot_be_seen_is_not_known(urls: tuple[str, str]) -> None:
    """Examples are processes of another machine, and a port without a listener."""
    assert CoreWaits.of(urls).uses() is None
