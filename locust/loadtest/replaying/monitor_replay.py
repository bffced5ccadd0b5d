"""MonitorReplay: turn the output of MONITOR into a scenario and a profile for a run; see `replaying.replay`.

Commands that name a key are replayed; COMMAND tells which ones do. Administrative and blocking commands, scripts,
transactions and subscriptions are excluded. The log also contains the commands of a script, one by one.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import redis

from loadtest import untrusted
from loadtest.exceptions import StackError
from loadtest.replaying import path_names
from loadtest.replaying.monitor_log import MonitorLog
from loadtest.replaying.replay import NAME, SEED, chosen, listed, selection_of, write
from loadtest.settings.fetching import in_time
from loadtest.settings.redis_url import db_of, said, server_of
from loadtest.settings.urls import without_credentials

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from loadtest.replaying.monitor_log import Command
    from loadtest.replaying.replay import Selection

_LEFT_OUT: Final = frozenset({"admin", "blocking", "noscript", "pubsub"})
"""Flags of excluded commands; commands not allowed in scripts are scripts and transactions themselves."""
_NOT_SENT: Final = "migrate"
"""It names a key, but would copy its value to another server."""
_TIMEOUT_S: Final = 5.0
_LONGEST_S: Final = 30.0
"""The time limit for the whole reply to COMMAND."""


@dataclass(frozen=True)
class MonitorReplay:
    """A prepared replay.

    Attributes:
        commands: in order of their starts.
        names: the request name of each command.
        starts_s: the start of each command, in seconds after the first one.
        sentences: a summary of the log for people.
        redis_url: the Redis to which they are sent.
    """

    commands: list[Command]
    names: list[str]
    starts_s: list[float]
    sentences: list[str]
    redis_url: str

    @classmethod
    def of(cls, path: Path, selection: Selection, redis_url: str) -> MonitorReplay:
        """Read a log.

        Raises:
            UsageError: when it cannot be read, or contains nothing to replay.
            StackError: when Redis does not list its commands.
        """
        every = MonitorLog(path).commands
        places, db = key_places(redis_url), db_of(redis_url)
        chance = random.Random(SEED)  # noqa: S311 - a sample
        left_out: Counter[str] = Counter()

        def takes(one: Command) -> bool:
            if one.db != db or len(one.words) <= places.get(one.name, len(one.words)):
                left_out[one.name if one.db == db else f"{one.name} in database {one.db}"] += 1
                return False
            return selection.share >= 1.0 or chance.random() < selection.share

        commands, starts_s = chosen(path, list(filter(takes, every)), len(every), selection)
        paths = [_path(one.words[places[one.name]]) for one in commands]
        by_path = path_names.names_of(paths)
        names = [f"{NAME}{by_path[each]}" for each in paths]
        sentences = [selection_of(commands, len(every), len(set(names)), starts_s)]
        if left_out:
            sentences.append(f"{left_out.total():,} commands are left out: {listed(left_out)}")
        return cls(commands, names, starts_s, sentences, redis_url)

    def write(self, folder: Path) -> tuple[Path, Path]:
        """Write the files of the run into a folder, and return the paths of the scenario and the profile."""
        pairs = {(one.name, name) for one, name in zip(self.commands, self.names, strict=True)}
        lines = (
            [name, *(word.decode("latin-1") for word in one.words)]
            for one, name in zip(self.commands, self.names, strict=True)
        )
        return write(folder, "monitor_user", pairs, lines, self.starts_s, self.redis_url)


def key_places(redis_url: str) -> Mapping[str, int]:
    """Return the position of the first key in each command that may be sent, by command name.

    Raises:
        StackError: when Redis does not list its commands.
    """

    def ask() -> dict[str, int]:
        with server_of(redis_url, _TIMEOUT_S) as client:
            commands: dict[str, Any] = client.command()
        return {
            name.upper(): int(each["first_key_pos"])
            for name, each in commands.items()
            if each["first_key_pos"] > 0 and name != _NOT_SENT and not _LEFT_OUT & set(map(_text, each["flags"]))
        }

    try:
        return in_time(ask, _LONGEST_S)
    except (redis.RedisError, TimeoutError, *untrusted.WRONG_FORM) as error:  # the server may not be a Redis
        raise StackError(
            f"the Redis at {without_credentials(redis_url)} does not list its commands ({said(error)}). Allowed: a "
            "running Redis that answers COMMAND. Next: start it, or correct REDIS_URL."
        ) from error


def _text(flag: Any) -> str:
    return flag.decode() if isinstance(flag, bytes) else str(flag)


def _path(key: bytes) -> str:
    return f"/{quote(key, safe=':/-_.{}').replace(':', '/')}"
