"""The options that set settings."""

import json
import os
import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from loadtest.cli import main
from loadtest.cli.options import OF_A_RUN, setting_options

from .invoking import invoke


def test_options_given_several_times_are_one_setting() -> None:
    """Thresholds and files are joined as in the environment; an option that is not given is not a setting."""

    @click.command()
    @setting_options(*OF_A_RUN)
    def command(**options: str | None) -> None:
        click.echo(json.dumps({name: value for name, value in options.items() if value is not None}))

    arguments = ["-f", "a.py", "--scenario", "b.py", "--threshold", "p99 < 1s", "--threshold", "p50 < 1s", "-u", "7"]
    told = CliRunner().invoke(command, arguments).stdout
    assert json.loads(told) == {"scenario": "a.py,b.py", "users": "7", "threshold": "p99 < 1s, p50 < 1s"}


@pytest.mark.parametrize("name", sorted(main.commands))
def test_a_setting_has_the_same_options_in_every_command(name: str) -> None:
    """-u, for example, means the same everywhere."""
    of_run = {param.name: param.opts for param in main.commands["run"].params}
    shared = {param.name: param.opts for param in main.commands[name].params if param.name in OF_A_RUN}
    if name == "check":
        del shared["scenario"]  # its argument
    assert shared == {setting: of_run[setting] for setting in shared}


def test_each_command_is_where_it_is_looked_for() -> None:
    """Each has its public name, and is imported only when it is used."""
    assert {name: command.name for name, command in main.commands.items()} == {name: name for name in main.commands}
    code = "import sys, loadtest.cli; print(*(name for name in sys.modules if name.startswith('loadtest.')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"loadtest.local", "loadtest.swarm", "loadtest.comparing", "loadtest.scenarios"} & set(
        done.stdout.split()
    )


def test_no_variable_of_a_service_is_passed_on_to_locust(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the pod of a CI system, the namespace may have a Service `locust-web`."""
    monkeypatch.setenv("LOCUST_WEB_PORT", "tcp://10.96.0.7:8089")
    invoke("profiles")
    assert "LOCUST_WEB_PORT" not in os.environ
