"""URLs without their secrets, for logs and reports.

What a URL may hold is not known, so it is masked by its structure: the credentials before its host, and the value of
every parameter of its query and fragment, except those of the few names in `SHOWN`.
"""

from __future__ import annotations

import re
from typing import Final

MASK: Final = "***"
_ANY: Final = "…"  # what our own texts write for a value
SHOWN: Final = frozenset(
    (
        *("authsource", "authmechanism", "replicaset", "tls", "ssl", "readpreference", "directconnection"),  # MongoDB
        *("db", "protocol", "max_connections", "decode_responses", "socket_timeout", "socket_connect_timeout"),  # Redis
        *("page", "size", "limit", "offset", "sort", "order", "q", "path", "depth"),
    )
)
"""Names of parameters that hold no secret, in small letters."""
_PASSWORD: Final = re.compile(r"pass|pwd|secret|token|authmechanismproperties", re.IGNORECASE)

_URL: Final = re.compile(
    r"(?<![a-z0-9+.-])(?P<scheme>[a-z0-9+.-]*://)(?P<rest>(?:[^\s/?#]*@)?[^\s<>\"'`]*)", re.IGNORECASE
)
_WHOLE: Final = re.compile(r"\A([a-z0-9+.-]+://)[^/?#:]*:[^/?#]*@", re.IGNORECASE)
"""A text that begins as a URL, whose password may then hold spaces."""
_PARAMETER: Final = re.compile(
    r"(?P<before>[?&#;]|%(?:3f|26|23|3b))(?P<name>[^=&#;?\s]{0,200})="
    r"(?P<value>[^&#;\s]*?)(?=[\"'<>`)\]},.:]{0,4}(?:[&#;\s]|\Z))",
    re.IGNORECASE,
)
_BARE: Final = re.compile(r"(?<=[?&#])(?![A-Za-z_/-]*(?:[&#]|\Z))[^=&#?]+(?=[&#]|\Z)")
"""A parameter without a value, which may be a secret itself; one of letters only, such as `?wsdl`, is none."""
_NESTED: Final = re.compile(r"[?=]|://|%(?:3f|3d|26)", re.IGNORECASE)
_RAW_PASSWORD: Final = re.compile(r"[^/?#:]*:.*@")
"""One with a character that should have been quoted, which seems to end the host."""
_WITHOUT_SCHEME: Final = re.compile(
    r"(?:(?<![^\s=('\"])(//)[^\s/@]{1,500}"
    r"|(?<![^\s('\"])(?:[^\s:/@]{0,200}:/)?[^\s:/@]{0,200}:[^\s/@]{0,500})@(?=\S)"
)
_AUTHORIZATION: Final = re.compile(r"\b(bearer|basic) (?=\S*[\d=])[\w.~+/=-]{6,}", re.IGNORECASE)


def without_credentials(text: str) -> str:
    """Return a text with ``***`` in place of every secret that a URL, or a header of it, may hold."""
    text = _WHOLE.sub(rf"\1{MASK}@", text)
    text = _WITHOUT_SCHEME.sub(rf"\1{MASK}@", _URL.sub(_masked_url, text))
    return _AUTHORIZATION.sub(rf"\1 {MASK}", _PARAMETER.sub(_masked_parameter, text))


def has_password(url: str) -> bool:
    """Return whether a URL in a text holds a password, or what is as good as one; the name of a user is none."""
    return bool(_WHOLE.match(url)) or any(
        (_masked_authority(found) != found[0] and ":" in found["rest"].rpartition("@")[0])
        or any(_PASSWORD.search(parameter["name"]) for parameter in _PARAMETER.finditer(found[0]))
        for found in _URL.finditer(url)
    )


def _masked_url(found: re.Match[str]) -> str:
    return _BARE.sub(MASK, _masked_authority(found))


def _masked_authority(found: re.Match[str]) -> str:
    scheme, rest = found["scheme"], found["rest"]
    end = re.search(r"[/?#]", rest)
    authority = rest[: end.start()] if end else rest
    if "@" in authority:
        return f"{scheme}{MASK}@{rest[rest.rindex('@', 0, len(authority)) + 1 :]}"
    is_page = authority.rpartition(":")[2].isdigit() and scheme.lower().endswith(("http://", "https://"))
    if (raw := _RAW_PASSWORD.match(rest)) and not is_page:
        return f"{scheme}{MASK}@{rest[raw.end() :]}"
    return found[0]


def _masked_parameter(found: re.Match[str]) -> str:
    is_shown = found["name"].lower() in SHOWN and not _NESTED.search(found["value"])
    return found[0] if is_shown or found["value"] in {"", _ANY} else f"{found['before']}{found['name']}={MASK}"
