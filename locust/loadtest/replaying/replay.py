"""Replay: a log as a scenario and a profile, in files that a run reads.

There are three files: `replay.py` is the scenario, `replay.requests` has one request per line, `replay.csv` the time of
each. They contain data of the log, which may be secret, so only their owner can read them, and the run removes them.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import hashlib
import os
import pprint
import random
import shutil
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

import orjson

from loadtest.exceptions import UsageError
from loadtest.profiles.curve_file import LONGEST_S, MAX_STARTS, time_s
from loadtest.replaying import path_names
from loadtest.replaying.access_log import AccessLog
from loadtest.settings.value_types import duration_s

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from loadtest.replaying.logged_request import LoggedRequest


class _Timed(Protocol):
    @property
    def start_s(self) -> float:
        """When it began, a Unix time."""


Timed = TypeVar("Timed", bound=_Timed)
NAME: Final = "replay"
SEED: Final = 1
_SHOWN: Final = 5
_SCENARIO: Final = '''"""A replay, written for one run."""

from pathlib import Path

from loadtest.replaying.{users} import scenario_of

scenario = scenario_of({name!r}, Path(__file__).with_suffix(".requests"), {arguments})
'''


@dataclass(frozen=True)
class Selection:
    """The part of a log to replay, and the speed.

    Attributes:
        speed: the seconds of the log per second of the run.
        share: the random share of the requests, the same ones each time; above 0, at most 1.
        from_: from when on, a duration since the log's first request or a time; None: from the first one on.
        until: until when; None: to the last one.
        hosts: replay only requests to these hosts, if the log has hosts.
    """

    speed: float = 1.0
    share: float = 1.0
    from_: str | None = None
    until: str | None = None
    hosts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Replay:
    """A prepared replay.

    Attributes:
        requests: in the order of their starts.
        names: the name of each target.
        starts_s: when each begins, in seconds from the first one.
        sentences: what was read, for people.
    """

    requests: list[LoggedRequest]
    names: dict[str, str]
    starts_s: list[float]
    sentences: list[str]

    @classmethod
    def of(cls, path: Path, selection: Selection) -> Replay:
        """Read a log.

        Raises:
            UsageError: when it cannot be read, holds several hosts none of which was chosen, or nothing is left of it.
        """
        chance = random.Random(SEED)  # noqa: S311 - a sample
        hosts: Counter[str] = Counter()
        wanted = {host.lower() for host in selection.hosts}

        def takes(request: LoggedRequest) -> bool:
            hosts[request.host] += 1
            if wanted and request.host not in wanted:
                return False
            return selection.share >= 1.0 or chance.random() < selection.share

        log = AccessLog(path, takes)
        _check_hosts(path, hosts, wanted)
        requests, starts_s = chosen(path, log.requests, sum(hosts.values()), selection)
        names = path_names.names_of(request.target for request in requests)
        sentences = [selection_of(requests, sum(hosts.values()), len(set(names.values())), starts_s)]
        if log.left_out:
            sentences.append(f"{log.left_out:,} lines hold no request that can be sent")
        return cls(requests, names, starts_s, sentences)

    def write(self, folder: Path) -> tuple[Path, Path]:
        """Write the files of the run into a folder, and return those of scenario and profile."""
        pairs = {(request.method, f"{NAME}{self.names[request.target]}") for request in self.requests}
        return write(folder, "replay_user", pairs, map(self._line, self.requests), self.starts_s)

    def _line(self, request: LoggedRequest) -> list[object]:
        body = base64.b64encode(request.body).decode() if request.body else ""
        name = f"{NAME}{self.names[request.target]}"
        return [request.method, request.target, name, request.status, body, request.media_type]


def chosen(path: Path, requests: Sequence[Timed], count: int, selection: Selection) -> tuple[list[Timed], list[float]]:
    """Return what of a log is replayed, and when each begins, in seconds from the first one.

    Args:
        path: of the log.
        requests: those of interest, in the order of their starts.
        count: how many the log holds.
        selection: which part of it.

    Raises:
        UsageError: when nothing is left, or too much.
    """
    found = _within(requests, selection)
    if not found:
        raise UsageError(
            f"{path}: no request is left of {count:,}. Allowed: a time window, a sample and a target that match "
            "some. Next: widen them."
        )
    if len(found) > MAX_STARTS:
        raise UsageError(
            f"{path}: {len(found):,} requests are chosen. Allowed: at most {MAX_STARTS:,}. Next: use a shorter time "
            "window, or --sample."
        )
    starts_s = [(request.start_s - found[0].start_s) / selection.speed for request in found]
    if starts_s[-1] > LONGEST_S:
        raise UsageError(
            f"{path}: the replay would take {starts_s[-1]:,.0f} s. Allowed: at most {LONGEST_S:,} s. Next: raise "
            "--speed, or use a shorter time window."
        )
    return found, starts_s


def selection_of(requests: Sequence[Timed], count: int, names: int, starts_s: Sequence[float]) -> str:
    """Return what is replayed, for people."""
    began, ended = (_shown(requests[index].start_s) for index in (0, -1))
    part = f"{len(requests):,} of {count:,} requests, from {began} to {ended}"
    return f"{part}, under {names:,} names, in {starts_s[-1]:,.1f} s"


def listed(counted: Counter[str]) -> str:
    """Return the most frequent of what was counted, for people."""
    shown = [f"{what or 'none'} ({count:,})" for what, count in counted.most_common(_SHOWN)]
    return ", ".join(shown + ["…"] * (len(counted) > _SHOWN))


def write(
    folder: Path,
    users: str,
    pairs: set[tuple[str, str]],
    lines: Iterable[Sequence[object]],
    starts_s: Sequence[float],
    *more: str,
) -> tuple[Path, Path]:
    """Write the files of a run into a folder, and return those of scenario and profile.

    Args:
        folder: see `private_folder`.
        users: the module of its users, whose `scenario_of` makes the scenario.
        pairs: method and name of each kind of request.
        lines: what the users send, in the order of the starts.
        starts_s: when.
        more: further arguments of `scenario_of`.
    """
    scenario, profile = folder / f"{NAME}.py", folder / f"{NAME}.csv"
    arguments = ", ".join([pprint.pformat(sorted(pairs), width=100), *map(repr, more)])
    scenario.write_text(_SCENARIO.format(users=users, name=NAME, arguments=arguments), encoding="utf-8")
    with (folder / f"{NAME}.requests").open("wb") as file:
        file.writelines(orjson.dumps(line) + b"\n" for line in lines)
    with profile.open("w", encoding="ascii") as table:
        table.write("start\n")
        table.writelines(f"{start_s:.6f}\n" for start_s in starts_s)
    return scenario, profile


@contextlib.contextmanager
def private_folder(runs_dir: Path, log: Path) -> Iterator[Path]:
    """Make a folder for the files of a replay, which only its owner can read, and remove it afterwards.

    Its name is the same for the same log, so that two runs have the same scenario.

    Raises:
        UsageError: when it cannot be made, or another replay of that log uses it.
    """
    folder = runs_dir / f".replay-{hashlib.sha256(str(log.absolute()).encode()).hexdigest()[:12]}"
    with contextlib.ExitStack() as at_the_end:
        try:
            runs_dir.mkdir(parents=True, exist_ok=True)
            folder.mkdir(mode=0o700, exist_ok=True)  # it may be left over from a killed run
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            at_the_end.callback(os.close, descriptor)
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for left in folder.iterdir():  # a link would be followed when the file of its name is written
                left.unlink()
        except OSError as error:
            raise UsageError(
                f"{folder} cannot be used ({error.strerror}). Allowed: a writable RUNS_DIR, and one replay of a log "
                "at a time. Next: correct it, or wait for the other one."
            ) from error
        at_the_end.callback(shutil.rmtree, folder, ignore_errors=True)
        yield folder


def _check_hosts(path: Path, hosts: Counter[str], wanted: set[str]) -> None:
    """Check that the host of the requests is unambiguous.

    Raises:
        UsageError: it is not: requests to another service, such as one that counts visits, are not load of this one.
    """
    found = listed(hosts)
    if not wanted and len(hosts) > 1:
        raise UsageError(
            f"{path} has requests to {len(hosts)} hosts: {found}. Allowed: those that --from-host names; all of them "
            "are sent to HOST. Next: name one, such as --from-host "
            f"{next(host for host, _ in hosts.most_common() if host)}."
        )
    if missing := wanted - set(hosts):
        raise UsageError(
            f"{path} has no request to {', '.join(sorted(missing))}; it has those to {found}. Allowed: hosts of the "
            "log. Next: correct --from-host, or leave it out."
        )


def _within(requests: Sequence[Timed], selection: Selection) -> list[Timed]:
    if not requests:
        return []
    first_s = requests[0].start_s
    from_s = _instant_s("--from", selection.from_, first_s) if selection.from_ else first_s
    until_s = _instant_s("--until", selection.until, first_s) if selection.until else float("inf")
    return [request for request in requests if from_s <= request.start_s < until_s]


def _instant_s(option: str, text: str, first_s: float) -> float:
    with contextlib.suppress(ValueError):
        if (since_s := duration_s(text)) <= LONGEST_S:  # a larger number is a Unix time
            return first_s + since_s
    with contextlib.suppress(ValueError):
        return time_s(text)
    raise UsageError(
        f"{option}={text} is neither a duration nor a time. Allowed: a duration since the log's first request, such as "
        "10m, or a time, such as 2026-01-31T12:00:00Z. Next: correct it."
    )


def _shown(unix_s: float) -> str:
    return datetime.fromtimestamp(unix_s, UTC).isoformat(sep=" ", timespec="seconds").removesuffix("+00:00")
