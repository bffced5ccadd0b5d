"""The RedisJSON comparisons: this product's RedisJsonUser, redis-py in a plain Locust user, and redis-benchmark."""

import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis

from bench.engine.measuring import SERVER_CORE, Comparison, Subject
from bench.engine.redis_documents import LARGE, LARGE_DOCUMENT, SMALL, SMALL_DOCUMENT
from loadtest.local import redis_server, redisjson_module
from loadtest.local.process import ManagedProcess, free_port

_USERS = 64
_LOCUSTFILE = str(Path(__file__).with_name("redis_users.py"))
_LOCUST = (sys.executable, "-m", "locust", "-f", _LOCUSTFILE, "--headless", "--only-summary", "-t", "10m")
_REDIS_PY = "redis-py in a Locust User"
_BENCHMARK = "redis-benchmark"


class RedisUnderLoad:
    """A Redis on a core of its own that counts the JSON.GETs it has executed."""

    def __init__(self, port: int) -> None:
        """Fill the server at this port with the documents."""
        self.environment = {"REDIS_URL": f"redis://127.0.0.1:{port}", "REDIS_PORT": str(port)}
        self._client = redis.Redis(port=port, protocol=2)
        self._client.json().set(SMALL, "$", SMALL_DOCUMENT)
        self._client.json().set(LARGE, "$", LARGE_DOCUMENT)

    def served(self) -> int:
        """Return the number of JSON.GETs executed so far."""
        return int(self._client.info("commandstats").get("cmdstat_json.get", {"calls": 0})["calls"])

    def close(self) -> None:
        """Close the connection."""
        self._client.close()


@contextmanager
def running() -> Iterator[RedisUnderLoad]:
    """Run a Redis with RedisJSON, pinned to another core than the generator."""
    taskset = ["taskset", "-c", str(SERVER_CORE)]
    module = ["--loadmodule", str(_module())]
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        options = ["--port", str(port), "--bind", "127.0.0.1", "--dir", folder, "--save", ""]
        process = ManagedProcess("redis", [*taskset, "redis-server", *options, *module], Path(folder) / "redis.log")
        try:
            process.wait_until(lambda: redis_server.answers_json(f"redis://127.0.0.1:{port}"), 20)
            server = RedisUnderLoad(port)
            yield server
            server.close()
        finally:
            process.kill()


def _module() -> Path:
    """Return the path of RedisJSON, which ``make setup`` or the first test has put into the cache."""
    found = [path for path in (redisjson_module.FILE, Path(".cache/rejson.so")) if path.exists()]
    if not found:
        raise SystemExit(f"{redisjson_module.FILE} is missing; run `make loadtest` once")
    return found[0].resolve()


def _ours(work: str, name: str = "RedisJsonUser of this product") -> Subject:
    return _locust(f"Our{work}", name, is_ours=True)


def _redis_py(work: str) -> Subject:
    return _locust(f"Plain{work}", _REDIS_PY)


def _locust(user_class: str, name: str, *, is_ours: bool = False) -> Subject:
    """Return a run of Locust's real command line with one User class."""
    load = ("-u", str(_USERS), "-r", str(_USERS), user_class)
    return Subject(name, (*_LOCUST, *load), {"LOCUST_SKIP_UPDATE_CHECK": "1"}, is_ours=is_ours)


def _benchmark() -> list[Subject]:
    """Return Redis's own generator, if the package redis-tools is installed."""
    program = shutil.which("redis-benchmark")
    if program is None:
        return []
    load = ("-p", "{REDIS_PORT}", "-c", str(_USERS), "-n", "1000000000", "-q", "JSON.GET", SMALL, ".")
    return [Subject(_BENCHMARK, (program, *load))]


def comparisons() -> list[Comparison]:
    """Return every RedisJSON comparison, in the tables' order."""
    users = f"{_USERS} users, each with its own connection; Redis on another core counts the commands."
    pairs = [
        ("json-get", "JSON.GET of a small document, parsed", "JsonGet", (5.0, 6.5)),
        ("json-pipeline", "Ten JSON.GETs of a small document in one pipeline, parsed", "Pipeline", (10.0, 12.0)),
        ("json-large", "JSON.GET of 14 kB, parsed", "LargeParsed", (2.5, 3.5)),
        ("json-large-raw", "JSON.GET of 14 kB, left as bytes", "LargeRaw", (4.0, 5.0)),
    ]
    rows = [
        Comparison(key, title, "commands", [_ours(work), _redis_py(work)], running, {_REDIS_PY: floors}, users)
        for key, title, work, floors in pairs
    ]
    raw = Comparison(
        "json-get-raw",
        "JSON.GET of a small document, left as bytes",
        "commands",
        [_ours("JsonGetRaw"), *_benchmark()],
        running,
        {_BENCHMARK: (0.7, 0.9)},
        f"{users} redis-benchmark repeats one encoded command, records no single requests and parses no JSON.",
    )
    return [rows[0], raw, *rows[1:]]
