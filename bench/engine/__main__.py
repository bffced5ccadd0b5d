"""Measure the engines side by side: ``python -m bench.engine [comparison …] [--rounds N]``.

Without names it measures everything, prints each window, and writes the tables of docs/performance.md.
"""

import argparse
import os
import pkgutil
from importlib import import_module
from pathlib import Path

from bench.engine import idle_memory
from bench.engine.measuring import Comparison, compare
from bench.engine.performance_page import commands, table, versions, write

_ROUNDS = 5


def all_comparisons() -> list[Comparison]:
    """The comparisons of every module here whose name ends with ``_rows``."""
    names = sorted(found.name for found in pkgutil.iter_modules([str(Path(__file__).parent)]))
    modules = [import_module(f"bench.engine.{name}") for name in names if name.endswith("_rows")]
    return [comparison for module in modules for comparison in module.comparisons()]


def say(text: str) -> None:
    """Print immediately, without buffering."""
    print(text, flush=True)


def main() -> None:
    """Measure the comparisons named on the command line."""
    known = {comparison.key: comparison for comparison in all_comparisons()}
    parser = argparse.ArgumentParser(prog="python -m bench.engine", description=__doc__)
    parser.add_argument("comparison", nargs="*", help=f"one of {', '.join([*known, idle_memory.KEY])}")
    parser.add_argument("--rounds", type=int, default=_ROUNDS, help="windows of each generator (default 5)")
    options = parser.parse_args()
    wanted = options.comparison or [*known, idle_memory.KEY]
    unknown = set(wanted) - set(known) - {idle_memory.KEY}
    if unknown or options.rounds < 1:
        parser.error(f"unknown: {', '.join(sorted(unknown)) or options.rounds}")
    if (os.cpu_count() or 1) < 2 and wanted != [idle_memory.KEY]:
        parser.error("one core for the generator and one for the server are needed")
    say(f"{os.cpu_count()} cores. {versions()}\n{commands([known[key] for key in wanted if key in known])}")
    for key in wanted:
        if key == idle_memory.KEY:
            content = idle_memory.measure(max(1, options.rounds // 2), say)
        else:
            content = table(known[key], compare(known[key], options.rounds, say))
        say(f"\n{content}\n")
        write(key, content)
    write("versions", versions())
    write("commands", commands(list(known.values())))


if __name__ == "__main__":
    main()
