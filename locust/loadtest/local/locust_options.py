"""Locust's own options on the command line of `loadtest run`, in LOCUST_ variables, and in its configuration files.

What both products name alike (users, run time, host …) becomes a setting; everything else goes to Locust as it was
given. The settings of a run are then the only source of its numbers: what Locust's processes would read again from the
environment is taken out of it, and what they would read from a file is given to them on the command line, which wins.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

from loadtest.exceptions import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, MutableMapping, Sequence

    from loadtest.settings.config import Config

ENDS_AT_ONCE: Final = frozenset({"-l", "--list", "--show-task-ratio", "--show-task-ratio-json", "-V", "--version"})
"""Options with which Locust prints something and ends."""
_OF_THE_STACK: Final = (
    "--master", "--worker", "--master-host", "--master-port", "--master-bind-host", "--master-bind-port",
    "--expect-workers", "--expect-workers-max-wait",
)  # fmt: skip
_VARIABLES: Final = (
    "HOST", "USERS", "SPAWN_RATE", "RUN_TIME", "PROCESSES", "LOCUSTFILE", "AUTOSTART", "HEADLESS", "HEADFUL",
    "MODE_MASTER", "MODE_WORKER", "MASTER_BIND_HOST", "MASTER_BIND_PORT", "MASTER_NODE_HOST", "MASTER_NODE_PORT",
    "EXPECT_WORKERS", "EXPECT_WORKERS_MAX_WAIT", "WEB_HOST", "WEB_PORT",
)  # fmt: skip
_NOT_REPEATED: Final = ("autostart", "ui", "host")
"""Flags, and what may hold a password, which everybody could read on a command line: see `environment`."""
_NO_FILES: Final = ("--csv", "", "--html", "", "--json-file", "")
_CLASSES_FOLLOW: Final = "--"


def split(arguments: Sequence[str], own: Mapping[str, bool]) -> tuple[list[str], list[str]]:
    """Split a command line.

    Args:
        arguments: the command line.
        own: this product's options, each with whether it takes a value.

    Returns:
        This product's part, and Locust's. A word behind an option of this product is none of the values of Locust's
        option before it, but a User class, as in Locust.

    Raises:
        UsageError: for an option by which the stack connects its processes.
    """
    mine: list[str] = []
    theirs: list[str] = []
    classes: list[str] = []
    left = list(arguments)
    was_mine = False
    while left:
        word = left.pop(0)
        name, has_value, _ = word.partition("=")
        if name not in own and word.startswith("-") and not word.startswith("--"):
            name, has_value = word[:2], word[2:]  # -u5
        if name in own:
            mine.append(word)
            if own[name] and not has_value and left:
                mine.append(left.pop(0))
            was_mine = True
        elif word.startswith("-"):
            _check(word.partition("=")[0])
            theirs.append(word)
            was_mine = False
        else:
            (classes if was_mine else theirs).append(word)
    return mine, [*theirs, *([_CLASSES_FOLLOW, *classes] if classes else [])]


def _check(option: str) -> None:
    if option in _OF_THE_STACK:
        raise UsageError(
            f"{option} is not an option of `loadtest run`, which starts the master and its workers itself. Allowed: "
            "--workers N, or Locust's --processes N. Next: leave it out; `locust -f` runs a single process."
        )


def for_worker(options: Sequence[str]) -> list[str]:
    """Return the options for a worker, which must not write the files that the master writes."""
    end = list(options).index(_CLASSES_FOLLOW) if _CLASSES_FOLLOW in options else len(options)
    return [*options[:end], *_NO_FILES, *options[end:]]


def take_out(environ: MutableMapping[str, str]) -> None:
    """Take out of the environment what has become a setting."""
    for name in _VARIABLES:
        environ.pop(f"LOCUST_{name}", None)


def environment(config: Config) -> dict[str, str]:
    """Return the variables of Locust's processes that win against Locust's files, for what no command line may show."""
    return {"LOCUST_HOST": config.host} if config.host else {}


def repeated(found: Iterable[str], config: Config) -> list[str]:
    """Return, as options for Locust's processes, the settings that these would otherwise take from Locust's files.

    Args:
        found: the settings that Locust's variables or files give.
        config: what holds instead.
    """
    values: dict[str, Any] = {name: getattr(config, name) for name in found if name not in _NOT_REPEATED}
    if "workers" in values:
        values = {**values, "workers": None, "processes": 0}  # the stack starts them
    if values.get("run_time"):
        values["run_time"] = math.ceil(values["run_time"])
    return [f"--{name.replace('_', '-')}={value}" for name, value in values.items() if value is not None]
