"""URLs without their secrets, for logs and reports.

What a URL may hold is not known, so it is masked by its structure: the credentials before its host, and the value of
every parameter of its query and fragment, except those of the few names in `SHOWN`.
"""

from __future__ import annotations

import re
from typing import Final

MASK: Final = "***"
SHOWN: Final = frozenset(
    (
        *("authsource", "authmechanism", "replicaset", "tls", "ssl", "readpreference", "directconnection"),  # MongoDB
        *("db", "protocol", "max_connections", "decode_responses", "socket_timeout", "socket_connect_timeout"),  # Redis
        *("page", "size", "limit", "offset", "sort", "order", "q", "path", "depth"),
    )
)
"""Names of parameters that hold no secret, in small letters."""
_PASSWORD: Final = re.compile(r"pass|pwd|secret|token|authmechanismproperties", re.IGNORECASE)

_URL: Final = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*://)(?P<rest>[^\s<>\"'`]*)", re.IGNORECASE)
_PARAMETER: Final = re.compile(r"(?P<before>[?&#;])(?P<name>[^=&#;?\s]*)=(?P<value>[^&#;\s\"'<>]*)")
_RAW_PASSWORD: Final = re.compile(r"[^/?#]*:.*@")
"""One with a character that should have been quoted, which seems to end the host."""
_WITHOUT_SCHEME: Final = re.compile(r"(?<!\S)(//)?[^\s:/@]*:[^\s/@]*@(?=\S)")


def without_credentials(text: str) -> str:
    """Return a text with ``***`` in place of every secret that a URL in it may hold."""
    return _PARAMETER.sub(_masked_parameter, _WITHOUT_SCHEME.sub(rf"\1{MASK}@", _URL.sub(_masked_url, text)))


def has_password(url: str) -> bool:
    """Return whether a URL in a text holds a password, or what is as good as one; the name of a user is none."""
    return any(
        (_masked_url(found) != found[0] and ":" in found["rest"].rpartition("@")[0])
        or any(_PASSWORD.search(parameter["name"]) for parameter in _PARAMETER.finditer(found[0]))
        for found in _URL.finditer(url)
    )


def _masked_url(found: re.Match[str]) -> str:
    scheme, rest = found["scheme"], found["rest"]
    end = re.search(r"[/?#]", rest)
    authority = rest[: end.start()] if end else rest
    if "@" in authority:
        return f"{scheme}{MASK}@{rest[rest.rindex('@', 0, len(authority)) + 1 :]}"
    is_page = authority.rpartition(":")[2].isdigit() and scheme.lower() in ("http://", "https://")
    if (raw := _RAW_PASSWORD.match(rest)) and not is_page:
        return f"{scheme}{MASK}@{rest[raw.end() :]}"
    return found[0]


def _masked_parameter(found: re.Match[str]) -> str:
    if not found["value"] or found["name"].lower() in SHOWN:
        return found[0]
    return f"{found['before']}{found['name']}={MASK}"
