"""SECURITY.md promises nothing that no test holds, and every fuzz test is named."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
NAMED = set(re.findall(r"`(test_\w+)`", (ROOT / "SECURITY.md").read_text()))
DEFINED = {
    (file.parent.name, name)
    for file in (ROOT / "tests").rglob("test_*.py")
    for name in re.findall(r"^def (test_\w+)\(", file.read_text(), re.MULTILINE)
}


def test_every_promise_has_its_test() -> None:
    """Each test that the table names exists, and no row is without one."""
    assert {name for _, name in DEFINED} >= NAMED
    rows = [row for row in (ROOT / "SECURITY.md").read_text().splitlines() if row.startswith("| ")][1:]
    assert len(rows) > 10
    assert [row for row in rows if "`test_" not in row] == []


def test_every_fuzzed_input_is_promised() -> None:
    """What is fuzzed is in the table, and the number of cases is shared by as many tests as there are."""
    fuzzed = {name for folder, name in DEFINED if folder == "fuzz"}
    assert fuzzed <= NAMED
    cases = (ROOT / "tests" / "fuzz" / "cases.py").read_text()
    assert f"TESTS = {len(fuzzed)}\n" in cases
