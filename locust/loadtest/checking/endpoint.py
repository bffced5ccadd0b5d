"""Endpoint: check the path from this machine to a service: name resolution, and TLS with its certificate."""

from __future__ import annotations

import socket
import ssl
import time
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator

_TIMEOUT_S: Final = 5.0
_SOON_S: Final = 14 * 24 * 3600.0
"""The remaining validity of a certificate, in seconds, up to which a warning is given."""


def look(url: str) -> Iterator[tuple[str, str]]:
    """Yield the findings, each as a word and a sentence.

    Args:
        url: of a service that accepts connections.

    Raises:
        OSError: when the name cannot be resolved, or nothing accepts a connection.
    """
    parts = urlsplit(url)
    name, port = str(parts.hostname), parts.port or (443 if parts.scheme == "https" else 80)
    started_s = time.perf_counter()
    found = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)
    took_ms = (time.perf_counter() - started_s) * 1000
    addresses = ", ".join(dict.fromkeys(str(address[0]) for *_, address in found))
    yield "name", f"{name} is {addresses} ({took_ms:.0f} ms)"
    if parts.scheme == "https":
        yield "tls", _tls(name, port)


def _tls(name: str, port: int) -> str:
    context = ssl.create_default_context()
    try:
        version, certificate = _shake_hands(context, name, port)
    except ssl.SSLCertVerificationError as error:
        return f"warning: clients that verify the certificate will refuse it ({error.verify_message})"
    except OSError as error:
        return f"warning: no handshake ({getattr(error, 'reason', None) or error.strerror or error})"
    left_s = ssl.cert_time_to_seconds(certificate["notAfter"]) - time.time()
    until = f"valid until {certificate['notAfter']}"
    return f"{version}, certificate {until}" if left_s > _SOON_S else f"warning: {version}, certificate only {until}"


def _shake_hands(context: ssl.SSLContext, name: str, port: int) -> tuple[str | None, Any]:
    """Return the TLS version and the verified certificate of a connection."""
    with (
        socket.create_connection((name, port), _TIMEOUT_S) as plain,
        context.wrap_socket(plain, server_hostname=name) as secure,
    ):
        return secure.version(), secure.getpeercert()
