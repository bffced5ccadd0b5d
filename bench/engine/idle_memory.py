"""The cost of an idle user: the memory of one worker with thousands of idle users, each connected once."""

import resource
import time
from collections.abc import Callable
from statistics import median

from bench.engine import nginx_server
from bench.engine.http_rows import locust_subject
from bench.engine.measuring import Subject, generator
from bench.engine.performance_page import conditions

KEY = "idle-memory"
USERS = 10_000
_BASE_USERS = 1
_CROWD = 100_000
_OTHER_FILES = 500
_LIMIT_S = 600.0
_SETTLE_S = 3.0
_MEGABYTE = 1_000_000


def _resident_bytes(subject: Subject, users: int) -> int:
    """Return the resident memory of a generator after every user has sent its one request."""
    with nginx_server.running(users + _OTHER_FILES) as server, generator(subject, server) as process:
        deadline = time.monotonic() + _LIMIT_S
        while server.served() < users:
            if time.monotonic() > deadline:
                raise SystemExit(f"{subject.name}: only {server.served()} of {users} users came within {_LIMIT_S} s")
            time.sleep(1)
        time.sleep(_SETTLE_S)
        return int(process.memory_info().rss)


def measure(rounds: int, say: Callable[[str], None]) -> str:
    """Return the table in Markdown."""
    ours, fast = ("ours", "HttpUser of this product"), ("fast", "Locust FastHttpUser")
    rows = [(*ours, USERS), (*ours, _most_users()), (*fast, USERS)]
    lines = [
        "### Memory of one worker with idle users",
        "",
        "Each user has sent one request, keeps its connection open and waits.",
        "",
        "| generator | users | resident memory, MB | per user, kB | limit, kB | aim, kB |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    empty: dict[str, float] = {}
    for base, name, users in rows:
        sizes = {
            count: median(_resident_bytes(locust_subject(base, name, "idle", count), count) for _ in range(rounds))
            for count in ([users] if base in empty else [_BASE_USERS, users])
        }
        say(f"{KEY} {name}: { ({count: round(size / _MEGABYTE) for count, size in sizes.items()}) } MB")
        empty.setdefault(base, sizes.get(_BASE_USERS, 0.0))
        per_user = (sizes[users] - empty[base]) / users / 1000
        limits = "10 | 8" if base == "ours" else " | "
        lines.append(f"| {name} | {users:,} | {sizes[users] / _MEGABYTE:,.0f} | {per_user:.1f} | {limits} |")
    lines += ["", f"{'One run' if rounds == 1 else f'Medians of {rounds} runs'}. {conditions()}"]
    return "\n".join(lines)


def _most_users() -> int:
    """Return as many users as the limit of open files allows, at most `_CROWD`; the generators get that limit too."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return min(_CROWD, hard - _OTHER_FILES)
