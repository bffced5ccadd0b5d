"""The command `loadtest`."""

from __future__ import annotations

import signal
import sys
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NoReturn

import click

from loadtest import __version__, scenarios
from loadtest.config import Config, allowed
from loadtest.exceptions import ExitCode, LoadtestError, StackError, UsageError, unknown_name
from loadtest.local.stack import LOCUSTFILE, LocalStack
from loadtest.profile import LoadProfile, read_profiles

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

EXIT_CODES = """\b
Exit codes: 0 passed, 1 the run could not be made, 2 wrong usage,
3 a threshold failed, 4 no data, 5 not trustworthy, 130 interrupted."""


class _Group(click.Group):
    """A command group that ends with our exit codes and one paragraph for each error, without a traceback."""

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
                click.echo(line, err=True)
            code = error.exit_code
        except (KeyboardInterrupt, click.Abort):
            code = ExitCode.INTERRUPTED
        sys.exit(int(code or 0))


@click.group(cls=_Group, epilog=EXIT_CODES)
@click.version_option(__version__)
def main() -> None:
    """Find out how much load a service takes, on your own machine, with numbers to rely on."""


def _setting_option(setting: str, metavar: str, **more: Any) -> Callable[[Any], Any]:
    field = Config.model_fields[setting]
    text = f"{field.description}. Allowed: {allowed(setting)}."
    if not more.get("is_flag"):
        more["metavar"] = metavar
    return click.option(f"--{setting.replace('_', '-')}", help=text[0].upper() + text[1:], **more)


@main.command(epilog=EXIT_CODES)
@_setting_option("scenario", "NAME")
@_setting_option("profile", "NAME")
@_setting_option("workers", "N")
@_setting_option("users", "N")
@_setting_option("spawn_rate", "PER_S")
@_setting_option("run_time", "DURATION")
@_setting_option("host", "URL")
@_setting_option("redis_url", "URL")
@_setting_option("client", "NAME")
@_setting_option("run_id", "NAME")
@_setting_option("ui", "", is_flag=True, default=None)
def run(**options: Any) -> int:
    """Run a load test with the whole stack as processes of this machine.

    \b
    loadtest run                                    documents with profile quick, against the sample target
    loadtest run --profile stress --workers 2       more load
    loadtest run --host https://staging.example.com your own service
    loadtest run --ui                               Locust's web UI instead of a headless run

    Settings also come from local_conf/loadtest.env and the environment (LOADTEST_PROFILE=stress); the command
    line wins. Results go to runs/<id>/.
    """
    config = Config.load(options)
    check_names(config)
    if not LOCUSTFILE.exists():
        raise UsageError(f"there is no {LOCUSTFILE} in this folder. Next: run from the project's folder.")
    run_id = config.run_id or f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{config.scenario}-{config.profile}"
    run_dir = make_run_dir(config.runs_dir, run_id)
    return _supervise(config.model_copy(update={"run_id": run_id}), run_dir)


@main.command()
def profiles() -> None:
    """List the load profiles of local_conf/profiles.toml."""
    for name, profile in read_profiles().items():
        click.echo(f"{name:16} {profile.peak_users:5} users, for {profile.run_time_s:g} s")


@main.command(name="scenarios")
def list_scenarios() -> None:
    """List the scenarios."""
    for name in scenarios.names():
        click.echo(name)


def check_names(config: Config) -> None:
    """Check that scenario and profile exist.

    Raises:
        UsageError: with every unknown name and the nearest one to it.
    """
    problems = []
    if config.scenario not in scenarios.names():
        problems.append(unknown_name("SCENARIO", config.scenario, scenarios.names()))
    try:
        LoadProfile.of(config)
    except UsageError as error:
        problems.append(str(error))
    if problems:
        raise UsageError("\n".join(problems))


def make_run_dir(runs_dir: Path, run_id: str) -> Path:
    """Make the folder of a run.

    Raises:
        UsageError: when it exists already, or cannot be made.
    """
    run_dir = runs_dir / run_id
    try:
        run_dir.mkdir(parents=True)
    except FileExistsError as error:
        raise UsageError(f"RUN_ID={run_id} is taken: {run_dir} exists. Next: choose another RUN_ID.") from error
    except OSError as error:
        raise UsageError(
            f"RUNS_DIR={runs_dir} cannot be written ({error.strerror}). Allowed: a folder that can be written. "
            "Next: set RUNS_DIR to one."
        ) from error
    return run_dir


def _supervise(config: Config, run_dir: Path) -> int:
    """Run the stack to its end; Ctrl-C and SIGTERM let it report first, a second one ends it at once."""
    started = time.monotonic()

    def say(part: str, text: str) -> None:
        click.echo(f"{part:12} {text}")
        sys.stdout.flush()

    say("run", f"{config.scenario} with profile {config.profile}, results in {run_dir}/")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with LocalStack(config, run_dir, say) as stack:
        say("ready", f"after {time.monotonic() - started:.1f} s")
        try:
            return stack.wait()
        except KeyboardInterrupt:
            say("stopping", "once more ends at once, without a report")
            if stack.drain() not in tuple(ExitCode):
                raise StackError(f"the master could not report in time. Its log: {run_dir}/logs/master.log.") from None
            return 0 if config.ui else ExitCode.INTERRUPTED
