"""The recipes for GitHub and GitLab are valid by the providers' own schemas, and use existing commands."""

import json
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from loadtest.cli import main
from loadtest.reporting import files
from loadtest.settings.config import Config, setting_of
from tests import reports

ROOT = Path(__file__).parents[2]
SCHEMAS = {"github": "github-workflows.json", "gitlab": "gitlab-ci.json"}
MADE_BY_A_RUN = {*files.of(reports.run_document()), "comparison.html", "logs"}


class Loader(yaml.SafeLoader):
    """YAML 1.2's booleans: `on` is a word, as the providers read it."""


Loader.yaml_implicit_resolvers = {
    letter: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:bool"]
    for letter, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile("^(true|false)$"), list("tf"))


def recipe(provider: str) -> dict[str, Any]:
    """Return a recipe."""
    return yaml.load((ROOT / "docs" / "ci" / f"{provider}.yml").read_text(), Loader)  # noqa: S506 - a safe loader


def scripts(provider: str) -> list[str]:
    """Return the shell scripts of a recipe."""
    found = recipe(provider)
    if provider == "github":
        steps = [step for job in found["jobs"].values() for step in job["steps"]]
        return [step["run"] for step in steps if "run" in step]
    job = found["load_test"]
    return ["\n".join(job[part]) for part in ("before_script", "script", "after_script")]


def test_actions_are_pinned_by_commit() -> None:
    """A tag can be moved to other code; a commit cannot. The comment names the version."""
    uses = re.findall(r"uses: (.*)", (ROOT / "docs" / "ci" / "github.yml").read_text())
    assert uses
    assert [use for use in uses if not re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", use)] == []


@pytest.mark.parametrize("provider", SCHEMAS)
def test_recipes_follow_the_providers_schema(provider: str) -> None:
    """The file is valid, and a misspelt key would not be."""
    schema = json.loads((ROOT / "tests" / "schemas" / SCHEMAS[provider]).read_text())
    validator = jsonschema.validators.validator_for(schema)(schema)
    found = recipe(provider)
    assert [error.message for error in validator.iter_errors(found)] == []
    job = next(iter(found["jobs"].values())) if provider == "github" else found["load_test"]
    job["timeout_minutes" if provider == "github" else "scripts"] = 20
    assert not validator.is_valid(found)


@pytest.mark.parametrize("provider", SCHEMAS)
def test_scripts_are_shell_and_commands_exist(provider: str) -> None:
    """Each script is valid shell, uses existing commands and settings, and no file of this repository."""
    text = (ROOT / "docs" / "ci" / f"{provider}.yml").read_text()
    lines = [line.strip() for script in scripts(provider) for line in script.splitlines()]
    for script in scripts(provider):
        subprocess.run(["bash", "-n"], input=script, text=True, check=True)
    commands = {shlex.split(line)[1] for line in lines if line.startswith("loadtest ")}
    assert {"check", "run"} <= commands <= set(main.commands)
    assert [line for line in lines if line.startswith(("make ", ".venv"))] == []  # it is another repository
    variables = set(re.findall(r"LOADTEST_[A-Z_]+", text)) - {"LOADTEST_COMMENT_TOKEN"}
    assert {name for name in variables if setting_of(name) not in Config.model_fields} == set()


@pytest.mark.parametrize("provider", SCHEMAS)
def test_what_is_kept_is_what_a_run_leaves(provider: str) -> None:
    """Every file of runs/ci/ that a recipe names is written by a run."""
    text = (ROOT / "docs" / "ci" / f"{provider}.yml").read_text()
    named = {name for name in re.findall(r"runs/ci/([a-z._]+)", text) if name != "."}
    assert {"report.html", "junit.xml", "summary.md"} <= named <= MADE_BY_A_RUN
