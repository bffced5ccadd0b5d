"""Hosts: which hosts may be loaded, and which addresses are blocked for all requests.

The person who starts the process names the service under test, which is then allowed. People who only have access to
its web UI may load that service, this machine, and the hosts in LOADTEST_ALLOWED_HOSTS. Nor can the service under test
choose further hosts: redirects are only followed to hosts named by the scenario or LOADTEST_ALLOWED_HOSTS.

Link-local addresses are one hop away from every machine, and clouds serve the machine's own credentials there
(169.254.169.254 and fe80::/10); some clouds use another well-known address. A load generator that follows a redirect,
or a name that suddenly resolves to such an address, would write those credentials to its logs. So these addresses are
blocked for every request, unless LOADTEST_ALLOWED_HOSTS names them.
"""

from __future__ import annotations

import errno
import functools
import ipaddress
import re
import socket
import sys
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final
from urllib.parse import SplitResult, urlsplit

from loadtest.exceptions import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

CLOSED: Final[tuple[Network, ...]] = tuple(
    map(
        ipaddress.ip_network,
        (
            "169.254.0.0/16",  # link-local (RFC 3927): metadata of nearly every cloud
            "fe80::/10",  # link-local (RFC 4291): OpenStack's fe80::a9fe:a9fe
            "fd00:ec2::/32",  # AWS: EC2 User Guide, "Access instance metadata" (fd00:ec2::254), EKS (fd00:ec2::23)
            "fd20:ce::254/128",  # Google: Compute Engine, "About VM metadata", for instances with IPv6 only
            "fd00:c1::a9fe:a9fe/128",  # Oracle: oci-python-sdk, auth/signers
            "fd00:42::42/128",  # Scaleway: cloud-init, "Datasources", Scaleway
            "fd00:a9fe:a9fe::1/128",  # Akamai (Linode): Metadata Service API
            "100.100.100.200/32",  # Alibaba: ECS User Guide, "View instance metadata"
            "fd00:100::100:200/128",  # the same over IPv6
            "168.63.129.16/32",  # Azure: Virtual Network, "What is IP address 168.63.129.16"
            "192.0.0.192/32",  # Oracle Cloud at Customer
            "100.96.0.96/32",  # Volcano Engine: volcengine/cello, credential provider
            "100.80.80.80/32",  # UCloud: UHost guide, "Metadata server"
        ),
    )
)
_EMBEDDING: Final = tuple(
    map(
        ipaddress.IPv6Network,
        (
            "64:ff9b::/96",  # NAT64 (RFC 6052)
            "64:ff9b:1::/48",  # local-use NAT64 (RFC 8215)
            "::ffff:0:0:0/96",  # translated (RFC 2765)
            "::/96",  # compatible (RFC 4291)
        ),
    )
)
_OWN_NAT64: Final = _EMBEDDING[1]
_BEGINNINGS: Final = (6, 7, 8)
"""The byte offsets at which an IPv4 address may begin (RFC 6052, section 2.2); byte 8 is not part of it."""
_ISATAP: Final = (b"\x00\x00\x5e\xfe", b"\x02\x00\x5e\xfe")
_NAME: Final = re.compile(r"(\*\.)?[a-z0-9_]([a-z0-9_.-]{0,252})?", re.ASCII)
_SCHEMES: Final = ("http", "https")
_opened: set[Network] = set()
_is_led: Final[ContextVar[bool]] = ContextVar("is_led", default=False)
"""Whether a service on another machine redirected this greenlet's current request."""
_urls: Final[ContextVar[tuple[str, ...]]] = ContextVar("urls", default=())
"""The URLs named by the scenario for that request."""


def unblock(networks: Iterable[Network]) -> None:
    """Unblock these networks, which the user named, for the requests of this process."""
    _opened.update(networks)
    is_closed.cache_clear()
    is_inside.cache_clear()


@functools.lru_cache(maxsize=4096)  # called for each connection
def is_closed(address: str) -> bool:
    """Return whether an IP address is blocked, also an IPv4 address in any of its IPv6 notations."""
    parsed = parse(address)
    if parsed is None:
        return False
    forms = (parsed, *embedded(parsed))
    return any(_within(form, CLOSED) for form in forms) and not any(_within(form, _opened) for form in forms)


@functools.lru_cache(maxsize=4096)
def is_inside(address: str) -> bool:
    """Return whether an IP address is this machine's own, whose services trust local clients, and is not unblocked."""
    parsed = parse(address)
    if parsed is None:
        return False
    own = getattr(parsed, "ipv4_mapped", None) or parsed
    return (own.is_loopback or own.is_unspecified) and not _within(own, _opened)


def parse(text: str) -> Address | None:
    """Return the IP address in a text, without its zone; None if there is none."""
    try:
        return ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None


def embedded(address: Address) -> Iterator[ipaddress.IPv4Address]:
    """Yield the IPv4 addresses that an IPv6 address may lead to."""
    if isinstance(address, ipaddress.IPv4Address):
        return
    packed = address.packed
    if any(address in network for network in _EMBEDDING) or packed[8:12] in _ISATAP:  # RFC 5214
        yield ipaddress.IPv4Address(packed[12:])
    if address in _OWN_NAT64:
        shortened = packed[:8] + packed[9:]
        yield from (ipaddress.IPv4Address(shortened[begin : begin + 4]) for begin in _BEGINNINGS)
    yield from filter(None, (address.ipv4_mapped, address.sixtofour, *(address.teredo or ())))


def is_loopback(host: str) -> bool:
    """Return whether a host, as a URL or a listener names it, is this machine's loopback interface."""
    address = parse(host.strip("[]"))
    if address is None:
        return host.lower().rstrip(".") == "localhost"
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback


def local_port(url: str) -> int | None:
    """Return the TCP port of a URL on this machine's loopback interface; None for other hosts."""
    try:
        parts = _split(url)
        port = parts.port or {"http": 80, "https": 443, "redis": 6379, "rediss": 6379}.get(parts.scheme)
    except ValueError:
        return None
    return port if leads_here(url) else None


def leads_here(host: str) -> bool:
    """Return whether a URL, or a text such as ``localhost:50051``, names this machine's loopback interface."""
    try:
        return is_loopback(_split(host).hostname or "")
    except ValueError:
        return False


def _split(host: str) -> SplitResult:
    return urlsplit(host if "//" in host else f"//{host}")


def is_http(url: str) -> bool:
    """Return whether a text is an HTTP base URL; the `host` of users with their own clients may be anything."""
    return url.startswith(tuple(f"{scheme}://" for scheme in _SCHEMES))


def _within(address: Address, networks: Iterable[Network]) -> bool:
    return any(address.version == network.version and address in network for network in networks)


class RedirectError(PermissionError):
    """A redirect leads to a host that is not allowed."""


class Targets:
    """The hosts that a test started in the web UI may load.

    Args:
        allowed: LOADTEST_ALLOWED_HOSTS.
        own: the configured service, or None.

    Attributes:
        networks: the networks in `allowed`.

    Raises:
        UsageError: an item of `allowed` is not a name, an address or a network.
    """

    def __init__(self, allowed: str | None, *own: str | None) -> None:
        self._texts = {text for text in own if text and not is_http(text)}
        self._own = {_host_of(url) for url in own if url and is_http(url)}
        self._names: set[str] = set()
        self.networks: list[Network] = []
        for item in filter(None, map(str.strip, (allowed or "").lower().split(","))):
            self._add(item)

    def _add(self, item: str) -> None:
        try:
            self.networks.append(ipaddress.ip_network(item.strip("[]"), strict=False))
        except ValueError:
            if item != "*" and not _NAME.fullmatch(item):
                raise UsageError(
                    f"ALLOWED_HOSTS has {item!r}, which is not a host. Allowed: names, *.names, IP addresses or "
                    "networks separated by commas, or * for any host. Next: correct it, or leave it out."
                ) from None
            self._names.add(item)

    def update(self, other: Targets) -> None:
        """Add the hosts that another one allows."""
        self.networks, self._names = other.networks, other._names

    def check(self, url: str) -> None:
        """Check that an entered base URL may be loaded.

        Raises:
            UsageError: it is not an HTTP URL, its host is not allowed, or its address is blocked; never for a
                configured host that only users with their own clients understand.
        """
        if url in self._texts:
            return
        host = _host_of(url)
        if not (is_loopback(host) or host in self._own or self.names(host)):
            raise UsageError(
                f"host {url!r} must not be loaded. Allowed: the stack's own target, this machine, and the hosts in "
                "LOADTEST_ALLOWED_HOSTS. Next: if you may test that service, start the stack with its host in "
                "LOADTEST_ALLOWED_HOSTS."
            )
        check_open(url)

    def names(self, host: str) -> bool:
        """Return whether LOADTEST_ALLOWED_HOSTS names a lower-case host."""
        address = parse(host)
        if address is not None and any(address.version == n.version and address in n for n in self.networks):
            return True
        parts = host.split(".")
        wild = {"*." + ".".join(parts[start:]) for start in range(1, len(parts))} if address is None else set()
        return bool(self._names & ({"*", host} | wild))


_allowed: Final = Targets(None)
"""The hosts and networks of LOADTEST_ALLOWED_HOSTS."""


def open_allowed(allowed: str | None) -> None:
    """Unblock the networks of LOADTEST_ALLOWED_HOSTS in this process, and block the others for every connection.

    This also covers a locustfile's own clients, which know nothing of blocked addresses, and their redirects.

    Raises:
        UsageError: an item is not a name, an address or a network.
    """
    _allowed.update(Targets(allowed))
    unblock(_allowed.networks)
    _guard_process()


@functools.cache  # a hook lasts as long as the process
def _guard_process() -> None:
    sys.addaudithook(_refuse_closed)


def begin_request(*urls: str) -> None:
    """Record that this greenlet sends a request for which the scenario named these URLs."""
    _is_led.set(False)
    _urls.set(urls)


def note_redirect(url: str, target: str) -> None:
    """Record that the service at a URL redirects this greenlet's request; other machines must not redirect to this one.

    Raises:
        RedirectError: the target's host is not allowed.
    """
    host = _split(url).hostname or ""
    if not (is_loopback(host) or is_inside(host)):
        _is_led.set(True)
    if aim := urlsplit(target).hostname:
        check_redirect(aim, host, *(urlsplit(named).hostname or "" for named in _urls.get()))


def check_redirect(host: str, *named: str) -> None:
    """Check that a redirect leads to an allowed host. Whether it may lead to this machine is decided by the address,
    when the connection is made.

    Args:
        host: the target's host.
        named: the hosts named by the scenario, and those of earlier redirects.

    Raises:
        RedirectError: neither the scenario nor LOADTEST_ALLOWED_HOSTS names it.
    """
    host = host.lower().rstrip(".")
    if host in {one.lower().rstrip(".") for one in named} or is_loopback(host) or _allowed.names(host):
        return
    raise RedirectError(
        f"a redirect to {host} is not followed, which is not under test: if it may be loaded too, add it to "
        "LOADTEST_ALLOWED_HOSTS"
    )


def _refuse_closed(event: str, arguments: tuple[object, ...]) -> None:
    """See `sys.addaudithook`: an error raised here takes the place of the connection."""
    if event != "socket.connect" or not isinstance(arguments[1], tuple):
        return
    if is_closed(address := str(arguments[1][0])):
        raise PermissionError(
            errno.EACCES, f"{address} is an address at which clouds serve credentials; see LOADTEST_ALLOWED_HOSTS"
        )
    if _is_led.get() and is_inside(address):
        raise PermissionError(
            errno.EACCES,
            f"a redirect from elsewhere leads to {address}, this machine itself; see LOADTEST_ALLOWED_HOSTS",
        )


def check_open(url: str) -> None:
    """Check that no address of a URL's host is blocked. A host that does not resolve passes: its requests will fail.

    Raises:
        UsageError: one is blocked.
    """
    if closed := closed_address_of(_host_of(url)):
        raise UsageError(
            f"host {url!r} resolves to {closed}, an address at which clouds serve credentials. Allowed: other "
            "addresses. Next: correct the host, or, if that address is intended, add it to LOADTEST_ALLOWED_HOSTS."
        )


def closed_address_of(host: str) -> str | None:
    """Return a blocked address of a host; None if it has none, or does not resolve."""
    return min(filter(is_closed, addresses_of(host)), default=None)


def addresses_of(host: str) -> set[str]:
    """Return the IP addresses of a host; none when it does not resolve."""
    try:
        return {str(entry[4][0]) for entry in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)}
    except (OSError, UnicodeError):
        return set()


def _host_of(url: str) -> str:
    """Return the lower-case host of a base URL.

    Raises:
        UsageError: when the text is not a base URL.
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        parts, host = urlsplit(""), None
    plain = parts.scheme in _SCHEMES and not (parts.username or parts.password or parts.query or parts.fragment)
    if not host or not plain or re.search(r"[\s\\<>\x00-\x1f]", url):
        raise UsageError(
            f"host {url[:200]!r} is not a base URL. Allowed: http://host[:port] or https://host[:port]. "
            "Next: correct it, such as https://staging.example.com."
        )
    return host.lower().rstrip(".")
