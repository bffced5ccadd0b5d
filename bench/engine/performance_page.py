"""docs/performance.md: the page to which the benchmark writes its tables.

The page's prose is between the tables. A table is between two marks with its key and is replaced as a whole, so that
each comparison can be measured separately.
"""

import os
import platform
import re
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from bench.engine.measuring import WINDOW_S, Comparison, Result, tool

_VERSION_ARGUMENTS = {
    "nginx": "-v",
    "redis-server": "--version",
    "wrk": "-v",
    "k6": "version",
    "k9": "version",
    "strobengine": "--version",
    "autocannon": "--version",
    "artillery": "version",
}
PAGE = Path(__file__).parents[2] / "docs" / "performance.md"


def table(comparison: Comparison, results: Sequence[Result]) -> str:
    """Return a comparison's table in Markdown, with the conditions of the measurement."""
    ours = next(result for result in results if result.subject.is_ours)
    lines = [
        f"### {comparison.title}",
        "",
        comparison.note,
        "",
        f"| generator | {comparison.unit} per CPU second | min | max | per second | ratio | limit | aim |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for result in results:
        least, greatest = result.spread
        ratio = "" if result is ours else f"{ours.per_cpu_s / result.per_cpu_s:.2f}"
        floor, aim = (
            (f"{number:g}" for number in comparison.floors[result.subject.name])
            if (result.subject.name in comparison.floors)
            else ("", "")
        )
        name = f"**{result.subject.name}**" if result is ours else result.subject.name
        lines.append(
            f"| {name} | {result.per_cpu_s:,.0f} | {least:,.0f} | {greatest:,.0f} | {result.per_s:,.0f} "
            f"| {ratio} | {floor} | {aim} |"
        )
    taken = f"Medians of {len(ours.samples)} windows of {WINDOW_S:g} s, interleaved."
    lines += ["", f"Ratio: ours divided by theirs, per CPU second. {taken} {conditions()}"]
    return "\n".join(lines)


def conditions() -> str:
    """Return the place and time of the measurement."""
    today = datetime.now(UTC).date().isoformat()
    busy = os.getloadavg()[0]
    cores = "1 core" if os.cpu_count() == 1 else f"{os.cpu_count()} cores"
    return f"Measured {today} on {cores} of {_processor()}, load average {busy:.1f} at the end."


def _processor() -> str:
    """Return the processor and its caches: clouds use one name for several generations."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    known = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    if "cpu family" not in known:
        return known.get("model name", platform.processor())
    level_2 = Path("/sys/devices/system/cpu/cpu0/cache/index2/size")
    cache = f", {level_2.read_text().strip()}iB of L2 cache a core" if level_2.exists() else ""
    return f"{known['model name']} (family {known['cpu family']}, model {known['model']}{cache})"


def versions() -> str:
    """Return the versions of all installed packages and programs that were measured."""
    packages = ("locust", "geventhttpclient", "gevent", "greenlet", "httptools", "hiredis", "redis", "orjson")
    parts = [f"Python {platform.python_version()}", f"Linux {platform.release()}"]
    parts += [f"{name} {version(name)}" for name in packages]
    for name, argument in _VERSION_ARGUMENTS.items():
        program = tool(name)
        if program is not None:
            done = subprocess.run((program, argument), capture_output=True, text=True, check=False)
            found = re.search(r"(\d+\.\d+[\w.\-]*)", done.stdout + done.stderr)
            if found:
                parts.append(f"{name} {found[1]}")
    return "Versions: " + ", ".join(parts) + "."


def commands(comparisons: Sequence[Comparison]) -> str:
    """Return the command lines, without folders."""
    lines = []
    for comparison in comparisons:
        lines.append(f"# {comparison.key}")
        for subject in comparison.subjects:
            variables = [f"{name}={value}" for name, value in subject.environment.items() if name.startswith("BENCH_")]
            parts = [re.sub(r"(?<![\w}])/(?!dev/)\S*/", "", part) for part in subject.command]
            lines.append(" ".join([*variables, *parts]))
    return "\n".join(["```text", *lines, "```"])


def write(key: str, content: str) -> None:
    """Replace a table on the page; append a new one."""
    page = PAGE.read_text()
    begin, end = f"<!-- bench: {key} -->", f"<!-- end: {key} -->"
    block = f"{begin}\n{content}\n{end}"
    pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    known = pattern.search(page) is not None
    page = pattern.sub(lambda _: block, page) if known else f"{page.rstrip()}\n\n{block}\n"
    PAGE.write_text(page)
