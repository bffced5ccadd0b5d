"""Doctor: is this machine ready for a run? Each check says what it found, and what to do about it if it is bad."""

from __future__ import annotations

import os
import resource
import shutil
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from loadtest.config import default_workers
from loadtest.exceptions import LoadtestError, UsageError
from loadtest.local import redis_server, stack
from loadtest.profiles.profile import LoadProfile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from loadtest.config import Config

SPARE_DESCRIPTORS = 200
"""What a worker opens besides a connection for each user: libraries, logs, the link, timers."""
CLOCK_RESOLUTION_S = 1e-6
"""The histograms begin at 1 µs; a coarser clock would show in them."""


@dataclass(frozen=True)
class Finding:
    """What one check found; `healthy` False means that a run would fail or mislead."""

    name: str
    healthy: bool
    sentence: str


def examine(config: Config) -> Iterator[Finding]:
    """Yield a finding for each check, one after the other as they are made."""
    for name, check in _CHECKS.items():
        try:
            yield Finding(name, healthy=True, sentence=check(config))
        except LoadtestError as error:
            yield Finding(name, healthy=False, sentence=str(error))


def _host(config: Config) -> str:
    if config.host is None:
        return "no HOST is set: the sample target will be started"
    stack.check_host_answers(config.host)
    return f"{config.host} accepts connections"


def _redis(config: Config) -> str:
    if config.redis_url:
        redis_server.check_given(config.redis_url)
        return "the Redis that REDIS_URL names answers, and has RedisJSON"
    for program in ("redis-stack-server", "redis-server"):
        if path := shutil.which(program):
            return f"a run will start its own from {path}"
    if redis_server.can_install():
        return "a run will install the system's redis-server, and start its own"
    raise UsageError(redis_server.IMITATION_NOTICE)


def _ports(config: Config) -> str:
    stack.check_ports_free(config.model_copy(update={"ui": True}))
    return "web UI, exporter and target have their ports free"


def _cores(config: Config) -> str:
    cores, workers = os.cpu_count() or 1, config.workers or default_workers()
    if workers > cores:
        raise UsageError(
            f"WORKERS={workers} on {cores} cores: they would wait for each other, and measure that. Allowed: up to "
            f"{cores}. Next: set WORKERS={default_workers()}, which leaves a core for the rest."
        )
    return f"{workers} workers on {cores} cores"


def _descriptors(config: Config) -> str:
    users = LoadProfile.of(config).peak_users
    hard_limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    needed = users // (config.workers or default_workers()) + SPARE_DESCRIPTORS
    if hard_limit not in (resource.RLIM_INFINITY, -1) and hard_limit < needed:
        raise UsageError(
            f"a process may open {hard_limit} files, and {users} users want {needed} in each worker. "
            "Next: raise the limit (ulimit -Hn), add workers, or lower USERS."
        )
    return f"{users} users fit: a worker needs {needed} descriptors"


def _clock(_config: Config) -> str:
    clock = time.get_clock_info("perf_counter")
    if not clock.monotonic or clock.resolution > CLOCK_RESOLUTION_S:
        raise UsageError(
            f"this machine's clock counts in steps of {clock.resolution:g} s. Allowed: {CLOCK_RESOLUTION_S:g} s at "
            "most, never backwards. Next: measure on a machine with a better clock."
        )
    return f"monotonic, in steps of {clock.resolution:g} s"


def _runs_dir(config: Config) -> str:
    folder = config.runs_dir.resolve()
    while not folder.exists():
        folder = folder.parent
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise UsageError(
            f"RUNS_DIR={config.runs_dir} cannot be written. Allowed: a folder that can be written. "
            "Next: set RUNS_DIR to one."
        )
    return f"results can be written to {config.runs_dir}/"


_CHECKS: dict[str, Callable[[Config], str]] = {
    "host": _host,
    "redis": _redis,
    "ports": _ports,
    "cores": _cores,
    "descriptors": _descriptors,
    "clock": _clock,
    "results": _runs_dir,
}
