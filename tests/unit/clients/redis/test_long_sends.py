"""Commands that the kernel does not accept in one call."""

import socket
import time

import gevent
import gevent.event
import pytest

from loadtest.clients.redis import connection as resp_connection
from tests.redis_harness import client_of, failure_of, running_user, scripted_server

pytestmark = pytest.mark.usefixtures("short_backoff")


@pytest.mark.parametrize("protocol", [2, 3])
def test_large_commands_and_replies_come_through_whole(redis_url, protocol):
    """Twenty megabytes each way, more than any kernel buffer, arrive unchanged."""
    blob = bytes(range(256)) * 80_000
    with client_of(f"{redis_url}?protocol={protocol}&socket_timeout=20") as client:
        assert client.set("blob", blob) is True
        assert blob == client.get("blob")
        assert [blob, True, blob] == client.pipeline(transaction=False).get("blob").ping().get("blob").execute()
        client.delete("blob")
        document = {"items": [{"n": number, "text": "x" * 50} for number in range(20_000)]}
        client.json().set("large", "$", document)
        assert document == client.json().get("large")
        client.delete("large")


def test_a_server_that_stops_reading_times_the_send_out():
    """A command that the server never takes fails as timeout_read and does not hang."""
    with (
        scripted_server(lambda _: gevent.sleep(3)) as url,
        running_user(f"{url}?socket_timeout=0.2") as user,
    ):
        started_s = time.monotonic()
        assert failure_of(user, lambda c: c.set("k", b"x" * 30_000_000))[1] == "timeout_read"
        assert time.monotonic() - started_s < 1.5


def test_a_reply_may_come_before_the_command_is_out():
    """A reply that arrives while a long command is still being sent is that command's reply."""

    def script(sock):
        sock.recv(1000)
        sock.sendall(b"+OK\r\n")
        gevent.sleep(0.05)
        while sock.recv(1_000_000):
            pass

    with scripted_server(script) as url, client_of(f"{url}?socket_timeout=3") as client:
        assert client.set("k", b"x" * 30_000_000) is True


def test_an_early_error_ends_a_long_send():
    """A server that replies and closes while the command is still being sent is noticed."""

    def script(sock):
        sock.recv(1000)
        sock.sendall(b"-ERR Protocol error: too big\r\n")
        sock.close()

    with scripted_server(script) as url, running_user(url) as user:
        assert failure_of(user, lambda c: c.set("k", b"x" * 30_000_000))[1] in {"redis_error", "reset", "closed"}


def test_a_deferred_command_that_the_kernel_does_not_take_whole_arrives_whole(redis_url, monkeypatch):
    """Deferring may meet a full buffer; the greenlet then sends the rest itself, as with any long command."""
    monkeypatch.setattr(resp_connection, "_SHORT_BYTES", 100_000_000)
    blob = b"x" * 30_000_000
    with client_of(redis_url) as client:
        for turn in range(3):
            assert client.set("blob", blob) is True
            assert len(blob) == client.strlen("blob"), turn


def test_a_deferred_command_that_cannot_be_sent_is_an_error(redis_url):
    """A command deferred to be sent with others fails like any other if its connection broke."""
    with running_user(redis_url) as user:
        assert user.client.ping() is True
        user.client._session.connection.stream.shutdown(socket.SHUT_WR)
        assert failure_of(user, lambda c: c.ping())[1] == "reset"
        assert user.client.ping() is True


@pytest.mark.parametrize(("sent", "expected"), [(b"?", "protocol"), (b"+OK\r\n+OK\r\n", "protocol"), (b"", "closed")])
def test_what_ends_a_connection_ends_a_long_send(sent, expected):
    """Garbage, too many replies and the end of the stream each end a command that the server has stopped reading."""

    def script(sock):
        sock.recv(1000)
        if sent:
            sock.sendall(sent)
        else:
            sock.shutdown(socket.SHUT_WR)
        gevent.sleep(2)

    with scripted_server(script) as url, running_user(f"{url}?socket_timeout=1.5") as user:
        started_s = time.monotonic()
        assert failure_of(user, lambda c: c.set("k", b"x" * 30_000_000))[1] == expected
        assert time.monotonic() - started_s < 1
