"""Histories of runs with a change in them."""

from pathlib import Path

import numpy as np

from loadtest.comparing.run_figures import RunFigures
from loadtest.estimating.blocked_run import ALL, Name
from loadtest.run_folder import RECORD

GET = Name("shop", "GET", "/basket/<b>")
CONDITIONS = {"scenario": "shop", "cpu": "one"}


def runs(count: int = 40, slower_from: int | None = 20, by: float = 0.1) -> list[RunFigures]:
    """Return runs an hour apart; from one on, p50 of a name is slower, and its service another version."""
    random = np.random.default_rng(4)
    made = []
    for number in range(count):
        is_slower = slower_from is not None and number >= slower_from
        noise = random.normal(0, 0.01, 3)
        made.append(
            RunFigures(
                f"night-{number:02}",
                f"2026-01-{1 + number // 24:02}T{number % 24:02}:00:00+00:00",
                "shop/quick",
                "passed",
                CONDITIONS,
                {"service": "b2" if is_slower else "a1", "scenario": "c3"},
                {
                    ALL: {"throughput": (4.0 + noise[0], 0.01), "error_ratio": (0.0, 0.001)},
                    GET: {"p50": (-3.0 + noise[1] + by * is_slower, 0.01), "p95": (-2.0 + noise[2], 0.01)},
                },
            )
        )
    return made


def folder_of(path: Path, made: list[RunFigures]) -> Path:
    """Write runs as folders, their records empty and their figures kept."""
    for run in made:
        (path / run.run_id).mkdir(parents=True)
        (path / run.run_id / RECORD).touch()
        run.write(path / run.run_id)
    return path
