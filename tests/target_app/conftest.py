"""What the target's tests share."""

from collections.abc import Iterator

import pytest
from flask import Flask
from flask.testing import FlaskClient

from target_app import create_app
from target_app.settings import Settings


@pytest.fixture
def app(redis_url: str) -> Iterator[Flask]:
    """The application over a real RedisJSON that holds the seeded data; passwords cost little."""
    app = create_app(Settings(redis_url=redis_url, password_cost=10))
    yield app
    app.extensions["store"].close()


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    """Speaks to the application without a server."""
    return app.test_client()
