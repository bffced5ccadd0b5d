"""Programs start normally in a pod with Kubernetes' variables for Services that are named like options."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from locust.argument_parser import get_empty_argument_parser, setup_parser_arguments

from loadtest.settings.config import Config, variable
from target_app.settings import Settings

from .conftest import ROOT

pytestmark = pytest.mark.native

ENDINGS = {
    "_SERVICE_HOST": "10.96.0.7",
    "_SERVICE_PORT": "80",
    "_SERVICE_PORT_HTTP": "80",
    "_PORT": "tcp://10.96.0.7:80",
    "_PORT_80_TCP": "tcp://10.96.0.7:80",
    "_PORT_80_TCP_PROTO": "tcp",
    "_PORT_80_TCP_PORT": "80",
    "_PORT_80_TCP_ADDR": "10.96.0.7",
}
"""What a Service has variables of, with a value of each."""
BINARIES = Path(sys.executable).parent


def _options() -> set[str]:
    """Return the variables that the programs read."""
    parser = get_empty_argument_parser()
    setup_parser_arguments(parser)
    of_locust = {action.env_var for action in parser._actions if action.env_var}
    ours = {variable(setting) for setting in Config.model_fields}
    return of_locust | ours | {f"TARGET_APP_{field.upper()}" for field in Settings.model_fields}


def _links() -> dict[str, str]:
    """Return the variables of Services named like an option, with the suffix of a Service variable and without."""
    names = _options()
    services = names | {name.removesuffix(ending) for name in names for ending in ENDINGS}
    return {service + ending: value for service in services for ending, value in ENDINGS.items()}


def _of_manifest(file: str) -> list[str]:
    manifest = next(yaml.safe_load_all((ROOT / "deploy" / "kubernetes" / "base" / file).read_text()))
    program, *words = manifest["spec"]["template"]["spec"]["containers"][0]["command"]
    return [str(BINARIES / program), *words, "--list"]


COMMANDS = {
    "master": _of_manifest("master.yaml"),
    "worker": _of_manifest("worker.yaml"),
    "loadtest": [str(BINARIES / "loadtest"), "run", "--scenario", "documents", "--list"],
    "target": [sys.executable, "-m", "gunicorn", "--check-config", "-c", "python:target_app.gunicorn_conf",
               "target_app:create_app()"],
}  # fmt: skip


@pytest.mark.parametrize("program", COMMANDS)
def test_no_service_of_the_namespace_keeps_a_program_from_starting(program: str) -> None:
    """Variables that Kubernetes makes for a Service of any name are neither an option nor a misspelt one."""
    names = {name for name in os.environ if name.startswith(("LOADTEST_", "LOCUST_", "TARGET_APP_"))}
    kept = {name: value for name, value in os.environ.items() if name not in names}
    without, with_links = (
        subprocess.run(COMMANDS[program], cwd=ROOT, env=kept | links, capture_output=True, text=True, check=False)
        for links in ({}, _links())
    )
    assert (with_links.returncode, with_links.stdout) == (without.returncode, without.stdout), with_links.stderr
    assert without.returncode == 0, without.stderr


def test_options_are_among_what_services_are_named_like() -> None:
    """Locust's options that end like a variable of a Service are included: Locust would read an address as a port."""
    assert {"LOCUST_WEB_PORT", "LOCUST_MASTER_BIND_PORT", "LOCUST_MASTER_NODE_PORT"} <= _options() & set(_links())
