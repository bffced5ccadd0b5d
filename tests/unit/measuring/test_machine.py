"""Observations of the machine: read from the kernel, and checked against work done by the test."""

import mmap
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil

from loadtest.measuring import machine
from loadtest.measuring.health import HealthProbe

_BUSY = "import time; end = time.monotonic() + 30\nwhile time.monotonic() < end: pass"

_WORKERS = 3
_SERVER = f"""
import os, socket, sys
server = socket.create_server(("127.0.0.1", 0))
for _ in range({_WORKERS}):
    if os.fork() == 0:
        break
os.write(1, b"%d\\n" % server.getsockname()[1])
sys.stdin.read()
"""


def test_a_busy_neighbour_shows_and_a_peer_does_not() -> None:
    """The CPU time of a process belongs to others, until the process is named as a part of the run."""
    # A shell that ends immediately leaves it to another parent: descendants of the run are a part of it.
    in_background = ["sh", "-c", '"$0" -c "$1" >/dev/null 2>&1 & echo $!', sys.executable, _BUSY]
    neighbour = int(subprocess.run(in_background, capture_output=True, text=True, check=True).stdout)
    try:
        rival = machine.CpuTime([neighbour])
        probe = HealthProbe()
        probe.separate_usage(machine.Peers(frozenset({os.getpid()}), frozenset()))
        began_s = rival.read_s()
        time.sleep(1.5)
        taken_s = rival.read_s() - began_s
        apart = probe.take()
        probe.separate_usage(machine.Peers(frozenset({os.getpid(), neighbour}), frozenset({neighbour})))
        time.sleep(1.5)
        together = probe.take()
    finally:
        os.kill(neighbour, signal.SIGKILL)
    share = taken_s / 1.5 / (os.cpu_count() or 1)
    assert taken_s > 0.1
    assert apart.others_cpu_ratio >= 0.8 * share
    assert apart.target_cpu_ratio == 0.0
    assert together.target_cpu_ratio > 0.0
    assert together.others_cpu_ratio <= together.machine_cpu_ratio - 0.8 * together.target_cpu_ratio


def test_a_process_that_shares_its_core_waits_for_it() -> None:
    """On one core with a busy neighbour, each turn is delayed, and the kernel's counter grows."""
    core = sorted(os.sched_getaffinity(0))[0]
    script = (
        f"import os, time; os.sched_setaffinity(0, {{{core}}})\n"
        "from loadtest.measuring import machine\n"
        "before = machine.read(); end = time.monotonic() + 1.5\n"
        "while time.monotonic() < end: pass\n"
        "after = machine.read(); print(after.run_delay_s - before.run_delay_s, after.turns - before.turns)"
    )
    neighbour = subprocess.Popen([sys.executable, "-c", f"import os; os.sched_setaffinity(0, {{{core}}})\n{_BUSY}"])
    try:
        time.sleep(0.2)
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    finally:
        neighbour.kill()
        neighbour.wait()
    delay_s, turns = map(float, done.stdout.split())
    assert delay_s > 0.2
    assert turns > 0


def test_ended_children_stay_in_the_sum() -> None:
    """The CPU time of a child counts while it runs and after its end."""
    mine = machine.CpuTime([os.getpid()])
    began_s = mine.read_s()
    subprocess.run([sys.executable, "-c", "sum(range(20_000_000))"], check=True)
    assert mine.read_s() - began_s >= 0.1


def test_peers_are_found_by_their_connections() -> None:
    """A target on this machine is found by its port; a single invisible one makes all unknown."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        found = machine.peers(0, (), (port,))
    assert found == machine.Peers(frozenset({os.getpid()}), frozenset({os.getpid()}))
    assert machine.peers(0, (), (port,)) == machine.UNKNOWN
    assert machine.peers(0, (port,), ()) == machine.UNKNOWN
    assert machine.peers(0, (), ()).run == {os.getpid()}


def test_all_workers_of_a_server_are_its() -> None:
    """A server's workers share its socket: the target is the server with all its descendants."""
    with subprocess.Popen([sys.executable, "-c", _SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin and process.stdout
        ports = {int(process.stdout.readline()) for _ in range(1 + _WORKERS)}
        found = machine.peers(0, (), (ports.pop(),))
        process.stdin.close()
    assert found == machine.Peers(frozenset({os.getpid(), process.pid}), frozenset({process.pid}))


def test_what_a_system_does_not_offer_reads_as_nothing(tmp_path: Path) -> None:
    """A missing, empty or unexpected file gives no number and no error."""
    assert machine.numbers(tmp_path / "none") == []
    assert machine.number_after("total=", tmp_path / "none") == 0.0
    (tmp_path / "odd").write_text("full total=x")
    assert machine.number_after("total=", tmp_path / "odd") == 0.0
    (tmp_path / "odd").write_text("")
    assert machine.numbers(tmp_path / "odd") == []


def test_the_network_is_that_of_the_interfaces_without_the_loopback() -> None:
    """Two readings are compared with psutil's per interface; none may appear or disappear meanwhile."""
    for _ in range(1_000):
        before = psutil.net_io_counters(pernic=True, nowrap=False)
        found = machine.network_bytes()
        after = psutil.net_io_counters(pernic=True, nowrap=False)
        if before.keys() == after.keys():
            break
    for number, figure in enumerate(("bytes_recv", "bytes_sent")):
        least, most = (
            sum(getattr(one, figure) for name, one in looked.items() if name != "lo") for looked in (before, after)
        )
        assert least <= found[number] <= most


def test_waiting_for_memory_that_is_on_the_disk_shows(tmp_path: Path) -> None:
    """Pages that the kernel has to read are counted once each: those of a mapped file like those of swap."""
    size = 64 * mmap.PAGESIZE
    path = tmp_path / "pages"
    path.write_bytes(os.urandom(size))
    with path.open("rb") as file, mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ) as pages:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        pages.madvise(mmap.MADV_RANDOM)  # one at a time
        kernel, before = major_faults(), machine.read()
        sum(pages[:: mmap.PAGESIZE])
        waits, counted = machine.read().page_waits - before.page_waits, major_faults() - kernel
    assert counted - 10 <= waits <= counted  # none if the file system keeps its files in memory


def major_faults() -> int:
    """Return the kernel's count for this process from another source."""
    return int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[9])


def test_memory_that_is_filled_is_resident() -> None:
    """64 MiB of used memory show, up to what else the process frees meanwhile."""
    before = machine.resident_bytes()
    held = b"x" * 2**26
    assert machine.resident_bytes() - before > len(held) / 2
    assert before > 2**20
