"""The command `loadtest run`."""

from __future__ import annotations

import os
from typing import Any

import click

from loadtest import preflight
from loadtest.cli.conduct import NAMES, SURROUNDINGS, conduct
from loadtest.cli.options import EXIT_CODES, OF_A_RUN, setting_options
from loadtest.exceptions import UsageError, nearest_name
from loadtest.local import locust_options
from loadtest.local.stack import show_by_locust
from loadtest.scenarios import declared
from loadtest.settings.config import Config, variable

LOCUST_OPTIONS = "loadtest.locust_options"


class _Run(click.Command):
    """`loadtest run`, which passes options that are not its own to Locust and the locustfile."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        options = [param for param in self.get_params(ctx) if isinstance(param, click.Option)]
        own = {name: not option.is_flag for option in options for name in option.opts}
        mine, ctx.meta[LOCUST_OPTIONS] = locust_options.split(args, own)
        return super().parse_args(ctx, mine)


@click.command(epilog=EXIT_CODES, cls=_Run)
@setting_options(*OF_A_RUN, "until_decided", "keep_data", "client", "ui", "web_port")
@click.option("--processes", type=int, metavar="N", help="As in Locust: the number of workers, -1 for one per core.")
@click.option("--headless", is_flag=True, help="As in Locust: no web UI. This is the default.")
@click.option("--autostart", is_flag=True, help="As in Locust: serve the web UI and start a test at once.")
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="As in Locust: print its statistics on standard output and everything else on standard error.",
)
@click.pass_context
def run(
    ctx: click.Context, /, as_json: bool, processes: int | None, headless: bool, autostart: bool, **options: Any
) -> int:
    """Run a load test on this machine.

    \b
    loadtest run                                    scenario documents, profile quick, against the sample target
    loadtest run --profile stress --workers 2       more load
    loadtest run --host https://staging.example.com your own service
    loadtest run -f locustfile.py -u 50 -r 10 -t 5m an existing locustfile, unchanged
    loadtest run -f a.py,b.py --tags read --csv out  several files, and options of Locust or of the locustfile
    loadtest run --ui                               Locust's web UI instead of a headless run
    loadtest run --threshold 'p99 < 50ms'           exit code 3 when the 99th percentile is 50 ms or more
    loadtest run --baseline night-41                exit code 3 when a request is worse than in that run

    The whole stack runs as processes of this machine. Settings also come from local_conf/loadtest.env and the
    environment (LOADTEST_PROFILE=stress); the command line wins. Results go to runs/<id>/.
    """
    if processes is not None:
        options["workers"] = (os.cpu_count() or 1) if processes == -1 else processes
    if headless or autostart:
        options |= {"ui": not headless, "autostart": autostart}
    theirs: list[str] = ctx.meta[LOCUST_OPTIONS]
    with preflight.all_at_once(*NAMES, *SURROUNDINGS, options=options):
        config, more = _with_locusts(options, theirs, [name for param in ctx.command.params for name in param.opts])
    if locust_options.ENDS_AT_ONCE.intersection(theirs):
        return show_by_locust(config, theirs)
    if as_json and config.ui:
        raise UsageError(
            "--json does not work with UI=1: the web UI runs many tests. Allowed: one of the two. Next: leave one out."
        )
    if config.until_decided and (config.baseline is None or config.run_time is None or config.ui):
        raise UsageError(
            "--until-decided needs --baseline with a run, and --run-time with the longest time that the run may take, "
            "without the web UI. Allowed: all of them. Next: add what is missing, such as --run-time 10m, or leave it "
            "out."
        )
    return conduct(config, as_json=as_json, more=more)


def _instead_of(unknown: str, known: list[str]) -> str:
    """Return what to do instead of using an unknown option."""
    option = unknown.partition("=")[0]
    setting = option.removeprefix("--").replace("-", "_")
    if setting in Config.model_fields:
        return f"set {variable(setting)} in the environment or in local_conf/loadtest.env; it has no option."
    nearest = nearest_name(option, known)
    return f"did you mean {nearest}?" if nearest else "leave it out."


def _with_locusts(options: dict[str, Any], theirs: list[str], ours: list[str]) -> tuple[Config, list[str]]:
    """Return the settings, including those from Locust's own options and files, and the options for its processes.

    Raises:
        UsageError: an option is unknown; the message names the nearest one.
    """
    config = Config.load(options)
    if not preflight.is_known(config):
        return config, []  # reported together with everything else that is wrong
    is_named = "scenario" in config.model_fields_set
    found = declared(config if is_named else config.model_copy(update={"scenario": ""}), theirs)
    if found.unknown:
        raise UsageError(
            f"{found.unknown[0]} is not an option. Allowed: those of `loadtest run --help`, of `locust --help`, and of "
            f"the locustfile. Next: {_instead_of(found.unknown[0], [*ours, *found.known])}"
        )
    settings = {"scenario": found.scenario, **found.settings}
    missing = {name: value for name, value in settings.items() if name not in config.model_fields_set}
    config = Config.load({**options, **missing})
    locust_options.take_out(os.environ)
    if not config.autostart:
        return config, [*locust_options.repeated(sorted(found.settings), config), *theirs]
    # --autoquit requires --autostart, and takes effect only at the end of Locust's own run time.
    of_locust = locust_options.repeated(sorted({*found.settings, "run_time"}), config)
    return config, ["--autostart", *of_locust, *theirs]
