"""Addresses that no request may go to, however their name, a redirect or a resolver leads there.

Link-local addresses are one hop away from every machine, and clouds answer there with the machine's own credentials
(169.254.169.254 and fe80::/10). Some clouds keep that service at another well-known address. A load generator that
follows a redirect, or a name that suddenly resolves to one of them, would carry those credentials into its logs.
"""

from __future__ import annotations

import functools
import ipaddress
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

CLOSED: Final[tuple[Network, ...]] = tuple(
    map(
        ipaddress.ip_network,
        (
            "169.254.0.0/16",  # link-local: metadata of most clouds
            "fe80::/10",  # link-local
            "fd00:ec2::/32",  # metadata of one cloud over IPv6
            "100.100.100.200/32",  # metadata of another
            "168.63.129.16/32",  # the host's agent of a third
            "192.0.0.192/32",  # metadata of a fourth
        ),
    )
)
_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")
_opened: set[Network] = set()


def open_up(networks: Iterable[Network]) -> None:
    """Let this process's requests reach these networks after all: a person named them."""
    _opened.update(networks)
    is_closed.cache_clear()


@functools.lru_cache(maxsize=4096)  # asked for each connection
def is_closed(address: str) -> bool:
    """Return whether no request may go to an IP address, in whatever IPv6 notation an IPv4 one hides."""
    parsed = parse(address)
    if parsed is None:
        return False
    ways = (parsed, embedded(parsed))
    return any(_within(way, CLOSED) for way in ways) and not any(_within(way, _opened) for way in ways)


def parse(text: str) -> Address | None:
    """Return the IP address that a text is, without its zone; None when it is none."""
    try:
        return ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None


def embedded(address: Address) -> Address:
    """Return the IPv4 address that an IPv6 address stands for, or the address itself."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address


def is_loopback(host: str) -> bool:
    """Return whether a host, as a URL or a listener names it, is this machine's loopback interface."""
    address = parse(host.strip("[]"))
    return host.lower().rstrip(".") == "localhost" if address is None else embedded(address).is_loopback


def _within(address: Address, networks: Iterable[Network]) -> bool:
    return any(address.version == network.version and address in network for network in networks)
