"""The calls of HttpUser: the requests they send, the responses they return, and the samples they record."""

import json

import gevent
import pytest
from locust.exception import (
    StopTest,
)

from loadtest.clients.http.errors import InvalidRequestError
from loadtest.measuring.record import RunRecord
from loadtest.measuring.record_dict import as_dict
from loadtest.measuring.recorder import Recorder
from loadtest.measuring.tallies import MAX_PLACES, VERSION
from tests.http_harness import (
    Peer,
    ScriptedServer,
    always,
    answering,
    counted,
    counts,
    error_classes,
    ok,
    running_user,
)

KEPT = ok(b'{"a":1}', "Content-Type: application/json")


def test_requests_of_a_user_share_one_connection():
    """Ten requests in a row use one connection, and their responses are complete."""
    with ScriptedServer(always(KEPT)) as server, running_user(server.url) as user:
        bodies = [user.client.get("/x").json() for _ in range(10)]
        assert bodies == [{"a": 1}] * 10
        assert server.connections == 1
        assert counts(user) == (10, 0)


def test_response_offers_what_scenarios_use():
    """Status, reason, headers, text, content, url, elapsed and ok have the server's values."""
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
    """json() raises json.JSONDecodeError for any body, including deep nesting and huge numbers."""
    with ScriptedServer(always(ok(body))) as server, running_user(server.url) as user:
        response = user.client.get("/")
    with pytest.raises(json.JSONDecodeError):
        response.json()


@pytest.mark.parametrize("charset", ["no-such", "undefined", "idna", "punycode", "hex", "rot13", "a\0b", "utf-8\xe9"])
def test_no_declared_charset_breaks_text(charset):
    """text is a string whatever charset the server names."""
    response = ok(b"\xffab.", f"Content-Type: text/plain; charset={charset}".replace("\0", ""))
    with ScriptedServer(always(response)) as server, running_user(server.url) as user:
        got = user.client.get("/")
        if "\0" in charset:
            got.encoding = charset
        assert isinstance(got.text, str)


def test_encoding_can_be_chosen_and_an_unknown_one_does_not_break_text():
    """An unknown charset falls back to UTF-8; setting encoding overrides the header."""
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
    """name= and rename_request() set the name under which a request is recorded."""
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


@pytest.mark.parametrize("header", [{"a": 1}, {"a"}, iter("a"), [["a"]], ["a\nb"]])
def test_a_header_that_is_no_text_is_refused(header):
    """A container is never sent as its Python repr."""
    with running_user("http://h") as user:
        with pytest.raises(InvalidRequestError, match="X-A"):
            user.client.get("/", headers={"X-A": header})
        assert error_classes(user) == {"exception": 1}


def test_a_header_may_have_several_values():
    """A list, in a call or in the class, is sent as one field per value."""
    seen = []

    def script(peer: Peer) -> None:
        seen.append(peer.read_head())
        peer.send(KEPT)

    with ScriptedServer(script) as server, running_user(server.url, default_headers={"X-B": ["1", "2"]}) as user:
        user.client.get("/", headers={"X-A": ["a", 2]})
    assert b"X-B: 1\r\nX-B: 2\r\nX-A: a\r\nX-A: 2\r\n" in seen[0] + b"\r\n"


def test_headers_replace_defaults_without_case_and_none_leaves_one_out():
    """A header of the request overrides the default of the same name; None removes it."""
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
    """params= extends the URL's query, encodes, repeats lists, and skips None; the name stays the URL's."""
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
    """auth= and credentials in the base URL produce the same header; other hosts do not get the latter."""
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


def test_stream_hands_out_lines_as_they_arrive():
    """With stream=True the call returns after the head; lines arrive while the server is still sending."""
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
    """close() ends the transfer even while the response object is still referenced."""
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


def test_several_greenlets_of_a_user_get_connections_of_their_own():
    """Concurrent requests of one client do not mix up their responses."""

    def script(peer: Peer) -> None:
        while head := peer.read_request()[0]:
            gevent.sleep(0.02)
            peer.send(ok(head.split()[1]))

    with ScriptedServer(script) as server, running_user(server.url) as user:
        jobs = [gevent.spawn(lambda n=n: user.client.get(f"/{n}").text) for n in range(20)]
        gevent.joinall(jobs, timeout=10)
        assert [f"/{n}" for n in range(20)] == [job.value for job in jobs]
        assert len(user.client._pool.idle) == 10


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
    """Bad hosts, URLs, headers, bodies and timeouts raise in the call, count as exceptions, and send nothing."""
    with ScriptedServer(always(KEPT)) as server, running_user(host or server.url) as user:
        with pytest.raises(InvalidRequestError):
            user.client.get(path, **arguments)
        assert error_classes(user) == {"exception": 1}
        assert server.connections == 0


def test_method_must_be_a_token():
    """A method with a space would split the request line, and is refused."""
    with running_user("http://127.0.0.1:1") as user, pytest.raises(InvalidRequestError):
        user.client.request("GET / HTTP/1.1", "/")


def test_user_without_a_host_stops_the_test():
    """A user without a target raises an error that says how to set one."""
    with pytest.raises(StopTest, match="--host"), running_user(None):
        pass


def test_users_connections_close_when_it_stops():
    """When a user's greenlet is stopped, its connections are closed, so that the server notices."""
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
    """A trailing slash of the host, and a missing one of the path, make no difference."""
    with ScriptedServer(always(KEPT)) as server:
        for host, path in [(server.url + "/", "/a"), (server.url, "a"), (server.url + "/v1", "/a"), (server.url, "?q")]:
            with running_user(host) as user:
                base = server.url + ("/v1" if host.endswith("v1") else "")
                assert base + ("/?q" if path == "?q" else "/a") == user.client.get(path).url


def test_the_first_response_on_a_connection_names_the_version_of_its_service():
    """Later responses on it are not examined, since that path must cost nothing."""
    named = [
        ok(b"a").replace(b"\r\n", b"\r\nX-Service-Version: " + version + b"\r\n", 1) for version in (b"41ab", b"52cd")
    ]
    with ScriptedServer(answering(*named)) as server, running_user(server.url) as user:
        assert [user.client.get("/").headers["X-Service-Version"] for _ in named] == ["41ab", "52cd"]
        record = RunRecord()
        record.add(Recorder.of(user.environment).take())
    assert as_dict(record)["service_versions"] == ["41ab"]


def test_a_version_is_read_from_a_response_that_arrives_in_parts():
    """The header itself is split; the next response on the kept connection, also in parts, is not examined."""
    named = [ok(b"a", f"X-Service-Version: {version}") for version in ("41ab", "52cd")]

    def in_parts(peer: Peer) -> None:
        for response in named:
            peer.read_request()
            cut = response.index(b"Service-Version") + len(b"Service-Version: 41")
            for part in (response[:cut], response[cut:-1], response[-1:]):
                peer.send(part)
                gevent.sleep(0.05)

    with ScriptedServer(in_parts) as server, running_user(server.url) as user:
        assert [user.client.get("/").headers["X-Service-Version"] for _ in named] == ["41ab", "52cd"]
        assert server.connections == 1
        record = RunRecord()
        record.add(Recorder.of(user.environment).take())
    assert as_dict(record)["service_versions"] == ["41ab"]


def test_a_service_that_names_a_version_of_its_own_on_each_connection_is_kept_in_bounds():
    """A service controls its header; only the first few versions of a name are kept."""
    named = [
        ok(b"a").replace(b"\r\n", b"\r\nConnection: close\r\nX-Service-Version: %d\r\n" % number, 1)
        for number in range(2 * MAX_PLACES)
    ]

    def serve(peer: Peer) -> None:
        peer.read_request()
        peer.send(named.pop(0))

    with ScriptedServer(serve) as server, running_user(server.url) as user:
        for _ in range(2 * MAX_PLACES):
            user.client.get("/", name="a")
        taken = Recorder.of(user.environment).take()
    versions = {tally.detail: tally.times for tally in taken.tallies if tally.kind == VERSION}
    assert versions == {"": MAX_PLACES} | {str(number): 1 for number in range(MAX_PLACES)}
