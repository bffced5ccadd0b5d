"""The tools of `bench.key_value`: their command lines, and the figures that they report."""

import csv
import json
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

from bench.key_value.link import MEAN_MORE_S, SHORTEST_S
from bench.key_value.plan import CONNECTIONS, DEVIATION, KEYS, RATE_PER_S, RUN_S, VALUE_BYTES, ZIPF

OURS, MEMTIER, BENCHMARK = "this product's workload", "memtier_benchmark", "redis-benchmark"
_LOCUSTFILE: Final = str(Path(__file__).with_name("users.py"))
_MEMTIERS_PATTERNS: Final = {
    "uniform": ["--key-pattern=R:R"],
    f"gaussian({DEVIATION})": ["--key-pattern=G:G", f"--key-stddev={DEVIATION * KEYS:g}"],
    f"zipf({ZIPF})": ["--key-pattern=Z:Z", f"--key-zipf-exp={ZIPF}"],
}
DISTRIBUTIONS: Final = tuple(_MEMTIERS_PATTERNS)


class Said(NamedTuple):
    """The figures that a tool reports.

    Attributes:
        hit_ratio: the share of keys that existed; None if it does not report it.
        p50_s: the median of its response times, in seconds.
        p99_s: the 99th percentile.
    """

    hit_ratio: float | None
    p50_s: float
    p99_s: float


@dataclass(frozen=True)
class Tool:
    """A load generator.

    Attributes:
        name: its name in the tables.
        fast: its command line for one kind of command at the maximum rate.
        steady: its command line for GETs with a distribution at a fixed rate; {PORT} is the Redis, and {RESULT} a file
            for its figures.
        read: parses the figures in its output and in that file.
        distributions: those that it supports.
    """

    name: str
    fast: Callable[[str], list[str]]
    steady: Callable[[str], list[str]]
    read: Callable[[str, Path], Said]
    distributions: tuple[str, ...] = DISTRIBUTIONS


def _locust(*options: str) -> list[str]:
    users = ["-u", str(CONNECTIONS), "-r", str(CONNECTIONS)]
    return [sys.executable, "-m", "locust", "-f", _LOCUSTFILE, "--headless", "--only-summary", *users, *options]


def _what_we_say(_: str, result: Path) -> Said:
    return Said(**json.loads(result.read_text()))


def _memtier(pattern: list[str], ratio: str, *options: str) -> list[str]:
    keys = ["--key-minimum=1", f"--key-maximum={KEYS}", *pattern, f"--data-size={VALUE_BYTES}"]
    load = [f"--clients={CONNECTIONS}", "--threads=1", f"--ratio={ratio}", "--distinct-client-seed"]
    return [MEMTIER, "--port={PORT}", *keys, *load, "--hide-histogram", *options]


def _what_memtier_says(_: str, result: Path) -> Said:
    gets = json.loads(result.read_text())["ALL STATS"]["Gets"]
    times: Mapping[str, Any] = gets["Percentile Latencies"]
    hits, misses = gets["Hits/sec"], gets["Misses/sec"]
    return Said(hits / (hits + misses), times["p50.00"] / 1000, times["p99.00"] / 1000)


def _benchmark(connections: int, count: int, command: str, *options: str) -> list[str]:
    load = ["-c", str(connections), "-n", str(count), "-r", str(KEYS), "-d", str(VALUE_BYTES), "-t", command]
    return [BENCHMARK, "-p", "{PORT}", *load, *options]


def _what_benchmark_says(output: str, _: Path) -> Said:
    (row,) = csv.DictReader(line for line in output.splitlines() if line.startswith('"'))
    return Said(None, float(row["p50_latency_ms"]) / 1000, float(row["p99_latency_ms"]) / 1000)


_AT_ONCE: Final = round(RATE_PER_S * (SHORTEST_S + MEAN_MORE_S))
"""The number of connections, each waiting for its replies, that reach this rate."""
ALL: Final = (
    Tool(
        OURS,
        lambda _: _locust("-t", "10m"),
        lambda _: _locust("-t", f"{RUN_S}s", "--exit-code-on-error", "0"),
        _what_we_say,
    ),
    Tool(
        MEMTIER,
        lambda work: _memtier(_MEMTIERS_PATTERNS["uniform"], "0:1" if work == "get" else "1:0", "--test-time=600"),
        lambda distribution: _memtier(
            _MEMTIERS_PATTERNS[distribution],
            "0:1",
            f"--test-time={RUN_S}",
            f"--rate-limiting={RATE_PER_S // CONNECTIONS}",
            "--json-out-file={RESULT}",
        ),
        _what_memtier_says,
    ),
    Tool(
        BENCHMARK,
        lambda work: _benchmark(CONNECTIONS, 1_000_000_000, work, "-q"),
        lambda _: _benchmark(_AT_ONCE, RATE_PER_S * RUN_S, "get", "--csv"),
        _what_benchmark_says,
        ("uniform",),
    ),
)


def there() -> list[Tool]:
    """Return the tools that are on PATH."""
    return [tool for tool in ALL if tool.name == OURS or shutil.which(tool.name)]
