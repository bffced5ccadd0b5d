"""The machine that a process runs on: how busy it is, with what, and how long a process waits for one of its cores.

Nearly everything is read from /proc; what a system does not offer reads as 0. `CpuTime` follows processes with all that
descend from them, and `peers` finds the processes that belong to a run, so that the rest is known to be somebody
else's.

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
_RECEIVED, _SENT = 0, 8  # of the columns behind an interface's name: bytes
_PAGES: Final = _PROC / "self/statm"
_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
_PAGE_BYTES: Final = resource.getpagesize()
_INITIAL_PID_NAMESPACE: Final = "pid:[4026531836]"
"""Of the machine itself (PROC_PID_INIT_INO of the kernel); within another one, only some processes are visible."""
_IDLE: Final = (3, 4)  # of the columns in the first line of /proc/stat: idle and iowait
_COLUMNS: Final = 8  # up to steal; guest time is part of user time already
_INIT: Final = 1
"""It opens sockets for services that it starts, and everything descends from it."""
_RELAYS: Final = frozenset({"docker-proxy", "rootlessport", "slirp4netns", "kubectl", "ssh"})
"""Programs that listen in the place of a process that is not among their children."""


class Reading(NamedTuple):
    """The counters at one moment. All of them only grow."""

    run_delay_s: float
    """Seconds for which this process's main thread was ready to run and waited for a core."""
    turns: int
    """How often it got one."""
    busy_s: float
    """Seconds that all cores together worked, for whatever process."""
    cores_s: float
    """Seconds that there were, on all cores together."""
    pressure_s: float
    """Seconds in which at least one process of the machine waited for a core."""
    page_waits: int
    """How often this process waited for a page of its memory to be read from a disk, such as from swap."""
    received_bytes: int
    """Received through the network interfaces of this process's network namespace, without the loopback."""
    sent_bytes: int
    """The same of those sent."""


def read() -> Reading:
    """The counters now."""
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
    """Bytes received and sent through all network interfaces but the loopback; zeros where that is not known."""
    try:
        lines = _INTERFACES.read_text().splitlines()[2:]
    except OSError:
        return 0, 0
    named = [line.partition(":") for line in lines]
    columns = [counts.split() for name, _, counts in named if name.strip() != _LOOPBACK]
    return sum(int(one[_RECEIVED]) for one in columns), sum(int(one[_SENT]) for one in columns)


class CpuTime:
    """The CPU time of processes and of all that descend from them.

    Args:
        roots: their process ids.
    """

    def __init__(self, roots: Collection[int]) -> None:
        self._roots = frozenset(roots)

    def read_s(self) -> float:
        """Seconds of CPU that they have used, on all cores together; those that ended are included."""
        return sum(map(_used_s, self._tree()))

    def waits_s(self) -> dict[int, float]:
        """Seconds for which each of their threads, by its id, was ready to run and waited for a core."""
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
    """The processes on this machine that take part in a run."""

    run: frozenset[int]
    """All of them; empty if some of the machine's processes cannot be seen or told apart."""
    target: frozenset[int]
    """Those that serve what is tested; empty if it is not on this machine."""


UNKNOWN: Final = Peers(frozenset(), frozenset())


def peers(link_port: int, served: Collection[int], target_ports: Collection[int]) -> Peers:
    """Find them, by their connections. This takes some milliseconds.

    Args:
        link_port: workers are connected to this port of the present process; 0 for none.
        served: ports of this machine on which parts of the run listen, such as its Redis.
        target_ports: those of the system under test; none when it is not on this machine.
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
    """The process that opened a socket: psutil names any of those that inherited it, such as a server's last worker."""
    process = psutil.Process(connection.pid)
    try:
        while (parent := process.parent()) is not None and parent.pid != _INIT and _holds(parent, connection):
            process = parent
    except psutil.Error:  # it ended, or belongs to another user
        pass
    return process.pid


def _holds(process: psutil.Process, connection: Any) -> bool:
    ends = (connection.laddr, connection.raddr, connection.status)
    return any((one.laddr, one.raddr, one.status) == ends for one in process.net_connections("tcp"))


def resident_bytes() -> float:
    """How much memory of the machine this process holds; 0 where the system does not say."""
    pages = numbers(_PAGES, 2)
    return pages[1] * _PAGE_BYTES if pages else 0.0


def port_count() -> int:
    """How many local ports there are for connections to one address; 0 where the system does not say."""
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
    """CPU time of a process and of those of its children that ended."""
    try:
        stat = (_PROC / str(pid) / "stat").read_bytes()
    except OSError:
        return 0.0
    fields = stat[stat.rindex(b")") + 2 :].split()  # from the third field on: the second may contain spaces
    return sum(map(int, fields[11:15])) / _TICKS_PER_S


def _waits_s(pid: int) -> list[tuple[int, float]]:
    """How long each thread of a process that is alive waited for a core."""
    try:
        threads = list((_PROC / str(pid) / "task").iterdir())
    except OSError:
        return []
    read = [(int(thread.name), numbers(thread / "schedstat")) for thread in threads]
    return [(thread, figures[1] / 1e9) for thread, figures in read if len(figures) > 1]


def numbers(path: Path, most: int | None = None) -> list[float]:
    """The numbers in a file's first line, without a leading label; empty when it cannot be read."""
    try:
        with path.open(encoding="ascii") as file:
            words = file.readline().split()
        return [float(word) for word in words if word[0].isdigit()][:most] if words else []
    except (OSError, ValueError):
        return []


def number_after(mark: str, path: Path) -> float:
    """The number that follows the first occurrence of a mark in a file; 0 when there is none."""
    try:
        _, found, rest = path.read_text(encoding="ascii").partition(mark)
        return float(rest.split(None, 1)[0]) if found else 0.0
    except (OSError, ValueError, IndexError):
        return 0.0
