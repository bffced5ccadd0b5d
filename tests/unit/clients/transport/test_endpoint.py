"""How clients reach a server: TCP, TLS and Unix sockets, names and addresses; through Redis, which uses them all."""

import errno
import os
import resource
import socket
import ssl
import time

import gevent
import gevent.socket
import pytest
import redis
import trustme

from loadtest.clients.transport import endpoint
from loadtest.clients.transport.endpoint import Endpoint
from loadtest.clients.transport.stream import TransportError
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
    """Over TLS with certificates on both sides, small and large values and pipelines arrive unchanged."""
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


def test_a_certificate_that_cannot_be_trusted_is_a_tls_error(tls_redis):
    """An unknown authority, a wrong name and a missing client certificate each fail as tls, and nothing hangs."""
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
    """ssl_check_hostname and ssl_cert_reqs each relax their own check only."""
    port, files = tls_redis
    client, ca = f"ssl_certfile={files['client']}", f"ssl_ca_certs={files['ca']}"
    for url in (
        f"rediss://127.0.0.1:{port}?{client}&{ca}&ssl_check_hostname=false",
        f"rediss://127.0.0.1:{port}?{client}&ssl_cert_reqs=none",
    ):
        with client_of(url) as other:
            assert other.ping() is True


def test_tls_to_a_server_without_it_fails_in_time(redis_url):
    """A plain server does not understand the handshake: an error within the connect timeout, not a hung user."""
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
    """CLIENT SETNAME and SELECT are sent before the first request, and after each reconnect, and never counted."""
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


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_an_address_is_not_looked_up_in_a_thread(host, monkeypatch):
    """Its user waits for no thread, and its stack stays within one page of memory."""
    monkeypatch.setattr(gevent.socket, "getaddrinfo", None)
    assert [address[0] for _, address in Endpoint(host, 80)._addresses()] == [host]


@pytest.mark.parametrize(
    ("host", "expected"),
    [("10.0.0.1", True), ("fe80::1%eth0", True), ("10.0.1", False), ("1.2.3.400", False), ("", False)],
)
def test_a_host_is_an_address_or_a_name(host, expected):
    """A short form of an address is a name: the resolver decides its meaning."""
    assert endpoint.is_address(host) is expected


def test_a_timeout_of_the_caller_is_not_taken_for_ours():
    """A gevent.Timeout around a call goes through connect() unchanged."""
    with scripted_server(lambda _: gevent.sleep(2)) as url:
        silent = Endpoint("127.0.0.1", int(url.rpartition(":")[2]), tls=ssl.create_default_context())
        with gevent.Timeout(0.05) as outer, pytest.raises(gevent.Timeout) as caught:
            silent.connect(5)
        assert outer is caught.value
        with pytest.raises(TransportError, match=r"within 0\.05 s"):
            silent.connect(0.05)


@pytest.mark.parametrize("address", ["169.254.169.254", "2852039166", "[::ffff:169.254.169.254]", "[fe80::1]"])
def test_redis_at_a_closed_address_is_not_connected_to(address):
    """The address guard applies to Redis as to HTTP: the request fails as connect, and the error has the remedy."""
    with running_user(f"redis://{address}:6379") as user:
        with pytest.raises(redis.ConnectionError, match=r"where clouds serve .* LOADTEST_ALLOWED_HOSTS"):
            user.client.ping()
        assert Recorded(user).errors == {"connect": 1}


def test_a_name_that_does_not_resolve_is_a_dns_error():
    """A name without an address fails as dns and is quoted."""
    with pytest.raises(TransportError, match=r"'no-such-host\.invalid' does not resolve") as caught:
        Endpoint("no-such-host.invalid", 80).connect(5)
    assert caught.value.error_class == "dns"


@pytest.mark.parametrize("host", ["a" * 64, "a..b", "x\u2044y\ud800"])
def test_a_name_that_is_none_is_a_dns_error_and_no_traceback(host, capfd):
    """A server's redirection may contain such a name."""
    with pytest.raises(TransportError, match="does not resolve") as caught:
        Endpoint(host, 1).connect(5.0)
    assert caught.value.error_class == "dns"
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_running_out_of_files_is_the_generators_error(host):
    """Neither the resolver nor the service is blamed when this process may open no more files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with gevent.socket.create_server(("127.0.0.1", 0)) as listener:
        endpoint = Endpoint(host, listener.getsockname()[1])
        endpoint.connect(5).close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (listener.fileno() + 1, hard))
        held = []
        try:
            while not held or held[-1] is not None:
                held.append(_opened())
            with pytest.raises(TransportError, match="this process may not open more files: raise the limit") as caught:
                endpoint.connect(5)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            for file in held[:-1]:
                os.close(file)
    assert caught.value.error_class == "generator"


def _opened():
    """An open file; None when no more can be opened."""
    try:
        return os.open(os.devnull, os.O_RDONLY)
    except OSError:
        return None


def test_a_full_queue_of_a_unix_socket_is_waited_for(tmp_path):
    """A server that does not accept yet is retried until the timeout, and reached once it accepts."""
    path = str(tmp_path / "full.sock")
    with gevent.socket.socket(gevent.socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(0)
        held = [Endpoint(path=path).connect(1)]
        with pytest.raises(TransportError, match=r"within 0\.05 s"):
            held.extend(Endpoint(path=path).connect(0.05) for _ in range(10))
        gevent.spawn_later(0.05, lambda: held.append(listener.accept()[0]))
        held.append(Endpoint(path=path).connect(1))
        for stream in held:
            stream.close()


@pytest.mark.parametrize("first", ["silent", "refuses"])
def test_the_next_address_is_tried_in_parallel_with_a_silent_one(monkeypatch, first):
    """Of a name with two addresses, the second is soon reached when the first is silent or refuses."""
    with socket.create_server(("127.0.0.2", 0), backlog=0) as silent, gevent.socket.socket() as good:
        port = silent.getsockname()[1]
        good.bind(("127.0.0.3", port))
        good.listen()
        filler = [socket.socket() for _ in range(3)]
        for each in filler:  # a full backlog gets no more responses
            each.setblocking(False)
            each.connect_ex(("127.0.0.2", port))
        host = {"silent": "127.0.0.2", "refuses": "127.0.0.4"}[first]
        addresses = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, port)) for each in (host, "127.0.0.3")]
        monkeypatch.setattr(gevent.socket, "getaddrinfo", lambda *_args, **_options: addresses)
        began_s = time.monotonic()
        stream = Endpoint("two.example", port).connect(5)
        assert (stream.getpeername()[0], time.monotonic() - began_s < 2) == ("127.0.0.3", True)
        assert (time.monotonic() - began_s > 0.2) == (first == "silent")
        stream.close()
        monkeypatch.setattr(gevent.socket, "getaddrinfo", lambda *_args, **_options: addresses[:1])
        with pytest.raises(TransportError) as caught:
            Endpoint("one.example", port).connect(0.3)
        assert caught.value.error_class == ("timeout_connect" if first == "silent" else "connect")
        for each in filler:
            each.close()


NOWHERE = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("255.255.255.255", 9))


@pytest.fixture
def two_addresses(monkeypatch):
    """A port that is closed on 127.0.0.2, and a name that also has another address, in any order."""
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.2", 0))
        port = unheard.getsockname()[1]

        def resolve(*others, first):
            here = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.2", port))
            found = [here, *others] if first else [*others, here]
            monkeypatch.setattr(gevent.socket, "getaddrinfo", lambda *_args, **_options: found)
            return Endpoint("two.example", port)

        yield resolve


@pytest.mark.parametrize("first", [True, False])
def test_an_address_without_a_way_to_it_does_not_hide_why_another_refused(two_addresses, first):
    """A name may have an IPv6 address on a machine without IPv6; here the address is unroutable for TCP."""
    with pytest.raises(TransportError) as caught:
        two_addresses(NOWHERE, first=first).connect(5)
    assert (caught.value.error_class, str(caught.value).rpartition(": ")[2]) == ("connect", "Connection refused")


@pytest.mark.parametrize("first", [True, False])
def test_addresses_that_fail_in_different_ways_are_named_with_their_reasons(two_addresses, monkeypatch, first):
    """Each address has its own reason."""
    monkeypatch.setattr("loadtest.clients.transport.endpoint._has_way_to", lambda _address: True)
    with pytest.raises(TransportError) as caught:
        two_addresses(NOWHERE, first=first).connect(5)
    assert caught.value.error_class == "connect"
    assert "Connection refused (127.0.0.2)" in str(caught.value)
    assert "(255.255.255.255)" in str(caught.value)


@pytest.mark.parametrize("first", [True, False])
def test_a_limit_of_the_generator_at_one_address_is_the_reason(two_addresses, monkeypatch, first):
    """No free port for one address is the generator's fault, whatever the other address's reason."""
    monkeypatch.setattr(
        "loadtest.clients.transport.endpoint._has_way_to", lambda address: address[0] in ("127.0.0.2", "::1")
    )
    other = (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", 9, 0, 0))
    real = endpoint._begin_connecting

    def begin(stream, family, address):
        if family == socket.AF_INET6:
            return {stream.fileno(): errno.EADDRNOTAVAIL}
        return real(stream, family, address)

    monkeypatch.setattr(endpoint, "_begin_connecting", begin)
    with pytest.raises(TransportError) as caught:
        two_addresses(other, first=first).connect(5)
    assert caught.value.error_class == "generator"


def test_the_machine_of_a_container_is_advised_where_its_service_has_to_listen(monkeypatch):
    """A refusal by host.docker.internal says where the service has to listen."""
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.2", 0))
        found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", unheard.getsockname())]
        monkeypatch.setattr(gevent.socket, "getaddrinfo", lambda *_args, **_options: found)
        with pytest.raises(TransportError, match=r"Connection refused; a service of the machine .* 0\.0\.0\.0"):
            Endpoint("host.docker.internal", 8000).connect(5)
