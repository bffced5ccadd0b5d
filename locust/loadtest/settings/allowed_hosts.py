"""Targets: the hosts that may be loaded.

Whoever starts the process names the service under test, and that is allowed. Whoever merely reaches its web UI may
load that service, this machine, and what LOADTEST_ALLOWED_HOSTS opens.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from loadtest.exceptions import UsageError
from loadtest.settings import addresses

if TYPE_CHECKING:
    from loadtest.settings.addresses import Network

_NAME: Final = re.compile(r"(\*\.)?[a-z0-9_]([a-z0-9_.-]{0,252})?", re.ASCII)
_SCHEMES: Final = ("http", "https")


class Targets:
    """The hosts that a start from the web UI may load.

    Args:
        allowed: LOADTEST_ALLOWED_HOSTS.
        own: base URLs of the configured service; None for none.

    Attributes:
        networks: those that `allowed` names.

    Raises:
        UsageError: when `allowed` has an item that is no name, address or network.
    """

    def __init__(self, allowed: str | None, *own: str | None) -> None:
        self._own = {_host_of(url) for url in own if url}
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
                    f"ALLOWED_HOSTS names {item!r}, which is no host. Allowed: names, *.names, IP addresses or "
                    "networks separated by commas, or * for any host. Next: correct it, or leave it out."
                ) from None
            self._names.add(item)

    def check(self, url: str) -> None:
        """Check that a base URL that somebody entered may be loaded.

        Raises:
            UsageError: when it is no HTTP URL, its host is not allowed, or it is where clouds keep their secrets.
        """
        host = _host_of(url)
        if not (addresses.is_loopback(host) or host in self._own or self._names_it(host)):
            raise UsageError(
                f"host {url!r} is not one that this stack may load. Allowed: its own target, this machine, and what "
                "LOADTEST_ALLOWED_HOSTS names. Next: start the stack with that host in LOADTEST_ALLOWED_HOSTS, if the "
                "service is yours to test."
            )
        check_open(url)

    def _names_it(self, host: str) -> bool:
        address = addresses.parse(host)
        if address is not None and any(address.version == n.version and address in n for n in self.networks):
            return True
        parts = host.split(".")
        wild = {"*." + ".".join(parts[start:]) for start in range(1, len(parts))} if address is None else set()
        return bool(self._names & ({"*", host} | wild))


def check_open(url: str) -> None:
    """Check that no address of a URL's host is closed to requests; what does not resolve fails later, as a request.

    Raises:
        UsageError: when one is.
    """
    host = _host_of(url)
    try:
        found = {str(entry[4][0]) for entry in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)}
    except (OSError, UnicodeError):
        return
    closed = sorted(filter(addresses.is_closed, found))
    if closed:
        raise UsageError(
            f"host {url!r} leads to {closed[0]}, where machines keep their own credentials. Allowed: a service's "
            "address. Next: correct the host; if it is meant, name that address in LOADTEST_ALLOWED_HOSTS."
        )


def _host_of(url: str) -> str:
    """Return the lower-case host of a base URL.

    Raises:
        UsageError: when it is none.
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        parts, host = urlsplit(""), None
    plain = parts.scheme in _SCHEMES and not (parts.username or parts.password or parts.query or parts.fragment)
    if not host or not plain or re.search(r"[\s\\<>\x00-\x1f]", url):
        raise UsageError(
            f"host {url[:200]!r} is no base URL. Allowed: http://host[:port] or https://host[:port]. "
            "Next: correct it, such as https://staging.example.com."
        )
    return host.lower().rstrip(".")
