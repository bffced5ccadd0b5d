"""The command `loadtest replay`. Tested by tests/native/test_replay.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from loadtest.cli.conduct import conduct
from loadtest.cli.options import EXIT_CODES, setting_options
from loadtest.exceptions import UsageError
from loadtest.progress import printable
from loadtest.replaying.replay import NAME, Replay, Selection, private_folder
from loadtest.settings.config import Config


@click.command(name=NAME, epilog=EXIT_CODES)
@click.argument("log", metavar="LOG", type=click.Path(path_type=Path))
@click.option("--speed", metavar="N", type=click.FloatRange(0.001, 1000), default=1.0, help="Replay N times as fast.")
@click.option("--from", "from_", metavar="TIME", help="Start here: a duration since the first request, or a time.")
@click.option("--until", metavar="TIME", help="Stop here, exclusive.")
@click.option(
    "--sample",
    metavar="PERCENT",
    type=click.FloatRange(0, 100, min_open=True),
    default=100.0,
    help="Replay a random sample of the requests.",
)
@click.option("--from-host", metavar="NAME", multiple=True, help="Replay only the requests to this host.")
@setting_options("host", "workers", "users", "threshold", "thresholds_file", "token_file", "run_id", "baseline")
@click.option("--json", "as_json", is_flag=True, help="As for `loadtest run`.")
def replay_log(log: Path, as_json: bool, from_host: tuple[str, ...], **options: Any) -> int:
    """Replay the requests of an access log, with the original timing, against a service that you name.

    \b
    loadtest replay access.log --host https://staging.example.com
    loadtest replay access.log.gz --host https://staging.example.com --speed 2 --from 10m --until 25m
    loadtest replay shop.har --host http://127.0.0.1:8000 --from-host shop.example.com

    LOG is an nginx or Apache log (common, combined), JSON lines, an AWS ALB log, or a HAR file. docs/replay.md says
    what is sent.
    """
    times = options.pop("speed"), options.pop("sample") / 100, options.pop("from_"), options.pop("until")
    config = Config.load(options)
    if config.host is None:
        raise UsageError(
            "HOST is missing: a replay goes only to a service that you name. Allowed: the base URL of a service that "
            "you may load. Next: add --host https://staging.example.com."
        )
    replay = Replay.of(log, Selection(*times, from_host))
    for sentence in replay.sentences:
        click.echo(f"replay       {printable(sentence)}", err=as_json)
    with private_folder(config.runs_dir, log) as folder:
        scenario, profile = replay.write(folder)
        files_of_run = {"scenario": str(scenario), "profile": str(profile), "ui": False}
        return conduct(config.model_copy(update=files_of_run), as_json=as_json)
