"""What a scenario declares, read in a separate process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

from loadtest.exceptions import ExitCode, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loadtest.settings.config import Config


class Declared(NamedTuple):
    """A scenario's declarations, and the values of Locust's own options."""

    scenario: str
    """Its name or path; if our settings name none, the locustfile of Locust's settings."""
    requests: list[tuple[str, str]]
    """Pairs of method and name."""
    hosts: dict[str, str]
    """The host of each User class that has one."""
    loads_only_redis: bool
    """Whether its users use a Redis, and no service."""
    needs_redis: bool
    """Whether its users or its data need the Redis of REDIS_URL."""
    takes_sample_target: bool
    """Whether the sample target is the default target."""
    speaking_http: list[str]
    """The User classes that need an HTTP base URL."""
    settings: dict[str, Any]
    """Our settings from Locust's options, variables and files."""
    unknown: list[str]
    """Options that neither Locust nor the locustfile knows."""
    known: list[str]
    """Options that they know."""


def declared(config: Config, options: Sequence[str] = ()) -> Declared:
    """Return the declarations of the scenario in the settings, cached from the first call.

    It is read in a separate process: a scenario's module imports Locust, which replaces the standard library's
    sockets and processes with gevent's, and the stack's supervisor must keep the real ones.

    Raises:
        UsageError: the scenario's module or file cannot be imported, or contains no scenario.
    """
    scenario = config.scenario
    if scenario in _declared:
        return _declared[scenario]
    child = subprocess.run(  # noqa: S603 - our own module
        [sys.executable, "-m", "loadtest.scenarios", scenario, *options],
        env={**os.environ, **config.environment()},
        capture_output=True,
        text=True,
        check=False,
    )
    if child.returncode == ExitCode.USAGE:
        raise UsageError(child.stderr.strip())
    if child.returncode:
        reason = (child.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise UsageError(f"SCENARIO={scenario} cannot be imported ({reason}). Next: correct its module.")
    name, requests, *others = json.loads(child.stdout)
    _declared[name] = Declared(name, [(method, label) for method, label in requests], *others)
    return _declared[name]


_declared: dict[str, Declared] = {}
