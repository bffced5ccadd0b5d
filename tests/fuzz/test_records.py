"""External records that are valid except for one value: every command shows them, or refuses them with a message."""

import contextlib
import json
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from loadtest.cli import main
from loadtest.comparing import run_figures
from loadtest.comparing.run_figures import RunFigures
from loadtest.reporting import files
from loadtest.run_folder import RECORD
from tests import reports
from tests.fuzz.cases import fuzz

LONGEST_S = 20.0
"""Of processor time for one command; it takes a fraction of a second."""
ABSURD = [
    *(1e308, -1e308, 1e20, 5e-324, -1, 0, -0.0, 2**63, -(2**63), 10**19, 10**30, math.nan, math.inf, -math.inf),
    *(None, True, "", "x", "\x1b[2J\r\n", [], [[]], [1, "a"], {}, {"a": 1}),
]
COMMANDS = [
    ["report", "bad"],
    ["report", "bad", "--json"],
    ["compare", "good", "bad", "--force"],
    ["compare", "bad", "good", "--force", "--html", "comparison.html"],
    ["history", "--interrupted"],
    ["history", "--changes", "--html", "changes.html"],
    ["plan", "bad"],
    ["baseline", "set", "bad", "--force"],
]
Place = tuple[str | int, ...]


def places(node: Any, place: Place = ()) -> Iterator[Place]:
    """Yield the path of each value of a document, including containers."""
    for key, value in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
        yield (*place, key)
        yield from places(value, (*place, key))


def kinds(document: Any) -> list[Place]:
    """Return one path of each kind, for example the second of a timeline's first point."""
    found: dict[tuple[str, ...], Place] = {}
    for place in places(document):
        found.setdefault(tuple("*" if isinstance(key, int) else key for key in place), place)
    return list(found.values())


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two runs and their figures."""
    folder = tmp_path_factory.mktemp("runs")
    made = reports.run_document(reports.add_steps(reports.record(6, failing="b", streamed="a")))
    for name in ("good", "bad"):
        (folder / name).mkdir()
        assert files.write(folder / name, files.of({**made, "run_id": name})) == []
        RunFigures.of(made, name).write(folder / name)
    return folder


@pytest.fixture(scope="module")
def texts(runs: Path) -> dict[str, str]:
    """The files that are changed below."""
    return {name: (runs / "bad" / name).read_text() for name in (RECORD, run_figures.FILE)}


@fuzz
@given(
    changes=st.lists(st.tuples(st.integers(0, 1_000), st.sampled_from(ABSURD)), min_size=1, max_size=2),
    name=st.sampled_from([RECORD, RECORD, RECORD, run_figures.FILE]),
    command=st.sampled_from(COMMANDS),
)
def test_records_with_an_absurd_value(
    runs: Path, texts: dict[str, str], changes: list[tuple[int, Any]], name: str, command: list[str]
) -> None:
    """Any value in any place causes no traceback, no bug report and no escape sequence for the terminal."""
    documents = {file: json.loads(text) for file, text in texts.items()}
    for number, value in changes:
        chosen = kinds(documents[name])
        *path, last = chosen[number % len(chosen)]
        node = documents[name]
        for key in path:
            node = node[key]
        node[last] = value
    for file, content in documents.items():
        (runs / "bad" / file).write_text(json.dumps(content))
    began_s = time.process_time()
    with contextlib.chdir(runs.parent):
        done = CliRunner(env={"LOADTEST_RUNS_DIR": str(runs)}).invoke(main, command)
    assert isinstance(done.exception, SystemExit | None), done.exception
    assert done.exit_code in {0, 1, 2}, done.output
    assert ("bug" in done.output, "\x1b[2J" in done.output, "\r" in done.output) == (False, False, False)
    assert time.process_time() - began_s < LONGEST_S
