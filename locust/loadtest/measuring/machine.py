"""The machine that a process runs on: its load, what causes it, and how long a process waits for a core.

Nearly everything is read from /proc; what a system does not offer reads as 0. `CpuTime` follows processes with all
their descendants. `peers` finds the processes that belong to a run, so that everything else is known to be unrelated.

Sources: proc(5); Documentation/scheduler/sched-stats.rst and Documentation/accounting/psi.rst of the Linux kernel.
"""

from __future__ import annotations

import os
import resource
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import psutil

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

_PROC: Final = Path("/proc")
_WAITED: Final = _PROC / "self/schedstat"
_CORES: Final = _PROC / "stat"
_PORT_RANGE: Final = _PROC / "sys/net/ipv4/ip_local_port_range"
_PRESSURE: Final = _PROC / "pressure/cpu"
_INTERFACES: Final = _PROC / "self/net/dev"
_LOOPBACK: Final = "lo"
_RECEIVED, _SENT = 0, 8  # indices of the columns after the interface's name: bytes
_PAGES: Final = _PROC / "self/statm"
_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
_PAGE_BYTES: Final = resource.getpagesize()
_INITIAL_PID_NAMESPACE: Final = "pid:[4026531836]"
"""The inode of the machine's own PID namespace (PROC_PID_INIT_INO of the kernel). In another one, only some processes
are visible."""
_IDLE: Final = (3, 4)  # indices of the columns idle and iowait in the first line of /proc/stat
_COLUMNS: Final = 8  # up to steal; guest time is already part of user time
_INIT: Final = 1
"""It opens sockets for services that it starts, and it is everything's ancestor."""
_RELAYS: Final = frozenset({"docker-proxy", "rootlessport", "slirp4netns", "kubectl", "ssh"})
"""Programs that listen on behalf of a process that is not among their children."""


class Reading(NamedTuple):
    """Counters at one moment. All of them only increase."""

    run_delay_s: float
    """Seconds for which this process's main thread was runnable and waited for a core."""
    turns: int
    """How often the main thread was given a core."""
    busy_s: float
    """Seconds of CPU time used on all cores together, by any process."""
    cores_s: float
    """Seconds of CPU time available on all cores together."""
    pressure_s: float
    """Seconds in which at least one process on the machine waited for a core."""
    page_waits: int
    """How often this process waited for a page of its memory to be read from disk, for example from swap."""
    received_bytes: int
    """Bytes received through the network interfaces of this process's network namespace, except the loopback."""
    sent_bytes: int
    """Bytes sent through them."""


def read() -> Reading:
    """Read the counters."""
    waited = numbers(_WAITED)
    cores = numbers(_CORES, _COLUMNS)
    idle = sum(cores[column] for column in _IDLE) if cores else 0.0
    return Reading(
        run_delay_s=waited[1] / 1e9 if waited else 0.0,
        turns=int(waited[2]) if waited else 0,
        busy_s=(sum(cores) - idle) / _TICKS_PER_S,
        cores_s=sum(cores) / _TICKS_PER_S,
        pressure_s=number_after("total=", _PRESSURE) / 1e6,
        page_waits=resource.getrusage(resource.RUSAGE_SELF).ru_majflt,
        **dict(zip(("received_bytes", "sent_bytes"), network_bytes(), strict=True)),
    )


def network_bytes() -> tuple[int, int]:
    """Bytes received and sent through all network interfaces except the loopback; zeros if unknown."""
    try:
        lines = _INTERFACES.read_text().splitlines()[2:]
    except OSError:
        return 0, 0
    named = [line.partition(":") for line in lines]
    columns = [counts.split() for name, _, counts in named if name.strip() != _LOOPBACK]
    return sum(int(one[_RECEIVED]) for one in columns), sum(int(one[_SENT]) for one in columns)


class CpuTime:
    """The CPU time of processes and all their descendants.

    Args:
        roots: their process ids.
    """

    def __init__(self, roots: Collection[int]) -> None:
        self._roots = frozenset(roots)

    def read_s(self) -> float:
        """Seconds of CPU time used on all cores together, including processes that have ended."""
        return sum(map(_used_s, self._tree()))

    def waits_s(self) -> dict[int, float]:
        """Seconds for which each thread, by its id, was runnable and waited for a core."""
        return {thread: waited_s for pid in self._tree() for thread, waited_s in _waits_s(pid)}

    def _tree(self) -> set[int]:
        found: set[int] = set()
        waiting = list(self._roots)
        while waiting:
            pid = waiting.pop()
            if pid not in found:
                found.add(pid)
                waiting += _children(pid)
        return found


class Peers(NamedTuple):
    """The processes of this machine that take part in a run."""

    run: frozenset[int]
    """All their process ids; empty if some of the machine's processes cannot be seen or attributed."""
    target: frozenset[int]
    """The process ids of the system under test; empty if it is not on this machine."""


UNKNOWN: Final = Peers(frozenset(), frozenset())


def peers(link_port: int, served: Collection[int], target_ports: Collection[int]) -> Peers:
    """Find the processes of a run by their connections. This takes some milliseconds.

    Args:
        link_port: the port of this process to which the workers are connected; 0 for none.
        served: ports of this machine on which parts of the run listen, such as its Redis.
        target_ports: the ports of the system under test; empty if it is not on this machine.
    """
    try:
        if str((_PROC / "self/ns/pid").readlink()) != _INITIAL_PID_NAMESPACE:
            return UNKNOWN
        connections = psutil.net_connections("tcp")
    except (OSError, psutil.Error):
        return UNKNOWN
    listening: dict[int, set[int]] = {}  # process ids by port
    peers_of = {os.getpid()}
    for one in connections:
        if one.pid is None:
            continue
        if one.laddr and one.status == psutil.CONN_LISTEN:
            if one.laddr.port in target_ports or one.laddr.port in served:
                listening.setdefault(one.laddr.port, set()).add(_opener(one))
        elif link_port and one.raddr and one.raddr.port == link_port:
            peers_of.add(_opener(one))
    target = {process for port in target_ports for process in listening.get(port, ())}
    for port in {*served, *target_ports}:
        found = listening.get(port, set())
        if not found or any(map(_is_relay, found)):
            return UNKNOWN
        peers_of |= found
    return Peers(frozenset(peers_of), frozenset(target))


def _opener(connection: Any) -> int:
    """The process that opened a socket: psutil may name one that inherited it, such as a server's last worker."""
    process = psutil.Process(connection.pid)
    try:
        while (parent := process.parent()) is not None and parent.pid != _INIT and _holds(parent, connection):
            process = parent
    except psutil.Error:  # it has ended, or belongs to another user
        pass
    return process.pid


def _holds(process: psutil.Process, connection: Any) -> bool:
    ends = (connection.laddr, connection.raddr, connection.status)
    return any((one.laddr, one.raddr, one.status) == ends for one in process.net_connections("tcp"))


def resident_bytes() -> float:
    """The resident memory of this process in bytes; 0 if unknown."""
    pages = numbers(_PAGES, 2)
    return pages[1] * _PAGE_BYTES if pages else 0.0


def port_count() -> int:
    """The number of local ports available for connections to one address; 0 if unknown."""
    ports = numbers(_PORT_RANGE)
    return int(ports[1] - ports[0]) + 1 if len(ports) == 2 else 0  # noqa: PLR2004 - first and last


def _is_relay(pid: int) -> bool:
    try:
        return psutil.Process(pid).name() in _RELAYS
    except psutil.Error:
        return True


def _children(pid: int) -> Iterator[int]:
    try:
        for thread in (_PROC / str(pid) / "task").iterdir():
            yield from map(int, (thread / "children").read_bytes().split())
    except OSError:
        return


def _used_s(pid: int) -> float:
    """Seconds of CPU time of a process and of its children that have ended."""
    try:
        stat = (_PROC / str(pid) / "stat").read_bytes()
    except OSError:
        return 0.0
    fields = stat[stat.rindex(b")") + 2 :].split()  # from the third field on: the second may contain spaces
    return sum(map(int, fields[11:15])) / _TICKS_PER_S


def _waits_s(pid: int) -> list[tuple[int, float]]:
    """How long each thread of a running process waited for a core: thread ids with seconds."""
    try:
        threads = list((_PROC / str(pid) / "task").iterdir())
    except OSError:
        return []
    read = [(int(thread.name), numbers(thread / "schedstat")) for thread in threads]
    return [(thread, figures[1] / 1e9) for thread, figures in read if len(figures) > 1]


def numbers(path: Path, most: int | None = None) -> list[float]:
    """The numbers in a file's first line, without a leading label; empty if it cannot be read."""
    try:
        with path.open(encoding="ascii") as file:
            words = file.readline().split()
        return [float(word) for word in words if word[0].isdigit()][:most] if words else []
    except (OSError, ValueError):
        return []


def number_after(mark: str, path: Path) -> float:
    """The number after the first occurrence of a mark in a file; 0 if there is none."""
    try:
        _, found, rest = path.read_text(encoding="ascii").partition(mark)
        return float(rest.split(None, 1)[0]) if found else 0.0
    except (OSError, ValueError, IndexError):
        return 0.0
