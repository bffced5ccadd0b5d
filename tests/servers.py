"""Servers that tests share: a real Redis with RedisJSON, and the target in front of it."""

import logging
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from loadtest.local import redis_server
from loadtest.local.process import ManagedProcess, free_port
from target_app import seed


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Redis with RedisJSON for this test run, loaded with the documents that a run reads."""
    messages: list[str] = []
    with redis_server.running(tmp_path_factory.mktemp("redis") / "redis.log", messages.append) as url:
        notices = [text for text in messages if text.startswith(redis_server.IMITATION_NOTICE)]
        assert notices == [], "the tests need a real RedisJSON"
        seed.load(url, lambda _done, _total: None)
        yield url


@pytest.fixture(scope="session")
def target_url(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The target under Gunicorn for this test run, over `redis_url`."""
    with target(redis_url, tmp_path_factory.mktemp("target")) as url:
        yield url


@contextmanager
def target(redis_url: str, folder: Path) -> Iterator[str]:
    """Run the target under Gunicorn with one worker, and yield its URL."""
    port = free_port()
    environment = {
        "REDIS_URL": redis_url,
        "TARGET_APP_BIND": f"127.0.0.1:{port}",
        "TARGET_APP_WORKERS": "1",
        "TARGET_APP_PASSWORD_COST": "10",
        "TARGET_APP_TMP_DIR": str(folder),
    }
    command = [sys.executable, "-m", "gunicorn", "-c", "python:target_app.gunicorn_conf", "target_app:create_app()"]
    gunicorn = ManagedProcess("target", command, folder / "target.log", environment)
    try:
        gunicorn.wait_until(lambda: answers(f"http://127.0.0.1:{port}/healthz/ready"), 30)
        yield f"http://127.0.0.1:{port}"
    finally:
        gunicorn.stop()


def answers(url: str) -> bool:
    """Return whether a GET of the URL gives 200."""
    try:
        with urllib.request.urlopen(url, timeout=2) as response:
            return bool(response.status == 200)
    except urllib.error.HTTPError as error:
        with error:
            return False
    except OSError as error:
        logging.getLogger(__name__).debug("%s does not answer yet: %s", url, error)
        return False


@contextmanager
def imitation(folder: Path) -> Iterator[str]:
    """Run the imitation of Redis that the local stack falls back to, and yield its URL."""
    port = free_port()
    process = ManagedProcess("imitation", [sys.executable, "-c", redis_server._IMITATION, str(port)], folder / "log")
    try:
        process.wait_until(lambda: redis_server.answers_json(f"redis://127.0.0.1:{port}/0"), 30)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        process.stop()
