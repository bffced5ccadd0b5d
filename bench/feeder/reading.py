"""The cost of reading test data on the master: CPU time, and the peak memory of its process.

    python -m bench.feeder.reading [ROWS]

ROWS rows of three columns, 70 bytes each, by default two million; each format in a separate process. Takes about two
minutes, and half a gigabyte on disk.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
from pyarrow import parquet

ROWS = 2_000_000
COLUMNS = ("id", "email", "city")
READ = r"""
import re, sys, time
from pathlib import Path
from loadtest.feeding import sources
from loadtest.feeding.policies import Order
began_s = time.process_time()
items = sources.read(sys.argv[1]).items
Order(items).take(1)
cpu_s = time.process_time() - began_s
print(len(items), cpu_s, int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1]) / 1024)
"""


def rows(count: int) -> Iterator[tuple[str, str, str]]:
    """Yield rows that are all different."""
    for number in range(count):
        digits = f"{number * 2654435761 % 2**48:012x}"
        yield f"{number:08x}-{digits[:4]}-4000-a000-{digits}", f"user{number}@example.com", f"City {number % 5000}"


def write_csv(path: Path, count: int) -> None:
    """Write a CSV file."""
    with path.open("w") as file:
        file.write(",".join(COLUMNS) + "\n")
        file.writelines(",".join(row) + "\n" for row in rows(count))


def write_jsonl(path: Path, count: int) -> None:
    """Write a record on each line."""
    with path.open("w") as file:
        file.writelines(json.dumps(dict(zip(COLUMNS, row, strict=True))) + "\n" for row in rows(count))


def write_json(path: Path, count: int) -> None:
    """Write an array on one line."""
    with path.open("w") as file:
        for number, row in enumerate(rows(count)):
            file.write(("," if number else "[") + json.dumps(dict(zip(COLUMNS, row, strict=True))))
        file.write("]")


def write_parquet(path: Path, count: int) -> None:
    """Write a table of columns."""
    parquet.write_table(pa.table(dict(zip(COLUMNS, map(list, zip(*rows(count), strict=True)), strict=True))), path)


WRITERS: dict[str, Callable[[Path, int], None]] = {
    "csv": write_csv,
    "jsonl": write_jsonl,
    "json": write_json,
    "parquet": write_parquet,
}


def main() -> None:
    """Print the table."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else ROWS
    print("| file | MB | items | CPU s | peak MB of the process |")
    print("|---|---:|---:|---:|---:|")
    with tempfile.TemporaryDirectory() as folder:
        for ending, write in WRITERS.items():
            path = Path(folder) / f"users.{ending}"
            write(path, count)
            done = subprocess.run(
                [sys.executable, "-c", READ, path], capture_output=True, text=True, check=True, timeout=600
            )
            items, cpu_s, peak_mb = done.stdout.split()
            size_mb = path.stat().st_size / 1e6
            path.unlink()
            print(f"| .{ending} | {size_mb:,.0f} | {int(items):,} | {float(cpu_s):.1f} | {float(peak_mb):,.0f} |")


if __name__ == "__main__":
    main()
