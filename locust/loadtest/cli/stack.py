"""The command `loadtest stack`. Tested by tests/native/test_installed.py."""

from __future__ import annotations

from typing import Any

import click

from loadtest import compose
from loadtest.cli.conduct import check_host
from loadtest.cli.options import setting_options
from loadtest.scenarios import declared
from loadtest.settings.config import Config
from loadtest.settings.scenario_files import paths_of_scenario


@click.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@setting_options("scenario", "profile", "host")
@click.argument("words", metavar="COMMAND", nargs=-1, required=True, type=click.UNPROCESSED)
def stack(words: tuple[str, ...], **options: Any) -> None:
    """Run the stack in containers, with a Docker Compose command.

    \b
    loadtest stack up                                   the web UI on http://127.0.0.1:8089, Grafana on port 3000
    loadtest stack -f load/shop.py up --scale locust_worker=4      your scenario; the containers see its folder
    loadtest stack logs -f locust_master
    loadtest stack cp locust_master:/app/runs/. "$PWD/runs"
    loadtest stack down

    The stack includes Prometheus, Grafana and your scenario. Settings also come from local_conf/loadtest.env and the
    environment. An installed package writes the stack's files to .loadtest/ in the current folder.
    """
    config = Config.load(options)
    known = declared(config) if paths_of_scenario(config.scenario) else None
    check_host(config)
    compose.run(config, known.hosts if known else {}, words)
