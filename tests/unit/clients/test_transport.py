"""How the client reaches a server: TCP, TLS and Unix sockets, names and databases."""

import os
import socket
import ssl
import sys

import gevent
import pytest
import redis
import trustme

from loadtest.clients.transport import Endpoint, Poller, TransportError, open_wire
from loadtest.local.process import free_port
from tests.redis_harness import Recorded, client_of, private_redis, running_user, scripted_server


@pytest.fixture(scope="module")
def tls_redis(redis_url, tmp_path_factory):
    """A Redis that also speaks TLS and wants the client's certificate; yields the TLS port and the files' names."""
    folder = tmp_path_factory.mktemp("tls")
    authority, port = trustme.CA(), free_port()
    files = {name: str(folder / f"{name}.pem") for name in ("ca", "cert", "key", "client")}
    authority.cert_pem.write_to_path(files["ca"])
    issued = authority.issue_cert("localhost")
    issued.cert_chain_pems[0].write_to_path(files["cert"])
    issued.private_key_pem.write_to_path(files["key"])
    authority.issue_cert("client").private_key_and_cert_chain_pem.write_to_path(files["client"])
    keys = ("--tls-cert-file", files["cert"], "--tls-key-file", files["key"], "--tls-ca-cert-file", files["ca"])
    with private_redis(redis_url, folder, "--tls-port", str(port), *keys):
        yield port, files


@pytest.mark.parametrize("protocol", [2, 3])
def test_tls_carries_the_same_commands(tls_redis, protocol):
    """Over TLS with certificates of both sides, small and large values and pipelines arrive as they were."""
    port, files = tls_redis
    url = f"rediss://localhost:{port}/1?protocol={protocol}&ssl_ca_certs={files['ca']}&ssl_certfile={files['client']}"
    blob = os.urandom(3_000_000)
    with client_of(url) as client:
        assert client.set("blob", blob) is True
        assert blob == client.get("blob")
        assert [blob, True, blob] == client.pipeline(transaction=False).get("blob").ping().get("blob").execute()
        client.json().set("doc", "$", {"a": "ü" * 100_000})
        assert client.json().get("doc", "$.a") == ["ü" * 100_000]
        for turn in range(200):
            assert b"x" * turn * 100 == client.echo("x" * turn * 100)


def test_a_certificate_that_cannot_be_trusted_is_classed(tls_redis):
    """An unknown authority, a wrong name and no certificate of ours each fail as tls, and nothing hangs."""
    port, files = tls_redis
    client, ca = f"ssl_certfile={files['client']}", f"ssl_ca_certs={files['ca']}"
    for url in (f"rediss://localhost:{port}?{client}", f"rediss://127.0.0.1:{port}?{client}&{ca}"):
        with running_user(url) as user:
            with pytest.raises(redis.ConnectionError, match="certificate verify failed"):
                user.client.ping()
            assert Recorded(user).errors == {"tls": 1}
    with running_user(f"rediss://localhost:{port}?{ca}") as user:
        with pytest.raises(redis.ConnectionError):
            user.client.ping()
        assert sum(Recorded(user).errors.values()) == 1


def test_checks_of_the_certificate_can_be_relaxed(tls_redis):
    """ssl_check_hostname and ssl_cert_reqs let through what they say, and no more."""
    port, files = tls_redis
    client, ca = f"ssl_certfile={files['client']}", f"ssl_ca_certs={files['ca']}"
    for url in (
        f"rediss://127.0.0.1:{port}?{client}&{ca}&ssl_check_hostname=false",
        f"rediss://127.0.0.1:{port}?{client}&ssl_cert_reqs=none",
    ):
        with client_of(url) as other:
            assert other.ping() is True


def test_tls_to_a_server_without_it_fails_in_time(redis_url):
    """A plain server does not understand the handshake: an error within the time for connecting, not a hung user."""
    url = redis_url.replace("redis://", "rediss://") + "?socket_connect_timeout=0.3"
    with running_user(url) as user:
        with pytest.raises((redis.ConnectionError, redis.TimeoutError)):
            user.client.ping()
        ((error_class, _),) = Recorded(user).errors.items()
        assert error_class in {"tls", "timeout_connect"}


def test_a_unix_socket_carries_the_same_commands(redis_url, tmp_path):
    """unix:// reaches a server by its socket file, with database and name."""
    path = tmp_path / "redis.sock"
    with (
        private_redis(redis_url, tmp_path, "--unixsocket", str(path)),
        client_of(f"unix://{path}?db=4&client_name=nearby") as client,
    ):
        assert client.json().set("d", "$", [1]) is True
        assert client.client_getname() == "nearby"
        assert client.client_info()["db"] == 4


@pytest.mark.parametrize("protocol", [2, 3])
def test_a_connection_has_the_name_and_database_of_its_url(redis_url, protocol):
    """CLIENT SETNAME and SELECT are done before the first request, again after a reconnect, and never counted."""
    base = redis_url.rpartition("/")[0]
    with running_user(f"{base}/3?protocol={protocol}&client_name=probe") as user, client_of(redis_url) as other:
        for _ in range(2):
            info = user.client.client_info()
            assert ("probe", 3, protocol) == (info["name"], info["db"], int(info["resp"]))
            other.client_kill_filter(_id=info["id"])
            gevent.sleep(0.05)
        assert Recorded(user).requests == {("CLIENT INFO", "CLIENT INFO"): 2}


def test_a_name_with_several_addresses_is_tried_to_the_end(redis_url):
    """Localhost, which may mean ::1 first, reaches a server that listens on 127.0.0.1 only."""
    with client_of(redis_url.replace("127.0.0.1", "localhost")) as client:
        assert client.ping() is True


def test_a_timeout_of_somebody_else_is_not_taken_for_ours():
    """A gevent.Timeout around a call goes through open_wire unchanged."""
    with scripted_server(lambda _: gevent.sleep(2)) as url:
        silent = Endpoint("127.0.0.1", int(url.rpartition(":")[2]), tls=ssl.create_default_context())
        with gevent.Timeout(0.05) as outer, pytest.raises(gevent.Timeout) as caught:
            open_wire(silent, 5)
        assert outer is caught.value
        with pytest.raises(TransportError, match=r"within 0\.05 s"):
            open_wire(silent, 0.05)


def test_a_forked_process_gets_a_poller_of_its_own():
    """The parent's epoll set is never used by a child, which would take the parent's events."""
    parent = Poller.current()
    child = gevent.os.fork()
    if child == 0:
        os._exit(0 if Poller.current() is not parent else 1)
    _, status = gevent.os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert parent is Poller.current()


class _Party:
    """A greenlet that reads and then has something to send, and the log of both."""

    def __init__(self, log):
        self.log = log
        self.ours, theirs = socket.socketpair()
        self.theirs = theirs
        self.waiter = gevent.spawn(self._run)

    def _run(self):
        poller = Poller.current()
        poller.add(self.ours.fileno(), self)
        poller.wait()
        self.ours.recv(1)
        self.log.append("read")
        assert poller.defer(self)
        poller.wait()

    def transmit(self):
        self.log.append("sent")

    def close(self):
        self.waiter.kill()
        Poller.current().discard(self.ours.fileno())
        self.ours.close()
        self.theirs.close()


def test_what_a_batch_of_arrivals_has_to_send_goes_out_together():
    """Sixteen messages at a time, and the rest at the end of the batch; without a batch nothing is deferred."""
    log = []
    parties = [_Party(log) for _ in range(20)]
    gevent.sleep(0)
    for party in parties:
        party.theirs.send(b"x")
    gevent.sleep(0.05)
    assert log == ["read"] * 16 + ["sent"] * 16 + ["read"] * 4 + ["sent"] * 4
    assert not Poller.current().defer(parties[0])
    for party in parties:
        party.close()


def test_an_event_loop_with_closed_connections_only_can_end(redis_url):
    """When the last connection is closed, nothing keeps a process alive that has nothing else to do."""
    program = (
        "import gevent.monkey; gevent.monkey.patch_all()\n"
        "import gevent\n"
        "from tests.redis_harness import client_of\n"
        f"with client_of({redis_url!r}) as client: client.ping()\n"
        "try: gevent.get_hub().switch()\n"
        "except gevent.exceptions.LoopExit: print('ended')\n"
    )
    done = gevent.subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=30, check=False)
    assert done.stdout == b"ended\n", done.stderr
