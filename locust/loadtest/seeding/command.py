"""The command `loadtest seed`."""

from __future__ import annotations

import time
from pathlib import Path

import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from loadtest.exceptions import UsageError
from loadtest.progress import PLAIN_INTERVAL_S, output
from loadtest.seeding.id_file import check_writable, write_ids
from loadtest.seeding.stores import Store, open_store
from loadtest.seeding.users import Users
from loadtest.settings.config import Config
from loadtest.settings.urls import has_credentials

MOST_USERS = 10_000_000
_LOCAL_REDIS = "redis://127.0.0.1:6379/0"


@click.group()
def seed() -> None:
    """Make up the data that scenarios use."""


@seed.command()
@click.option("--count", default="10000", show_default=True, metavar="N", help="How many users, 1 to 10 million.")
@click.option(
    "--seed", "seed_number", default=42, show_default=True, metavar="S", help="The same seed, the same users."
)
@click.option(
    "--store",
    metavar="URL",
    help="Where to: redis://host:port/db or mongodb://host:port/database; by default the Redis of REDIS_URL, or one on "
    "127.0.0.1. A URL with a password belongs into the environment or local_conf/loadtest.env, as LOADTEST_STORE.",
)
@click.option(
    "--out",
    default="user_ids.json",
    show_default=True,
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="The ids, as a JSON array.",
)
def users(count: str, seed_number: int, store: str | None, out: Path) -> None:
    """Make up users, write them into a store, and their ids into a file.

    \b
    loadtest seed users --count 100000 --seed 42
    loadtest seed users --count 100000 --store mongodb://127.0.0.1:27017/loadtest --out local_conf/user_ids.json

    The same count and seed give the same users. Users who are there already stay as they are, so a command that was
    interrupted is simply repeated. The file of ids is written last, and whole or not at all.
    """
    number = _checked(count)
    if store and has_credentials(store):
        raise UsageError(
            "--store holds a password, which everybody on this machine can read on the command line. Allowed: the URL "
            "in the environment or in local_conf/loadtest.env. Next: set LOADTEST_STORE there and leave --store out."
        )
    check_writable(out)
    config = Config.load({"store": store})
    with open_store(config.store or config.redis_url or _LOCAL_REDIS) as opened:
        started_s = time.monotonic()
        made = Users(seed_number)
        written = _write(opened, made, number)
        took_s = time.monotonic() - started_s
        opened.finish()
        write_ids(out, made.ids(number))
        there = f", {number - written:,} were there" if number > written else ""
        click.echo(f"users        {written:,} written to {opened.name} in {took_s:.2f} s{there}")
        click.echo(f"ids          {number:,} in {out}")


def _checked(count: str) -> int:
    if not count.isdecimal() or not 1 <= int(count) <= MOST_USERS:
        raise UsageError(
            f"--count={count} is not allowed. Allowed: a whole number from 1 to {MOST_USERS}. Next: set --count=10000."
        )
    return int(count)


def _write(store: Store, made: Users, count: int) -> int:
    """Write the users and show how far it is, as a bar on a terminal and as lines elsewhere."""
    console = output()
    bar = Progress(
        TextColumn("users       "),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    )
    written = done = 0
    shown_s = time.monotonic()
    with bar:
        task = bar.add_task("users", total=count)
        for batch in made.batches(count):
            written += store.write(batch)
            done += len(batch)
            bar.advance(task, len(batch))
            if not console.is_terminal and time.monotonic() - shown_s > PLAIN_INTERVAL_S:
                shown_s = time.monotonic()
                console.print(f"users        {done:,} of {count:,}")
    return written
