"""The service that creates a Run for each test of a master.

Tested in tests/native/test_local_stack.py and tests/native/test_load_model.py.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from locust.runners import MasterRunner, WorkerRunner

from loadtest.conducting import load_shape
from loadtest.conducting.live_load import LiveLoad
from loadtest.conducting.run import Run
from loadtest.exporting.run_progress import RunProgress
from loadtest.profiles.load import Load, LoadFactory
from loadtest.reporting import upload
from loadtest.run_folder import check_writable
from loadtest.swarm import expected_workers
from loadtest.swarm.record_keeper import RecordKeeper
from loadtest.swarm.session import ControllingSwarm
from loadtest.users import tags
from loadtest.web import results

if TYPE_CHECKING:
    from locust.env import Environment

    from loadtest.scenarios import Scenario
    from loadtest.settings.config import Config
    from loadtest.web.start_form import StartForm


def start(environment: Environment, config: Config, scenario: Scenario, form: StartForm | None = None) -> None:
    """Create a Run for every test that a master starts; on a worker, do nothing.

    Args:
        environment: Locust's Environment, after the swarm was started.
        config: the settings of the process.
        scenario: the scenario whose data is loaded before each test.
        form: determines the load of each start from the web UI; None to take it from the settings.

    Raises:
        UsageError: when the profile or a threshold is invalid, or no task has one of the tags.
    """
    if not controls_runs(environment, config, scenario):
        return
    tags.check(environment)
    options: Any = environment.parsed_options
    loads = form.loads if form else LoadFactory(config, scenario.requests)
    load = loads.automatic(environment)
    if options.headless or options.autostart:
        load.impose(environment)
    shape = load_shape.WatchedShape.watch(environment)
    end_shape = load_shape.end_of(environment)

    def choose(chosen: Load) -> None:
        nonlocal load
        load = chosen
        load.impose(environment)

    ControllingSwarm.of(environment).make_run = lambda: Run(environment, scenario, load, end_shape, shape)
    if environment.web_ui:
        live = LiveLoad(environment, config.max_users)
        results.serve(environment, partial(_result, environment, config, live), live.change)
    if form and environment.web_ui:
        form.check_starts(environment, choose)


def _result(environment: Environment, config: Config, live: LiveLoad) -> results.RunResult | None:
    """Return the current or last run for the web UI."""
    progress, record = RunProgress.of(environment), RecordKeeper.of(environment).record
    if progress is None or record is None:
        return None
    stages = len(progress.profile.stages) if progress.profile else 0
    stage = progress.stage()[0]
    folder = config.runs_dir / record.run_id
    return results.RunResult(record, progress.verdict(), folder, (stage, stages) if stage else (0, 0), live.unit)


def controls_runs(environment: Environment, config: Config, scenario: Scenario) -> bool:
    """Whether this process controls runs. If so, the settings are applied to Locust's options.

    Raises:
        UsageError: when results could not be written, or could not be uploaded.
    """
    if isinstance(environment.runner, WorkerRunner):
        return False
    check_writable(config.runs_dir)
    if config.results_url_file:
        upload.read_url(config.results_url_file)
    options: Any = environment.parsed_options
    options.autostart = options.autostart or config.autostart
    environment.host = environment.host or config.host
    if scenario.takes_sample_target:
        environment.host = environment.host or config.sample_target
    if isinstance(environment.runner, MasterRunner):
        expected_workers.watch(environment, environment.runner, go_on=config.fewer_workers)
    return True
