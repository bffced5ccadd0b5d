"""Cases for the request after a redirect."""

from tests.unit.clients.http.sent.case import AUTH, Case, chunks, differs, redirected
from tests.unit.clients.http.test_differential import redirect

KEEPS_METHOD = "RFC 9110, 15.4.2 and 15.4.3 allow POST alone to become GET; so does the Fetch standard"
BODY = {"json": {"a": 1}}
REDIRECTS: dict[str, Case] = {
    **{
        f"{method} {status}": redirected(method, status, f"{method} /end")
        for method in ("GET", "HEAD")
        for status in (301, 302, 303, 307, 308)
    },
    **{
        f"{method} {status}": redirected(method, status, f"{method} /end")
        for method in ("DELETE", "OPTIONS")
        for status in (307, 308)
    },
    **{f"{method} 303": redirected(method, 303, "GET /end") for method in ("DELETE", "OPTIONS")},
    **{
        f"{method} {status}": differs(
            redirected(method, status, f"{method} /end"),
            KEEPS_METHOD,
            fast=f"{method} /start | GET /end",
            **({"requests": f"{method} /start | GET /end"} if status == 302 else {}),
        )
        for method in ("DELETE", "OPTIONS")
        for status in (301, 302)
    },
    **{
        f"{method} {status} with a body": redirected(method, status, f'{method} /start {{"a": 1}}', "GET /end", **BODY)
        for method, statuses in {"POST": (301, 302, 303), "PUT": (303,), "PATCH": (303,)}.items()
        for status in statuses
    },
    **{
        f"{method} {status} with a body": redirected(
            method, status, f'{method} /start {{"a": 1}}', f'{method} /end {{"a": 1}}', **BODY
        )
        for method in ("POST", "PUT", "PATCH")
        for status in (307, 308)
    },
    **{
        f"{method} {status} with a body": differs(
            redirected(method, status, f'{method} /start {{"a": 1}}', f'{method} /end {{"a": 1}}', **BODY),
            KEEPS_METHOD,
            fast=f'{method} /start {{"a": 1}} | GET /end',
            requests=f'{method} /start {{"a": 1}} | ' + ("GET /end" if status == 302 else f"{method} /end"),
        )
        for method in ("PUT", "PATCH")
        for status in (301, 302)
    },
    "body in pieces": differs(
        redirected("POST", 307, "POST /start 2\\r\\nab\\r\\n2\\r\\ncd\\r\\n0\\r\\n\\r\\n", data=chunks),
        "RFC 9110, 15.4.8: the same request or none; an empty one is another",
        requests="POST /start 2\\r\\nab\\r\\n2\\r\\ncd\\r\\n0\\r\\n\\r\\n | POST /end 0\\r\\n\\r\\n",
    ),
    "file": redirected("PUT", 307, "PUT /start abc", "PUT /end abc", data=b"abc"),
    "query": redirected("GET", 302, "GET /end?c=d", location="/end?c=d"),
    "utf-8": differs(
        redirected("GET", 302, "GET /%C3%BC", location="/ü"),
        "RFC 3987, 3.1: UTF-8 is percent-encoded once, as browsers do",
        fast="GET /start | GET /%C3%83%C2%BC",
    ),
    "auth": redirected(
        "GET",
        302,
        "GET /start authorization=Basic dTpw",
        "GET /end authorization=Basic dTpw",
        shown=AUTH,
        auth=("u", "p"),
    ),
    "auth to another host": redirected(
        "GET",
        302,
        "GET /start authorization=Basic dTpw",
        "GET /end",
        location="http://localhost:PORT/end",
        shown=AUTH,
        auth=("u", "p"),
    ),
    "cookie header to another host": redirected(
        "GET",
        302,
        "GET /start cookie=a=b",
        "GET /end",
        location="http://localhost:PORT/end",
        shown=("cookie",),
        headers={"Cookie": "a=b"},
    ),
    "api key to another host": differs(
        redirected(
            "GET",
            302,
            "GET /start x-api-key=k",
            "GET /end",
            location="http://localhost:PORT/end",
            shown=("x-api-key",),
            headers={"X-Api-Key": "k"},
        ),
        "RFC 9110, 15.4: a client ought to remove fields with security implications",
        fast="GET /start x-api-key=k | GET /end x-api-key=k",
        requests="GET /start x-api-key=k | GET /end x-api-key=k",
    ),
    "not followed": Case(
        (("GET", "/start", {"allow_redirects": False}),), ("GET /start",), answers={"/start": redirect("/end")}
    ),
    "over TLS": Case(
        (("GET", "/start", {}),), ("GET /start", "GET /end"), answers={"/start": redirect("/end")}, tls=True
    ),
}
