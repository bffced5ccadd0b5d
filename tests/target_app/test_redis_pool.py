"""The pool of connections to Redis."""

from collections.abc import Iterator

import pytest
import redis

from target_app.redis_pool import RedisPool, exchange


@pytest.fixture
def pool(redis_url: str) -> Iterator[RedisPool]:
    """A pool of one connection."""
    pool = RedisPool(redis_url, 1, 0.3)
    yield pool
    pool.close()


def test_a_caller_beyond_the_bound_gets_an_error(pool: RedisPool) -> None:
    """A caller beyond the bound waits for the timeout and gets an error; afterwards the connection is usable again."""
    with pool.connection(), pytest.raises(redis.ConnectionError, match="all 1 connections are in use"):
        pool.run("PING")
    assert pool.run("PING") == b"PONG"


def test_connections_are_used_again(pool: RedisPool) -> None:
    """Successive commands share a connection."""
    assert len({pool.run("CLIENT", "ID") for _ in range(5)}) == 1


def test_an_error_reply_leaves_the_connection_usable(pool: RedisPool) -> None:
    """An error reply is raised, and the next command gets its own reply."""
    client = pool.run("CLIENT", "ID")
    with pytest.raises(redis.ResponseError, match="unknown command"):
        pool.run("NONSENSE")
    assert pool.run("CLIENT", "ID") == client


def test_a_failed_exchange_does_not_answer_the_next_command(pool: RedisPool) -> None:
    """Unread replies are discarded with their connection."""
    with pytest.raises(redis.ResponseError), pool.connection() as connection:
        exchange(connection, ("ECHO", "first"), ("NONSENSE",), ("ECHO", "unread"))
    assert pool.run("ECHO", "mine") == b"mine"


def test_a_slow_reply_does_not_answer_the_next_command(pool: RedisPool) -> None:
    """After a timeout the late reply is discarded with its connection."""
    with pytest.raises(redis.TimeoutError):
        pool.run("BLPOP", "loadtest:test:nothing", 1)
    assert pool.run("ECHO", "mine") == b"mine"
