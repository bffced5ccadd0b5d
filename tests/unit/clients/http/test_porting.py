"""Scenarios in the style of Locust's FastHttpUser examples run unchanged when the base class is."""

import json
import time

import gevent
import pytest
from gevent.pywsgi import WSGIServer
from locust import FastHttpUser, TaskSet, between, constant, run_single_user, tag, task
from locust.env import Environment
from locust.exception import LocustError, RescheduleTask, ResponseError, StopUser

from loadtest.clients.http import HttpUser
from loadtest.measuring.recorder import Recorder
from tests.http_harness import ScriptedServer, close, counted, running_user


def item(environ, body):
    """An item that echoes its request."""
    number = int(environ["PATH_INFO"].rpartition("/")[2])
    return "200 OK", [], {"id": number, "method": environ["REQUEST_METHOD"], "sent": body.decode()}


def login(_environ, body):
    """A session in a cookie."""
    name = json.loads(body)["username"]
    return "200 OK", [("Set-Cookie", f"session={name}; Path=/")], {"token": f"t-{name}"}


def profile(environ, _body):
    """Only for those who have logged in."""
    allowed = "session=ada" in environ.get("HTTP_COOKIE", "")
    return ("200 OK", [], {"name": "ada"}) if allowed else ("403 Forbidden", [], {"error": "log in first"})


def secret(environ, _body):
    """Only for those who know the word."""
    good = environ.get("HTTP_AUTHORIZATION") == "Basic YWRhOmxvdmVsYWNl"
    return "200 OK" if good else "401 Unauthorized", [], {}


PAGES = {
    "/login": login,
    "/profile": profile,
    "/secret": secret,
    "/search": lambda environ, _body: ("200 OK", [], f"<p>{environ['QUERY_STRING']}</p>".encode()),
    "/old": lambda _environ, _body: ("302 Found", [("Location", "/item/1")], b""),
    "/lines": lambda _environ, _body: ("200 OK", [], [b"one\n", b"two\n", b"three"]),
}


def shop(environ, start_response):
    """A small web shop."""
    path = environ["PATH_INFO"]
    page = item if path.startswith("/item/") else PAGES.get(path)
    found = page(environ, environ["wsgi.input"].read()) if page else ("404 Not Found", [], {"error": "unknown"})
    status, fields, content = found
    start_response(status, fields)
    if environ["REQUEST_METHOD"] == "HEAD":
        return [b""]
    if isinstance(content, dict):
        return [json.dumps(content).encode()]
    return content if isinstance(content, list) else [content]


@pytest.fixture(scope="module")
def host():
    """The shop's base URL."""
    server = WSGIServer(("127.0.0.1", 0), shop, log=None)
    server.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.stop(timeout=0)


def once(*steps):
    """A scenario without decorators: a user that runs these functions in order and stops."""

    def journey(user):
        for step in steps:
            step(user)
        raise StopUser

    return journey


def browse(user):
    """Plain requests, grouped by name."""
    user.client.get("/item/1")
    for number in range(2, 5):
        user.client.get(f"/item/{number}", name="/item/[id]")
    with user.client.rename_request("/search?q=[term]"):
        user.client.get("/search?q=ü")
    assert user.client.get("/search", params={"q": "x y"}).text == "<p>q=x+y</p>"


def log_in(user):
    """A session by cookie."""
    assert user.client.get("/profile").status_code == 403
    token = user.client.post("/login", json={"username": "ada", "password": "x"}).json()["token"]
    assert token == "t-ada"  # noqa: S105 -- the shop's own
    response = user.client.get("/profile", headers={"X-Token": token})
    assert response.ok
    assert response.json() == {"name": "ada"}


def validate(user):
    """Responses judged by the scenario."""
    with user.client.get("/nowhere", catch_response=True) as response:
        if response.status_code == 404:
            response.success()
    with user.client.get("/item/1", catch_response=True) as response:
        if response.json()["id"] != 2:
            response.failure("wrong item")
    with user.client.post("/item/7", data="payload", catch_response=True) as response:
        assert response.json() == {"id": 7, "method": "POST", "sent": "payload"}
    with user.rest("GET", "/item/3") as response:
        assert response.js["id"] == 3
    with user.rest("POST", "/item/3", json={"a": 1}) as response:
        assert response.js["id"] == 4, "wrong id"
    with user.rest_("GET", "/search") as response:
        pass


def every_method(user):
    """PUT, PATCH, DELETE, HEAD, OPTIONS, forms, redirects, authentication, errors."""
    assert user.client.put("/item/1", data=b"x").json()["method"] == "PUT"
    assert user.client.patch("/item/1", json={"a": 1}).json()["method"] == "PATCH"
    assert user.client.delete("/item/1").json()["method"] == "DELETE"
    assert user.client.head("/item/1").status_code == 200
    assert user.client.options("/item/1").status_code == 200
    assert user.client.post("/item/1", data={"a": "1"}).json()["sent"] == "a=1"
    assert user.client.get("/old").json()["id"] == 1
    assert user.client.get("/old", allow_redirects=False).status_code == 302
    assert user.client.get("/secret", auth=("ada", "lovelace")).ok
    assert not user.client.get("/secret").ok
    with pytest.raises(Exception, match="404"):
        user.client.get("/nowhere").raise_for_status()


def judge(user):
    """Every way to decide on a request, and to fail to decide."""
    for decisions in (["failure"], ["success"], ["failure", "success", "failure", "success"], []):
        for path in ("/item/1", "/nowhere"):
            with user.client.get(path, name=f"{path} {decisions}", catch_response=True) as response:
                for decision in decisions:
                    getattr(response, decision)(*["nope"] if decision == "failure" else [])
    with pytest.raises(ZeroDivisionError), user.client.get("/nowhere", catch_response=True) as response:
        response.success()
        raise ZeroDivisionError
    with user.client.get("/item/1", name="/responseerror", catch_response=True) as response:
        raise ResponseError("not working")
    dead = "http://127.0.0.1:1/"
    with user.client.get(dead, name="/dead success", catch_response=True) as response:
        assert (response.status_code, response.content) == (0, None)
        response.success()
    with user.client.get(dead, name="/dead failure", catch_response=True) as response:
        response.failure("nope")
    with user.client.get("/item/1", name="/no catch_response") as response, pytest.raises(LocustError):
        response.success()


def redirects(user):
    """A redirect counts once, under the method and the URL that were asked for."""
    assert user.client.post("/old").status_code == 200
    assert "Location" not in user.client.get("/old").headers
    assert user.client.get("/old", allow_redirects=False).headers["location"] == "/item/1"
    assert user.client.get(user.host + "/item/5", name="/absolute").json()["id"] == 5


def stream(user):
    """Bodies read in pieces."""
    assert list(user.client.iter_lines("/lines")) == ["one", "two", "three"]
    response = user.client.get("/lines", stream=True)
    assert "".join(response.iter_content(chunk_size=4, decode_content=True)) == "one\ntwo\nthree"


def recorded(base: type, journey, host: str) -> dict[tuple[str, str], tuple[int, int]]:
    """Requests and failures by method and name after a journey of users with this base class."""
    user_class = type("Shopper", (base,), {"host": host, "tasks": [journey], "wait_time": constant(0)})
    environment = Environment(user_classes=[user_class])
    recorder = Recorder.of(environment)
    errors = []
    environment.events.user_error.add_listener(lambda exception, **_: errors.append(exception))
    environment.catch_exceptions = False
    user = user_class(environment)
    user.run()
    close(user)
    assert errors == []
    taken = counted(recorder)
    return {
        (key.method, key.name): (int(requests), int(failures))
        for key, requests, failures in zip(taken.series, taken.requests, taken.failures, strict=True)
    }


@pytest.mark.parametrize("step", [browse, log_in, validate, judge, redirects, every_method, stream])
def test_journey_of_fast_http_user_runs_and_counts_the_same(host, step):
    """The same journey passes on both base classes and records the same requests and failures."""
    ours, stock = (recorded(base, once(step), host) for base in (HttpUser, FastHttpUser))
    assert stock == ours
    assert sum(requests for requests, _ in ours.values()) > 0


def told(base: type, host: str) -> list[tuple[object, ...]]:
    """The arguments that listeners of events.request receive for a few calls of a user with this base class."""
    events = []
    user_class = type("Told", (base,), {"host": host, "context": lambda self: {"user": self.host == host, "k": 1}})
    environment = Environment(user_classes=[user_class])
    Recorder.of(environment)

    def listen(response, exception, start_time, response_time, **event):
        before_s, now_s = started_s[-1], time.time()
        assert before_s - 0.01 <= start_time <= start_time + response_time / 1000 <= now_s + 0.01
        event["failed"], event["text"] = exception is not None, response.text
        event["sent"] = (response.url, response.request.url == response.url)
        events.append(tuple(sorted(event.items(), key=str)))

    environment.events.request.add_listener(listen)
    started_s: list[float] = []
    user = user_class(environment)
    for method, path, arguments in (
        ("GET", "/item/1", {}),
        ("GET", "/nowhere", {"name": "renamed", "context": {"k": 2}}),
        ("POST", "/item/2", {"json": 1}),
        ("GET", "/old", {"name": "/old"}),
        ("PUT", "/item/3", {"data": "x", "context": {"other": 3}}),
        ("HEAD", "/item/4", {}),
        ("GET", "/secret", {"auth": ("ada", "lovelace")}),
    ):
        started_s.append(time.time())
        user.client.request(method, path, **arguments)
    close(user)
    return events


def test_listeners_are_told_what_fast_http_user_tells(host):
    """Method, name, URL, context, length, outcome and response are the same; the times cover the call."""
    ours = told(HttpUser, host)
    assert (len(ours), ours) == (7, told(FastHttpUser, host))


def test_time_of_a_stream_is_that_of_its_head():
    """The time of a slow body is in the response time, unless it is read as a stream."""

    def script(peer):
        while peer.read_head():
            peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab")
            gevent.sleep(0.3)
            peer.send(b"cd")

    with ScriptedServer(script) as server, running_user(server.url) as user:
        for stream in (False, True):
            response = user.client.get("/", stream=stream)
            assert (response.elapsed.total_seconds() < 0.25) is stream
            assert response.content == b"abcd"


def test_whole_locustfile_runs_under_locusts_runner(host):
    """Ten users of a usual locustfile, with on_start, weights, tags and a TaskSet, run without a failure."""
    done = []

    class Visitor(HttpUser):
        wait_time = between(0.001, 0.002)

        def on_start(self):
            self.client.post("/login", json={"username": "ada"})

        @task(3)
        def look(self):
            self.client.get("/item/1")
            done.append("look")

        @tag("search")
        @task
        class Searching(TaskSet):
            @task(2)
            def search(self):
                response = self.client.get("/search?q=1")
                done.append("search")
                if not response.ok:
                    raise RescheduleTask

            @task
            def leave(self):
                self.interrupt()

    Visitor.host = host
    environment = Environment(user_classes=[Visitor], stop_timeout=5)
    recorder = Recorder.of(environment)
    runner = environment.create_local_runner()
    runner.start(10, spawn_rate=1000)
    with gevent.Timeout(20):  # how much they do in a second depends on the machine
        while len(done) <= 50 or set(done) != {"look", "search"}:
            gevent.sleep(0.01)
    runner.quit()
    taken = counted(recorder)
    names = {key.name for key in taken.series}
    assert names == {"/login", "/item/1", "/search?q=1"}
    assert int(sum(taken.failures)) == 0
    assert int(sum(taken.requests)) > 50


def test_single_user_runs_for_debugging(host, monkeypatch):
    """run_single_user(), with which people debug a scenario, works."""
    monkeypatch.setattr("sys.argv", ["scenario.py"])

    class Debugged(HttpUser):
        tasks = [once(browse)]  # noqa: RUF012 -- Locust's form

    Debugged.host = host
    run_single_user(Debugged)
