"""Every promise in SECURITY.md has a test, and every fuzz test and every parser is listed."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
NAMED = set(re.findall(r"`(test_\w+)`", (ROOT / "SECURITY.md").read_text()))
DEFINED = {
    (file.parent.name, name)
    for file in (ROOT / "tests").rglob("test_*.py")
    for name in re.findall(r"^def (test_\w+)\(", file.read_text(), re.MULTILINE)
}
MADE_UP = {
    function.name
    for file in (ROOT / "tests" / "fuzz").glob("test_*.py")
    for function in ast.walk(ast.parse(file.read_text()))
    if isinstance(function, ast.FunctionDef)
    and {"fuzz", "given"} <= {ast.unparse(one).partition("(")[0] for one in function.decorator_list}
}
"""The tests whose inputs Hypothesis makes up, as many as `make fuzz` says."""


def test_every_promise_has_its_test() -> None:
    """Each test that the table names exists, and no row is without one."""
    assert {name for _, name in DEFINED} >= NAMED
    rows = [row for row in (ROOT / "SECURITY.md").read_text().splitlines() if row.startswith("| ")][1:]
    assert len(rows) > 10
    assert [row for row in rows if "`test_" not in row] == []


def test_every_fuzzed_input_is_promised() -> None:
    """Each fuzzed input is in the table, and the number of cases is divided by the actual number of tests."""
    assert {name for folder, name in DEFINED if folder == "fuzz"} <= NAMED
    cases = (ROOT / "tests" / "fuzz" / "cases.py").read_text()
    assert f"TESTS = {len(MADE_UP)}\n" in cases


PARSES = re.compile(
    r"\b(json|orjson)\.loads\(|parse_json\(|tomllib\.loads\(|yaml\.load\(|csv\.reader\(|msgpack\.unpackb\(|"
    r"zlib\.decompressobj\(|hiredis\.Reader\(|FrameProtocol\(|GzipFile\(|ParquetFile\("
)


def test_every_parser_is_listed_with_its_tests() -> None:
    """Each module that parses is on the page, each row names its tests of both kinds, and all of them exist."""
    page = (ROOT / "docs" / "reference" / "parsers.md").read_text()
    listed = set(re.findall(r"`((?:loadtest|target_app)\.[\w.]+)`", page))
    modules = {
        ".".join(path.relative_to(root).with_suffix("").parts): path
        for root, package in ((ROOT / "locust", "loadtest"), (ROOT, "target_app"))
        for path in (root / package).rglob("*.py")
    }
    parsing = {name for name, path in modules.items() if PARSES.search(path.read_text())}
    assert (parsing - listed, listed - set(modules)) == ({"loadtest.untrusted"} - listed, set())
    rows = [row.split("|")[3:5] for row in page.splitlines() if row.startswith("| ")][1:]
    assert len(rows) > 10
    for random, other in rows:
        for cell, known in ((random, MADE_UP), (other, {name for _, name in DEFINED} - MADE_UP)):
            tests = re.findall(r"`(test_\w+)`", cell)
            assert tests, rows
            assert set(tests) <= known
