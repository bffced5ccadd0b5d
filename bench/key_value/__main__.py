"""The key-value workload versus redis-benchmark and memtier_benchmark: ``python -m bench.key_value [--rounds N]``.

Writes the tables of docs/performance.md: the commands per CPU second of each tool, by Redis' own count; and, at a fixed
rate, the response times and hits that each reports, compared with the true ones. A tool that is not on PATH is omitted
and reported.
"""

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import NormalDist

from bench.engine.measuring import GENERATOR_CORE, SERVER_CORE, Comparison, Subject, compare, pinned
from bench.engine.performance_page import conditions, table, write
from bench.key_value import tools
from bench.key_value.link import MEAN_MORE_S, SHORTEST_S
from bench.key_value.plan import CONNECTIONS, DEVIATION, FILLED, KEYS, RATE_PER_S, RUN_S, VALUE_BYTES, ZIPF
from bench.key_value.server import Server, running

_ROOT = Path(__file__).parents[2]
_NOTE = (
    f"GETs at {RATE_PER_S:,} per second for {RUN_S} s, through a link that delays each reply by "
    f"{SHORTEST_S * 1000:g} ms and a random time of {MEAN_MORE_S * 1000:g} ms on average. The true times are the "
    "link's: from the arrival of a command, by the kernel's timestamp, until its reply was sent. redis-benchmark has "
    "no rate limit, so it uses as many connections as produce that rate, and it draws uniform keys only. Expected hits "
    "follow from the distribution's formula; Redis' are its `keyspace_hits`."
)
_COLUMNS = (
    "| distribution | tool | per second | hits: expected | Redis' | the tool's | p50, ms: true | the tool's "
    "| p99, ms: true | the tool's |\n|---|---|---:|---:|---:|---:|---:|---:|---:|---:|"
)


def comparison(command: str) -> Comparison:
    """GET or SET as fast as each tool goes."""
    subjects = [
        Subject(tool.name, tuple(tool.fast(command)), is_ours=tool.name == tools.OURS) for tool in tools.there()
    ]
    return Comparison(
        f"key-value-{command}",
        f"{command.upper()} of a key-value workload",
        "commands",
        subjects,
        partial(running, command, "uniform"),
        note=f"{CONNECTIONS} connections, values of {VALUE_BYTES} bytes, {KEYS:,} keys of which {FILLED:,} exist, "
        "all equally likely; Redis on another core counts the commands.",
    )


@contextmanager
def linked(server: Server, taken: Path) -> Iterator[int]:
    """Start a link to the Redis; yield its port, and make it write the commands' times at the end."""
    command = [sys.executable, "-m", "bench.key_value.link", str(server.port), str(taken)]
    link = subprocess.Popen(command, cwd=_ROOT, stdout=subprocess.PIPE, preexec_fn=pinned(SERVER_CORE))  # noqa: PLW1509
    try:
        yield int(link.stdout.readline())  # type: ignore[union-attr] # a pipe
    finally:
        link.terminate()
        link.wait()


def row(tool: tools.Tool, server: Server, distribution: str, folder: Path) -> str:
    """Run a tool with reads at the rate; return the line of the table."""
    taken, result = folder / "taken.json", folder / "result.json"
    hits, misses = server.looked_up()
    with linked(server, taken) as port:
        to = {"PORT": str(port), "RESULT": str(result), "REDIS_URL": f"redis://127.0.0.1:{port}"}
        variables = server.environment | to | {"BENCH_RATE": str(RATE_PER_S), "BENCH_RESULT": str(result)}
        command = [part.format(**to) for part in tool.steady(distribution)]
        done = subprocess.run(
            command, cwd=_ROOT, env=os.environ | variables, capture_output=True, text=True, check=False,
            preexec_fn=pinned(GENERATOR_CORE),
        )  # fmt: skip
    if done.returncode:
        raise SystemExit(
            f"{tool.name} ended with exit code {done.returncode}:\n{done.stdout[-1000:]}{done.stderr[-2000:]}"
        )
    said = tool.read(done.stdout, result)
    there, missing = (after - before for before, after in zip((hits, misses), server.looked_up(), strict=True))
    true = json.loads(taken.read_text())
    true_s = sorted(true["taken_s"])
    p50_s, p99_s = (true_s[math.ceil(quantile * len(true_s)) - 1] for quantile in (0.5, 0.99))
    ratio = "" if said.hit_ratio is None else f"{said.hit_ratio:.2%}"
    return (
        f"| {distribution} | {tool.name} | {true['per_s']:,.0f} | {expected_hits(distribution):.2%} "
        f"| {there / (there + missing):.2%} | {ratio} | {p50_s * 1000:.2f} | {said.p50_s * 1000:.2f} "
        f"| {p99_s * 1000:.2f} | {said.p99_s * 1000:.2f} |"
    )


def expected_hits(distribution: str) -> float:
    """Return the share of accesses to existing keys, by the distribution's formula."""
    if distribution.startswith("zipf"):
        weights = [k**-ZIPF for k in range(1, KEYS + 1)]
        return sum(weights[:FILLED]) / sum(weights)
    if distribution.startswith("gaussian"):
        normal = NormalDist(0.5, DEVIATION)
        return (normal.cdf(FILLED / KEYS) - normal.cdf(0)) / (normal.cdf(1) - normal.cdf(0))
    return FILLED / KEYS


def agreement() -> str:
    """Return the table of the figures that the tools report at a fixed rate."""
    lines = ["#### Response times and hits at a fixed rate", "", _NOTE, "", _COLUMNS]
    for distribution in tools.DISTRIBUTIONS:
        with running("get", distribution) as server, tempfile.TemporaryDirectory() as folder:
            for tool in tools.there():
                if distribution in tool.distributions:
                    lines.append(row(tool, server, distribution, Path(folder)))
                    print(lines[-1], flush=True)
    return "\n".join([*lines, "", conditions()])


def main() -> None:
    """Measure, and write the tables."""
    parser = argparse.ArgumentParser(prog="python -m bench.key_value", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="windows of each tool (default 3)")
    rounds = parser.parse_args().rounds
    names = [tool.name for tool in tools.there()]
    if missing := [tool.name for tool in tools.ALL if tool.name not in names]:
        print(f"not on PATH, so left out: {', '.join(missing)}")
    write("key-value-agreement", agreement())
    for command in ("get", "set"):
        one = comparison(command)
        write(one.key, table(one, compare(one, rounds, partial(print, flush=True))))


if __name__ == "__main__":
    main()
