"""The command `loadtest capacity`. Tested by tests/native/test_capacity.py."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

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

if TYPE_CHECKING:
    from pathlib import Path

_EXIT_CODES: Final = {
    Conclusion.WORSE: ExitCode.THRESHOLD_FAILED,
    Conclusion.INCONCLUSIVE: ExitCode.NO_DATA,
}


@click.command(epilog=EXIT_CODES)
@setting_options(
    *("slo", "scenario", "workers", "users", "rate", "run_time"),
    *("host", "redis_url", "accounts_file", "token_file", "client", "run_id"),
)
@click.option(
    "--against",
    metavar="RUN",
    help="Compare with an earlier search; exit code 3 if the capacity is worse, 4 if the comparison is inconclusive.",
)
@click.option("--force", is_flag=True, help="Compare the searches even if they are not comparable, and note why.")
def capacity(*, against: str | None, force: bool, **options: Any) -> int:
    """Find the highest arrival rate that meets an objective.

    \b
    loadtest capacity --slo 'p99(response_time) < 100ms, error_ratio < 0.1%'
    loadtest capacity --slo 'p95 < 50ms' --scenario health --host https://staging.example.com
    loadtest capacity --slo 'p99 < 1s' --rate 2000 --users 500 --run-time 5m   bounds for the search

    The search doubles the rate until the objective is missed, then closes in on the limit and repeats steps near it.
    It reports the rate with its 95 % interval, the outcome of each step, a chart with the knee, and the two
    coefficients of the Universal Scalability Law, also in runs/<id>/capacity.html and capacity.json. docs/capacity.md
    explains each. A step takes about 10 s; a search makes at most 15 steps, or as many as fit into --run-time.
    """
    options["profile"] = "constant-arrival-rate"
    checks = (*NAMES, *SURROUNDINGS, _check_objective)
    with preflight.all_at_once(*checks, options=options):
        config = Config.load(options)
        preflight.check(config, *checks)
    base = None if against is None else _begin_against(against, config, force=force)
    folder = RunFolder.begin(config.runs_dir, config.run_id, config.scenario_name, "capacity")
    code = carry_out(config, folder)
    if base is None or code not in {ExitCode.PASSED, ExitCode.NOT_TRUSTWORTHY}:
        return code
    return code or _compare(base, folder.path, force=force)


def _begin_against(run: str, config: Config, *, force: bool) -> Path:
    """Return the folder of the earlier search that this one will be compared with."""
    folder = RunFolder.find(run, config.runs_dir).path
    earlier.check(earlier.Found.read(folder), config.scenario_name, str(config.slo))
    if not force:
        earlier.check_machine(earlier.read_run(folder))
    return folder


def _compare(base: Path, new: Path, *, force: bool) -> int:
    """Compare two searches, and return the exit code of the comparison."""
    problems, notes = earlier.surroundings(earlier.read_run(base), earlier.read_run(new), force=force)
    conclusion, sentence = earlier.conclusion(earlier.Found.read(base), earlier.Found.read(new), problems)
    for heading, text in (*(("note", note) for note in notes), ("comparison", sentence)):
        click.echo(printable(f"{heading:12} {text}"))
    return int(_EXIT_CODES.get(conclusion, ExitCode.PASSED))


def _check_objective(config: Config) -> None:
    known = preflight.is_known(config)
    thresholds.objective(config, (lambda: declared(config).requests) if known else None)
