"""The command `loadtest replay`. Tested by tests/native/test_replay.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, cast

import click

from loadtest.cli.conduct import conduct
from loadtest.cli.options import EXIT_CODES, setting_options
from loadtest.exceptions import UsageError
from loadtest.progress import printable
from loadtest.replaying.monitor_replay import MonitorReplay
from loadtest.replaying.replay import NAME, Replay, Selection, private_folder
from loadtest.settings.config import Config, allowed


@click.command(name=NAME, epilog=EXIT_CODES)
@click.argument("log", metavar="[LOG]", required=False, type=click.Path(path_type=Path))
@click.option(
    "--from-monitor",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Replay the output of Redis' MONITOR against the Redis of --redis-url, instead of a LOG.",
)
@click.option("--speed", metavar="N", type=click.FloatRange(0.001, 1000), default=1.0, help="Replay N times as fast.")
@click.option("--from", "from_", metavar="TIME", help="Start here: a duration after the first request, or a time.")
@click.option("--until", metavar="TIME", help="Stop before this: a duration after the first request, or a time.")
@click.option(
    "--sample",
    metavar="PERCENT",
    type=click.FloatRange(0, 100, min_open=True),
    default=100.0,
    help="Replay a random sample of the requests.",
)
@click.option("--from-host", metavar="NAME", multiple=True, help="Replay only the requests to this host.")
@click.option("host", "-H", "--host", metavar="URL", help=f"The service to load. Allowed: {allowed('host')}.")
@setting_options("redis_url", "workers", "users", "threshold", "thresholds_file", "token_file", "run_id", "baseline")
@click.option("--json", "as_json", is_flag=True, help="As `loadtest run --json`.")
def replay_log(
    log: Path | None, from_monitor: Path | None, as_json: bool, from_host: tuple[str, ...], **options: Any
) -> int:
    """Replay an access log with its original timing.

    \b
    loadtest replay access.log --host https://staging.example.com
    loadtest replay access.log.gz --host https://staging.example.com --speed 2 --from 10m --until 25m
    loadtest replay shop.har --host http://127.0.0.1:8000 --from-host shop.example.com
    loadtest replay --from-monitor monitor.log --redis-url redis://127.0.0.1:6379/0 --speed 2

    LOG is an nginx or Apache log (common, combined), JSON lines, an AWS ALB log, or a HAR file. The requests go to the
    service of --host; docs/replay.md says what is sent.
    """
    times = options.pop("speed"), options.pop("sample") / 100, options.pop("from_"), options.pop("until")
    config, selection = Config.load(options), Selection(*times, from_host)
    replay: Replay | MonitorReplay
    if (log is None) == (from_monitor is None) or (from_monitor and from_host):
        raise UsageError(
            "What to replay is not clear. Allowed: either a LOG, or --from-monitor FILE without --from-host. Next: "
            "give one of them, such as `loadtest replay access.log --host https://staging.example.com`."
        )
    if from_monitor:
        replay = MonitorReplay.of(from_monitor, selection, _named(config.redis_url, "REDIS_URL", _REDIS))
        config = config.model_copy(update={"host": None})
    else:
        _named(config.host, "HOST", _SERVICE)
        replay = Replay.of(cast("Path", log), selection)
    for sentence in replay.sentences:
        click.echo(f"replay       {printable(sentence)}", err=as_json)
    with private_folder(config.runs_dir, cast("Path", log or from_monitor)) as folder:
        scenario, profile = replay.write(folder)
        files_of_run = {"scenario": str(scenario), "profile": str(profile), "ui": False}
        return conduct(config.model_copy(update=files_of_run), as_json=as_json)


_SERVICE: Final = "the base URL of a service that you may load", "--host https://staging.example.com"
_REDIS: Final = "the URL of a Redis that you may load and change", "--redis-url redis://127.0.0.1:6379/0"


def _named(url: str | None, setting: str, allowed: tuple[str, str]) -> str:
    if url is None:
        raise UsageError(
            f"{setting} is missing: a replay goes only to what you name. Allowed: {allowed[0]}. Next: add {allowed[1]}."
        )
    return url
