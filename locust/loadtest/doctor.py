"""Doctor: is this machine ready for a run? Each check reports what it found and, if it failed, how to fix it."""

from __future__ import annotations

import os
import resource
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from loadtest.exceptions import LoadtestError, UsageError
from loadtest.local import redis_server, stack
from loadtest.measuring.cgroup import Groups
from loadtest.measuring.machine import port_count
from loadtest.profiles.profile import LoadProfile
from loadtest.run_folder import check_writable
from loadtest.scenarios import declared
from loadtest.settings import credentials
from loadtest.settings.config import default_workers
from loadtest.settings.fetching import fetch
from loadtest.settings.hosts import is_http
from loadtest.settings.urls import without_credentials

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from loadtest.settings.config import Config

SPARE_DESCRIPTORS = 200
"""What a worker opens in addition to a connection per user: libraries, logs, the link, timers."""
PORTS_USED = 0.9
"""The share of the local ports that may be in use: see the trust check on ephemeral ports."""
USER_BYTES = 32 * 1024
"""Memory of a user with a connection: about 10 kB when idle (docs/performance.md), and twice that for its scenario."""
WORKER_BYTES = 100 * 2**20
"""Memory of a worker without users."""
CLOCK_RESOLUTION_S = 1e-6
"""The histograms begin at 1 µs; a coarser clock would show in them."""
CLOCKS_APART_S = 5.0
"""The largest tolerated difference: a Date header has whole seconds, and the response takes time."""
_TIMEOUT_S = 5.0
_CPU_QUOTA = Path("/sys/fs/cgroup/cpu.max")


@dataclass(frozen=True)
class Check:
    """What one check found; with `healthy` False, a run would fail or mislead."""

    name: str
    healthy: bool
    sentence: str


def examine(config: Config) -> Iterator[Check]:
    """Make the checks one after the other, and yield each result at once."""
    for name, check in _CHECKS.items():
        try:
            yield Check(name, healthy=True, sentence=without_credentials(check(config)))
        except LoadtestError as error:
            yield Check(name, healthy=False, sentence=without_credentials(str(error)))


def _host(config: Config) -> str:
    if config.host is None:
        return _unset_host(config)
    if not is_http(config.host):
        return f"{config.host} is not an HTTP base URL: only users with their own clients can load it"
    stack.check_host_answers(config.host)
    return f"{config.host} accepts connections"


def _unset_host(config: Config) -> str:
    known, scenario = declared(config), config.scenario
    if known.takes_sample_target:
        return "HOST is not set: the sample target will be started"
    named = ", ".join(f"{without_credentials(host)} of {name}" for name, host in known.hosts.items())
    if known.loads_only_redis:
        return f"none is needed: the users of {scenario} speak to Redis only, {named or 'that of REDIS_URL'}"
    return f"HOST is not set: the users of {scenario} load {named or 'what their own clients know'}"


def _takes_sample_target(config: Config) -> bool:
    return declared(config).takes_sample_target and not config.host


def _redis(config: Config) -> str:
    if not (declared(config).needs_redis or _takes_sample_target(config)):
        return f"neither the users of {config.scenario} nor their service need that of REDIS_URL"
    if config.redis_url:
        redis_server.check_given(config.redis_url)
        found = ", ".join(redis_server.modules(config.redis_url)) or "not listable"
        return f"the Redis of REDIS_URL answers and has RedisJSON (modules: {found})"
    return f"a run will start {redis_server.expected_server()}"


def _ports(config: Config) -> str:
    stack.check_ports_free(config.model_copy(update={"ui": True}), own_target=_takes_sample_target(config))
    return "the ports of web UI, exporter and target are free"


def _cores(config: Config) -> str:
    cores, workers = usable_cores(), config.workers or default_workers()
    if workers > cores:
        raise UsageError(
            f"{workers} workers on {cores:g} cores: they would compete for the CPU and distort the results. Allowed: "
            f"up to {cores:g}. Next: set WORKERS={max(1, int(cores) - 1)}, which leaves one core free."
        )
    return f"{workers} worker{'s' * (workers > 1)} on {cores:g} core{'s' * (cores > 1)}"


def usable_cores(quota_file: Path = _CPU_QUOTA) -> float:
    """Return how many cores this process may use: those of the machine, its affinity, and its container's quota."""
    cores = float(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    try:
        quota, period = quota_file.read_text(encoding="ascii").split()
        return min(cores, int(quota) / int(period))
    except (OSError, ValueError):  # no cgroup of version 2, or no quota: "max 100000"
        return cores


def check_users_fit(config: Config) -> None:
    """Check that this machine has the files, ports and memory that the users of a run need.

    Raises:
        UsageError: with everything that does not suffice.
    """
    problems = []
    for check in (_descriptors, _local_ports, _memory):
        try:
            check(config)
        except UsageError as error:
            problems.append(str(error))
    if problems:
        raise UsageError("\n".join(problems))


def _users(config: Config) -> int:
    """The users that are asked for, also where the profile's time is over before all of them would have started."""
    return max(config.users or 0, LoadProfile.of(config).peak_users)


def _descriptors(config: Config) -> str:
    users, workers = _users(config), config.workers or default_workers()
    hard_limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    needed = -(-users // workers) + SPARE_DESCRIPTORS
    if hard_limit not in (resource.RLIM_INFINITY, -1) and hard_limit < needed:
        fit = max(0, hard_limit - SPARE_DESCRIPTORS) * workers
        raise UsageError(
            f"a process may open only {hard_limit:,} files, but {users:,} users need {needed:,} in each worker. "
            f"Allowed: up to {fit:,} users with {workers} worker{'s' * (workers > 1)}. "
            "Next: raise the limit (ulimit -Hn), add workers, or lower USERS."
        )
    return f"enough for {users:,} users: a worker needs {needed:,} file descriptors"


def _local_ports(config: Config) -> str:
    users, ports = _users(config), int(port_count() * PORTS_USED)
    if ports and users > ports:
        raise UsageError(
            f"{users:,} users need a connection each, but this machine has {ports:,} local ports for the connections "
            f"to one address. Allowed: up to {ports:,} users. Next: widen net.ipv4.ip_local_port_range, share the "
            "users between machines, or lower USERS."
        )
    return f"enough for {users:,} users: {ports:,} connections to one address" if ports else "unknown on this system"


def _memory(config: Config) -> str:
    users, workers = _users(config), config.workers or default_workers()
    limited = Groups().memory()
    free_bytes = float(psutil.virtual_memory().available)
    if limited is not None:
        free_bytes = min(free_bytes, limited.limit - limited.used)
    needed_bytes = users * USER_BYTES + workers * WORKER_BYTES
    if needed_bytes > free_bytes:
        fit = max(0, int((free_bytes - workers * WORKER_BYTES) / USER_BYTES))
        raise UsageError(
            f"{users:,} users need about {needed_bytes / 2**30:.1f} GiB of memory, but {free_bytes / 2**30:.1f} GiB "
            f"are free. Allowed: up to {fit:,} users. Next: free some, use a larger machine, or lower USERS."
        )
    return f"enough for {users:,} users: about {needed_bytes / 2**30:.1f} of {free_bytes / 2**30:.1f} GiB"


def _clock(config: Config) -> str:
    clock = time.get_clock_info("perf_counter")
    if not clock.monotonic or clock.resolution > CLOCK_RESOLUTION_S:
        raise UsageError(
            f"this machine's clock has a resolution of {clock.resolution:g} s. Allowed: {CLOCK_RESOLUTION_S:g} s or "
            "better, never going backwards. Next: measure on a machine with a better clock."
        )
    found = f"monotonic, with a resolution of {clock.resolution:g} s"
    apart_s = _apart_s(config.host) if config.host and is_http(config.host) else None
    if apart_s is None:
        return found
    if apart_s > CLOCKS_APART_S:
        raise UsageError(
            f"the clocks of this machine and of HOST={config.host} differ by {apart_s:.0f} s, so a run's times would "
            f"not match its logs. Allowed: {CLOCKS_APART_S:g} s. Next: synchronise both clocks by NTP."
        )
    return f"{found}; in sync with the service"


def _apart_s(host: str) -> float | None:
    """Return the difference between the clocks of this machine and a service; None when it does not send its time."""
    try:
        date = fetch(host, _TIMEOUT_S, "HEAD").headers.get("Date")
    except (OSError, ValueError):
        return None
    try:
        return abs(time.time() - parsedate_to_datetime(date).timestamp()) if date else None
    except (ValueError, TypeError, OverflowError):  # whatever the service says
        return None


def _credentials(config: Config) -> str:
    credentials.check(config)
    given = [name for name in ("accounts_file", "token_file") if getattr(config, name)]
    return f"{' and '.join(given).upper()} can be read" if given else "none: scenarios create their own accounts"


def _runs_dir(config: Config) -> str:
    check_writable(config.runs_dir)
    return f"results can be written to {config.runs_dir}/"


_CHECKS: dict[str, Callable[[Config], str]] = {
    "host": _host,
    "redis": _redis,
    "ports": _ports,
    "cores": _cores,
    "descriptors": _descriptors,
    "local ports": _local_ports,
    "memory": _memory,
    "clock": _clock,
    "credentials": _credentials,
    "results": _runs_dir,
}
