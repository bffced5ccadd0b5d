"""The table of faults names tests that exist, and every test of a fault."""

import ast
import re
from pathlib import Path

from tests.contracts.test_docs import table

ROOT = Path(__file__).parents[2]


def names_of(file: Path) -> set[str]:
    """Return the names of a file's tests."""
    nodes = ast.parse(file.read_text()).body
    return {node.name for node in nodes if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}


def test_every_fault_has_its_test() -> None:
    """Each row names at least one test, and each of them exists."""
    for fault, *_, cell in table("docs/reliability.md", "Faults"):
        named = re.findall(r"`([^`]+)::([^`]+)`", cell)
        assert named, fault
        for file, name in named:
            assert name in names_of(ROOT / file), f"{fault}: {file}::{name}"


def test_every_test_of_a_fault_is_in_the_table() -> None:
    """Each test in tests/faults proves a row, except one that only completes a story."""
    text = (ROOT / "docs/reliability.md").read_text()
    rounding_off = {"test_the_run_goes_on_to_its_report"}
    for file in (ROOT / "tests/faults").glob("test_*.py"):
        for name in names_of(file) - rounding_off:
            assert f"`tests/faults/{file.name}::{name}`" in text
