"""Addresses that no request may go to: by number, by notation, behind a redirect, and opened by name."""

import ipaddress
from collections.abc import Iterator

import pytest

from loadtest.settings import addresses
from tests.http_harness import ScriptedServer, always, error_classes, ok, running_user

CLOSED = {
    "IPv4 link-local": "169.254.169.254",
    "IPv6 link-local": "fe80::1",
    "IPv6 link-local with its zone": "fe80::1%eth0",
    "IPv4 in IPv6": "::ffff:169.254.169.254",
    "behind NAT64": "64:ff9b::a9fe:a9fe",
    "behind 6to4": "2002:a9fe:a9fe::1",
    "metadata over IPv6": "fd00:ec2::254",
    "metadata elsewhere": "100.100.100.200",
}
OPEN = ("127.0.0.1", "::1", "10.0.0.1", "192.168.1.1", "203.0.113.7", "2001:db8::1", "169.253.255.255", "a name")
WAYS = {
    "as it is": "http://169.254.169.254/latest/meta-data",
    "as one number": "http://2852039166/",
    "in hexadecimal": "http://0xa9fea9fe/",
    "in octal": "http://0251.0376.0251.0376/",
    "in IPv6": "http://[::ffff:169.254.169.254]/",
    "another one of its network": "https://169.254.170.2/v2/credentials",
}


@pytest.fixture
def opened() -> Iterator[None]:
    """Opens one network for a test."""
    addresses.open_up([ipaddress.ip_network("169.254.170.0/24")])
    yield
    addresses._opened.clear()
    addresses.is_closed.cache_clear()


@pytest.mark.parametrize("case", CLOSED)
def test_a_closed_address_is_known_in_every_notation(case: str) -> None:
    """Link-local and metadata addresses are closed, however they are written."""
    assert addresses.is_closed(CLOSED[case])


@pytest.mark.parametrize("address", OPEN)
def test_other_addresses_are_open(address: str) -> None:
    """Loopback, private and public addresses are not closed."""
    assert not addresses.is_closed(address)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("redirected", [False, True])
def test_no_request_goes_there(way: str, redirected: bool) -> None:
    """The client makes no connection to a closed address, neither at once nor behind a redirect, and counts it."""
    redirect = always(ok(b"", f"Location: {WAYS[way]}", status="302 Found"))
    with ScriptedServer(redirect) as server, running_user(server.url) as user:
        response = user.client.get("/" if redirected else WAYS[way])
        assert "where clouds keep a machine's credentials" in str(response.error)
        assert error_classes(user) == {"connect": 1}


@pytest.mark.usefixtures("opened")
def test_a_network_that_a_person_names_is_open() -> None:
    """What LOADTEST_ALLOWED_HOSTS names by address or network is reached, and the rest stays closed."""
    assert [addresses.is_closed(one) for one in ("169.254.170.2", "169.254.169.254")] == [False, True]


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST.", "127.0.0.1", "127.9.9.9", "::1", "[::1]", "::ffff:127.0.0.1"]
)
def test_loopback_is_known(host: str) -> None:
    """This machine's names and addresses are its loopback interface."""
    assert addresses.is_loopback(host)


@pytest.mark.parametrize("host", ["", "*", "::", "10.0.0.1", "localhost.evil.example", "127.0.0.1.evil.example"])
def test_what_is_not_loopback_is_known_too(host: str) -> None:
    """Every address, other machines and names that begin like ours are not."""
    assert not addresses.is_loopback(host)
