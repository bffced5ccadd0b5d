"""Locust's own options on the command line of `loadtest run`, in LOCUST_ variables, and in its configuration files.

Options with the same name in both products (users, run time, host …) become settings; all others are passed to Locust
unchanged. The settings of a run are then the only source of its numbers: variables that Locust's processes would read
again are removed from the environment, and options that they would read from a file are overridden on the command line.
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
"""Flags, and options that may contain a password, which anyone could read on a command line: see `environment`."""
_NO_FILES: Final = ("--csv", "", "--html", "", "--json-file", "")
_CLASSES_FOLLOW: Final = "--"


def split(arguments: Sequence[str], own: Mapping[str, bool]) -> tuple[list[str], list[str]]:
    """Split a command line.

    Args:
        arguments: the command line.
        own: this product's options, and whether each takes a value.

    Returns:
        This product's part, and Locust's. A word after an option of this product does not belong to Locust's option
        before it, but is a User class, as in Locust.

    Raises:
        UsageError: an option is one with which the stack connects its processes.
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
    """Return the options for a worker, which must not write the master's files."""
    end = list(options).index(_CLASSES_FOLLOW) if _CLASSES_FOLLOW in options else len(options)
    return [*options[:end], *_NO_FILES, *options[end:]]


def take_out(environ: MutableMapping[str, str]) -> None:
    """Remove variables that have become settings from the environment."""
    for name in _VARIABLES:
        environ.pop(f"LOCUST_{name}", None)


def environment(config: Config) -> dict[str, str]:
    """Return variables for Locust's processes that override Locust's files, for options not allowed on a command
    line."""
    return {"LOCUST_HOST": config.host} if config.host else {}


def repeated(found: Iterable[str], config: Config) -> list[str]:
    """Return the settings that Locust's processes would otherwise read from Locust's files, as options.

    Args:
        found: the settings in Locust's variables or files.
        config: the settings that apply instead.
    """
    values: dict[str, Any] = {name: getattr(config, name) for name in found if name not in _NOT_REPEATED}
    if "workers" in values:
        values = {**values, "workers": None, "processes": 0}  # the stack starts them
    if values.get("run_time"):
        values["run_time"] = math.ceil(values["run_time"])
    return [f"--{name.replace('_', '-')}={value}" for name, value in values.items() if value is not None]
