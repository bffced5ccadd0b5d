"""HttpUser's calls: what they send, what they return, what they count."""

import gzip
import json
import re
import time
import zlib

import brotli
import gevent
import pytest
import requests
from locust import log
from locust.exception import (
    InterruptTaskSet,
    LocustError,
    RescheduleTask,
    RescheduleTaskImmediately,
    ResponseError,
    StopTest,
    StopUser,
)

from loadtest.clients.http.coding import Decoder, decode
from loadtest.clients.http.errors import InvalidRequestError, StatusError
from loadtest.clients.http.request_body import encode_body
from tests.http_harness import Peer, ScriptedServer, always, answering, counted, counts, error_classes, ok, running_user

KEPT = ok(b'{"a":1}', "Content-Type: application/json")


def test_requests_of_a_user_share_one_connection():
    """Ten requests in a row use one connection and come back whole."""
    with ScriptedServer(always(KEPT)) as server, running_user(server.url) as user:
        bodies = [user.client.get("/x").json() for _ in range(10)]
        assert bodies == [{"a": 1}] * 10
        assert server.connections == 1
        assert counts(user) == (10, 0)


def test_response_offers_what_scenarios_use():
    """Status, reason, headers, text, content, url, elapsed and ok say what the server sent."""
    response = ok("grün".encode("latin-1"), "Content-Type: text/plain; charset=latin-1", "X-A: 1", "x-a: 2")
    with ScriptedServer(always(response)) as server, running_user(server.url) as user:
        got = user.client.get("/x?y=1")
        assert (got.status_code, got.reason, got.ok, got.error) == (200, "OK", True, None)
        assert ("grün", "grün".encode("latin-1"), "latin-1") == (got.text, got.content, got.encoding)
        assert got.headers["X-a"] == "1, 2"
        assert got.headers.get_all("x-A") == ["1", "2"]
        assert got.headers.get("none") is None
        assert f"{server.url}/x?y=1" == got.url
        assert 0 < got.elapsed.total_seconds() < 5
        got.raise_for_status()


@pytest.mark.parametrize(
    "body", [b"", b"{", b"\xff", b"[" * 100_000, b"1" * 5000, b"-" * 9], ids=lambda body: f"{len(body)} {body[:1]!r}"
)
def test_a_body_that_is_no_json_is_one_kind_of_error(body):
    """json() raises json.JSONDecodeError whatever came, a nesting or a number without measure too."""
    with ScriptedServer(always(ok(body))) as server, running_user(server.url) as user:
        response = user.client.get("/")
    with pytest.raises(json.JSONDecodeError):
        response.json()


@pytest.mark.parametrize("charset", ["no-such", "undefined", "idna", "punycode", "hex", "rot13", "a\0b", "utf-8\xe9"])
def test_no_declared_charset_breaks_text(charset):
    """Whatever charset the server names, text is a string."""
    response = ok(b"\xffab.", f"Content-Type: text/plain; charset={charset}".replace("\0", ""))
    with ScriptedServer(always(response)) as server, running_user(server.url) as user:
        got = user.client.get("/")
        if "\0" in charset:
            got.encoding = charset
        assert isinstance(got.text, str)


def test_encoding_can_be_chosen_and_an_unknown_one_does_not_break_text():
    """A charset that does not exist falls back to UTF-8; setting encoding overrides the header."""
    response = ok("ü".encode(), "Content-Type: text/plain; charset=no-such")
    with ScriptedServer(always(response)) as server, running_user(server.url) as user:
        got = user.client.get("/")
        assert got.text == "ü"
        got.encoding = "latin-1"
        assert got.text == "Ã¼"


@pytest.mark.parametrize("method", ["get", "post", "put", "patch", "delete", "options", "head"])
def test_every_method_has_its_call(method):
    """client.<method> sends that method."""
    seen = []

    def script(peer: Peer) -> None:
        seen.append(peer.read_request()[0].split()[0])
        peer.send(b"HTTP/1.1 204 No Content\r\n\r\n")

    with ScriptedServer(script) as server, running_user(server.url) as user:
        assert getattr(user.client, method)("/").status_code == 204
        assert [method.upper().encode()] == seen


def test_name_groups_requests():
    """name= and rename_request() decide under which name a request is recorded."""
    with ScriptedServer(always(KEPT)) as server, running_user(server.url) as user:
        user.client.get("/item/1", name="/item")
        user.client.get("/item/2", "/item")
        with user.client.rename_request("/grouped"):
            user.client.get("/item/3")
            user.client.post("/item/4")
        user.client.get("/item/5")
        taken = counted(user.recorder)
        recorded = {(key.method, key.name): n for key, n in zip(taken.series, taken.requests, strict=True)}
        assert recorded == {
            ("GET", "/item"): 2,
            ("GET", "/grouped"): 1,
            ("POST", "/grouped"): 1,
            ("GET", "/item/5"): 1,
        }


def test_requests_are_recorded_under_the_scenario():
    """The class attribute scenario names the series; without it the class's name does."""
    with ScriptedServer(always(KEPT)) as server, running_user(server.url, scenario="documents") as user:
        user.client.get("/")
        assert {key.scenario for key in counted(user.recorder).series} == {"documents"}
    with ScriptedServer(always(KEPT)) as server, running_user(server.url) as user:
        user.client.get("/")
        assert {key.scenario for key in counted(user.recorder).series} == {"TestUser"}


@pytest.mark.parametrize("connected", [False, True])
@pytest.mark.parametrize("options", [{}, {"timeout": 5}], ids=["fast", "general"])
def test_first_request_of_an_iteration_takes_the_intended_start(connected, options):
    """The first request's response time runs from the intended start, the second's from its own send."""
    with ScriptedServer(always(KEPT)) as server, running_user(server.url) as user:
        if connected:
            user.client.get("/")
            counted(user.recorder)
        user.intended_start_s = time.perf_counter() - 5
        late = user.client.get("/", **options)
        assert user.intended_start_s is None
        on_time = user.client.get("/")
        assert 5 < late.end_s - late.intended_s < 7
        assert on_time.sent_s == on_time.intended_s
        taken = counted(user.recorder)
        assert (taken.schedule_lag.lengths.sum(), int(sum(taken.requests))) == (1, 2)


def test_bodies_are_encoded_by_kind():
    """json, forms, pairs, strings and bytes arrive as they should, with the fitting Content-Type."""
    seen = []

    def script(peer: Peer) -> None:
        while (request := peer.read_request())[0]:
            seen.append(request)
            peer.send(KEPT)

    with ScriptedServer(script) as server, running_user(server.url) as user:
        user.client.post("/", json={"ä": [1, 2.5, None]})
        user.client.post("/", data={"a": ["1", "2"], "b": "x y"})
        user.client.put("/", data=[("a", "1"), ("a", "2")])
        user.client.patch("/", data="ü")
        user.client.post("/", data=b"\x00\xff")
        user.client.post("/", json=2**70)
        user.client.post("/")
    bodies = [body for _, body in seen]
    assert json.loads(bodies[0]) == {"ä": [1, 2.5, None]}
    assert [b"a=1&a=2&b=x+y", b"a=1&a=2", "ü".encode(), b"\x00\xff", str(2**70).encode(), b""] == bodies[1:]
    assert b"Content-Type: application/json" in seen[0][0]
    assert b"Accept: application/json" in seen[0][0]
    assert b"Content-Type: application/x-www-form-urlencoded" in seen[1][0]
    assert b"Content-Type: text/plain" in seen[3][0]
    assert b"Content-Type: application/octet-stream" in seen[4][0]
    assert b"Content-Length: 0" in seen[6][0]


def test_files_become_a_multipart_form(tmp_path):
    """files= sends the file's name and content together with the form's fields."""
    path = tmp_path / "report.txt"
    path.write_bytes(b"line\n")
    seen = []

    def script(peer: Peer) -> None:
        seen.append(peer.read_request())
        peer.send(KEPT)

    with ScriptedServer(script) as server, running_user(server.url) as user, path.open("rb") as file:
        user.client.post("/", data={"k": "v"}, files={"f": file, "g": ("g.bin", b"\x01", "application/x-g")})
    head, body = seen[0]
    assert b"Content-Type: multipart/form-data; boundary=" in head
    assert b'name="k"\r\n\r\nv\r\n' in body
    assert b'name="f"; filename="report.txt"' in body
    assert b"line\n" in body
    assert b'name="g"; filename="g.bin"\r\nContent-Type: application/x-g\r\n\r\n\x01' in body


@pytest.mark.parametrize(
    ("data", "files"),
    [
        (None, {"f": b"bytes"}),
        (None, {"f": "text"}),
        ({"n": 5, "l": ["a", 2], "none": None, "b": b"x", "t": True}, {"f": b"bytes"}),
        ([("k", "1"), ("k", "2")], [("f", ("a.bin", b"1")), ("f", ("b.bin", b"2"))]),
        (None, {"f": ("a.csv", "a,b", "text/csv", {"X-Part": "1"})}),
        (None, {"f": ("a.csv", b"a,b", "text/csv"), "none": None}),
        ({"ü": "ä"}, {"f": ("ü.txt", b"x")}),
    ],
)
def test_a_multipart_form_is_that_of_requests(data, files):
    """Whatever requests accepts as data and files becomes the same form; only the guess of a file's type differs."""

    def parts(body: bytes) -> list[bytes]:
        boundary = body.partition(b"\r\n")[0]
        guess = rb"Content-Type: (application/octet-stream|text/plain)\r\n"
        return [re.sub(guess, b"", part) for part in body.split(boundary)]

    ours, _ = encode_body(data, None, files)
    assert parts(ours) == parts(requests.Request("POST", "http://h/", data=data, files=files).prepare().body)


@pytest.mark.parametrize("data", [{}, [], (), "", b"", None])
def test_json_is_sent_where_data_is_empty(data):
    """Empty data does not keep json from being sent, as with FastHttpUser."""
    assert encode_body(data, {"a": 1}, None)[0] == b'{"a":1}'


@pytest.mark.parametrize("header", [{"a": 1}, {"a"}, iter("a"), [["a"]], ["a\nb"]])
def test_a_header_that_is_no_text_is_refused(header):
    """A container is never sent as Python shows it."""
    with running_user("http://h") as user:
        with pytest.raises(InvalidRequestError, match="X-A"):
            user.client.get("/", headers={"X-A": header})
        assert error_classes(user) == {"exception": 1}


def test_a_header_may_have_several_values():
    """A list is sent as one field for each value, of a call and of the class."""
    seen = []

    def script(peer: Peer) -> None:
        seen.append(peer.read_head())
        peer.send(KEPT)

    with ScriptedServer(script) as server, running_user(server.url, default_headers={"X-B": ["1", "2"]}) as user:
        user.client.get("/", headers={"X-A": ["a", 2]})
    assert b"X-B: 1\r\nX-B: 2\r\nX-A: a\r\nX-A: 2\r\n" in seen[0] + b"\r\n"


def test_headers_replace_defaults_without_case_and_none_leaves_one_out():
    """A header of the request wins over the default of the same name; None removes it."""
    seen = []

    def script(peer: Peer) -> None:
        while head := peer.read_request()[0]:
            seen.append(head.decode("latin-1").split("\r\n")[1:])
            peer.send(KEPT)

    with ScriptedServer(script) as server, running_user(server.url, default_headers={"X-D": "d"}) as user:
        user.client.get("/")
        user.client.get("/", headers={"x-d": "e", "ACCEPT-ENCODING": None, "N": 5, "B": b"\xfc"})
        user.client.get("/", headers={"Host": "other.example"})
    agent = next(line for line in seen[0] if line.startswith("User-Agent: loadtest/"))
    host = f"Host: {server.url[7:]}"
    assert {host, agent, "Accept-Encoding: gzip, deflate, br", "X-D: d"} == set(seen[0])
    assert {host, agent, "x-d: e", "N: 5", "B: ü"} == set(seen[1])
    assert [line for line in seen[2] if line.lower().startswith("host")] == ["Host: other.example"]


def test_params_extend_the_query():
    """params= appends to the URL's query, encodes, repeats lists, leaves None out; the name stays the URL's."""
    seen = []

    def script(peer: Peer) -> None:
        while head := peer.read_request()[0]:
            seen.append(head.split()[1].decode())
            peer.send(KEPT)

    with ScriptedServer(script) as server, running_user(server.url) as user:
        user.client.get("/x?a=1", params={"b": ["2", "3"], "c": "ü &", "d": None})
        user.client.get("/x", params="raw=%20")
        user.client.get("/path with space/ü?q=ä b#fragment")
        user.client.get("/x?", params={"a": 1})
        user.client.get("/x?b&", params={"a": 1})
        assert seen == [
            "/x?a=1&b=2&b=3&c=%C3%BC+%26",
            "/x?raw=%20",
            "/path%20with%20space/%C3%BC?q=%C3%A4%20b",
            "/x?a=1",
            "/x?b&a=1",
        ]
        assert [key.name for key in counted(user.recorder).series][:2] == ["/x?a=1", "/x"]


def test_basic_auth_by_argument_and_by_url():
    """auth= and credentials in the base URL become the same header; foreign hosts do not get the latter."""
    seen = []

    def script(peer: Peer) -> None:
        while head := peer.read_request()[0]:
            seen.append(b"Authorization: Basic dTpwQA==" in head)
            peer.send(KEPT)

    with ScriptedServer(script) as server:
        with running_user(server.url) as user:
            user.client.get("/", auth=("u", "p@"))
        with running_user(server.url.replace("//", "//u:p%40@")) as user:
            user.client.get("/")
            user.client.get(server.url.replace("127.0.0.1", "localhost"))
    assert seen == [True, True, False]


@pytest.mark.parametrize("status", [400, 404, 500, 503, 600])
def test_failing_status_is_counted_by_class_and_raised_on_demand(status):
    """A status from 400 on makes the request a failure of its class; the call itself does not raise."""
    with ScriptedServer(always(ok(b"no", status=f"{status} X"))) as server, running_user(server.url) as user:
        response = user.client.get("/")
        assert (status, False, "no") == (response.status_code, response.ok, response.text)
        with pytest.raises(StatusError, match=str(status)):
            response.raise_for_status()
        expected = {4: "status_4xx", 5: "status_5xx"}.get(status // 100, "status_other")
        assert error_classes(user) == {expected: 1}


def test_with_block_decides_the_outcome():
    """success() and failure() decide against the status; without a decision the status counts."""
    with ScriptedServer(always(ok(status="404 N"))) as server, running_user(server.url) as user:
        with user.client.get("/", catch_response=True) as response:
            response.success()
        assert counts(user) == (1, 0)
        with user.client.get("/", catch_response=True) as response:
            response.failure("body is wrong")
        assert error_classes(user) == {"assertion": 1}
        with user.client.get("/", catch_response=True):
            pass
        assert error_classes(user) == {"status_4xx": 1}
        with user.client.get("/", catch_response=True) as response:
            response.failure(ValueError("x"))
        assert error_classes(user) == {"assertion": 1}


def test_with_block_counts_at_its_end_only():
    """Nothing is recorded before the block ends; without one, a response counts when nobody holds it any more."""
    with ScriptedServer(always(KEPT)) as server, running_user(server.url) as user:
        with user.client.get("/", catch_response=True):
            assert counts(user) == (0, 0)
        assert counts(user) == (1, 0)
        held = user.client.get("/", catch_response=True)
        assert counts(user) == (0, 0)
        del held
        assert counts(user) == (1, 0)


def test_exception_in_a_with_block_counts_and_goes_on():
    """The scenario's own exception fails the request and is raised; Locust's steering leaves the outcome alone."""
    with ScriptedServer(always(KEPT)) as server, running_user(server.url) as user:
        with pytest.raises(KeyError), user.client.get("/", catch_response=True):
            raise KeyError("k")
        assert error_classes(user) == {"exception": 1}
        with pytest.raises(StopUser), user.client.get("/", catch_response=True):
            raise StopUser
        assert counts(user) == (1, 0)


def test_response_error_in_a_with_block_fails_the_request_and_goes_no_further():
    """Locust's ResponseError is the scenario's way to fail a request from deep within its block."""
    with ScriptedServer(always(KEPT)) as server, running_user(server.url) as user:
        with user.client.get("/", catch_response=True):
            raise ResponseError("wrong")
        assert error_classes(user) == {"assertion": 1}


def test_deciding_outside_a_with_block_is_refused():
    """success() and failure() without catch_response or outside the block say what is missing."""
    with ScriptedServer(always(KEPT)) as server, running_user(server.url) as user:
        response = user.client.get("/")
        with pytest.raises(LocustError, match="catch_response"):
            response.success()
        with pytest.raises(LocustError, match="catch_response"):
            response.failure("x")
        with pytest.raises(LocustError, match="catch_response"):
            user.client.get("/", catch_response=True).failure("x")
        with pytest.raises(LocustError, match="catch_response"), user.client.get("/") as response:
            response.success()


def test_rest_parses_json_and_fails_what_is_none():
    """rest() puts the parsed body into js, asks for JSON, and counts a failed assertion."""
    with ScriptedServer(answering(KEPT, ok(b"<html>"), KEPT, KEPT)) as server, running_user(server.url) as user:
        with user.rest("GET", "/") as response:
            assert response.js == {"a": 1}
        assert counts(user) == (1, 0)
        with user.rest("GET", "/") as response:
            pass
        assert error_classes(user) == {"assertion": 1}
        with user.rest("GET", "/") as response:
            assert response.js["a"] == 2, "a is not 2"
        assert error_classes(user) == {"assertion": 1}
        with user.rest_("GET", "/") as response:
            pass
        assert [key.name for key in counted(user.recorder).series if "_=..." in key.name] == ["/?_=..."]


def test_listeners_of_locusts_request_event_get_every_request():
    """A listener is told of successes, failures and calls that could not be built, with Locust's arguments."""
    events = []
    with ScriptedServer(answering(KEPT, KEPT, ok(status="500 X"))) as server, running_user(server.url) as user:
        user.environment.events.request.add_listener(lambda **request: events.append(request))
        user.context = lambda: {"user": "u"}
        user.client.get("/a")
        user.client.get("/a", name="n", context={"k": "v"})
        user.client.get("/b")
        with pytest.raises(InvalidRequestError):
            user.client.get("/c", headers={"x": "a\nb"})
        assert [(r["request_type"], r["name"]) for r in events] == [
            ("GET", "/a"),
            ("GET", "n"),
            ("GET", "/b"),
            ("GET", "/c"),
        ]
        assert events[1]["context"] == {"user": "u", "k": "v"}
        assert events[1]["response_length"] == 7
        assert f"{server.url}/a" == events[1]["url"]
        assert 0 < events[1]["response_time"] < 5000
        assert abs(events[1]["start_time"] - time.time()) < 60
        assert events[1]["response"].json() == {"a": 1}
        assert [type(r["exception"]).__name__ for r in events] == [
            "NoneType",
            "NoneType",
            "StatusError",
            "InvalidRequestError",
        ]
        assert counts(user) == (4, 2)


@pytest.mark.parametrize("caught", [False, True])
@pytest.mark.parametrize(
    "kind",
    [StopUser, StopTest, RescheduleTask, RescheduleTaskImmediately, InterruptTaskSet],
    ids=lambda kind: kind.__name__,
)
def test_a_listener_may_steer_the_user(kind, caught):
    """What Locust steers users by goes through from a listener, on the fast path and the general one, counted once."""

    def listener(**_: object) -> None:
        raise kind

    with ScriptedServer(always(KEPT)) as server, running_user(server.url) as user:
        user.environment.events.request.add_listener(listener)
        for _ in range(2):
            with pytest.raises(kind):
                if caught:
                    with user.client.get("/", catch_response=True):
                        pass
                else:
                    user.client.get("/")
        assert counts(user) == (2, 0)
        assert server.connections == 1


def test_failing_listener_does_not_fail_the_request(caplog, monkeypatch):
    """A listener that raises is logged, and the call returns; the process's exit code will say so, as with Locust."""
    monkeypatch.setattr(log, "unhandled_greenlet_exception", False)

    def listener(**_: object) -> None:
        raise RuntimeError("listener broke")

    with ScriptedServer(always(KEPT)) as server, running_user(server.url) as user:
        user.environment.events.request.add_listener(listener)
        assert user.client.get("/").ok
        assert user.client.get("/").ok
    assert "listener broke" in caplog.text
    assert log.unhandled_greenlet_exception is True


CODED = {
    "gzip": gzip.compress(b"text" * 100),
    "x-gzip": gzip.compress(b"text" * 50) + gzip.compress(b"text" * 50),
    "deflate": zlib.compress(b"text" * 100),
    "DEFLATE": zlib.compress(b"text" * 100, wbits=-15),
    "br": brotli.compress(b"text" * 100),
    "gzip, br": brotli.compress(gzip.compress(b"text" * 100)),
    "identity": b"text" * 100,
}


@pytest.mark.parametrize("coding", CODED)
def test_content_codings_are_undone(coding):
    """gzip (several members too), deflate with and without wrapper, Brotli and their combination decode."""
    response = ok(CODED[coding], f"Content-Encoding: {coding}")
    with ScriptedServer(always(response)) as server, running_user(server.url) as user:
        got = user.client.get("/")
        assert got.content == b"text" * 100
        assert len(CODED[coding]) == got.wire_bytes
        streamed = b"".join(user.client.get("/", stream=True).iter_content(decode_content=False))
        assert streamed == b"text" * 100


@pytest.mark.parametrize("padding", [b"\0" * 1000, b"garbage", b"\x1f", b"\0"])
@pytest.mark.parametrize("members", [1, 2])
def test_padding_behind_a_gzip_body_is_passed_over(padding, members):
    """What lies behind the last member is ignored, as gzip itself does, in whatever pieces it comes."""
    body = gzip.compress(b"text") * members + padding
    assert decode("gzip", body, 1000) == b"text" * members
    decoder = Decoder("gzip", 1000)
    assert b"".join(decoder.feed(body[at : at + 1]) for at in range(len(body))) == b"text" * members
    decoder.finish()


def test_unknown_coding_leaves_the_body_as_it_is():
    """A coding that was not asked for is not an error; the bytes stay."""
    with ScriptedServer(always(ok(b"??", "Content-Encoding: zz"))) as server, running_user(server.url) as user:
        assert user.client.get("/").content == b"??"


def test_coded_response_without_a_body_is_empty():
    """An empty body with a coding, and the answer to HEAD, decode to nothing."""
    responses = answering(ok(b"", "Content-Encoding: gzip"), ok(b"", "Content-Encoding: gzip"))
    with ScriptedServer(responses) as server, running_user(server.url) as user:
        assert user.client.get("/").content == b""
        assert user.client.head("/").content == b""


def test_stream_hands_out_lines_as_they_arrive():
    """With stream=True the call returns at the head; lines come while the server is still sending."""
    go_on = gevent.event.Event()

    def script(peer: Peer) -> None:
        peer.read_request()
        peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\none\r\ntwo\n\r\n")
        go_on.wait(5)
        peer.send(b"5\r\nthree\r\n0\r\n\r\n")
        peer.read_request()
        peer.send(KEPT)

    with ScriptedServer(script) as server, running_user(server.url) as user:
        lines = user.client.iter_lines("/")
        assert [next(lines), next(lines)] == ["one", "two"]
        go_on.set()
        assert list(lines) == ["three"]
        assert user.client.get("/").json() == {"a": 1}
        assert server.connections == 1


def test_stream_left_unread_gives_its_connection_up():
    """A dropped, closed or half-read stream does not leak its connection into the next request."""
    body = ok(b"x" * 100_000)
    with ScriptedServer(always(body)) as server, running_user(server.url) as user:
        user.client.get("/", stream=True).close()
        with user.client.get("/", stream=True) as response:
            next(response.iter_content(10))
        user.client.get("/", stream=True)
        assert user.client.get("/").content == b"x" * 100_000
        assert counts(user) == (4, 0)


def test_closed_stream_closes_its_connection_at_once():
    """close() ends the transfer although the response is still held."""
    ended = gevent.event.Event()

    def script(peer: Peer) -> None:
        peer.read_request()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nbegin")
        if peer.sock.recv(1) == b"":
            ended.set()

    with ScriptedServer(script) as server, running_user(server.url) as user:
        response = user.client.get("/", stream=True)
        response.close()
        assert ended.wait(5)
        assert list(response.iter_content()) == []


def test_upload_of_a_file_has_a_length_and_an_iterable_comes_in_chunks(tmp_path):
    """A file is sent with Content-Length, a generator with chunked coding; both arrive whole."""
    content = bytes(range(256)) * 2000
    path = tmp_path / "file"
    path.write_bytes(content)
    seen = []

    def script(peer: Peer) -> None:
        while (request := peer.read_request())[0]:
            seen.append(request)
            peer.send(KEPT)

    with ScriptedServer(script) as server, running_user(server.url) as user, path.open("rb") as file:
        assert user.client.post("/", data=file).ok
        assert user.client.post("/", data=(piece for piece in (b"a" * 10, b"", b"b"))).ok
    assert f"Content-Length: {len(content)}".encode() in seen[0][0]
    assert content == seen[0][1]
    assert b"Transfer-Encoding: chunked" in seen[1][0]
    assert b"Content-Length" not in seen[1][0]
    assert seen[1][1] == b"a\r\naaaaaaaaaa\r\n1\r\nb\r\n0\r\n\r\n"


def test_framing_headers_are_the_clients_own():
    """A wrong Content-Length or Transfer-Encoding from the scenario is replaced by the right one."""
    seen = []

    def script(peer: Peer) -> None:
        seen.append(peer.read_request())
        peer.send(KEPT)

    with ScriptedServer(script) as server, running_user(server.url) as user:
        user.client.post("/", data=b"abc", headers={"content-length": "1", "Transfer-Encoding": "chunked"})
    assert seen[0][1] == b"abc"
    assert b"chunked" not in seen[0][0]


def test_several_greenlets_of_a_user_get_connections_of_their_own():
    """Concurrent requests of one client do not mix their responses."""

    def script(peer: Peer) -> None:
        while head := peer.read_request()[0]:
            gevent.sleep(0.02)
            peer.send(ok(head.split()[1]))

    with ScriptedServer(script) as server, running_user(server.url) as user:
        jobs = [gevent.spawn(lambda n=n: user.client.get(f"/{n}").text) for n in range(20)]
        gevent.joinall(jobs, timeout=10)
        assert [f"/{n}" for n in range(20)] == [job.value for job in jobs]
        assert len(next(iter(user.client._pool.idle.values()))) == 10


@pytest.mark.parametrize(
    ("host", "path", "arguments"),
    [
        ("ftp://127.0.0.1", "/", {}),
        ("127.0.0.1:5000", "/", {}),
        ("http://", "/", {}),
        ("http://h:port", "/", {}),
        ("http://h:70000", "/", {}),
        ("http://[::1", "/", {}),
        ("http+unix://relative", "/", {}),
        (None, "http://h/\r\nX: y", {}),
        (None, "/", {"headers": {"X": "a\r\nB: c"}}),
        (None, "/", {"headers": {"X\n": "a"}}),
        (None, "/", {"headers": {"X": "€"}}),
        (None, "/", {"json": object()}),
        (None, "/", {"json": {1, 2}}),
        (None, "/", {"data": 5}),
        (None, "/", {"data": "\ud800"}),
        (None, "/", {"timeout": -1}),
        (None, "/", {"timeout": "1"}),
        (None, "/", {"timeout": (1, 2, 3, 4)}),
        (None, "/", {"params": 5}),
    ],
)
def test_call_that_cannot_be_built_is_refused_at_once_and_counted(host, path, arguments):
    """Bad hosts, URLs, headers, bodies and timeouts raise at the call, count as exception, and send nothing."""
    with ScriptedServer(always(KEPT)) as server, running_user(host or server.url) as user:
        with pytest.raises(InvalidRequestError):
            user.client.get(path, **arguments)
        assert error_classes(user) == {"exception": 1}
        assert server.connections == 0


def test_method_must_be_a_token():
    """A method with a space would split the request line; it is refused."""
    with running_user("http://127.0.0.1:1") as user, pytest.raises(InvalidRequestError):
        user.client.request("GET / HTTP/1.1", "/")


def test_upload_that_breaks_its_promise_fails_at_the_call():
    """An iterable that yields text, or a file that is shorter than announced, raises and closes the connection."""
    with ScriptedServer(always(KEPT)) as server, running_user(server.url) as user:
        response = user.client.post("/", data=iter(["text"]))
        assert isinstance(response.error, InvalidRequestError)
        assert error_classes(user) == {"exception": 1}
        assert user.client.get("/").ok


def test_user_without_a_host_stops_the_test():
    """A user that does not know where to send anything says how to tell it."""
    with pytest.raises(StopTest, match="--host"), running_user(None):
        pass


def test_users_connections_close_when_it_stops():
    """Stopping a user's greenlet closes its connections, so that the server sees the end."""
    ended = gevent.event.Event()

    def script(peer: Peer) -> None:
        while peer.read_request()[0]:
            peer.send(KEPT)
        ended.set()

    with ScriptedServer(script) as server, running_user(server.url) as user:
        user.tasks = [lambda u: (u.client.get("/"), gevent.sleep(60))]
        greenlet = gevent.spawn(user.run)
        gevent.sleep(0.1)
        greenlet.kill()
        assert ended.wait(5)


def test_base_url_and_path_join_with_one_slash():
    """A trailing slash of the host and a missing one of the path do no harm."""
    with ScriptedServer(always(KEPT)) as server:
        for host, path in [(server.url + "/", "/a"), (server.url, "a"), (server.url + "/v1", "/a"), (server.url, "?q")]:
            with running_user(host) as user:
                base = server.url + ("/v1" if host.endswith("v1") else "")
                assert base + ("/?q" if path == "?q" else "/a") == user.client.get(path).url


def answering_then_hanging(answers: int):
    """A script that answers this many requests and leaves the next without an answer."""

    def script(peer: Peer) -> None:
        for _ in range(answers):
            peer.read_request()
            peer.send(KEPT)
        peer.read_request()
        gevent.sleep(5)

    return script


@pytest.mark.parametrize("answers", [0, 1])
def test_a_request_whose_user_is_stopped_is_unfinished(answers: int):
    """Without an answer when its user is killed it counts with its age, on a new connection and on a kept one."""
    seen = []
    with ScriptedServer(answering_then_hanging(answers)) as server, running_user(server.url) as user:
        user.environment.events.request.add_listener(lambda exception, **_: seen.append(repr(exception)))
        victim = gevent.spawn(lambda: [user.client.get("/") for _ in range(answers + 1)])
        gevent.sleep(0.3)
        victim.kill()
        taken = counted(user.recorder)
        assert int(taken.requests.sum()) == answers + 1
        assert [(error.error_class, error.occurrences) for error in taken.errors] == [("unfinished", 1)]
        assert 0.2 < taken.response_time.summaries.max() / 1e9 < 2
        assert seen[-1] == "UnfinishedError('no answer yet when the user was stopped')"


def test_a_limit_of_the_scenario_is_a_timeout():
    """A gevent.Timeout around a call is the scenario's own time limit, not an end of its user."""
    with ScriptedServer(answering_then_hanging(0)) as server, running_user(server.url) as user:
        with gevent.Timeout(0.1, False):
            user.client.get("/")
        assert error_classes(user) == {"timeout_total": 1}


def test_the_first_failures_of_a_kind_leave_request_and_answer():
    """Without secrets, also those of the user's cookies; later ones of the kind are counted, until a run begins."""
    secret = "s3cret-s3cret"  # noqa: S105
    refused = b"HTTP/1.1 500 Oops\r\nSet-Cookie: sid=%b\r\nContent-Length: 17\r\n\r\nsid %b" % ((secret.encode(),) * 2)
    with ScriptedServer(always(refused)) as server, running_user(server.url) as user:
        for _ in range(2):
            user.client.post("/buy", json={"product": "keyboard", "password": secret}, name="buy")
        (first,) = counted(user.recorder).errors
        user.client.get("/buy", name="buy")
        user.client.post("/buy", name="buy")
        kept = {error.evidence is None for error in counted(user.recorder).errors}
        user.recorder.forget_evidence()
        user.client.post("/buy", name="buy")
        (again,) = counted(user.recorder).errors
    assert first.occurrences == 2
    assert first.evidence.request.startswith(f"POST {server.url}/buy\n")
    assert first.evidence.request.endswith('{"product": "keyboard", "password": "***"}')
    assert first.evidence.answer == "500 Oops\nset-cookie: ***\ncontent-length: 17\n\nsid ***"
    assert kept == {True, False}
    assert again.evidence is not None


def test_a_request_without_an_answer_leaves_what_was_sent():
    """The server closes without a word."""
    with ScriptedServer(lambda peer: peer.read_request() and None) as server, running_user(server.url) as user:
        user.client.post("/buy", data="a")
        (error,) = counted(user.recorder).errors
    assert (error.evidence.request.splitlines()[0], error.evidence.answer) == (f"POST {server.url}/buy", "")
