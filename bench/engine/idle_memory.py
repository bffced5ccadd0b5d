"""What a user costs while it waits: the memory of one worker with thousands of idle users, each connected once."""

import time
from collections.abc import Callable, Sequence
from statistics import median

from bench.engine import nginx_server
from bench.engine.http_rows import locust_subject
from bench.engine.measuring import Subject, generator
from bench.engine.performance_page import conditions

KEY = "idle-memory"
USERS = 10_000
_BASE_USERS = 1
_LIMIT_S = 240.0
_SETTLE_S = 3.0
_MEGABYTE = 1_000_000


def _resident_bytes(subject: Subject, users: int) -> int:
    """The resident memory of a generator once every user has sent its one request."""
    with nginx_server.running() as server, generator(subject, server) as process:
        deadline = time.monotonic() + _LIMIT_S
        while server.served() < users:
            if time.monotonic() > deadline:
                raise SystemExit(f"{subject.name}: only {server.served()} of {users} users came within {_LIMIT_S} s")
            time.sleep(1)
        time.sleep(_SETTLE_S)
        return int(process.memory_info().rss)


def measure(rounds: int, say: Callable[[str], None]) -> str:
    """The table in Markdown."""
    bases = (("ours", "HttpUser of this product"), ("fast", "Locust FastHttpUser"))
    lines = [
        f"### Memory of one worker with {USERS:,} idle users",
        "",
        "Each user has sent one request, keeps its connection open and waits.",
        "",
        "| generator | resident memory, MB | per user, kB | limit, MB |",
        "|---|---:|---:|---:|",
    ]
    for base, name in bases:
        sizes: dict[int, Sequence[int]] = {}
        for users in (_BASE_USERS, USERS):
            subject = locust_subject(base, name, "idle", users)
            sizes[users] = [_resident_bytes(subject, users) for _ in range(rounds)]
            say(f"{KEY} {name} {users} users: {[round(size / _MEGABYTE) for size in sizes[users]]} MB")
        total, empty = median(sizes[USERS]), median(sizes[_BASE_USERS])
        limit = "400" if base == "ours" else ""
        lines.append(f"| {name} | {total / _MEGABYTE:,.0f} | {(total - empty) / USERS / 1000:.1f} | {limit} |")
    lines += ["", f"Medians of {rounds} runs. {conditions()}"]
    return "\n".join(lines)
