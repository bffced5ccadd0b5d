"""Shared by the RedisJSON tests: their own Redis servers, users to send requests, and the recorded samples."""

import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import redis
from gevent.server import StreamServer
from locust.env import Environment

from loadtest.clients.redis import RedisJsonClient, RedisJsonUser
from loadtest.local.process import ManagedProcess, free_port
from loadtest.measuring.recorder import Recorder
from tests.http_harness import counted


class PrivateRedis:
    """A redis-server with RedisJSON that a test may stop, starve and reconfigure.

    Attributes:
        url: Where it listens.
        admin: A client of redis-py to it.
    """

    def __init__(self, module: str, folder: Path, options: tuple[str, ...]) -> None:
        self._folder = folder
        self._options = options
        self._module = module
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}"
        self.admin = redis.Redis(port=self.port, protocol=2, socket_timeout=20)
        self.process = self.start()

    def start(self, *more: str, ready: bool = True) -> ManagedProcess:
        """Start the server, again after it was killed."""
        module = ["--loadmodule", self._module] if self._module else []
        plain = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self._folder), "--save", ""]
        debug = ["--enable-debug-command", "yes"]
        command = ["redis-server", *plain, *debug, *module, *self._options, *more]
        self.process = ManagedProcess("redis", command, self._folder / "redis.log")
        if ready:
            self.process.wait_until(self._answers, 20)
        return self.process

    def _answers(self) -> bool:
        try:
            return bool(self.admin.ping())
        except redis.AuthenticationError:
            return True
        except redis.RedisError:
            return False

    def close(self) -> None:
        """End the server."""
        self.admin.close()
        self.process.kill()


def module_of(redis_url: str) -> str:
    """The file of the RedisJSON module that the tests' Redis has loaded; empty if JSON is built in."""
    with redis.Redis.from_url(redis_url, protocol=2) as client:
        paths = [each[b"path"].decode() for each in client.module_list() if each[b"name"] == b"ReJSON"]
    return paths[0] if paths and Path(paths[0]).exists() else ""


@contextmanager
def private_redis(redis_url: str, folder: Path, *options: str) -> Iterator[PrivateRedis]:
    """A Redis as the tests' own, on a port of its own, with more options."""
    assert shutil.which("redis-server"), "the tests start redis-server"
    server = PrivateRedis(module_of(redis_url), folder, options)
    try:
        yield server
    finally:
        server.close()


@contextmanager
def running_user(url: str, **attributes: Any) -> Iterator[RedisJsonUser]:
    """A user whose client talks to the server at the URL; its scenario is ``probe``."""
    probe = type("Probe", (RedisJsonUser,), {"redis_url": url, "scenario": "probe", **attributes})
    user = probe(Environment(user_classes=[probe]))
    try:
        yield user
    finally:
        user.client.close()


@contextmanager
def client_of(url: str) -> Iterator[RedisJsonClient]:
    """Yield only the client of such a user."""
    with running_user(url) as user:
        yield user.client


@contextmanager
def scripted_server(script: Callable[[Any], None]) -> Iterator[str]:
    """A TCP server that runs a script on each connection's socket; yields its URL."""
    server = StreamServer(("127.0.0.1", 0), lambda sock, _address: script(sock))
    server.start()
    try:
        yield f"redis://127.0.0.1:{server.server_port}"
    finally:
        server.stop(timeout=1)


class Recorded:
    """What a user has recorded since it was last looked at."""

    def __init__(self, user: RedisJsonUser) -> None:
        taken = counted(Recorder.of(user.environment))
        self.requests: Counter[tuple[str, str]] = Counter()
        self.failures: Counter[tuple[str, str]] = Counter()
        self.response_bytes: Counter[tuple[str, str]] = Counter()
        self.request_bytes: Counter[tuple[str, str]] = Counter()
        for key, requests, failures, size, sent in zip(
            taken.series, taken.requests, taken.failures, taken.response_bytes, taken.request_bytes, strict=True
        ):
            label = (key.method, key.name)
            if requests:
                self.requests[label] += int(requests)
                self.response_bytes[label] += int(size)
                self.request_bytes[label] += int(sent)
            if failures:
                self.failures[label] += int(failures)
        self.scenarios = {key.scenario for key in taken.series}
        self.errors = Counter({each.error_class: each.occurrences for each in taken.errors})
        self.messages = [each.message for each in taken.errors]
        self._tallies = taken.tallies

    def tallies(self, kind: str) -> Counter[str]:
        """How often something was counted in addition to the requests, by its detail."""
        found: Counter[str] = Counter()
        for tally in self._tallies:
            if tally.kind == kind:
                found[tally.detail] += tally.times
        return found


def failure_of(user: Any, call: Callable[[RedisJsonClient], object]) -> tuple[redis.RedisError, str]:
    """The exception of a call, and the class under which it was counted, exactly once."""
    Recorded(user)
    try:
        call(user.client)
    except redis.RedisError as error:
        recorded = Recorded(user)
        assert sum(recorded.requests.values()) == sum(recorded.failures.values()) == 1
        ((error_class, occurrences),) = recorded.errors.items()
        assert occurrences == 1
        return error, error_class
    raise AssertionError("the call did not fail")
