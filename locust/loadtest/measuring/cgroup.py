"""The control groups that this process is in: how long they were throttled, and how much memory they may use.

A quota can be set on any group around the process, not only on its own, and the kernel counts at the group that has it.
So every group is read, from the process's own to the outermost that is visible. Both versions are supported; on a
system with neither, there are no groups.

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
"""Version 1 has a number of bytes near 2**63 where there is no limit."""


class Memory(NamedTuple):
    """What the processes of a group use together, and may use, in bytes."""

    used: float
    limit: float


class Groups:
    """The groups that this process is in.

    Args:
        membership: the file that names them.
        mount: where they are.
    """

    def __init__(self, membership: Path = MEMBERSHIP, mount: Path = MOUNT) -> None:
        named = [line.split(":", 2) for line in _text(membership).splitlines()]
        self._cpu = [group for one in named for group in _folders(one, "cpu", mount)]
        self._memory = [group for one in named for group in _folders(one, "memory", mount)]

    def throttled_s(self) -> float:
        """Seconds for which any of them had used up its CPU quota, since it was made."""
        stats = [_numbers(group / "cpu.stat") for group in self._cpu]
        return sum(stat.get("throttled_usec", 0.0) / 1e6 + stat.get("throttled_time", 0.0) / 1e9 for stat in stats)

    def memory(self) -> Memory | None:
        """Of the group that has used most of its limit; None where none has one."""
        limited = [found for group in self._memory if (found := _memory(group)) is not None]
        return max(limited, key=lambda one: one.used / one.limit, default=None)


def _folders(named: list[str], controller: str, mount: Path) -> Iterator[Path]:
    """The folder of a group, and those of the groups around it.

    Without a namespace of its own, a container sees the path as the host does, but only its own group as the mount.
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
    cache = stat.get("total_inactive_file", stat.get("inactive_file", 0.0))  # the kernel takes it back when it must
    return Memory(max(0.0, used - cache), limit)


def _numbers(path: Path) -> dict[str, float]:
    """The lines of a file that are a name and a number."""
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
