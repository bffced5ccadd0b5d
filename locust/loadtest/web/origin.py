"""Origin check: a request must be addressed to one of our names, and must not come from another site's page.

The first rule protects against a foreign domain that resolves to 127.0.0.1 (DNS rebinding), the second against a
foreign page that starts a test with its visitor's cookie or from its visitor's machine.

Tested in tests/native/test_web_guard.py.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from loadtest.settings.hosts import is_loopback
from loadtest.web.refusal import Refusal

if TYPE_CHECKING:
    from flask import Request

_SAFE: Final = ("GET", "HEAD", "OPTIONS")
_HOST: Final = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9_.-]+)(?::\d{1,5})?", re.ASCII | re.IGNORECASE)
_OWN_PAGE: Final = ("same-origin", "none")


class Origins:
    """The names under which the web UI may be addressed.

    Args:
        hosts: LOADTEST_WEB_HOSTS.
        listener: the address that the web UI listens on, if it is a specific one.
    """

    def __init__(self, hosts: str | None, listener: str) -> None:
        named = (item.strip().strip("[]").lower() for item in (hosts or "").split(","))
        self._names = {name for name in (*named, listener.lower()) if name}

    def check(self, request: Request) -> None:
        """Check the Host header, and the Origin header if the request changes something.

        Raises:
            Refusal: 421 for a foreign Host, 403 for a foreign Origin.
        """
        host = request.headers.get("Host", "")
        if not self._is_ours(host):
            raise Refusal(
                421,
                f"the web UI is not served under the name {host[:200]!r}. Allowed: this machine's own names, and those "
                "in LOADTEST_WEB_HOSTS. Next: open it under one of them, or start the stack with that name in "
                "LOADTEST_WEB_HOSTS.",
            )
        if request.method not in _SAFE and not _is_own_page(request, host):
            raise Refusal(
                403,
                f"a page of {request.headers.get('Origin', 'another site')[:200]!r} may not do this. Allowed: the web "
                "UI's own page, or a program that sends no Origin. Next: use the web UI itself.",
            )

    def _is_ours(self, host: str) -> bool:
        match = _HOST.fullmatch(host)
        if match is None:
            return False
        name = match[1].strip("[]").lower().rstrip(".")
        return is_loopback(name) or name.endswith(".localhost") or name in self._names  # RFC 6761


def _is_own_page(request: Request, host: str) -> bool:
    """Browsers send Origin with every request that changes something; other programs send neither header."""
    origin = request.headers.get("Origin")
    if origin is None:
        return request.headers.get("Sec-Fetch-Site", "none") in _OWN_PAGE
    return origin.lower() == f"{request.scheme}://{host}".lower()
