"""The reference tables agree with the code, and the architecture page with the tree."""

import pkgutil
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from loadtest import scenarios
from loadtest.cli.options import EXIT_CODES
from loadtest.exceptions import ExitCode
from loadtest.settings.config import Config, variable

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "locust" / "loadtest"
FOLDERS = {"bench", "deploy", "docker", "docs", "grafana", "locust", "prometheus", "target_app", "tests"} | {
    path.name for path in PACKAGE.iterdir() if path.is_dir()
}
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]


def table(file: str, heading: str) -> list[list[str]]:
    """Return the rows of the first table under a heading, without its header."""
    section = (ROOT / file).read_text().split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]
    rows = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row] for row in rows[2:]]


def test_every_setting_is_documented() -> None:
    """The settings table lists each setting with its variable, default, limits and meaning."""
    expected = [
        [f"`{variable(name)}`", _default(field.default), _extra(field, "allowed"), field.description]
        for name, field in Config.model_fields.items()
    ]
    assert table("docs/reference/settings.md", "Settings") == expected


def test_every_exit_code_is_documented() -> None:
    """The table of exit codes lists each code once, by number and name."""
    rows = [row[:2] for row in table("docs/reference/exit_codes.md", "Exit codes")]
    assert rows == [[str(int(code)), code.name.lower().replace("_", " ")] for code in ExitCode]


def test_every_scenario_is_documented() -> None:
    """docs/scenarios.md lists the built-in scenarios."""
    rows = [row[0].strip("`") for row in table("docs/scenarios.md", "Built-in scenarios")]
    assert sorted(rows) == scenarios.names()


def test_every_room_is_in_the_architecture() -> None:
    """docs/architecture.md has one row for each folder of the package that holds modules."""
    rows = [row[0].strip("`") for row in table("docs/architecture.md", "Packages")]
    assert sorted(rows) == sorted(path.parent.name for path in PACKAGE.glob("*/__init__.py"))


def test_every_module_without_a_room_is_in_the_architecture() -> None:
    """docs/architecture.md has one row for each public module of the package outside its subpackages."""
    rows = [row[0].strip("`") for row in table("docs/architecture.md", "Top-level modules")]
    assert sorted(rows) == sorted(path.stem for path in PACKAGE.glob("*.py") if not path.stem.startswith("_"))


def test_the_layers_are_those_that_lint_checks() -> None:
    """The numbered list of layers is the contract of import-linter, from top to bottom."""
    section = (ROOT / "docs" / "architecture.md").read_text().split("## Layers\n", 1)[1].split("\n## ", 1)[0]
    listed = [re.findall(r"`(\w+)`", line) for line in section.splitlines() if re.match(r"\d+\. ", line)]
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (layers,) = [contract["layers"] for contract in contracts if contract["type"] == "layers"]
    assert listed == [re.findall(r"\w+", layer) for layer in layers]


def test_every_decision_is_indexed() -> None:
    """The index of decisions lists each record once, with its title."""
    folder = ROOT / "docs" / "decisions"
    text = (folder / "README.md").read_text()
    indexed = re.findall(r"^\| \[(\d{4})\]\((\S+)\) \| (.+) \|$", text, re.MULTILINE)
    records = [path for path in folder.glob("*.md") if path.name != "README.md"]
    titles = [(path.name[:4], path.name, path.read_text().splitlines()[0]) for path in records]
    assert sorted((number, file, f"# {number} {title}") for number, file, title in indexed) == sorted(titles)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    """Each relative link of a page leads to a file, and its fragment to a heading of that file."""
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if "://" in target:
            continue
        name, _, fragment = target.partition("#")
        file = page.parent / name if name else page
        if not file.exists() or (fragment and fragment not in anchors(file)):
            broken.append(target)
    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_path_and_module_that_is_named_exists(page: Path) -> None:
    """Files and folders of the repository, and dotted names of the package, exist where a page says."""
    missing = []
    for name in re.findall(
        r"(?<!`)`([\w./-]+)(?:\(\))?`(?!`)", re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    ):
        if name.startswith("loadtest."):
            found = _resolves(name)
        elif name.split("/", 1)[0] in FOLDERS and "/" in name and "NAME" not in name:
            found = any((root / name).exists() for root in (ROOT, PACKAGE))
        else:
            continue
        if not found:
            missing.append(name)
    assert missing == []


def test_every_decision_that_is_cited_exists() -> None:
    """Paths of decisions in code, configuration and pages lead to a decision record."""
    text = "".join(path.read_text() for path in _tracked(".py", ".yml", ".md", ".conf", ".toml", ".sh"))
    cited = set(re.findall(r"decisions/(\d{4}-[\w-]+\.md)", text))
    assert cited <= {path.name for path in (ROOT / "docs" / "decisions").glob("*.md")}


def test_help_lists_every_exit_code() -> None:
    """`loadtest --help` names the same codes."""
    numbers = re.findall(r"\b(\d+) ", EXIT_CODES)
    assert numbers == [str(int(code)) for code in ExitCode]


def _resolves(dotted: str) -> bool:
    """Return whether a dotted name is a module of the package, or an attribute of one."""
    try:
        pkgutil.resolve_name(dotted)
    except (ImportError, AttributeError):
        return False
    return True


def anchors(page: Path) -> set[str]:
    """Return the fragments that GitHub generates for a page's headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def _tracked(*suffixes: str) -> list[Path]:
    listed = subprocess.run(("git", "ls-files"), cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [ROOT / name for name in listed.splitlines() if name.endswith(suffixes) and (ROOT / name).exists()]


def _default(value: object) -> str:
    return "" if value is None else str(int(value)) if isinstance(value, bool) else str(value)


def _extra(field, key: str) -> str:
    return str(field.json_schema_extra[key])
