"""Preflight: everything that is wrong with the settings of a run is said at once.

The parts of a start each raise at what is wrong with theirs. `all_at_once` stands around them: when one raises, the
others are asked too, so that a person corrects everything at once.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from loadtest import scenarios
from loadtest.exceptions import UsageError, unknown_name
from loadtest.feeding import policies, sources
from loadtest.feeding.file_formats import is_standard_input
from loadtest.judging import thresholds
from loadtest.profiles.profile import LoadProfile
from loadtest.settings import credentials
from loadtest.settings.config import Config
from loadtest.settings.hosts import Targets
from loadtest.settings.scenario_files import paths_of_scenario
from loadtest.workload import description

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from loadtest.judging.thresholds import Requests

    Check = Callable[[Config], object]


def is_known(config: Config) -> bool:
    """Return whether the Config's scenario is a built-in one, or of a file."""
    return bool(paths_of_scenario(config.scenario)) or config.scenario in scenarios.names()


def check_scenario(config: Config) -> None:
    """Check the scenario's name; its file is checked when it is imported.

    Raises:
        UsageError: with the nearest name.
    """
    if not is_known(config):
        raise UsageError(unknown_name("SCENARIO", config.scenario, scenarios.names()))


def check_thresholds(config: Config, requests: Callable[[], Requests]) -> None:
    """Check the thresholds, and the names in them against what the scenario declares.

    Args:
        config: the settings.
        requests: returns what the scenario declares; called only for one that is known.

    Raises:
        UsageError: with every wrong rule.
    """
    thresholds.of(config, requests if is_known(config) else None)


def check_declared(config: Config) -> None:
    """Check the thresholds in a process that imports the scenario itself.

    Raises:
        UsageError: with every wrong rule.
    """
    check_thresholds(config, lambda: scenarios.requests_of(config.scenario_name))


def check_feed(config: Config) -> None:
    """Check the test data that the settings name, as far as that can be done without reading it; the master does that.

    Raises:
        UsageError: for an unknown order, an unknown or missing source, or standard input for several runs.
    """
    if config.feed_policy is not None:
        policies.check(config.feed_policy)
    if config.feed is None:
        return
    if config.ui and is_standard_input(config.feed):
        raise UsageError(
            f"FEED={config.feed} does not work with UI=1: standard input can be read once, and the web UI runs many "
            "tests. Allowed: a file. Next: save the input to a file."
        )
    sources.check(config.feed)


def check_workload(config: Config) -> None:
    """Check the workload of the scenario that has one.

    Raises:
        UsageError: with everything that is wrong in its file.
    """
    if config.scenario == "key_value":
        description.read(config.workload_file)


_CHECKS: Final[tuple[Check, ...]] = (
    check_scenario,
    LoadProfile.of,
    check_feed,
    check_workload,
    credentials.check,
    lambda config: Targets(config.allowed_hosts),
)


def check(config: Config, *more: Check) -> None:
    """Check scenario, profile, test data, workload, credentials and allowed hosts.

    Args:
        config: the settings.
        more: what else to check.

    Raises:
        UsageError: with a line for everything that is wrong.
    """
    problems: list[str] = []
    for one in (*_CHECKS, *more):
        try:
            one(config)
        except UsageError as error:
            problems += str(error).splitlines()
    if problems:
        raise UsageError("\n".join(dict.fromkeys(problems)))


@contextmanager
def all_at_once(*more: Check, options: Mapping[str, object] | None = None) -> Iterator[None]:
    """Add to an error of usage everything else that is wrong.

    Args:
        more: further checks, in addition to those of `check`.
        options: the settings of the command line.

    Raises:
        UsageError: in place of one that was raised within.
    """
    try:
        yield
    except UsageError as error:
        config, problems = Config.valid_part(options)
        try:
            check(config, *more)
        except UsageError as others:
            problems += str(others).splitlines()
        raise UsageError("\n".join(dict.fromkeys([*str(error).splitlines(), *problems]))) from error
