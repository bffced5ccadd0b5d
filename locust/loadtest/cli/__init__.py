"""The command `loadtest`: a module for each command that starts a run or shows something.

The other commands are in the rooms that do their work.
"""

from __future__ import annotations

import os
import sys
from typing import Any, NoReturn

import click

from loadtest import __version__
from loadtest.authoring.commands import init
from loadtest.cli.capacity import capacity
from loadtest.cli.check import check
from loadtest.cli.duet import run_duet
from loadtest.cli.kubernetes import on_kubernetes
from loadtest.cli.options import EXIT_CODES
from loadtest.cli.replay import replay_log
from loadtest.cli.run import run
from loadtest.cli.showing import doctor, list_scenarios, profiles, report
from loadtest.cli.stack import stack
from loadtest.comparing import commands
from loadtest.exceptions import ExitCode, LoadtestError
from loadtest.progress import printable
from loadtest.seeding.commands import seed
from loadtest.settings.service_links import forget_service_links
from loadtest.settings.urls import without_credentials


class _Group(click.Group):
    """A command group that ends with our exit codes, and prints errors without a traceback."""

    def main(self, *args: Any, **kwargs: Any) -> NoReturn:
        kwargs["standalone_mode"] = False
        try:
            code = super().main(*args, **kwargs)
        except click.ClickException as error:
            error.show()
            code = ExitCode.USAGE
        except LoadtestError as error:
            for line in str(error).splitlines():
                click.secho("error: ", fg="red", bold=True, nl=False, err=True)
                click.echo(printable(without_credentials(line)), err=True)
            code = error.exit_code
        except click.Abort as abort:
            click.echo(abort.__cause__ or "interrupted", err=True)
            code = ExitCode.INTERRUPTED
        sys.exit(int(code or 0))


@click.group(cls=_Group, epilog=EXIT_CODES, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def main() -> None:
    """Measure how much load a service can handle, from your own machine, with numbers you can trust.

    \b
    Shell completion for bash (for zsh or fish, replace bash):
    eval "$(_LOADTEST_COMPLETE=bash_source loadtest)"
    """
    forget_service_links(os.environ)


for command in (
    *(run, check, stack, on_kubernetes, replay_log, run_duet, capacity, profiles, list_scenarios, report, doctor),
    *(seed, init, commands.compare, commands.show_history, commands.plan, commands.baseline),
):
    main.add_command(command)
