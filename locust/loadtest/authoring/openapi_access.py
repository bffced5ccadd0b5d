"""OpenApiAccess: authenticate the calls of an operation according to the security schemes of its document.

Tested in tests/unit/authoring/test_openapi_requests.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loadtest.authoring.openapi_document import Node, OpenApiDocument

HELPERS: Final = ("api_key", "api_key_cookie", "basic_headers", "bearer_headers")
"""The names under which `loadtest.scenarios` exports the functions called below."""


@dataclass(frozen=True)
class Access:
    """The credentials of a call, as Python code.

    Attributes:
        headers: calls that each return headers.
        params: a call that returns query parameters.
        has_cookie: whether one of the headers is the cookie header, which then contains all cookies.
        note: why the call will not be authenticated; None if it will.
    """

    headers: tuple[str, ...] = ()
    params: str | None = None
    has_cookie: bool = False
    note: str | None = None


def access_of(document: OpenApiDocument, operation: Node, cookies: Sequence[str]) -> Access:
    """Return the credentials for an operation: the first of its alternatives that can be drafted.

    Args:
        document: the document with the security schemes.
        operation: the operation.
        cookies: the other cookies that it sends.
    """
    alternatives = operation.get("security", document.root.get("security")) or []
    found = [_access(document, [*each], cookies) for each in alternatives if each]
    return next((each for each in found if each.note is None), found[0] if found else Access())


def _access(document: OpenApiDocument, names: Sequence[str], cookies: Sequence[str]) -> Access:
    schemes = document.root.get("components", {}).get("securitySchemes", {})
    headers: list[str] = []
    params: list[str] = []
    has_cookie = False
    for scheme in (document.resolved(schemes.get(name, {"type": "oauth2"})) for name in names):
        kind, place = scheme.get("type"), scheme.get("in")
        is_basic = kind == "http" and str(scheme.get("scheme")).lower() == "basic"
        is_bearer = kind in ("oauth2", "openIdConnect") or str(scheme.get("scheme")).lower() == "bearer"
        if kind == "apiKey" and place == "query":
            params.append(f"api_key({scheme['name']!r})")
        elif kind == "apiKey" and place == "cookie":
            headers.append(f"api_key_cookie({', '.join(map(repr, (scheme['name'], *cookies)))})")
            has_cookie = True
        elif kind == "apiKey":
            headers.append(f"api_key({scheme['name']!r})")
        elif is_basic or is_bearer:
            headers.append("basic_headers()" if is_basic else "bearer_headers()")
        else:
            what = scheme.get("scheme", kind)
            return Access(note=f"it is drafted without authentication: the security scheme {what} is not supported")
    return Access(tuple(headers), " | ".join(params) or None, has_cookie)
