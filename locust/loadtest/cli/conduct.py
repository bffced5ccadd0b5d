"""A run from its settings to its exit code, with the checks before it and the comparison after it.

Tested by tests/unit/cli/test_run.py and tests/native.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from loadtest import preflight
from loadtest.comparing import commands
from loadtest.doctor import check_users_fit
from loadtest.exceptions import ExitCode, RecordError, StackError, UsageError
from loadtest.judging.outcome import Outcome
from loadtest.local.stack import check_host_answers, check_ports_free
from loadtest.local.supervisor import supervise
from loadtest.measuring import spans
from loadtest.reporting import document
from loadtest.run_folder import RunFolder
from loadtest.scenarios import declared
from loadtest.settings import hosts
from loadtest.settings.scenario_files import paths_of_scenario
from loadtest.users.target import check_is_url

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loadtest.settings.config import Config


def _check_thresholds(config: Config) -> None:
    """Check the thresholds, and the names in them against what the scenario declares.

    Raises:
        UsageError: with every wrong rule; also when the scenario's file cannot be imported.
    """
    if paths_of_scenario(config.scenario):
        declared(config)  # a user's own file may be wrong
    preflight.check_thresholds(config, lambda: declared(config).requests)


def check_host(config: Config) -> None:
    """Check that HOST is a base URL, where the scenario's users speak HTTP.

    Raises:
        UsageError: it is not; or the scenario cannot be imported.
    """
    if config.host and preflight.is_known(config):
        check_is_url(config.host, declared(config).speaking_http)


NAMES: Final = (_check_thresholds, check_host)
"""Checks in addition to those of the settings."""


def _check_users(config: Config) -> None:
    if not (config.ui or config.slo):  # the start form or the search chooses the load
        check_users_fit(config)


def _check_ports(config: Config) -> None:
    takes_sample_target = not preflight.is_known(config) or declared(config).takes_sample_target
    check_ports_free(config, own_target=takes_sample_target and not config.host)


def _check_exporter(config: Config) -> None:
    if config.exporter_tls_dir:
        raise UsageError(
            f"EXPORTER_TLS_DIR={config.exporter_tls_dir} is not for runs on this machine alone, which read their "
            "exporter on 127.0.0.1. Allowed: with Locust's own command, or in a cluster. Next: leave it out."
        )


def _check_answers(config: Config) -> None:
    if config.host and hosts.is_http(config.host):
        check_host_answers(config.host)


def _check_spans(config: Config) -> None:
    spans.check(config.trace_sample)


SURROUNDINGS: Final = (_check_users, _check_ports, _check_exporter, _check_answers, _check_spans)
"""Checks of the run's environment."""


def conduct(config: Config, *, as_json: bool = False, more: Sequence[str] = ()) -> int:
    """Run every check that is possible beforehand, then the test.

    Raises:
        UsageError: something is wrong before the run.
        StackError: the run could not be carried out, or its master ended with 0 although the verdict is not a pass.
    """
    preflight.check(config, *NAMES, *SURROUNDINGS)
    base = commands.begin_with_baseline(config) if config.baseline and not config.ui else None
    folder, code = run(config, as_json=as_json, more=more)
    return code if base is None else commands.end_with_comparison(base, folder.path, code, error=as_json)


def run(config: Config, *, as_json: bool = False, more: Sequence[str] = ()) -> tuple[RunFolder, int]:
    """Run checked settings in a new folder; return the folder and the exit code.

    Raises:
        UsageError: the folder exists, or cannot be made.
        StackError: as `conduct`.
    """
    folder = RunFolder.begin(config.runs_dir, config.run_id, config.scenario_name, config.profile_name)
    return folder, carry_out(config, folder, as_json=as_json, more=more)


def carry_out(config: Config, folder: RunFolder, *, as_json: bool = False, more: Sequence[str] = ()) -> int:
    """Run the stack to its end, and return its exit code, which is 0 only if the verdict is a pass.

    Raises:
        StackError: the run could not be carried out, or its master ended with 0 although the verdict is not a pass.
    """
    code = supervise(config.model_copy(update={"run_id": folder.name}), folder, as_json=as_json, more=more)
    if code == ExitCode.PASSED and not config.ui:
        _check_passed(folder)
    return code


def _check_passed(folder: RunFolder) -> None:
    try:
        verdict = document.read(folder.path)["verdict"]["name"]
    except RecordError:
        verdict = "no verdict"
    if verdict != Outcome.PASSED.value:
        raise StackError(
            f"the master ended with exit code 0, but its run has not passed ({verdict}): the scenario, or a library "
            f"that it uses, ended the process. Its log: {folder.logs}/master.log. Next: take os._exit() and the like "
            "out of it, and run again."
        )
