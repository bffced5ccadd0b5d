"""Greenlets that share a client, are killed, or send much: each gets its own reply."""

import contextlib
import gc
import itertools
import random
import warnings

import gevent
import gevent.event
import pytest
import redis

from loadtest.clients.transport.deadlines import DeadlineSweeper
from loadtest.clients.transport.poller import Poller
from tests.redis_harness import client_of, failure_of, running_user

pytestmark = pytest.mark.usefixtures("short_backoff")

pytestmark = pytest.mark.usefixtures("short_backoff")


def test_a_killed_greenlet_leaves_no_reply_to_the_next(redis_url):
    """The reply to an aborted request never reaches another request."""
    with client_of(redis_url) as client:
        client.set("own", "right")
        client.rpush("list", "wrong")
        for pause_s in (0, 0.0001, 0.01):
            victim = gevent.spawn(lambda: [client.lrange("list", 0, -1) for _ in range(1000)])
            gevent.sleep(pause_s)
            victim.kill()
            assert client.get("own") == b"right"
        with gevent.Timeout(0.05, False):
            client.blpop("nothing", timeout=3)
        assert client.get("own") == b"right"
        client.delete("own", "list")


def test_closing_a_client_wakes_who_waits_on_it(redis_url):
    """A request in flight ends as closed when another greenlet closes the client, and no greenlet hangs."""
    with running_user(redis_url) as user:
        waiting = gevent.spawn(lambda: failure_of(user, lambda c: c.blpop("nothing", timeout=4)))
        gevent.sleep(0.05)
        user.client.close()
        error, error_class = waiting.get(timeout=2)
        assert (isinstance(error, redis.ConnectionError), error_class) == (True, "closed")
        assert user.client.ping() is True


def test_greenlets_that_share_a_client_get_their_own_replies(redis_url):
    """Thirty greenlets on one client use several connections, and never get each other's replies."""
    with client_of(redis_url) as client:

        def work(number):
            for turn in range(50):
                assert f"{number}:{turn}".encode() == client.echo(f"{number}:{turn}")
            return client.client_id()

        workers = [gevent.spawn(work, number) for number in range(30)]
        gevent.joinall(workers, raise_error=True)
        assert len({each.value for each in workers}) > 1


def test_no_reply_goes_astray_in_a_storm(redis_url):
    """Greenlets that sleep, are killed, time out or lose their connection at random never get another's reply."""
    dice = random.Random(7)
    wrong: list[tuple[bytes, bytes]] = []
    answered = 0

    def work(client, name):
        nonlocal answered
        for turn in itertools.count():
            token = f"{name}:{turn}".encode() * dice.choice((1, 1, 1, 5_000))
            with contextlib.suppress(redis.ConnectionError, redis.TimeoutError):
                if dice.random() < 0.01:
                    client.blpop("nothing", timeout=1)
                replies = client.pipeline(transaction=False).echo(token).echo(token).execute()
                wrong.extend((token, reply) for reply in [client.echo(token), *replies] if reply != token)
                answered += 1
            if dice.random() < 0.2:
                gevent.sleep(dice.choice((0, 0.001)))

    with contextlib.ExitStack() as stack:
        urls = [f"{redis_url}?socket_timeout=0.1&protocol={2 + number % 2}" for number in range(12)]
        clients = [stack.enter_context(client_of(url)) for url in urls]
        admin = stack.enter_context(client_of(redis_url))
        workers = [gevent.spawn(work, client, f"{number}") for number, client in enumerate(clients * 3)]
        for round_number in range(60):
            gevent.sleep(0.02)
            victim = dice.randrange(len(workers))
            workers[victim].kill(block=False)
            workers[victim] = gevent.spawn(work, dice.choice(clients), f"again:{round_number}")
            if round_number % 10 == 0:
                admin.client_kill_filter(_type="normal", skipme=True)
            if round_number % 10 == 5:
                dice.choice(clients).close()
        gevent.killall(workers)
    assert wrong == []
    assert answered > 100


def test_too_many_requests_of_one_user_at_once_are_refused(redis_url):
    """The number of connections per user is bounded, and the error says so."""
    with client_of(redis_url) as client:
        workers = [gevent.spawn(client.blpop, "nothing", timeout=1) for _ in range(80)]
        gevent.joinall(workers)
        refused = [each.exception for each in workers if each.exception is not None]
        assert len(refused) == 80 - 64
        assert all(isinstance(each, redis.exceptions.MaxConnectionsError) for each in refused)


def test_closed_connections_leave_nothing_behind(redis_url):
    """Fifty users that come and go leave no watched connection, no polled descriptor and no warning."""
    sweeper, poller = DeadlineSweeper.current(), Poller.current()
    gc.collect()
    before = len(sweeper.watched), len(poller)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(50):
            with client_of(redis_url) as client:
                client.ping()
        gc.collect()
    assert before == (len(sweeper.watched), len(poller))
