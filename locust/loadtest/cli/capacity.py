"""The command `loadtest capacity`. Tested by tests/native/test_capacity.py."""

from __future__ import annotations

from typing import Any

import click

from loadtest import preflight
from loadtest.capacity import against as earlier
from loadtest.cli.conduct import NAMES, SURROUNDINGS, carry_out
from loadtest.cli.options import EXIT_CODES, setting_options
from loadtest.comparing.difference import Conclusion
from loadtest.exceptions import ExitCode
from loadtest.judging import thresholds
from loadtest.progress import printable
from loadtest.run_folder import RunFolder
from loadtest.scenarios import declared
from loadtest.settings.config import Config


@click.command(epilog=EXIT_CODES)
@setting_options(
    *("slo", "scenario", "workers", "users", "rate", "run_time"),
    *("host", "redis_url", "accounts_file", "token_file", "client", "run_id"),
)
@click.option("--against", metavar="RUN", help="Compare with the result of an earlier run; exit code 3 if it is worse.")
def capacity(*, against: str | None, **options: Any) -> int:
    """Search for the highest arrival rate that meets a service-level objective.

    \b
    loadtest capacity --slo 'p99(response_time) < 100ms, error_ratio < 0.1%'
    loadtest capacity --slo 'p95 < 50ms' --scenario health --host https://staging.example.com
    loadtest capacity --slo 'p99 < 1s' --rate 2000 --users 500 --run-time 5m   bounds for the search

    The rate doubles until the objective is missed, then closes in on the limit and repeats steps near it. The result is
    the rate with its 95 % interval, the outcome of each step, a chart with the knee, and the two coefficients of the
    Universal Scalability Law, also as runs/<id>/capacity.html and capacity.json. docs/capacity.md explains each. A step
    takes about 10 s; a search makes at most 15, or as many as --run-time has time for.
    """
    options["profile"] = "constant-arrival-rate"
    checks = (*NAMES, *SURROUNDINGS, _check_objective)
    with preflight.all_at_once(*checks, options=options):
        config = Config.load(options)
        preflight.check(config, *checks)
    base = None if against is None else earlier.Found.read(RunFolder.find(against, config.runs_dir).path)
    if base is not None:
        earlier.check(base, config.scenario_name, str(config.slo))
    folder = RunFolder.begin(config.runs_dir, config.run_id, config.scenario_name, "capacity")
    code = carry_out(config, folder)
    if base is None or code not in {ExitCode.PASSED, ExitCode.NOT_TRUSTWORTHY}:
        return code
    conclusion, sentence = earlier.conclusion(base, earlier.Found.read(folder.path))
    click.echo(printable(f"{'comparison':12} {sentence}"))
    return code or int(ExitCode.THRESHOLD_FAILED if conclusion is Conclusion.WORSE else ExitCode.PASSED)


def _check_objective(config: Config) -> None:
    known = preflight.is_known(config)
    thresholds.objective(config, (lambda: declared(config).requests) if known else None)
