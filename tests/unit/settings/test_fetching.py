"""This product's own requests: where they may go, and by which way."""

import http.server
import threading
import urllib.error
from collections.abc import Iterator
from urllib.parse import unquote

import pytest

from loadtest.settings import hosts
from loadtest.settings.fetching import fetch


class Site(http.server.ThreadingHTTPServer):
    """A service on this machine that redirects where a path says, and remembers the requests."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.requests: list[str] = []


class Answer(http.server.BaseHTTPRequestHandler):
    """Answers one request."""

    server: Site

    def do_GET(self) -> None:
        """Redirect for /to/URL, 404 for /missing."""
        self.server.requests.append(self.path)
        target = unquote(self.path.partition("/to/")[2])
        self.send_response(302 if target else 404 if self.path == "/missing" else 200)
        if target:
            self.send_header("Location", target)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def site() -> Iterator[Site]:
    """A running site."""
    with Site() as site:
        thread = threading.Thread(target=site.serve_forever)
        thread.start()
        yield site
        site.shutdown()
        thread.join()


def test_no_proxy_is_between_this_machine_and_itself(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The proxy variables are for what is elsewhere."""
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    with fetch(site.url, 5.0) as answer:
        assert answer.status == 200
    with pytest.raises(OSError, match="refused"):
        fetch("http://service.invalid/", 5.0)


@pytest.mark.parametrize(
    "target", ["http://169.254.169.254/latest", "http://[fd20:ce::254]/", "ftp://127.0.0.1/x", "file:///etc/passwd"]
)
def test_a_redirect_leads_to_no_closed_address_and_no_other_scheme(site: Site, target: str) -> None:
    """Neither a redirect nor the URL itself."""
    with pytest.raises((OSError, ValueError), match=r"clouds serve credentials|http or https|not allowed") as refused:
        fetch(f"{site.url}/to/{target}", 5.0)
    if isinstance(refused.value, urllib.error.HTTPError):
        refused.value.close()
    with pytest.raises((OSError, ValueError), match=r"clouds serve credentials|no http or https URL"):
        fetch(target, 5.0)


def test_a_name_that_changes_its_address_is_left_at_once(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The address of the connection is what counts, and nothing is sent over it."""
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
    """It can be read, as urllib's."""
    with pytest.raises(urllib.error.HTTPError) as error:
        fetch(f"{site.url}/missing", 5.0)
    with error.value:
        assert error.value.code == 404
