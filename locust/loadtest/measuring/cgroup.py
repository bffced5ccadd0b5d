"""Control groups of this process: how long they were throttled, and their memory limits.

A quota can be set on any ancestor of the process's group, and the kernel counts throttling in the group that has the
quota. So every group is read, from the process's own up to the outermost visible one. Versions 1 and 2 are supported; a
system with neither has no groups.

Sources: cgroups(7); Documentation/admin-guide/cgroup-v1 and cgroup-v2.rst of the Linux kernel.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

MEMBERSHIP: Final = Path("/proc/self/cgroup")
MOUNT: Final = Path("/sys/fs/cgroup")
_NO_LIMIT_BYTES: Final = 2**60
"""Version 1 reports a number of bytes near 2**63 when there is no limit."""


class Memory(NamedTuple):
    """The memory that the processes of a group use together, and their limit, in bytes."""

    used: float
    limit: float


class Groups:
    """The control groups of this process.

    Args:
        membership: the file that lists them, in the format of /proc/self/cgroup.
        mount: the folder in which they are mounted.
    """

    def __init__(self, membership: Path = MEMBERSHIP, mount: Path = MOUNT) -> None:
        named = [line.split(":", 2) for line in _text(membership).splitlines()]
        self._cpu = [group for one in named for group in _folders(one, "cpu", mount)]
        self._memory = [group for one in named for group in _folders(one, "memory", mount)]

    def throttled_s(self) -> float:
        """Seconds for which any of the groups had exhausted its CPU quota, since the group was created."""
        stats = [_numbers(group / "cpu.stat") for group in self._cpu]
        return sum(stat.get("throttled_usec", 0.0) / 1e6 + stat.get("throttled_time", 0.0) / 1e9 for stat in stats)

    def memory(self) -> Memory | None:
        """The memory of the group that is closest to its limit; None if no group has a limit."""
        limited = [found for group in self._memory if (found := _memory(group)) is not None]
        return max(limited, key=lambda one: one.used / one.limit, default=None)


def _folders(named: list[str], controller: str, mount: Path) -> Iterator[Path]:
    """The folder of a group, then those of its ancestors.

    Without its own cgroup namespace, a container sees the path as on the host, but only its own group as the mount.
    """
    if len(named) != 3:  # noqa: PLR2004 - number, controllers, path
        return
    _, controllers, path = named
    if controllers and controller not in controllers.split(","):
        return
    roots = (mount / controllers, mount / controller) if controllers else (mount, mount / "unified")
    root = next((one for one in roots if one.is_dir()), mount)
    inner = root / path.strip("/")
    if not inner.is_dir() or ".." in inner.parts:
        inner = root
    yield inner
    while inner != root:
        inner = inner.parent
        yield inner


def _memory(group: Path) -> Memory | None:
    limit = _number(group / "memory.max") or _number(group / "memory.limit_in_bytes")
    if not limit or limit > _NO_LIMIT_BYTES:
        return None
    used = _number(group / "memory.current") or _number(group / "memory.usage_in_bytes")
    stat = _numbers(group / "memory.stat")
    cache = stat.get("total_inactive_file", stat.get("inactive_file", 0.0))  # the kernel reclaims it when necessary
    return Memory(max(0.0, used - cache), limit)


def _numbers(path: Path) -> dict[str, float]:
    """The lines of a file that consist of a name and a number."""
    pairs = (line.split() for line in _text(path).splitlines())
    return {pair[0]: float(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdigit()}  # noqa: PLR2004


def _number(path: Path) -> float:
    text = _text(path).strip()
    return float(text) if text.isdigit() else 0.0


def _text(path: Path) -> str:
    try:
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123 -- a third of what Path.read_text takes
            return file.read().decode("ascii")
    except (OSError, ValueError):
        return ""
