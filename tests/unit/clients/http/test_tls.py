"""TLS: verification by default, failures by class, session reuse, and streams."""

import socket
import ssl

import gevent
import pytest
import trustme
from gevent.event import Event

from loadtest.clients.http.pool import ConnectionPool
from loadtest.clients.transport.stream import TlsStream
from loadtest.measuring.record import RunRecord
from loadtest.measuring.record_dict import as_dict
from loadtest.measuring.recorder import Recorder
from tests.http_harness import Peer, ScriptedServer, always, answering, counts, error_classes, ok, running_user

AUTHORITY = trustme.CA()
CERTIFICATE = AUTHORITY.issue_cert("localhost", "127.0.0.1")
OTHER_NAME = AUTHORITY.issue_cert("other.example")
STRANGER = trustme.CA().issue_cert("localhost")


def server_context(certificate=CERTIFICATE, version=None) -> ssl.SSLContext:
    """A server's context."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    if version is not None:
        context.maximum_version = version
    return context


def trusting() -> ssl.SSLContext:
    """A client's context that trusts the test's authority."""
    context = ssl.create_default_context()
    AUTHORITY.configure_trust(context)
    return context


def serving(script, certificate=CERTIFICATE, version=None) -> ScriptedServer:
    """A TLS server."""
    return ScriptedServer(script, ssl_context=server_context(certificate, version))


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_requests_over_tls_are_kept_and_whole(version):
    """Small, large and chunked bodies are sent over one verified TLS connection."""
    large = bytes(range(256)) * 4000
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
    script = answering(ok(b"a"), ok(large), chunked, ok(b"b"), ok(b"c"))
    with (
        serving(script, version=version) as server,
        running_user(f"https://localhost:{server.port}", ssl_context_factory=trusting) as user,
    ):
        assert [b"a", large, b"ok", b"b"] == [user.client.get("/").content for _ in range(4)]
        assert user.client.post("/", data=large).content == b"c"
        assert counts(user) == (5, 0)
        assert server.connections == 1


def test_the_phases_of_a_connection_are_timed_once():
    """Look-up, TCP and TLS of the connection that three requests share are timed by host and port."""
    with (
        serving(always(ok())) as server,
        running_user(f"https://localhost:{server.port}", ssl_context_factory=trusting) as user,
    ):
        for _ in range(3):
            user.client.get("/")
        record = RunRecord()
        record.add(Recorder.of(user.environment).take())
    (opened,) = as_dict(record)["connections"]
    assert opened["host"] == f"localhost:{server.port}"
    assert [opened[phase]["count"] for phase in ("dns", "connect", "tls", "waiting", "receiving")] == [1] * 5
    assert 0 < opened["tls"]["max_s"] < record.total().response_time.max_s
    assert record.requests == 3


def test_waiting_and_receiving_are_timed_where_a_response_comes_in_parts():
    """A response that arrives whole on a kept connection is not timed, since that path must cost nothing."""
    whole = ok(b"x" * 10)
    proceed = Event()

    def script(peer):
        for in_parts in (False, False, True, False):
            peer.read_request()
            if in_parts:
                peer.send(whole[:-5])
                proceed.wait()
            peer.send(whole[-5:] if in_parts else whole)

    with ScriptedServer(script) as server, running_user(server.url) as user:
        for count in (1, 1, 2, 2):
            waiting = gevent.spawn(user.client.get, "/")
            if count == 2:
                gevent.sleep(0.3)
                proceed.set()
            assert waiting.get().content == b"x" * 10
        record = RunRecord()
        record.add(Recorder.of(user.environment).take())
    (opened,) = as_dict(record)["connections"]
    assert [opened[phase]["count"] for phase in ("waiting", "receiving")] == [2, 2]
    assert 0 < opened["receiving"]["max_s"] <= record.total().service_time.max_s


@pytest.mark.parametrize(("certificate", "reason"), [(STRANGER, "self-signed|issuer"), (OTHER_NAME, "mismatch")])
def test_certificate_that_fails_is_a_tls_error(certificate, reason):
    """An unknown authority and a wrong name are refused with the reason, and nothing is sent."""
    with (
        serving(always(ok()), certificate) as server,
        running_user(f"https://localhost:{server.port}", ssl_context_factory=trusting) as user,
    ):
        response = user.client.get("/")
        with pytest.raises(Exception, match=reason):
            response.raise_for_status()
        assert error_classes(user) == {"tls": 1}


def test_system_authorities_are_the_default_and_insecure_turns_verification_off():
    """By default a private authority is refused; insecure=True accepts it."""
    with serving(always(ok(b"a"))) as server:
        with running_user(f"https://localhost:{server.port}") as user:
            assert user.client.get("/").error.error_class == "tls"
        with running_user(f"https://localhost:{server.port}", insecure=True) as user:
            assert user.client.get("/").content == b"a"


def test_peer_without_tls_is_a_tls_error():
    """A plain HTTP server behind an https URL is an error of the class tls."""
    with (
        ScriptedServer(lambda peer: peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as server,
        running_user(f"https://localhost:{server.port}", insecure=True, connection_timeout=5) as user,
    ):
        user.client.get("/")
        assert error_classes(user) == {"tls": 1}


def test_silent_handshake_ends_with_the_connect_timeout():
    """A server that accepts and stays silent is a connect timeout."""
    with (
        ScriptedServer(lambda _peer: gevent.sleep(2)) as server,
        running_user(f"https://localhost:{server.port}", insecure=True, connection_timeout=0.2) as user,
    ):
        user.client.get("/")
        assert error_classes(user) == {"timeout_connect": 1}


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_session_is_resumed_on_reconnect(monkeypatch, version):
    """A second connection of the same user resumes the first one's TLS session."""
    with (
        serving(always(ok(b"a", "Connection: close")), version=version) as server,
        running_user(f"https://localhost:{server.port}", ssl_context_factory=trusting) as user,
    ):
        resumed = []
        release = ConnectionPool.release

        def remember(pool, connection, reusable):
            assert isinstance(connection.stream, TlsStream)
            resumed.append(connection.stream.session_reused)
            release(pool, connection, reusable)

        monkeypatch.setattr(ConnectionPool, "release", remember)
        for _ in range(3):
            assert user.client.get("/").ok
        assert resumed == [False, True, True]
        assert server.connections == 3


def test_a_factory_of_the_user_makes_one_context_for_its_connections():
    """A factory that takes the user is called once, however many connections the user opens."""
    made = []

    def of_user(user) -> ssl.SSLContext:
        made.append(user)
        return trusting()

    with (
        serving(always(ok(b"a", "Connection: close"))) as server,
        running_user(f"https://localhost:{server.port}", ssl_context_factory=of_user) as user,
    ):
        assert all(user.client.get("/").ok for _ in range(3))
        assert (server.connections, made) == (3, [user])


@pytest.mark.parametrize("option", [0, ssl.OP_IGNORE_UNEXPECTED_EOF])
def test_cut_stream_is_not_taken_for_the_end(option):
    """A body that ends with the connection must end with close_notify; a mere close may be an attack.

    Python 3.11.2 sets the option with which OpenSSL does not report it.
    """

    def context() -> ssl.SSLContext:
        made = trusting()
        made.options |= option
        return made

    def script(peer: Peer) -> None:
        peer.read_request()
        peer.send(b"HTTP/1.1 200 OK\r\n\r\nhalf")
        raw = socket.socket(fileno=peer.sock.detach())
        raw.close()

    with (
        serving(script) as server,
        running_user(f"https://localhost:{server.port}", ssl_context_factory=context) as user,
    ):
        user.client.get("/")
        assert error_classes(user) == {"closed": 1}


def test_stream_that_ends_properly_is_whole():
    """With close_notify the same body is complete."""

    def script(peer: Peer) -> None:
        peer.read_request()
        peer.send(b"HTTP/1.1 200 OK\r\n\r\nwhole")
        peer.sock.unwrap()

    with (
        serving(script) as server,
        running_user(f"https://localhost:{server.port}", ssl_context_factory=trusting) as user,
    ):
        assert user.client.get("/").content == b"whole"


def test_idle_tls_connection_closed_by_the_server_is_replaced():
    """A kept TLS connection that the server closed is replaced without an error, even for a POST."""
    with (
        serving(answering(ok())) as server,
        running_user(f"https://localhost:{server.port}", ssl_context_factory=trusting) as user,
    ):
        for _ in range(3):
            assert user.client.post("/").ok
            gevent.sleep(0.05)
        assert counts(user) == (3, 0)
        assert server.connections == 3


def test_garbage_after_the_handshake_is_a_tls_error():
    """Bytes that are not TLS records fail the request as tls."""

    def script(peer: Peer) -> None:
        peer.read_request()
        raw = socket.socket(fileno=peer.sock.detach())
        raw.send(b"\x99" * 200)
        raw.close()

    with (
        serving(script) as server,
        running_user(f"https://localhost:{server.port}", ssl_context_factory=trusting) as user,
    ):
        user.client.get("/")
        assert error_classes(user) == {"tls": 1}


def test_response_smuggled_in_a_record_of_its_own_never_answers_the_next_request():
    """A second response that arrives with the first, but in another TLS record, is discarded."""

    def script(peer: Peer) -> None:
        while peer.read_request()[0]:
            peer.send(ok(b"first"), ok(b"smuggled")) if peer.number == 1 else peer.send(ok(b"second"))

    with (
        serving(script) as server,
        running_user(f"https://localhost:{server.port}", ssl_context_factory=trusting) as user,
    ):
        assert [user.client.get("/").content for _ in range(3)] == [b"first", b"second", b"second"]


def test_stream_that_is_read_slowly_loses_nothing():
    """Bytes that arrive over TLS while the scenario is busy are all there when it reads again."""
    pieces = [bytes([65 + number]) * 1000 for number in range(20)]

    def script(peer: Peer) -> None:
        peer.read_request()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 20000\r\n\r\n")
        for piece in pieces:
            peer.send(piece)
            gevent.sleep(0.005)
        peer.read_head()

    with (
        serving(script) as server,
        running_user(f"https://localhost:{server.port}", ssl_context_factory=trusting) as user,
    ):
        response = user.client.get("/", stream=True)
        received = b""
        for piece in response.iter_content(decode_content=False):
            received += piece
            gevent.sleep(0.012)
        assert received == b"".join(pieces)
