"""The behaviours of FastHttpUser in Locust's own tests: our HttpUser behaves the same.

A behaviour is a scenario's calls of a user and their results; events for listeners of events.request are compared as
well. Intended differences are in the table of docs/reference/http_client.md. Further journeys are in test_porting.py,
requests on the wire in test_differential_sent.py, and users and TaskSets in ../../users.
"""

import json
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import gevent
import pytest
from gevent.pywsgi import WSGIServer
from locust import FastHttpUser
from locust.env import Environment
from locust.exception import LocustError, ResponseError

from loadtest.clients.http import HttpUser
from loadtest.measuring.recorder import Recorder
from tests.http_harness import close, counted

SLOW_S = 0.2
NOBODY = "http://127.0.0.1:1/"

Answer = tuple[str, list[tuple[str, str]], list[bytes]]


def cookie(query: dict[str, str], environ: dict[str, Any], _body: bytes) -> Answer:
    """Return the received cookies; set one if requested."""
    fields = [("Set-Cookie", f"c={query['set']}")] if "set" in query else []
    return "200 OK", fields, [environ.get("HTTP_COOKIE", "").encode()]


def redirect(query: dict[str, str], _environ: dict[str, Any], _body: bytes) -> Answer:
    """Redirect, after a delay if requested."""
    gevent.sleep(float(query.get("delay", 0)))
    return "302 Found", [("Location", query.get("url", "/method"))], []


def method(_query: dict[str, str], environ: dict[str, Any], _body: bytes) -> Answer:
    """Return the method of the request."""
    name = environ["REQUEST_METHOD"]
    return "200 OK", [("Allow", "GET, POST")] if name == "OPTIONS" else [], [name.encode()]


def header(_query: dict[str, str], environ: dict[str, Any], _body: bytes) -> Answer:
    """Return a header of the request."""
    sent = environ.get("HTTP_X_TEST", "")
    return "200 OK", [("X-Test", sent)], [sent.encode()]


PAGES: dict[str, Callable[[dict[str, str], dict[str, Any], bytes], Answer]] = {
    "/cookie": cookie,
    "/redirect": redirect,
    "/loop": lambda query, environ, body: redirect({"url": "/loop", **query}, environ, body),
    "/method": method,
    "/header": header,
    "/form": lambda _query, _environ, body: ("200 OK", [], [dict(urllib.parse.parse_qsl(body))[b"arg"]]),
    "/type": lambda query, _environ, _body: (
        "200 OK", [("Content-Type", query["is"])], ["grün".encode(query["in"], "ignore")],
    ),
    "/pieces": lambda *_: ("200 OK", [], [b"<i>%d</i>\n" % number for number in range(10)]),
    "/json": lambda _query, _environ, body: ("200 OK", [], [body or b'{"foo": "bar"}']),
    "/status/204": lambda *_: ("204 No Content", [], []),
    "/status/500": lambda *_: ("500 X", [], []),
}  # fmt: skip


def serve(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterator[bytes]:
    """The server's WSGI application."""
    query = dict(urllib.parse.parse_qsl(environ["QUERY_STRING"]))
    page = PAGES.get(environ["PATH_INFO"], lambda *_: ("404 Not Found", [], [b"nothing here"]))
    status, fields, pieces = page(query, environ, environ["wsgi.input"].read())
    if environ["PATH_INFO"] != "/pieces":
        fields = [*fields, ("Content-Length", str(sum(map(len, pieces))))]
    start_response(status, fields)
    if environ["REQUEST_METHOD"] != "HEAD":
        yield from pieces


@pytest.fixture(scope="module")
def host() -> Iterator[str]:
    """The server's base URL."""
    server = WSGIServer(("127.0.0.1", 0), serve, log=None)
    server.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.stop(timeout=0)


def seen(response: Any) -> tuple[Any, ...]:
    """The attributes that scenarios mostly use."""
    return response.status_code, response.ok, response.text, response.url == response.request.url


def unknown_page(user: Any) -> Any:
    """A 404 is a failure with a body."""
    return seen(user.client.get("/nowhere"))


def no_content(user: Any) -> Any:
    """A 204 is a success without one."""
    response = user.client.get("/status/204")
    return response.status_code, response.content or b""


def absolute_url(user: Any) -> Any:
    """The name is the URL as given."""
    return seen(user.client.get(f"{user.host}/method", name="absolute"))


def methods(user: Any) -> Any:
    """Each call has its method; OPTIONS returns the allowed ones; HEAD has no body."""
    calls = [user.client.get, user.client.post, user.client.put, user.client.patch, user.client.delete]
    head, options = user.client.head("/method"), user.client.options("/method")
    return [call("/method").text for call in calls], head.content, options.headers["allow"]


def forms(user: Any) -> Any:
    """The second argument of post() and put() is the body."""
    return [call("/form", {"arg": "hello world"}).text for call in (user.client.post, user.client.put)]


def headers(user: Any) -> Any:
    """A header is sent, and read from response and request regardless of case."""
    response = user.client.get("/header", headers={"X-Test": "hello"})
    return response.text, response.headers.get("x-test"), response.request.headers.get("X-TEST")


def charsets(user: Any) -> Any:
    """With the declared type, without one, and with further parameters."""
    charsets = {"": "ascii", "; charset=iso-8859-1": "iso-8859-1", "; charset=utf-8; x=1": "utf-8"}
    return [
        user.client.get("/type", params={"is": f"text/plain{parameter}", "in": charset}, name="/type").text
        for parameter, charset in charsets.items()
    ]


def names(user: Any) -> Any:
    """By argument, with a query, and of several calls."""
    user.client.get("/method", name="another")
    user.client.get("/method?query=1")
    with user.client.rename_request("several"):
        user.client.get("/method")
        user.client.get("/method?query=2")


def redirects(user: Any) -> Any:
    """Followed under the first URL's name and method, or not followed, but not endlessly."""
    followed = user.client.get("/redirect")
    posted = user.client.post("/redirect", name="posted")
    kept = user.client.get("/redirect", allow_redirects=False)
    user.client.get("/loop")
    return followed.text, "location" in followed.headers, posted.text, kept.headers["location"]


def slow_redirect(user: Any) -> Any:
    """The time of all hops is in the response time."""
    times_ms: list[float] = []
    user.environment.events.request.add_listener(lambda response_time, **_: times_ms.append(response_time))
    user.client.get(f"/redirect?delay={SLOW_S}", name="slow")
    return times_ms[0] >= SLOW_S * 1000


def cookies(user: Any) -> Any:
    """Cookies that the service sets are sent from then on."""
    user.client.post("/cookie?set=1337", name="/cookie")
    return user.client.get("/cookie").text


def contexts(user: Any) -> Any:
    """The call's context is added to the user's, and takes precedence."""
    type(user).context = lambda _self: {"user": "foo", "id": 1}
    user.client.get("/method")
    user.client.get("/method", context={"user": "bar"})


def lengths(user: Any) -> Any:
    """A body without a declared length has that received; a stream has none."""
    user.client.get("/method")
    whole = user.client.get("/pieces")
    with user.client.get("/pieces", stream=True) as streamed:
        return len(whole.content), len(streamed.content)


def streams(user: Any) -> Any:
    """A stream can be read in its with-block, which decides the outcome."""
    with user.client.get("/pieces", stream=True, catch_response=True) as response:
        text = response.stream.read()
        response.failure("some error")
    return text, list(user.client.iter_lines("/pieces", method="POST"))


def refused_connection(user: Any) -> Any:
    """The response has no status or content, but has the request."""
    response = user.client.get(NOBODY, headers={"X-Test": "hello"})
    sent = response.request
    return response.status_code, response.content, response.url, sent.url, sent.headers.get("X-Test")


def refused_connection_judged(user: Any) -> Any:
    """The with-block decides here, too."""
    for judge in ("success", "failure"):
        with user.client.get(NOBODY, catch_response=True) as response:
            getattr(response, judge)(*["by hand"] * (judge == "failure"))


def verdicts_by_default(user: Any) -> Any:
    """If a with-block does not decide, the status does."""
    for path in ("/method", "/status/500"):
        with user.client.get(path, catch_response=True):
            pass


def last_verdict(user: Any) -> Any:
    """The last decision counts, even against the status."""
    with user.client.get("/method", catch_response=True) as response:
        response.failure("nope")
        response.success()
        response.failure("nooo")
        response.success()
    for path in ("/status/500", "/nowhere"):
        with user.client.get(path, catch_response=True) as response:
            response.success()


def verdict_before_an_exception(user: Any) -> Any:
    """The exception leaves the with-block, and the decision counts."""
    with suppress(ZeroDivisionError), user.client.get("/status/500", catch_response=True) as response:
        response.success()
        return 1 / 0
    return "left"


def response_error(user: Any) -> Any:
    """Raised in the with-block, it is a failure and goes no further."""
    with user.client.get("/method", catch_response=True):
        raise ResponseError("not working")


def verdicts_in_the_wrong_place(user: Any) -> Any:
    """Without catch_response, or outside the with-block, a decision is an error of the scenario."""
    raised = []
    with suppress(LocustError), user.client.get("/method") as response:
        response.success()
    caught = user.client.get("/method", catch_response=True)
    for judge in (caught.success, lambda: caught.failure("no")):
        try:
            judge()
        except LocustError:
            raised.append(True)
    with caught:  # so that both count it
        pass
    return raised


def rest(user: Any) -> Any:
    """rest() parses the body; an invalid body, and a failed assertion about it, are failures."""
    with user.rest("POST", "/json", data='{"foo": "bar"}') as good:
        found = good.js
    with user.rest("GET", "/json", name="judged") as judged:
        assert judged.js["foo"] == "another"
    with user.rest("GET", "/method") as text:
        return found, text.js


def rest_of_a_page(user: Any) -> Any:
    """rest_() adds a parameter against caches, under the URL's own name."""
    with user.rest_("GET", "/json") as response:
        return response.js


BEHAVIOURS = (
    unknown_page,
    no_content,
    absolute_url,
    methods,
    forms,
    headers,
    charsets,
    names,
    redirects,
    slow_redirect,
    cookies,
    contexts,
    lengths,
    streams,
    refused_connection,
    refused_connection_judged,
    verdicts_by_default,
    last_verdict,
    verdict_before_an_exception,
    response_error,
    verdicts_in_the_wrong_place,
    rest,
    rest_of_a_page,
)


def experienced(base: type, behaviour: Callable[[Any], Any], host: str) -> tuple[Any, list[Any]]:
    """The results that a user of this base class sees, and the events that listeners receive."""
    told: list[Any] = []
    user_class = type("Someone", (base,), {"host": host, "max_redirects": 5})
    environment = Environment(user_classes=[user_class])
    recorder = Recorder.of(environment)

    def listen(request_type: str, name: str, response_length: int, exception: Any, context: Any, **_: Any) -> None:
        told.append((request_type, name, response_length, exception is not None, context))

    environment.events.request.add_listener(listen)
    user = user_class(environment)
    result = behaviour(user)
    close(user)
    assert sum(counted(recorder).requests) == len(told)
    return json.loads(json.dumps(result, default=repr)), told


@pytest.mark.parametrize("behaviour", BEHAVIOURS, ids=lambda behaviour: behaviour.__name__)
def test_ours_behaves_as_fast_http_user(behaviour: Callable[[Any], Any], host: str) -> None:
    """A scenario sees the same with both, and the same is counted and sent to listeners."""
    ours = experienced(HttpUser, behaviour, host)
    assert ours == experienced(FastHttpUser, behaviour, host)
    assert ours[1]


def test_users_do_not_share_connections() -> None:
    """Each user has its own, and keeps it from call to call."""
    ports: list[str] = []

    def noting(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterator[bytes]:
        ports.append(environ["REMOTE_PORT"])
        return serve(environ, start_response)

    server = WSGIServer(("127.0.0.1", 0), noting, log=None)
    server.start()
    user_class = type("Someone", (HttpUser,), {"host": f"http://127.0.0.1:{server.server_port}"})
    environment = Environment(user_classes=[user_class])
    one, other = user_class(environment), user_class(environment)
    for user in (one, other, other, one):
        user.client.get("/method")
    close(one)
    close(other)
    server.stop(timeout=0)
    assert ports == [ports[0], ports[1], ports[1], ports[0]]
    assert ports[0] != ports[1]


def test_a_context_that_cannot_be_made_says_why(host: str) -> None:
    """The error of a user's own TLS factory is raised by the call, as with FastHttpUser."""

    def factory() -> Any:
        raise ValueError("cannot set verify_mode")

    for base in (HttpUser, FastHttpUser):
        attributes = {"host": host.replace("http", "https"), "ssl_context_factory": staticmethod(factory)}
        user_class = type("Someone", (base,), attributes)
        user = user_class(Environment(user_classes=[user_class]))
        with pytest.raises(ValueError, match="cannot set verify_mode"):
            user.client.get("/method")
        close(user)
