"""The commands that only show something: profiles, scenarios, a report, and what the doctor finds."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from functools import partial
from typing import Any

import click
from rich.console import Console

from loadtest import scenarios
from loadtest.cli.options import setting_options
from loadtest.doctor import examine
from loadtest.exceptions import ExitCode, RecordError
from loadtest.profiles import chart
from loadtest.profiles.profile import all_profiles
from loadtest.progress import output, printable
from loadtest.reporting import document as run_document
from loadtest.reporting import files, summary
from loadtest.run_folder import RunFolder
from loadtest.scenarios import declared
from loadtest.settings.config import Config


@click.command()
@setting_options("profiles_file")
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print every stage as JSON; durations in seconds, levels in users or arrivals per second.",
)
def profiles(profiles_file: str | None, as_json: bool) -> None:
    """Draw the load profiles.

    These are the profiles of local_conf/profiles.toml and of your own file.
    """
    known = all_profiles(Config.load({"profiles_file": profiles_file}).profiles_file).values()
    if as_json:
        click.echo(json.dumps([chart.as_dict(profile) for profile in known], indent=1))
    else:
        chart.show(known, Console(file=sys.stdout))


@click.command(name="scenarios")
@click.option("--json", "as_json", is_flag=True, help="Print each scenario as JSON, with the requests it declares.")
def list_scenarios(as_json: bool) -> None:
    """List the built-in scenarios."""
    if as_json:
        requests = {
            name: [list(pair) for pair in declared(Config(scenario=name)).requests] for name in scenarios.names()
        }
        click.echo(json.dumps(requests, indent=1))
        return
    for name in scenarios.names():
        click.echo(name)


@click.command()
@click.argument("run", metavar="RUN")
@click.option("--json", "as_json", is_flag=True, help="Print the whole run as JSON, without writing files.")
def report(run: str, as_json: bool) -> None:
    """Show the results of a run, and regenerate its reports.

    \b
    loadtest report runs/20261121T093657Z-documents-quick
    loadtest report 20261121T093657Z-documents-quick --json

    RUN is its folder, or its name in runs/; it may have been interrupted. Writes report.html, summary.md, junit.xml,
    stats.csv, steps.csv and timeline.csv from the record, and record.json if the run ended before it could write that.
    """
    folder = RunFolder.find(run, Config.load().runs_dir)
    with run_document.limited(folder.path), run_document.reading(folder.path):
        document = run_document.read(folder.path)
        if as_json:
            click.echo(files.json_text(document))
            return
        summary.show(document, output())
        made = {name: text() for name, text in files.of(document).items()}
    if folder.record.exists():
        del made[folder.record.name]
    if problems := files.write(folder.path, {name: partial(str, text) for name, text in made.items()}):
        raise RecordError("\n".join(problems))
    click.echo(f"report       {folder.report}")


@click.command()
@setting_options("profile", "workers", "users", "host", "redis_url", "accounts_file", "token_file")
@click.option("--json", "as_json", is_flag=True, help="Print each check as JSON: name, healthy, sentence.")
def doctor(as_json: bool, **options: Any) -> int:
    """Check whether this machine is ready for a run.

    Each problem is shown with its fix. Exit code 0 if every check passes, otherwise 1.
    """
    checks = []
    for check in examine(Config.load(options)):
        checks.append(check)
        if not as_json:
            mark = click.style("ok   ", fg="green") if check.healthy else click.style("fail ", fg="red")
            click.echo(f"{mark} {check.name:12} {printable(check.sentence)}")
    if as_json:
        click.echo(files.json_text([asdict(check) for check in checks]))
    return int(ExitCode.PASSED if all(check.healthy for check in checks) else ExitCode.ERROR)
