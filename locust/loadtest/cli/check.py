"""The command `loadtest check`. Tested by tests/native/test_porting_docs.py."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import click

from loadtest import preflight
from loadtest.checking import endpoint
from loadtest.cli.options import setting_options
from loadtest.local.stack import LocalStack
from loadtest.progress import printable
from loadtest.scenarios import declared
from loadtest.settings import credentials, hosts
from loadtest.settings.config import Config


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("scenario", metavar="FILE")
@setting_options("host", "redis_url", "feed", "feed_policy", "accounts_file", "token_file", "fast")
@click.argument("arguments", metavar="[OPTIONS OF LOCUST OR FILE]", nargs=-1, type=click.UNPROCESSED)
def check(arguments: tuple[str, ...], **options: Any) -> int:
    """Run each task of a scenario once, before a load test.

    \b
    loadtest check load/shop.py --host https://staging.example.com
    loadtest check load/shop.py --tags buy

    Shows the service's addresses and certificate, each request with its status, time and size, and each exception with
    its file and line. FILE may also be the name of a built-in scenario. Exit code 0 if everything worked, otherwise 1.
    """
    config = Config.load({**options, "target_port": "0"})
    preflight.check_scenario(config)
    preflight.check_feed(config)
    credentials.check(config)
    known = declared(config)
    of_classes = None if known.takes_sample_target else known.hosts

    def say(part: str, text: str) -> None:
        click.echo(printable(f"{part:12} {text}"))

    with tempfile.TemporaryDirectory(prefix="loadtest-check-") as folder:
        stack = LocalStack(
            config, Path(folder), say, hosts_of_classes=of_classes, needs_redis=known.needs_redis,
            loads_only_redis=known.loads_only_redis,
        )  # fmt: skip
        with stack.service() as settings:
            for host in filter(hosts.is_http, [config.host] if config.host else sorted(set(known.hosts.values()))):
                for part, text in endpoint.look(host):
                    say(part, text)
            command = [sys.executable, "-m", "loadtest.checking", config.scenario, *arguments]
            return subprocess.run(command, env={**os.environ, **settings}, check=False).returncode  # noqa: S603
