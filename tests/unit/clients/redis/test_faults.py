"""Faults between client and server: the exception, the class, and the recovery."""

import socket
import struct
import time

import gevent
import gevent.event
import pytest
import redis

from tests.redis_harness import Recorded, client_of, failure_of, private_redis, running_user, scripted_server

pytestmark = pytest.mark.usefixtures("short_backoff")


def test_a_killed_server_fails_the_request_under_way_and_is_found_again(redis_url, tmp_path):
    """A waiting request is reset or closed, the next ones cannot connect, and after a restart requests succeed."""
    with private_redis(redis_url, tmp_path) as server, running_user(server.url) as user:
        user.client.ping()
        gevent.spawn_later(0.1, server.process.kill)
        error, error_class = failure_of(user, lambda c: c.blpop("nothing", timeout=3))
        assert isinstance(error, redis.ConnectionError)
        assert error_class in {"closed", "reset"}
        server.process.kill()  # and wait: a dying server may still accept
        error, error_class = failure_of(user, lambda c: c.ping())
        assert (isinstance(error, redis.ConnectionError), error_class) == (True, "connect")
        server.start()
        assert user.client.ping() is True
        assert Recorded(user).errors == {}


def test_an_idle_connection_that_the_server_closed_costs_no_error(redis_url):
    """A connection killed while it is idle is replaced before the next request is sent."""
    with running_user(redis_url) as user, client_of(redis_url) as other:
        before = user.client.client_id()
        assert other.client_kill_filter(_id=before) == 1
        gevent.sleep(0.05)
        assert before != user.client.client_id()
        assert Recorded(user).errors == {}


def test_nothing_is_sent_twice():
    """A request whose connection breaks after the send is not repeated on the next connection."""
    received = []

    def script(sock):
        received.append(sock.recv(1000))
        sock.close()

    with scripted_server(script) as url, running_user(url) as user:
        assert failure_of(user, lambda c: c.incr("k"))[1] == "closed"
        assert len(received) == 1
    assert received[0].count(b"INCRBY") == 1


def test_a_slow_reply_times_out(redis_url, tmp_path):
    """A reply that takes longer than socket_timeout fails after about that time, and the next request succeeds."""
    with private_redis(redis_url, tmp_path) as server, running_user(f"{server.url}?socket_timeout=0.2") as user:
        server.admin.client_pause(5_000)
        started_s = time.monotonic()
        error, error_class = failure_of(user, lambda c: c.set("k", "late"))
        assert 0.2 <= time.monotonic() - started_s < 4
        assert (isinstance(error, redis.TimeoutError), error_class) == (True, "timeout_read")
        assert "in 0.2 s" in str(error)
        server.admin.client_unpause()
        assert user.client.ping() is True


def test_a_pipeline_times_out_as_a_whole(redis_url):
    """A pipeline whose last reply is late fails once, as timeout_read."""
    with running_user(f"{redis_url}?socket_timeout=0.1") as user:
        pipe = user.client.pipeline(transaction=False).ping().blpop("nothing", timeout=2)
        assert failure_of(user, lambda _: pipe.execute())[1] == "timeout_read"


def test_a_server_that_does_not_greet_times_out():
    """Connecting includes the handshake: a silent server fails as timeout_connect."""
    with (
        scripted_server(lambda _: gevent.sleep(2)) as url,
        running_user(f"{url}?protocol=3&socket_connect_timeout=0.1") as user,
    ):
        error, error_class = failure_of(user, lambda c: c.ping())
        assert (isinstance(error, redis.TimeoutError), error_class) == (True, "timeout_connect")


def test_a_failure_to_connect_is_counted_by_class(unused_port):
    """A closed port, a missing socket file and an unknown host each have their class."""
    for url, expected in (
        (f"redis://127.0.0.1:{unused_port}", "connect"),
        ("unix:///nowhere/redis.sock", "connect"),
        ("redis://no-such-host.invalid:6379", "dns"),
    ):
        with running_user(url) as user:
            error, error_class = failure_of(user, lambda c: c.ping())
            assert (isinstance(error, redis.ConnectionError), error_class) == (True, expected), url


@pytest.fixture
def unused_port():
    """A port without a listener."""
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        yield reserved.getsockname()[1]


def test_failed_connecting_is_slowed_down(unused_port):
    """A user that cannot connect tries a bounded number of times, however fast its tasks are."""
    with running_user(f"redis://127.0.0.1:{unused_port}") as user:
        attempts = 0
        end_s = time.monotonic() + 0.5
        while time.monotonic() < end_s:
            with pytest.raises(redis.ConnectionError):
                user.client.ping()
            attempts += 1
    assert 3 <= attempts <= 15


def test_a_reset_connection_is_counted_as_such():
    """A TCP reset instead of a reply is counted as reset."""

    def script(sock):
        sock.recv(1000)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()

    with scripted_server(script) as url, running_user(url) as user:
        assert failure_of(user, lambda c: c.get("k"))[1] == "reset"


def _blocked_pipeline(client):
    pipeline = client.pipeline(transaction=False)
    pipeline.blpop("nothing", timeout=4)
    pipeline.execute()


@pytest.mark.parametrize("call", [lambda c: c.blpop("nothing", timeout=4), _blocked_pipeline])
def test_a_request_whose_user_is_stopped_is_unfinished(redis_url, call):
    """A command or a pipeline without a reply when its user is killed counts with its age."""
    with running_user(redis_url) as user:
        user.client.ping()
        user.recorder.take()
        blocked = gevent.spawn(lambda: call(user.client))
        gevent.sleep(0.2)
        blocked.kill()
        taken = user.recorder.take()
        assert [(error.error_class, error.occurrences) for error in taken.errors] == [("unfinished", 1)]
        assert int(taken.requests.sum()) == 1
        assert 0.15 < taken.response_time.summaries.max() / 1e9 < 2


def test_a_limit_of_the_scenario_is_a_timeout(redis_url):
    """A gevent.Timeout around a call is the scenario's own time limit."""
    with running_user(redis_url) as user:
        with gevent.Timeout(0.05, False):
            user.client.blpop("nothing", timeout=4)
        assert [error.error_class for error in user.recorder.take().errors] == ["timeout_read"]
