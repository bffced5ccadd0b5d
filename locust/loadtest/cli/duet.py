"""The command `loadtest duet`. Tested by tests/native/test_duet.py."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from loadtest import preflight
from loadtest.cli.conduct import NAMES, SURROUNDINGS, run
from loadtest.cli.options import EXIT_CODES, setting_options
from loadtest.comparing import commands, duet
from loadtest.comparing.core_waits import CoreWaits
from loadtest.estimating import looks
from loadtest.exceptions import UsageError
from loadtest.local import two_versions
from loadtest.local.stack import check_host_answers
from loadtest.local.two_versions import Version
from loadtest.progress import counted
from loadtest.scenarios import declared
from loadtest.settings import hosts
from loadtest.settings.config import Config

if TYPE_CHECKING:
    from collections.abc import Sequence


@click.command(name="duet", epilog=EXIT_CODES)
@click.argument("urls", metavar="[BASE_URL NEW_URL]", nargs=-1)
@click.option(
    "--base", metavar="REF", help="Instead of URLs: compare the sample target at this commit with this checkout."
)
@setting_options(
    *("scenario", "profile", "workers", "users", "rate", "run_time"),
    *("warm_up", "feed", "feed_policy", "accounts_file", "token_file", "run_id", "until_decided"),
)
@commands.margin_option(duet.MARGIN)
def run_duet(urls: tuple[str, ...], base: str | None, margin: float, **options: Any) -> int:
    """Compare two versions of a service under the same load.

    \b
    loadtest duet http://127.0.0.1:8001 http://127.0.0.1:8002 -f load/shop.py --rate 50 --run-time 60s
    loadtest duet https://old.example.com https://new.example.com --scenario health
    loadtest duet --base main                     the sample target, also as `make duet BASE=main`

    Each iteration goes to both versions at the same instant, in random order, with the same data, and the two are
    compared pair by pair. Anything that slows both, such as other work on the machine, cancels out. The default profile
    is constant-arrival-rate. Exit code 3 if the new version is worse, 4 if the result is inconclusive.
    docs/comparing.md explains the method and how often it is wrong.
    """
    if len(urls) != (2 if base is None else 0):
        raise UsageError(
            f"a duet has two versions, not {counted(len(urls), 'URL')}{'' if base is None else f' and --base {base}'}. "
            "Allowed: two base URLs, or --base REF alone. Next: `loadtest duet --help` has examples."
        )
    options["profile"] = options["profile"] or "constant-arrival-rate"
    config, *_ = (Config.load({**options, "host": url}) for url in urls or (None,))
    preflight.check_scenario(config)
    if config.baseline is not None or config.ui:
        raise UsageError(
            "BASELINE and UI do not work in a duet, which compares its own two sides. Allowed: neither of them. Next: "
            "leave them out."
        )
    if config.until_decided and config.run_time is None:
        raise UsageError(
            "--until-decided needs the longest time that the run may take. Allowed: --run-time with a duration. Next: "
            "add it, such as --run-time 10m."
        )
    longest_s = config.run_time if config.until_decided else None
    if base is not None:
        with two_versions.of_sample_target(base, lambda part, text: click.echo(f"{part:12} {text}")) as both:
            return _conduct_duet(config, both, margin / 100, longest_s)
    if declared(config).needs_redis:
        raise UsageError(
            f"SCENARIO={config.scenario} does not work in a duet of two URLs: it needs a Redis, and a duet would need "
            "two. Allowed: scenarios that test a service by its URL, or --base REF. Next: choose another scenario."
        )
    hosts.open_allowed(config.allowed_hosts)
    for url in urls:
        hosts.check_open(url)
        check_host_answers(url)
    return _conduct_duet(config, [Version(url, url) for url in urls], margin / 100, longest_s)


def _conduct_duet(config: Config, versions: Sequence[Version], margin: float, longest_s: float | None) -> int:
    """Conduct a duet; one with a longest time ends once its answer is known, and at that time at the latest."""
    name = f"duet-{config.scenario_name}"
    with tempfile.TemporaryDirectory() as folder:
        until_decided = (margin, longest_s) if longest_s else None
        scenario = duet.write(Path(folder), name, config.scenario, versions, until_decided)
        own = {"scenario": str(scenario), "host": None, "redis_url": versions[0].redis_url}
        config = config.model_copy(update=own)
        preflight.check(config, *NAMES, *SURROUNDINGS)
        waits = CoreWaits.of([version.url for version in versions])
        run_folder, code = run(config)
        uses = waits.uses()
    share = looks.share(longest_s) if longest_s else 1.0
    return commands.end_with_duet(run_folder.path, versions, margin, code, share=share, uses=uses)
