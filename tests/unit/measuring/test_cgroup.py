"""The control groups of a process, of both versions, as the kernel presents them."""

from pathlib import Path

import pytest

from loadtest.measuring.cgroup import Groups, Memory


def groups(folder: Path, membership: str, files: dict[str, str]) -> Groups:
    """The files that a process in these groups sees."""
    for name, text in files.items():
        path = folder / "mount" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (folder / "mount").mkdir(exist_ok=True)
    (folder / "membership").write_text(membership)
    return Groups(folder / "membership", folder / "mount")


@pytest.mark.parametrize(
    ("membership", "files", "throttled_s"),
    [
        ("0::/shop/worker", {"shop/worker/cpu.stat": "nr_throttled 3\nthrottled_usec 2500000\n"}, 2.5),
        ("0::/shop/worker", {"shop/worker/cpu.stat": "", "shop/cpu.stat": "throttled_usec 1500000"}, 1.5),
        ("0::/", {"cpu.stat": "usage_usec 7\nthrottled_usec 500000"}, 0.5),
        ("4:cpu,cpuacct:/d/1", {"cpu,cpuacct/d/1/cpu.stat": "throttled_time 3000000000"}, 3.0),
        ("4:cpu:/d/1\n5:memory:/", {"cpu/d/1/cpu.stat": "throttled_time 1000000000"}, 1.0),
        ("4:cpu,cpuacct:/docker/abc", {"cpu,cpuacct/cpu.stat": "throttled_time 2000000000"}, 2.0),  # within a container
        ("0::/shop\n4:cpu:/shop", {"cpu/shop/cpu.stat": "throttled_time 4000000000", "unified/shop/x": ""}, 4.0),
        ("0::/../elsewhere", {"cpu.stat": "throttled_usec 250000"}, 0.25),
        ("", {}, 0.0),
        ("nonsense", {"cpu.stat": "throttled_usec many"}, 0.0),
    ],
)
def test_throttling_is_found_wherever_the_quota_is(
    tmp_path: Path, membership: str, files: dict[str, str], throttled_s: float
) -> None:
    """It may be in the process's own group or an outer one, in version 2, version 1 or both, in a container or not."""
    assert groups(tmp_path, membership, files).throttled_s() == throttled_s


@pytest.mark.parametrize(
    ("membership", "files", "memory"),
    [
        (
            "0::/a",
            {"a/memory.max": "1000", "a/memory.current": "900", "a/memory.stat": "inactive_file 100"},
            (800, 1000),
        ),
        ("0::/a", {"a/memory.max": "max", "a/memory.current": "900"}, None),
        ("0::/a", {"a/x": "", "memory.max": "2000", "memory.current": "500"}, (500, 2000)),
        (
            "3:memory:/a",
            {"memory/a/memory.limit_in_bytes": "1000", "memory/a/memory.usage_in_bytes": "400"},
            (400, 1000),
        ),
        ("3:memory:/a", {"memory/a/memory.limit_in_bytes": "9223372036854771712"}, None),
    ],
)
def test_the_memory_is_that_of_the_fullest_group(
    tmp_path: Path, membership: str, files: dict[str, str], memory: tuple[float, float] | None
) -> None:
    """Reclaimable memory does not count, nor does a group without a limit."""
    assert groups(tmp_path, membership, files).memory() == (memory and Memory(*memory))


def test_the_groups_of_this_process_can_be_read() -> None:
    """The values are numbers on any machine."""
    assert Groups().throttled_s() >= 0.0
