"""Composition root: which users run, and what listens to Locust's events.

Locust imports this file in the master and in each worker. A locustfile of your own can do the same with its own User
classes: take over `start`, and leave out the scenario.
"""

import os

from locust import events
from locust.env import Environment

from loadtest import preflight, scenarios
from loadtest.capacity import capacity_run
from loadtest.conducting import service as conducting
from loadtest.exceptions import exit_on_error
from loadtest.exporting import exporter
from loadtest.feeding import service as feeding
from loadtest.pacing import service as pacing
from loadtest.settings import credentials, hosts
from loadtest.settings.config import Config
from loadtest.settings.service_links import forget_service_links
from loadtest.swarm import log_lines, replacements, session, software
from loadtest.web import guard, start_form

with exit_on_error(), preflight.all_at_once(preflight.check_declared):
    config = Config.load()
    forget_service_links(os.environ)
    credentials.check(config)
    hosts.open_allowed(config.allowed_hosts)
    replacements.install(config)
    scenario = scenarios.load(config.scenario, fast=config.fast)
    form = start_form.declare(config, scenario)
globals().update(scenario.classes)


@events.init.add_listener
@exit_on_error()
@preflight.all_at_once(preflight.check_declared)
def start(environment: Environment, **_: object) -> None:
    """Start this process's part of each; what only a master does, a worker leaves out."""
    log_lines.clean_errors()
    software.note(environment, config.scenario_name, scenarios.files_of(config.scenario))
    session.start(environment, feeding.service, pacing.service)
    guard.start(environment, config, form)
    (capacity_run if config.slo else conducting).start(environment, config, scenario, form)
    exporter.start_on_master(environment, config)
