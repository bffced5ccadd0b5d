"""What all tests of the Redis client share."""

import pytest

from loadtest.clients.redis import connection as resp_connection


@pytest.fixture
def short_backoff(monkeypatch):
    """Keep the pauses between attempts to connect short."""
    monkeypatch.setattr(resp_connection, "BACKOFF_MAX_S", 0.1)
