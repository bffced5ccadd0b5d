"""Fixtures of the target's tests."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from target_app import create_app
from target_app.settings import Settings
from tests.target_app import problems
from tests.target_app.gunicorn_server import Server
from tests.target_app.students import Student, sign_up


@pytest.fixture
def app(redis_url: str) -> Iterator[Flask]:
    """The application over a real RedisJSON with the seeded data; password hashes are cheap."""
    app = create_app(Settings(redis_url=redis_url, password_cost=10))
    yield app
    app.extensions["store"].close()


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    """A client of the application, without a server."""
    return app.test_client()


@pytest.fixture
def problem_document(client: FlaskClient) -> None:
    """Write a fresh document, with a value of each type, at `problems.URL`."""
    client.put(problems.URL, json={"text": "x", "number": 1, "list": [], "big": 1e308, "object": {}})


@pytest.fixture
def student(client: FlaskClient) -> Student:
    """A student who has signed up and in."""
    return sign_up(client)


@pytest.fixture
def start(tmp_path: Path, redis_url: str) -> Iterator[Callable[..., Server]]:
    """A function that starts servers; they are ended after the test."""
    servers: list[Server] = []

    def started(workers: int, url: str = redis_url, *options: str) -> Server:
        servers.append(Server(tmp_path, url, workers, *options))
        servers[-1].wait()
        return servers[-1]

    yield started
    for server in servers:
        server.process.stop()
