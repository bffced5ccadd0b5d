"""This product's own requests: their permitted targets, and proxies."""

import contextlib
import http.server
import socketserver
import sys
import threading
from collections.abc import Iterator
from functools import partial
from urllib.parse import unquote

import pytest
from click.testing import CliRunner

from loadtest.cli import main
from loadtest.settings import hosts
from loadtest.settings.fetching import fetch


class Site(http.server.ThreadingHTTPServer):
    """A service on this machine that redirects by path, and records the requests."""

    def __init__(self, address: str = "127.0.0.1") -> None:
        super().__init__((address, 0), Answer)
        self.url = f"http://{address}:{self.server_address[1]}"
        self.requests: list[str] = []


class Answer(http.server.BaseHTTPRequestHandler):
    """Responds to one request."""

    server: Site

    def do_GET(self) -> None:
        """Redirect for /to/URL, 404 for /missing."""
        self.server.requests.append(self.path)
        target = unquote(self.path.partition("/to/")[2])
        self.send_response(302 if target else 404 if self.path == "/missing" else 200)
        if target:
            self.send_header("Location", target)
        self.send_header("Content-Length", "4")
        self.end_headers()
        self.wfile.write(b"none")

    def do_HEAD(self) -> None:
        """See `do_GET`."""
        self.do_GET()

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@contextlib.contextmanager
def running(site: Site) -> Iterator[Site]:
    """Serve, for as long as the context lasts."""
    with site:
        thread = threading.Thread(target=site.serve_forever)
        thread.start()
        yield site
        site.shutdown()
        thread.join()


@pytest.fixture
def site() -> Iterator[Site]:
    """A running site."""
    with running(Site()) as site:
        yield site


def test_no_proxy_is_between_this_machine_and_itself(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The proxy variables apply to other machines only."""
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    port = site.url.rpartition(":")[2]
    for here in ("127.0.0.1", "localhost", "127.1", "2130706433", "0.0.0.0"):  # noqa: S104
        assert fetch(f"http://{here}:{port}", 5.0).status == 200
    with pytest.raises(OSError, match="refused"):
        fetch("http://service.invalid/", 5.0)


@pytest.mark.parametrize("target", ["http://169.254.169.254/latest", "http://[fd20:ce::254]/", "http://2852039166/"])
def test_a_redirect_leads_to_no_closed_address(site: Site, target: str) -> None:
    """This applies to redirects and to the URL itself."""
    for url in (f"{site.url}/to/{target}", target):
        with pytest.raises(OSError, match="clouds serve credentials"):
            fetch(url, 5.0)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere this machine has one address of loopback")
@pytest.mark.parametrize("command", [("init", "--openapi"), ("doctor", "--host")], ids=" ".join)
def test_no_command_is_redirected_there(site: Site, command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """A local address stands for one at which clouds serve credentials."""
    invoke = partial(CliRunner().invoke, main)
    with running(Site("127.0.0.2")) as cloud:
        invoke([*command, f"{site.url}/to/{cloud.url}/latest"])
        assert (cloud.requests, len(site.requests) > 0) == (["/latest"], True)
        cloud.requests.clear()
        monkeypatch.setattr(hosts, "CLOSED", (*hosts.CLOSED, hosts.ipaddress.ip_network("127.0.0.2/32")))
        hosts.is_closed.cache_clear()
        try:
            invoke([*command, f"{site.url}/to/{cloud.url}/latest"])
        finally:
            hosts.is_closed.cache_clear()
        assert cloud.requests == []


def test_a_redirect_leads_to_no_other_scheme(site: Site) -> None:
    """The redirect is not followed; the URL itself is refused."""
    for target in ("file:///etc/passwd", "redis://127.0.0.1/"):
        assert fetch(f"{site.url}/to/{target}", 5.0).status == 302
    for url in ("file:///etc/passwd", "ftp://127.0.0.1/x", f"{site.url}/to/ftp://127.0.0.1/x"):
        with pytest.raises(ValueError, match="not an http or https URL"):
            fetch(url, 5.0)


def test_what_is_elsewhere_redirects_nobody_to_this_machine(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Local services trust local clients; here one of them plays a remote service."""
    monkeypatch.setattr("loadtest.settings.fetching._is_here", lambda _url: False)
    for inside in (site.url, site.url.replace("127.0.0.1", "2130706433"), site.url.replace("127.0.0.1", "localhost")):
        with pytest.raises(OSError, match="redirects to this machine"):
            fetch(f"{site.url}/to/{inside}/stop", 5.0)
    assert "/stop" not in site.requests


@pytest.mark.parametrize("start", [b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\n\r\n"], ids=["head", "body"])
def test_a_server_that_sends_a_byte_now_and_then_is_let_go(start: bytes) -> None:
    """The limit applies to the whole response, not to each read."""

    class Slow(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with contextlib.suppress(OSError):
                self.request.sendall(start)
                while not ended.wait(0.05):
                    self.request.sendall(b"a")

    ended = threading.Event()
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Slow) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with pytest.raises(TimeoutError, match="the whole answer"):
            fetch(f"http://127.0.0.1:{server.server_address[1]}/", 0.5)
        ended.set()
        server.shutdown()


def test_an_answer_is_bounded(site: Site) -> None:
    """A larger one is not stored; one that is not HTTP is a network error."""
    assert fetch(f"{site.url}/missing", 5.0, most_bytes=4).body == b"none"
    with pytest.raises(OSError, match="larger than 3 bytes"):
        fetch(f"{site.url}/missing", 5.0, most_bytes=3)


def test_a_name_that_changes_its_address_is_left_at_once(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The address of the connection is checked, and nothing is sent over it."""
    monkeypatch.setattr("loadtest.settings.fetching.closed_address_of", lambda _host: None)
    monkeypatch.setattr(hosts, "CLOSED", (*hosts.CLOSED, hosts.ipaddress.ip_network("127.0.0.0/8")))
    hosts.is_closed.cache_clear()
    try:
        with pytest.raises(OSError, match="clouds serve credentials"):
            fetch(site.url, 5.0)
    finally:
        hosts.is_closed.cache_clear()
    assert site.requests == []


def test_an_error_of_the_server_is_an_answer(site: Site) -> None:
    """Its body can be read."""
    assert fetch(f"{site.url}/missing", 5.0)[::2] == (404, b"none")
