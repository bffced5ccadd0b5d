"""Composition root: which users run, and what listens to Locust's events.

Locust imports this file in the master and in each worker. An own locustfile can do the same with own User classes:
take over `wire` and leave out the scenario.
"""

import logging
import sys
from typing import NoReturn

from locust import events
from locust.env import Environment
from locust.runners import MasterRunner, WorkerRunner

from loadtest import run, scenarios
from loadtest.capacity import capacity_run
from loadtest.exceptions import LoadtestError
from loadtest.exporting import exporter
from loadtest.feeding import swarm as feeding
from loadtest.measuring import swarm
from loadtest.pacing import open_model
from loadtest.profiles import think_time
from loadtest.settings import credentials, hosts
from loadtest.settings.config import Config
from loadtest.swarm import sockets
from loadtest.swarm.replacements import (
    attentive_master,
    ended_run,
    fewer_workers,
    keyboard_interrupt,
    last_worker,
    lost_workers,
    rebalancing,
    spawn_message,
    worker_link,
)
from loadtest.web import guard
from loadtest.web.start_form import StartForm


def refuse(error: LoadtestError) -> NoReturn:
    """End the process with the error's sentence and exit code."""
    logging.basicConfig(format="%(message)s")
    logging.getLogger("loadtest").error("%s", error)
    sys.exit(int(error.exit_code))


try:
    config = Config.load()
    credentials.check(config)
    scenario = scenarios.load(config.scenario)
    form = StartForm(config, scenario)
    hosts.open_up(hosts.Targets(config.allowed_hosts).networks)
    sockets.install(config)
except LoadtestError as error:
    refuse(error)

worker_link.keep(config.master_wait)
spawn_message.remember_options()
spawn_message.outlive_clock_steps()
logging.getLogger("locust.stats_logger").disabled = True  # the report takes the place of Locust's tables
if not config.slo:
    events.init_command_line_parser.add_listener(form.declare)
globals().update({user_class.__name__: user_class for user_class in scenario.user_classes})


@events.init.add_listener
def wire(environment: Environment, runner: object, **_: object) -> None:
    """Connect measuring, the exporter and the run's conduct to this process's runner."""
    keyboard_interrupt.await_turn()
    environment.host = environment.host or config.host
    open_model.wire(environment)
    think_time.wire(environment)
    feeding.wire(environment)
    if isinstance(runner, WorkerRunner):
        swarm.of(environment)
        return
    if isinstance(runner, MasterRunner):
        attentive_master.keep(runner)
        ended_run.keep(runner)
        rebalancing.keep(runner)
        lost_workers.watch(runner)
        fewer_workers.watch(environment, runner, go_on=config.fewer_workers)
        if environment.web_ui is None:
            last_worker.end_with(runner)
    try:
        if environment.web_ui:
            guard.wire(environment, config)
        if config.slo:
            capacity_run.wire(environment, config, scenario)
        else:
            run.wire(environment, config, scenario, form)
    except LoadtestError as error:
        refuse(error)
    compatible = config.exporter_compatibility
    exporter.start(environment, config.exporter_bind, config.exporter_port, compatible=compatible)
