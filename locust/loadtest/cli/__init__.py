"""The command `loadtest`, with a module for each command that starts a run or shows something.

The other commands live in the packages that implement them.
"""

from __future__ import annotations

import io
import os
import sys
from collections import UserDict
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, NoReturn

import click

from loadtest import __version__
from loadtest.cli.options import EXIT_CODES
from loadtest.exceptions import ExitCode, LoadtestError
from loadtest.progress import printable
from loadtest.settings.service_links import forget_service_links
from loadtest.settings.urls import without_credentials

if TYPE_CHECKING:
    from collections.abc import Iterator

_PLACES: Final = {
    "baseline": "comparing.commands:baseline",
    "capacity": "cli.capacity:capacity",
    "check": "cli.check:check",
    "compare": "comparing.commands:compare",
    "doctor": "cli.showing:doctor",
    "duet": "cli.duet:run_duet",
    "history": "comparing.commands:show_history",
    "init": "authoring.commands:init",
    "kubernetes": "cli.kubernetes:on_kubernetes",
    "plan": "comparing.commands:plan",
    "profiles": "cli.showing:profiles",
    "replay": "cli.replay:replay_log",
    "report": "cli.showing:report",
    "run": "cli.run:run",
    "scenarios": "cli.showing:list_scenarios",
    "seed": "seeding.commands:seed",
    "stack": "cli.stack:stack",
}
"""Where each command is implemented."""


_MAX_LINES: Final = 200
_LONGEST_LINE: Final = 10_000
"""Limits for errors that quote data from a service or a file."""


class _Commands(UserDict[str, Any]):
    """Commands that are imported on first use; importing all of them takes a second."""

    def __getitem__(self, name: str) -> click.Command:
        if isinstance(self.data[name], str):
            module, name_there = self.data[name].split(":")
            self.data[name] = getattr(import_module(f"loadtest.{module}"), name_there)
        command: click.Command = self.data[name]
        return command


class _Group(click.Group):
    """A command group that ends with our exit codes, and prints errors without a traceback."""

    def main(self, *args: Any, **kwargs: Any) -> NoReturn:
        kwargs["standalone_mode"] = False
        try:
            code = super().main(*args, **kwargs)
        except click.ClickException as error:
            error.show(file=(said := io.StringIO()))
            for line in _readable(said.getvalue()):
                click.echo(printable(line), err=True)
            code = ExitCode.USAGE
        except LoadtestError as error:
            for line in _readable(str(error)):
                click.secho("error: ", fg="red", bold=True, nl=False, err=True)
                click.echo(printable(line), err=True)
            code = error.exit_code
        except click.Abort as abort:
            click.echo(abort.__cause__ or "interrupted", err=True)
            code = ExitCode.INTERRUPTED
        sys.exit(int(code or 0))


def _readable(error: str) -> Iterator[str]:
    """Yield the lines of an error without secrets, limited in number and length."""
    lines = error.splitlines()
    for line in lines[:_MAX_LINES]:
        shown = without_credentials(line)
        yield shown if len(shown) <= _LONGEST_LINE else f"{shown[:_LONGEST_LINE]} …"
    if len(lines) > _MAX_LINES:
        yield f"{len(lines) - _MAX_LINES:,} more like these"


@click.group(
    cls=_Group, commands=_Commands(_PLACES), epilog=EXIT_CODES, context_settings={"help_option_names": ["-h", "--help"]}
)
@click.version_option(__version__)
def main() -> None:
    """Measure how much load a service can handle, from your own machine, with numbers you can trust.

    \b
    Shell completion for bash (for zsh or fish, replace bash):
    eval "$(_LOADTEST_COMPLETE=bash_source loadtest)"
    """
    forget_service_links(os.environ)
