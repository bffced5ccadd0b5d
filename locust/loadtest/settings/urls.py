"""Removes secrets of URLs and headers from texts for logs and reports.

The contents of a URL are unknown, so it is masked by its structure: the credentials before the host, and the value of
every parameter in its query and fragment, except for the few names in `SHOWN`. Elsewhere in a text, values are masked
if their names indicate a secret: in a header line, between quotes as in JSON and Python, after an equals sign, and as
an option of curl.
"""

from __future__ import annotations

import re
from typing import Final

MASK: Final = "***"
UNREADABLE: Final = "its parts cannot be told apart; in a password, write / ? # [ ] and @ as %2F and so on"
_ANY: Final = "…"  # the placeholders for values in our own texts
SHOWN: Final = frozenset(
    (
        *("authsource", "authmechanism", "replicaset", "tls", "ssl", "readpreference", "directconnection"),  # MongoDB
        *("db", "protocol", "max_connections", "decode_responses", "socket_timeout", "socket_connect_timeout"),  # Redis
        *("cluster", "sentinel", "read_from_replicas"),
        *("page", "size", "limit", "offset", "sort", "order", "q", "path", "depth"),
    )
)
"""Names of parameters that contain no secrets, in lower case."""
_PASSWORD: Final = re.compile(r"pass|pwd|secret|token|authmechanismproperties", re.IGNORECASE)

_URL: Final = re.compile(
    r"(?<![a-z0-9+.-])(?P<scheme>[a-z0-9+.-]*://)(?P<rest>(?:[^\s/?#]*@)?[^\s<>\"'`]*)", re.IGNORECASE
)
_WHOLE: Final = re.compile(r"\A([a-z0-9+.-]+://)[^/?#:]*:[^/?#]*@", re.IGNORECASE)
"""A text that begins like a URL, whose password may then contain spaces."""
_PARAMETER: Final = re.compile(
    r"(?P<before>[?&#;]|%(?:3f|26|23|3b))(?P<name>[^=&#;?\s]{0,200})="
    r"(?P<value>[^&#;\s]*?)(?=[\"'<>`)\]},.:]{0,4}(?:[&#;\s]|\Z))",
    re.IGNORECASE,
)
_BARE: Final = re.compile(r"(?<=[?&#])(?![A-Za-z_/-]*(?:[&#]|\Z))[^=&#?]+(?=[&#]|\Z)")
"""A parameter without a value, which may itself be a secret, unless it consists of letters only, like `?wsdl`."""
_NESTED: Final = re.compile(r"[?=]|://|%(?:3f|3d|26)", re.IGNORECASE)
_RAW_PASSWORD: Final = re.compile(r"[^/?#:]*:.*@")
"""A password with an unquoted character that seems to end the host."""
_WITHOUT_SCHEME: Final = re.compile(
    r"(?:(?<![^\s=('\"])(//)[^\s/@]{1,500}"
    r"|(?<![^\s('\"])(?:[^\s:/@]{0,200}:/)?[^\s:/@]{0,200}:[^\s/@]{0,500})@(?=\S)"
)
_AUTHORIZATION: Final = re.compile(r"\b(bearer|basic) (?=\S*[\d=])[\w.~+/=-]{6,}", re.IGNORECASE)
_NAME: Final = (
    r"[\w-]{0,60}?(?:authori[sz]ation|cookie2?|(?:api|access|account|auth|functions|private|secret|subscription)[-_]?keys?"
    r"|token|secret|passw(?:or)?ds?|passphrase|pwd|session[-_]?id|signature|credentials?|jwt)"
)
"""Names of secrets. A plural counts tokens instead, such as max_tokens."""
_SECRET_NAME: Final = re.compile(_NAME, re.IGNORECASE)
_MAY_NAME: Final = re.compile(
    r"uthori|ookie|key|token|secret|pass|pwd|session|signature|credential|jwt|header |-[ubU]|--", re.IGNORECASE
)
"""A pre-check that most texts fail; it takes a tenth of the time of the full search."""
_HEADER_NAME: Final = rf"(?=[\w-]*-|authorization|n?cookie|n?apikey){_NAME}"
"""In prose, `token: ` and the like are followed by words; these are not."""
_SCHEME: Final = r"(?:(?:bearer|basic|digest|negotiate|token|apikey)[ \t]+)?"
_NO_VALUE: Final = r"(?!(?:null|none|true|false)\b)"
_IN_QUOTES: Final = r"(?P<escape>\\{0,3})(?P<mark>[\"'])"
_TO_QUOTE: Final = r"(?:(?!(?P=escape)(?P=mark))(?:\\.|[^\n]))*"
_NAMED: Final = (
    re.compile(  # Cookie: a=b; c=d
        rf"(?P<before>(?P<quote>[\"'])?(?<![\w-])(?:(?<=\\)[rn])?{_HEADER_NAME}[ \t]?:[ \t]*{_SCHEME})"
        r"(?P<value>(?(quote)(?:\\.|(?!(?P=quote))[^\r\n])*|(?:(?!\\[rn])[^\r\n])*))",
        re.IGNORECASE,
    ),
    re.compile(  # "password": "x", \"password\": \"x\", b'password': b'x'
        rf"(?P<before>(?<=[\"']){_NAME}\\{{0,3}}[\"']\s{{0,4}}(?:[:=]|=>)\s{{0,4}}b?{_IN_QUOTES}{_SCHEME})"
        rf"(?P<value>{_TO_QUOTE})",
        re.IGNORECASE,
    ),
    re.compile(  # "password": 1234, "passwords": ["x"]
        rf"(?P<before>(?<=[\"']){_NAME}\\{{0,3}}[\"']\s{{0,4}}:\s{{0,4}}{_NO_VALUE})(?P<value>[\w.+-]++(?![\"'\\])|\[[^\]]*\]?)",
        re.IGNORECASE,
    ),
    re.compile(  # the header 'X-Api-Key' has the value 'x\n', as HTTP clients say it
        rf"(?P<before>\bheader [^\n]{{0,200}}?value:? b?{_IN_QUOTES})(?P<value>{_TO_QUOTE})", re.IGNORECASE
    ),
    re.compile(  # ('cookie', 'x')
        rf"(?P<before>(?<=[\"']){_HEADER_NAME}[\"'],\s{{0,4}}b?{_IN_QUOTES}{_SCHEME})(?P<value>{_TO_QUOTE})",
        re.IGNORECASE,
    ),
    re.compile(  # password=x, password = 'x'
        rf"(?P<before>(?<![\w-]){_NAME}(?:\s{{0,4}}=\s{{0,4}}b?{_IN_QUOTES}|=(?![\"']){_NO_VALUE}{_SCHEME}))"
        rf"(?P<value>(?(mark){_TO_QUOTE}|[^\s&]*?(?=[\"'<>`)\]}},.:;]{{0,4}}(?:[&\s]|\Z))))",
        re.IGNORECASE,
    ),
    re.compile(  # curl -u name:password, but not the $(id -u):$(id -g) of a shell
        r"(?P<before>(?<!\S)(?:-[uU] ?(?!\))|--(?:proxy-)?user[ =])[\"']?[^\s:\"']{0,200}:)(?P<value>[^\s\"']+)"
    ),
    re.compile(  # curl -b name=value
        r"(?P<before>(?<!\S)(?:-b ?(?=\S*=|[\"'])|--(?:cookie|oauth2-bearer|pass|proxy-pass)[ =])(?P<quote>[\"'])?)"
        r"(?P<value>(?(quote)(?:(?!(?P=quote)).)+|[^\s\"']+))"
    ),
)


def is_secret(name: str) -> bool:
    """Return whether the name of a header, a parameter or a JSON member indicates a secret."""
    return bool(_SECRET_NAME.fullmatch(name))


def without_credentials(text: str) -> str:
    """Return a text with ``***`` in place of every secret in URLs, headers, and named values."""
    text = _WHOLE.sub(rf"\1{MASK}@", text)
    text = _WITHOUT_SCHEME.sub(rf"\1{MASK}@", _URL.sub(_masked_url, text))
    return without_named(_PARAMETER.sub(_masked_parameter, text))


def without_named(text: str) -> str:
    """Return the same, but keep parameters whose names do not indicate a secret, as in a form."""
    text = _AUTHORIZATION.sub(rf"\1 {MASK}", _URL.sub(_masked_authority, text))
    for named in _NAMED if _MAY_NAME.search(text) else ():
        text = named.sub(_masked_value, text)
    return text


def _masked_value(found: re.Match[str]) -> str:
    return found[0] if found["value"].strip() in {"", _ANY, MASK} else f"{found['before']}{MASK}"


def reason_for(url: str, error: Exception) -> str:
    """Return an error's text about a URL; only advice if the URL contains a secret, which the error might quote."""
    return str(error) if without_credentials(url) == url else UNREADABLE


def has_password(url: str) -> bool:
    """Return whether a URL in a text contains a password or an equivalent secret; a user name is not one."""
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
