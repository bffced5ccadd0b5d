"""Redirects: which responses lead on, and to which request."""

from loadtest.clients.http.errors import InvalidRequestError, RedirectError
from loadtest.clients.http.exchange import Upload
from loadtest.clients.http.head import ResponseHead
from loadtest.clients.http.request import NO_KIND, Outgoing
from loadtest.clients.http.url import join

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_REWRITTEN = frozenset({301, 302})
_SEE_OTHER = 303
_KEPT = frozenset({"GET", "HEAD"})
_FOR_ONE_HOST = frozenset({"authorization", "cookie", "host"})


def location_of(head: ResponseHead) -> str | None:
    """Where a response leads on to; None if it does not."""
    return head.headers.get("location") if head.status in _REDIRECTS else None


def redirected(first: Outgoing, request: Outgoing, status: int, location: str) -> Outgoing:
    """The request to which a redirect leads (RFC 9110, section 15.4, with the method rules of the Fetch standard).

    301 and 302 turn POST into GET, 303 turns everything but HEAD into GET, 307 and 308 repeat the request. Credentials
    stay with the host for which the scenario gave them.

    Args:
        first: The request that the scenario made.
        request: The one that is redirected.
        status: The redirect's status.
        location: Where it leads.

    Raises:
        RedirectError: It leads nowhere, or the body cannot be sent a second time.
    """
    try:
        url = join(request.url, location)
    except InvalidRequestError as error:
        raise RedirectError(f"the redirect cannot be followed: {error}") from error
    headers = dict(first.headers or {})
    if url.origin is not first.url.origin:
        headers = {name: value for name, value in headers.items() if name.lower() not in _FOR_ONE_HOST}
    method, body, kind = request.method, request.body, request.kind
    if (status == _SEE_OTHER and method not in _KEPT) or (status in _REWRITTEN and method == "POST"):
        headers = {name: value for name, value in headers.items() if not name.lower().startswith("content-")}
        method, body, kind = "GET", None, NO_KIND
    elif isinstance(body, Upload) and not body.rewind():
        raise RedirectError("the redirect wants the body a second time, and it cannot be read again")
    return Outgoing(method, url, headers, kind, body)
