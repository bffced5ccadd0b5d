"""Hosts: those that a start from the web UI may load, and addresses that no request may reach."""

import ipaddress
import subprocess
import sys
from collections.abc import Iterator
from contextlib import nullcontext

import pytest

from loadtest.exceptions import UsageError
from loadtest.settings import hosts
from loadtest.settings.hosts import Targets, check_open
from tests.http_harness import ScriptedServer, always, error_classes, ok, running_user

CLOSED = {
    "IPv4 link-local": "169.254.169.254",
    "IPv6 link-local": "fe80::1",
    "IPv6 link-local with its zone": "fe80::1%eth0",
    "IPv4 in IPv6": "::ffff:169.254.169.254",
    "behind NAT64": "64:ff9b::a9fe:a9fe",
    "behind 6to4": "2002:a9fe:a9fe::1",
    "behind a network's own NAT64": "64:ff9b:1::a9fe:a9fe",
    "behind one of 48 bits": "64:ff9b:1:a9fe:a9:fe00::",
    "behind one of 56 bits": "64:ff9b:1:a9:fe:a9fe::",
    "behind one of 64 bits": "64:ff9b:1:7:a9:fea9:fe00::",
    "behind a tunnel of ISATAP": "2001:db8::5efe:a9fe:a9fe",
    "behind one of a public address": "2001:db8::200:5efe:169.254.169.254",
    "behind Teredo": "2001:0:a00:1::5601:5601",
    "IPv4 compatible": "::a9fe:a9fe",
    "IPv4 translated": "::ffff:0:a9fe:a9fe",
    "OpenStack over IPv6": "fe80::a9fe:a9fe",
    "AWS over IPv6": "fd00:ec2::254",
    "AWS, of a pod": "fd00:ec2::23",
    "Google over IPv6": "fd20:ce::254",
    "Oracle over IPv6": "fd00:c1::a9fe:a9fe",
    "Oracle at the customer": "192.0.0.192",
    "Scaleway": "169.254.42.42",
    "Scaleway over IPv6": "fd00:42::42",
    "Akamai over IPv6": "fd00:a9fe:a9fe::1",
    "Alibaba": "100.100.100.200",
    "Alibaba over IPv6": "fd00:100::100:200",
    "Alibaba in IPv6": "::ffff:100.100.100.200",
    "Alibaba behind 6to4": "2002:6464:64c8::",
    "Azure": "168.63.129.16",
    "Azure behind NAT64": "64:ff9b::168.63.129.16",
    "Tencent": "169.254.0.23",
    "Volcano Engine": "100.96.0.96",
    "UCloud": "100.80.80.80",
    "AWS over IPv6 in capital letters and whole": "FD00:0EC2:0000:0000:0000:0000:0000:0254",
}
OPEN = (
    "127.0.0.1",
    "::1",
    "10.0.0.1",
    "192.168.1.1",
    "203.0.113.7",
    "2001:db8::1",
    "64:ff9b:1:7::1",
    "169.253.255.255",
    "a name",
)
WAYS = {
    "as it is": "http://169.254.169.254/latest/meta-data",
    "as one number": "http://2852039166/",
    "in hexadecimal": "http://0xa9fea9fe/",
    "in octal": "http://0251.0376.0251.0376/",
    "in short": "http://169.254.43518/",
    "in IPv6": "http://[::ffff:169.254.169.254]/",
    "behind NAT64": "http://[64:ff9b::a9fe:a9fe]/",
    "behind 6to4": "http://[2002:a9fe:a9fe::]/",
    "another one of its network": "https://169.254.170.2/v2/credentials",
}


@pytest.fixture
def opened() -> Iterator[None]:
    """Opens a network for one test."""
    hosts.unblock([ipaddress.ip_network("169.254.170.0/24")])
    yield
    hosts._opened.clear()
    hosts.is_closed.cache_clear()


@pytest.mark.parametrize("case", CLOSED)
def test_a_closed_address_is_known_in_every_notation(case: str) -> None:
    """Link-local and metadata addresses are closed in any notation."""
    assert hosts.is_closed(CLOSED[case])


@pytest.mark.parametrize("address", OPEN)
def test_other_addresses_are_open(address: str) -> None:
    """Loopback, private and public addresses are not closed."""
    assert not hosts.is_closed(address)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("redirected", [False, True])
def test_no_request_goes_there(way: str, redirected: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client never connects to a closed address, directly or after a redirect, and counts the attempt."""
    redirect = always(ok(b"", f"Location: {WAYS[way]}", status="302 Found"))
    with ScriptedServer(redirect) as server, running_user(server.url) as user:
        monkeypatch.setattr(hosts, "_allowed", Targets("*"))
        response = user.client.get("/" if redirected else WAYS[way])
        assert "where clouds serve credentials" in str(response.error)
        assert error_classes(user) == {"connect": 1}


@pytest.mark.parametrize(
    ("allowed", "host", "followed"),
    [
        (None, "shop.example", True),
        (None, "SHOP.example.", True),
        (None, "login.example", True),
        (None, "127.0.0.1", True),
        (None, "www.shop.example", False),
        (None, "192.0.2.1", False),
        (None, "", False),
        ("*.shop.example", "www.shop.example", True),
        ("192.0.2.0/24", "192.0.2.1", True),
        ("*", "any.example", True),
    ],
)
def test_a_redirect_leads_to_a_host_that_somebody_named(
    allowed: str | None, host: str, followed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The scenario or LOADTEST_ALLOWED_HOSTS names it; redirects to this machine are checked on connecting."""
    monkeypatch.setattr(hosts, "_allowed", Targets(allowed))
    with nullcontext() if followed else pytest.raises(hosts.RedirectError, match="LOADTEST_ALLOWED_HOSTS"):
        hosts.check_redirect(host, "shop.example", "Login.example")


CLIENTS = {
    "requests": "import requests; requests.get(url)",
    "urllib": "import urllib.request; urllib.request.urlopen(url)",
    "FastHttpUser's": "import geventhttpclient; geventhttpclient.HTTPClient.from_url(url).get('/')",
    "a datagram": "import socket; socket.socket(type=socket.SOCK_DGRAM).connect(('169.254.169.254', 80))",
    "an address of IPv6": "import socket; socket.socket(socket.AF_INET6).connect(('fd00:ec2::254', 80))",
}


@pytest.mark.parametrize("client", CLIENTS)
def test_no_other_client_of_the_process_connects_there(client: str) -> None:
    """Clients of ordinary locustfiles do not know closed addresses, and follow redirects."""
    code = (
        f"from loadtest.settings import hosts; hosts.open_allowed(None); url = 'http://2852039166/'; {CLIENTS[client]}"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert "is an address at which clouds serve credentials" in done.stderr


@pytest.mark.usefixtures("opened")
def test_a_network_that_a_person_names_is_open() -> None:
    """Addresses and networks in LOADTEST_ALLOWED_HOSTS are reached, and the rest stays closed."""
    assert [hosts.is_closed(one) for one in ("169.254.170.2", "169.254.169.254")] == [False, True]


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST.", "127.0.0.1", "127.9.9.9", "::1", "[::1]", "::ffff:127.0.0.1"]
)
def test_loopback_is_known(host: str) -> None:
    """This machine's names and addresses are its loopback interface."""
    assert hosts.is_loopback(host)


@pytest.mark.parametrize(
    "host", ["", "*", "::", "10.0.0.1", "localhost.evil.example", "127.0.0.1.evil.example", "64:ff9b::7f00:1"]
)
def test_what_is_not_loopback_is_known_too(host: str) -> None:
    """Every other address, other machines, and names that only begin like ours are not loopback."""
    assert not hosts.is_loopback(host)


OWN = "http://target_app:5000"


@pytest.mark.parametrize(
    ("allowed", "url"),
    [
        (None, OWN),
        (None, "https://TARGET_APP./v2"),
        (None, "http://localhost:8000"),
        (None, "http://127.0.0.1"),
        (None, "http://[::1]:8000"),
        ("staging.example", "https://staging.example"),
        ("*.example", "https://deep.staging.example"),
        ("10.0.0.0/8", "http://10.1.2.3"),
        ("10.1.2.3", "http://10.1.2.3"),
        ("fd12::/16, ::2", "http://[::2]"),
        ("*", "https://anybody.invalid"),
    ],
)
def test_what_is_allowed_passes(allowed: str | None, url: str) -> None:
    """These are the own target, this machine, and hosts in the setting by name, wildcard, address or network."""
    Targets(allowed, OWN).check(url)


def test_a_configured_host_need_not_be_a_url() -> None:
    """Users with custom clients may understand it; a similar one is not allowed."""
    targets = Targets("*", "localhost:50051", "grpc://shop:50051")
    targets.check("localhost:50051")
    targets.check("grpc://shop:50051")
    with pytest.raises(UsageError, match="is not a base URL"):
        targets.check("localhost:50052")


@pytest.mark.parametrize(
    ("host", "port"),
    [
        ("http://127.0.0.1", 80), ("localhost:50051", 50051), ("grpc://[::1]:7", 7), ("127.0.0.1", None),
        ("http://a:80", None), ("shop:50051", None), ("http://a:x", None), ("[::1", None),
    ],
)  # fmt: skip
def test_the_port_of_a_service_on_this_machine_is_known(host: str, port: int | None) -> None:
    """This includes a host that is not a URL."""
    assert hosts.local_port(host) == port


@pytest.mark.parametrize(
    ("allowed", "url"),
    [
        (None, "http://other:5000"),
        ("*.example", "https://example"),
        ("*.example", "https://evilexample"),
        ("staging.example", "https://staging.example.evil"),
        ("10.0.0.0/8", "http://11.0.0.1"),
        ("*", "http://169.254.169.254"),
        ("*", "http://2852039166"),
        ("*", "http://[fe80::1]"),
        ("*", "file:///etc/passwd"),
        ("*", "gopher://127.0.0.1:6379/_FLUSHALL"),
        ("*", "http+unix:///var/run/docker.sock"),
        ("*", "http://user:secret@127.0.0.1"),
        ("*", "http://127.0.0.1:99999"),
        ("*", "http://[::1"),
        ("*", "http:///nothing"),
        ("*", "http://a\tb"),
        ("*", "javascript:alert(1)"),
        ("*", "127.0.0.1"),
    ],
)
def test_what_is_not_allowed_is_refused(allowed: str | None, url: str) -> None:
    """The error has the allowed values and the next step."""
    with pytest.raises(UsageError, match=r"(?s)Allowed: .*Next: "):
        Targets(allowed, OWN).check(url)


def test_a_wrong_setting_is_refused() -> None:
    """The error names the invalid item."""
    with pytest.raises(UsageError, match=r"'http://x', .*Allowed: names"):
        Targets("fine.example, http://x")


def test_what_does_not_resolve_is_left_to_the_requests() -> None:
    """A name that does not resolve is not refused: its requests fail with class dns."""
    check_open("http://nobody.invalid")
