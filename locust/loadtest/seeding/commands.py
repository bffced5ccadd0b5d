"""The command `loadtest seed`."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import orjson

from loadtest import atomic_file
from loadtest.exceptions import UsageError
from loadtest.progress import Steps
from loadtest.seeding.stores import Store, open_store
from loadtest.seeding.users import BLOCK, Users
from loadtest.settings.config import Config
from loadtest.untrusted import is_folder

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_USERS = 10_000_000
_LOCAL_REDIS = "redis://127.0.0.1:6379/0"


_COUNT = click.option(
    "--count", default="10000", show_default=True, metavar="N", help="Number of users, 1 to 10 million."
)
_SEED = click.option(
    "--seed", "seed_number", default=42, show_default=True, metavar="S", help="The same seed gives the same users."
)
_STORE = click.option(
    "--store",
    metavar="URL",
    help="Where the users are stored: redis://host:port/db or mongodb://host:port/database; by default the Redis of "
    "REDIS_URL, or one on 127.0.0.1. Put a URL with a password into LOADTEST_STORE, in the environment or in "
    "local_conf/loadtest.env.",
)
_COLLECTION = click.option("--collection", metavar="NAME", help="The MongoDB collection; by default users.")
_OBJECT_IDS = click.option(
    "--object-ids", is_flag=True, help="In MongoDB, use ObjectIds as ids, as MongoDB itself does, instead of strings."
)


@click.group()
def seed() -> None:
    """Generate data for scenarios, and remove it."""


@seed.command()
@_COUNT
@_SEED
@_STORE
@click.option(
    "--out",
    default="user_ids.json",
    show_default=True,
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="The file for the ids, as a JSON array.",
)
@_COLLECTION
@_OBJECT_IDS
def users(count: str, seed_number: int, store: str | None, out: Path, **of_mongo: Any) -> None:
    """Write generated users to a store, and their ids to a file.

    \b
    loadtest seed users --count 100000 --seed 42
    loadtest seed users --count 100000 --store mongodb://127.0.0.1:27017/loadtest --out local_conf/user_ids.json
    loadtest seed users --store mongodb://127.0.0.1:27017/shop --collection customers --object-ids

    The same count and seed give the same users. Existing users are left unchanged, so after an interruption just run
    the command again. The file of ids is written last, and either completely or not at all.
    """
    number = _checked(count)
    check_writable(out)
    with _opened(store, of_mongo) as opened:
        started_s = time.monotonic()
        generated = Users(seed_number)
        written = _write(opened, generated, number)
        took_s = time.monotonic() - started_s
        opened.finish()
        write_ids(out, [*map(opened.name_of, generated.ids(number))])
        existed = f", {number - written:,} existed already" if number > written else ""
        click.echo(f"users        {written:,} written to {opened.name} in {took_s:.2f} s{existed}")
        click.echo(f"ids          {number:,} in {out}")


@seed.command()
@_COUNT
@_SEED
@_STORE
@_COLLECTION
@_OBJECT_IDS
@click.option("--all", "everything", is_flag=True, help="Remove every key under loadtest: from a Redis.")
def remove(count: str, seed_number: int, store: str | None, everything: bool, **of_mongo: Any) -> None:
    """Remove users that `seed users` wrote, or all generated data.

    \b
    loadtest seed remove --count 100000 --seed 42 --store mongodb://127.0.0.1:27017/loadtest
    loadtest seed remove --all

    Removes the users of the same count and seed; --all removes every key under loadtest: instead. Other data is left
    unchanged.
    """
    number = _checked(count)
    with _opened(store, of_mongo) as opened:
        if everything:
            click.echo(f"removed      {opened.remove_all():,} keys from {opened.name}")
            return
        ids = Users(seed_number).ids(number)
        removed = sum(opened.remove(ids[start : start + BLOCK]) for start in range(0, number, BLOCK))
        click.echo(f"removed      {removed:,} users from {opened.name}")


def _opened(store: str | None, of_mongo: dict[str, Any]) -> Store:
    """Return the store named by a command or by the settings.

    Raises:
        UsageError: when the command's URL contains a password, or is not that of a store.
    """
    config = Config.load({"store": store})
    given = {name: value for name, value in of_mongo.items() if value}
    return open_store(config.store or config.redis_url or _LOCAL_REDIS, **given)


def _checked(count: str) -> int:
    if not count.isdecimal() or not 1 <= int(count) <= MAX_USERS:
        raise UsageError(
            f"--count={count} is not allowed. Allowed: a whole number from 1 to {MAX_USERS}. Next: set --count=10000."
        )
    return int(count)


def _write(store: Store, generated: Users, count: int) -> int:
    written = done = 0
    with Steps("users", sys.stdout) as steps:
        for batch in generated.batches(count):
            written += store.write(batch)
            done += len(batch)
            steps.show(done, count)
    return written


def check_writable(file: Path) -> None:
    """Check that a file can be written before the work begins.

    Raises:
        UsageError: when it cannot.
    """
    if is_folder(file) or not os.access(file.parent, os.W_OK | os.X_OK):
        raise _cannot_write(file, "it is a folder" if is_folder(file) else "its folder is missing or not writable")


def write_ids(file: Path, ids: Sequence[str]) -> None:
    """Write ids as a JSON array, one per line; an existing file is replaced once the new one is complete.

    Raises:
        UsageError: when the file cannot be written.
    """
    try:
        atomic_file.replace(file, b"[\n" + b",\n".join(map(orjson.dumps, ids)) + b"\n]\n")
    except OSError as error:
        raise _cannot_write(file, error.strerror or str(error)) from error


def _cannot_write(file: Path, reason: str) -> UsageError:
    return UsageError(
        f"OUT={file} cannot be written ({reason}). Allowed: a file in a writable folder. Next: choose another."
    )
