"""URLs: their syntax and their targets."""

import socket
import tempfile
from pathlib import Path
from urllib.parse import quote

import gevent
import gevent.socket
import pytest
from gevent.server import StreamServer

from loadtest.clients.http.errors import InvalidRequestError
from loadtest.clients.http.pool import MAX_CONNECTIONS
from loadtest.clients.http.url import Origin, parse
from tests.http_harness import ScriptedServer, always, counts, error_classes, ok, running_user


@pytest.mark.parametrize(
    ("text", "origin", "authority", "target"),
    [
        ("http://h", ("http", "h", 80), "h", "/"),
        ("HTTP://H:80/", ("http", "h", 80), "h", "/"),
        ("https://h:443?q", ("https", "h", 443), "h", "/?q"),
        ("https://h:8443/a;b?c=d#e", ("https", "h", 8443), "h:8443", "/a;b?c=d"),
        ("http://[::1]:8080/x", ("http", "::1", 8080), "[::1]:8080", "/x"),
        ("http://[::1]/x", ("http", "::1", 80), "[::1]", "/x"),
        ("http://bücher.example/ä?ö", ("http", "xn--bcher-kva.example", 80), "xn--bcher-kva.example", "/%C3%A4?%C3%B6"),
        ("http://h/100%25 a|b", ("http", "h", 80), "h", "/100%25%20a%7Cb"),
        ("http://straße.de/", ("http", "xn--strae-oqa.de", 80), "xn--strae-oqa.de", "/"),
        ("http://h/100%?a=%zz&b=%4", ("http", "h", 80), "h", "/100%25?a=%25zz&b=%254"),
        ("http+unix://%2Frun%2Fa.sock/x?y", ("http+unix", "/run/a.sock", 0), "localhost", "/x?y"),
    ],
)
def test_url_is_parsed(text, origin, authority, target):
    """Scheme, host, port, Host field and target of common and odd URLs are right."""
    url = parse(text)
    assert Origin.of(*origin) is url.origin
    assert (authority, target) == (url.origin.authority, url.target)


def test_credentials_leave_the_url():
    """Name and password are removed and decoded, and do not show in the URL's text."""
    url = parse("http://n%40me:p%3Ass@h:81/x")
    assert (url.credentials, url.text) == (("n@me", "p:ss"), "http://h:81/x")


def serve(listener) -> StreamServer:
    """A server on any kind of listening socket."""

    def handle(sock, _address):
        with sock:
            while sock.recv(65536):
                sock.sendall(ok(b"reached"))

    server = StreamServer(listener, handle)
    server.start()
    return server


def test_ipv6_is_reached():
    """An IPv6 address works as a host, brackets included."""
    listener = gevent.socket.socket(socket.AF_INET6)
    listener.bind(("::1", 0))
    listener.listen()
    server = serve(listener)
    try:
        with running_user(f"http://[::1]:{listener.getsockname()[1]}") as user:
            assert [user.client.get("/").text for _ in range(2)] == ["reached"] * 2
    finally:
        server.stop(timeout=0)


def test_unix_socket_is_reached():
    """A percent-encoded socket path works as a host, also for kept connections; a missing socket is a connect error."""
    with tempfile.TemporaryDirectory() as directory:
        path = str(Path(directory) / "s")
        listener = gevent.socket.socket(socket.AF_UNIX)
        listener.bind(path)
        listener.listen()
        server = serve(listener)
        try:
            with running_user(f"http+unix://{quote(path, safe='')}") as user:
                assert [user.client.get("/a").text for _ in range(2)] == ["reached"] * 2
        finally:
            server.stop(timeout=0)
        with running_user(f"http+unix://{quote(path + 'x', safe='')}") as user:
            assert user.client.get("/a").error.error_class == "connect"


@pytest.mark.parametrize(
    "url",
    [
        *("ftp://x", "htps://x", "ws://x/y", "HTPP://x", " ftp://x", "ftp:/x", "http:/x", "file:///x", "ftp:x"),
        *(
            "http:x",
            "mailto:a@b",
            "data:text/plain,x",
            "javascript:alert(1)",
            "localhost:80/x",
            "127.0.0.1:80",
            ":80/x",
        ),
    ],
)
def test_a_call_with_another_scheme_is_refused_by_name(url):
    """A URL with a scheme is never a path of the user's host: an unknown scheme is refused and counted."""
    with ScriptedServer(always(ok())) as server, running_user(server.url) as user:
        with pytest.raises(InvalidRequestError, match=r"has the scheme|names no host"):
            user.client.get(url)
        assert error_classes(user) == {"exception": 1}
        assert server.connections == 0


@pytest.mark.parametrize("path", ["/a?to=ftp://x", "a/http://x", "?u=http://x", "//x"])
def test_a_path_may_hold_a_url(path):
    """A colon or a URL within a path or query leaves the URL relative to the user's host."""
    with ScriptedServer(always(ok())) as server, running_user(server.url) as user:
        assert user.client.get(path).ok
        user.client.base_url += "/"
        assert user.client.get("items:1").request.url == f"{server.url}/items:1"


def test_hosts_are_without_number_and_connections_are_not():
    """A process may use any number of hosts; a user keeps only its most recently used connections."""
    open_now = 0

    def script(peer):
        nonlocal open_now
        open_now += 1
        try:
            always(ok())(peer)
        finally:
            open_now -= 1

    with ScriptedServer(script, address="0.0.0.0") as server, running_user(server.url) as user:  # noqa: S104
        hosts = [f"http://127.1.{number // 250}.{1 + number % 250}:{server.port}/" for number in range(4300)]
        for url in hosts[:-150]:
            parse(url)
        for url in hosts[-150:]:
            user.client.get(url, name="tenant")
        assert counts(user) == (150, 0)
        gevent.sleep(0.05)
        assert (open_now, len(user.client._pool.idle)) == (MAX_CONNECTIONS, MAX_CONNECTIONS)
        user.client.get(hosts[-1])
        assert server.connections == 150
