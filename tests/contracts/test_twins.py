"""The test of a module has the module's name, or the module says where it is tested."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "locust" / "loadtest"
TESTS = {PACKAGE: ROOT / "tests" / "unit", ROOT / "target_app": ROOT / "tests" / "target_app"}
WITHOUT_CODE = ("__init__", "__main__", "service")
"""`swarm.service` holds protocols only; the two other modules of that name have tests of their own."""
MODULES = [
    (package, path) for package in TESTS for path in sorted(package.rglob("*.py")) if path.stem not in WITHOUT_CODE
]


@pytest.mark.parametrize(("package", "path"), MODULES, ids=lambda path: path.stem)
def test_every_module_has_a_twin_or_says_where_it_is_tested(package: Path, path: Path) -> None:
    """package/module.py is tested in package/test_module.py, or in the existing tests that its docstring names."""
    twin = TESTS[package] / path.relative_to(package).parent / f"test_{path.stem.lstrip('_')}.py"
    named = re.findall(r"tests/[\w/]+(?:\.py)?", ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "")
    assert twin.exists() or named, f"{path.relative_to(ROOT)} has no test of its name, and names none"
    assert [name for name in named if not (ROOT / name).exists()] == []
