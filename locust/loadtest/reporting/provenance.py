"""Provenance: the plan, versions, host and source of a run, without which its figures mean little later.

Host names and user names are left out: they explain no figure, and reports are shared.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import platform
import re
import subprocess
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import psutil
import redis

from loadtest import __version__
from loadtest.profiles import chart
from loadtest.settings.redis_url import server_of
from loadtest.settings.scenario_files import paths_of_scenario
from loadtest.settings.urls import MASK, without_credentials

if TYPE_CHECKING:
    from collections.abc import Mapping

    from loadtest.profiles.profile import LoadProfile

_log = logging.getLogger(__name__)

DISTRIBUTION: Final = "loadtest-stack"
SCENARIOS: Final = "loadtest.scenarios"
MAX_LEVELS: Final = 240
_GIT_TIMEOUT_S: Final = 5.0
_REDIS_TIMEOUT_S: Final = 2.0
_SECRET: Final = re.compile(r"passw|secret|token|credential|api_?key|authorization", re.IGNORECASE)


def of(scenario: str, profile: LoadProfile | None, redis_url: str | None) -> dict[str, Any]:
    """Return the provenance, ready for JSON; what cannot be determined is left out or None."""
    return {
        "plan": plan(profile) if profile else None,
        "versions": {**versions(), **_redis_versions(redis_url)},
        "host": host(),
        "source": source(scenario),
        "imitation": redis_url is not None and is_imitation(redis_url),
    }


def masked(configuration: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings without secrets: the values of settings with secret names, and credentials in URLs."""
    return {name: _masked(name, value) for name, value in configuration.items()}


def _masked(name: str, value: Any) -> Any:
    if value and _SECRET.search(name) and not name.endswith("_file"):
        return MASK
    return without_credentials(value) if isinstance(value, str) else value


def plan(profile: LoadProfile) -> dict[str, Any]:
    """Return the profile, its peak, and its level at regular intervals: (seconds, users or arrivals per second)."""
    count = max(2, min(MAX_LEVELS, round(profile.run_time_s)))
    times_s = [profile.run_time_s * index / count for index in range(count)]
    levels = [[round(t_s, 3), round(profile.curve.level_at(t_s), 3)] for t_s in times_s]
    total = {"arrivals_total": round(profile.curve.total, 3)} if profile.model == "open" else {}
    return {**chart.as_dict(profile), "peak": round(profile.curve.peak, 3), "levels": levels, **total}


def versions() -> dict[str, str]:
    """Return the version of Python, of this product and of its dependencies."""
    found = {"loadtest": __version__, "python": platform.python_version()}
    try:
        required = metadata.requires(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        required = []
    for requirement in required:
        name = re.split(r"[\s\[<>=!~;]", requirement, maxsplit=1)[0]
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue  # an optional extra
    return found


def _redis_versions(redis_url: str | None) -> dict[str, str]:
    if redis_url is None:
        return {}
    try:
        with server_of(redis_url, _REDIS_TIMEOUT_S) as client:
            found = {"redis-server": str(client.info("server")["redis_version"])}
            # Not MODULE LIST, which is administrative and denied to the Compose stack's Redis user.
            for module in client.info("modules").get("modules", []):
                found[str(module["name"])] = str(module["ver"])
    except (redis.RedisError, KeyError) as error:
        _log.info("the versions of Redis and its modules are unknown: %s", error)
        return {}
    return found


def is_imitation(redis_url: str) -> bool:
    """Return whether an imitation such as fakeredis answers instead of Redis: it does not know the command INFO."""
    try:
        with server_of(redis_url, _REDIS_TIMEOUT_S) as client:
            client.info("server")
    except redis.ResponseError as error:
        return str(error).lower().startswith("unknown command")
    except redis.RedisError:
        pass
    return False


def host() -> dict[str, Any]:
    """Return the properties of this machine that influence figures."""
    return {
        "system": platform.system(),
        "kernel": platform.release(),
        "machine": platform.machine(),
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "usable_cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
    }


def _cpu() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor()
    found = re.search(r"^(?:model name|Hardware|Model)\s*:\s*(.+)$", text, re.MULTILINE)
    return found[1] if found else platform.processor()


def source(scenario: str) -> dict[str, Any] | None:
    """Return the scenario's file with its git commit; None outside a repository."""
    paths = paths_of_scenario(scenario)
    file = paths[0].resolve() if paths else _module_file(scenario)
    if file is None:
        return None
    tracked = _git(file.parent, "ls-files", "--full-name", "--", file.name)
    commit = _git(file.parent, "rev-parse", "HEAD")
    if not tracked or not commit:
        return None
    modified = bool(_git(file.parent, "status", "--porcelain", "--untracked-files=no"))
    return {"file": tracked, "commit": commit, "modified": modified}


def _module_file(scenario: str) -> Path | None:
    try:
        found = importlib.util.find_spec(f"{SCENARIOS}.{scenario}")
    except (ImportError, ValueError):
        return None
    return None if found is None or found.origin is None else Path(found.origin)


def _git(folder: Path, *arguments: str) -> str:
    """Return the output of git; empty without git, without a repository, or if git fails or takes too long."""
    command = ["git", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(  # noqa: S603 - our own arguments
            command, capture_output=True, text=True, check=False, timeout=_GIT_TIMEOUT_S
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
