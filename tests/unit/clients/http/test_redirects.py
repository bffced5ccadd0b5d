"""Redirects: their targets, and their method, body and credentials."""

from urllib.parse import quote

import gevent
import pytest
from gevent.server import StreamServer

from loadtest.measuring.recorder import Recorder
from loadtest.measuring.tallies import NOWHERE
from loadtest.settings import hosts
from tests.http_harness import Peer, ScriptedServer, always, counted, counts, error_classes, ok, running_user


def redirect(status: int, location: str, *fields: str) -> bytes:
    """A redirect with a small body."""
    return ok(b"moved", f"Location: {location}", *fields, status=f"{status} Moved")


class Recording:
    """A script that redirects the path /start, responds to everything else, and keeps the requests."""

    def __init__(self, status: int = 302, location: str = "/end", *fields: str) -> None:
        self.response = redirect(status, location, *fields)
        self.seen: list[tuple[str, str, bytes, dict[str, str]]] = []

    def __call__(self, peer: Peer) -> None:
        """Serve one connection."""
        while (request := peer.read_request())[0]:
            first, *lines = request[0].decode().split("\r\n")
            method, target, _ = first.split(" ")
            fields = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
            self.seen.append((method, target, request[1], fields))
            peer.send(self.response if target == "/start" else ok(b"end"))

    @property
    def requests(self) -> list[tuple[str, str, bytes]]:
        """Method, target and body of each request."""
        return [entry[:3] for entry in self.seen]


@pytest.mark.parametrize(
    ("status", "method", "expected"),
    [
        (301, "GET", "GET"),
        (302, "GET", "GET"),
        (303, "GET", "GET"),
        (307, "GET", "GET"),
        (308, "GET", "GET"),
        (301, "POST", "GET"),
        (302, "POST", "GET"),
        (303, "POST", "GET"),
        (307, "POST", "POST"),
        (308, "POST", "POST"),
        (301, "PUT", "PUT"),
        (302, "PATCH", "PATCH"),
        (303, "PUT", "GET"),
        (303, "DELETE", "GET"),
        (307, "PUT", "PUT"),
        (301, "HEAD", "HEAD"),
        (303, "HEAD", "HEAD"),
    ],
)
def test_method_and_body_follow_the_status(status, method, expected):
    """POST becomes GET after 301 and 302, all but HEAD after 303; otherwise method and body are repeated."""
    script = Recording(status)
    body = b"" if method in {"GET", "HEAD"} else b"body"
    if method == "HEAD":
        script.response = script.response.removesuffix(b"moved")
    with ScriptedServer(script) as server, running_user(server.url) as user:
        response = user.client.request(method, "/start", data=body, headers={"Content-Type": "x/y"})
        repeated = body if expected == method else b""
        if method == "HEAD":
            assert script.requests[1][:2] == ("HEAD", "/end")
            return
        assert [(method, "/start", body), (expected, "/end", repeated)] == script.requests
        assert ("content-type" in script.seen[1][3]) == (expected == method)
        assert response.content == b"end"
        assert f"{server.url}/end" == response.url
        assert [status] == [passed.status_code for passed in response.history]
        assert response.request.method == expected
        assert counts(user) == (1, 0)


def test_call_counts_once_under_its_first_url():
    """A chain of redirects is one request of the scenario."""
    with ScriptedServer(Recording()) as server, running_user(server.url) as user:
        user.client.get("/start")
        assert [key.name for key in counted(user.recorder).series] == ["/start"]


@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("end", "/end"),
        ("?q=1", "/start?q=1"),
        ("/a b/ü#x", "/a%20b/%C3%BC"),
        ("//{authority}/end", "/end"),
        ("http://{authority}/end?x", "/end?x"),
        ("../up", "/up"),
    ],
)
def test_locations_are_resolved(location, target):
    """Relative, absolute, protocol-relative and unencoded locations lead to the same place as in a browser."""
    script = Recording()
    with ScriptedServer(script) as server, running_user(server.url) as user:
        text = location.format(authority=server.url[7:])
        script.response = redirect(302, text)
        user.client.get("/start")
        assert script.requests[1][1] == target
        script.response = script.response.replace("ü".encode(), b"\xfc")
        user.client.get("/start")
        assert script.requests[-1][1] == target.replace("%C3%BC", "%FC")


def test_credentials_stay_with_their_host():
    """Authorization, Cookie and Host headers are dropped across hosts, and kept on the same host."""
    other = Recording()
    with ScriptedServer(other) as foreign:
        here = Recording(302, f"http://localhost:{foreign.port}/end")
        headers = {"Cookie": "a=b", "Host": "h.example", "X-Kept": "1"}
        with ScriptedServer(here) as server, running_user(server.url.replace("//", "//u:p@")) as user:
            user.client.get("/start", headers=headers, auth=("n", "p"))
            user.client.get("/start")
            here.response = redirect(302, "/end")
            user.client.get("/start", headers=headers)
    for fields in (other.seen[0][3], other.seen[1][3]):
        assert "authorization" not in fields
        assert "cookie" not in fields
        assert f"localhost:{foreign.port}" == fields["host"]
    assert other.seen[0][3]["x-kept"] == "1"
    same_host = here.seen[-1]
    assert same_host[:2] == ("GET", "/end")
    assert same_host[3]["cookie"] == "a=b"
    assert same_host[3]["authorization"] == "Basic dTpw"


@pytest.mark.parametrize(
    "way",
    ["127.0.0.1", "localhost", "2130706433", "0.0.0.0", "[::ffff:127.0.0.1]", "inside.invalid"],  # noqa: S104
)
def test_what_is_elsewhere_leads_nobody_to_this_machine(way, monkeypatch):
    """Local services such as the web UI trust local clients; names may pretend to be elsewhere."""
    resolve = gevent.socket.getaddrinfo
    monkeypatch.setattr(
        gevent.socket,
        "getaddrinfo",
        lambda host, *more, **named: resolve("127.0.0.1" if host.endswith(".invalid") else host, *more, **named),
    )
    monkeypatch.setattr(hosts, "_allowed", hosts.Targets("*"))
    inside = Recording()
    with ScriptedServer(inside) as web_ui:
        port = web_ui.url.rpartition(":")[2]
        with ScriptedServer(Recording(307, f"http://{way}:{port}/stop")) as server:
            with running_user(server.url.replace("127.0.0.1", "elsewhere.invalid")) as user:
                response = user.client.post("/start", data="x")
                assert "this machine itself" in str(response.error)
                assert error_classes(user) == {"connect": 1}
            assert inside.seen == []


@pytest.mark.parametrize(
    ("allowed", "is_own", "reached"),
    [(None, False, 0), ("other.example", False, 0), ("elsewhere.invalid", False, 1), (None, True, 1)],
)
def test_the_service_under_test_leads_to_no_host_that_nobody_named(allowed, is_own, reached, monkeypatch):
    """Otherwise it would choose who is loaded. Only the scenario, the user's host and LOADTEST_ALLOWED_HOSTS do."""
    resolve = gevent.socket.getaddrinfo
    monkeypatch.setattr(gevent.socket, "getaddrinfo", lambda _, *more, **named: resolve("127.0.0.1", *more, **named))
    monkeypatch.setattr(hosts, "_allowed", hosts.Targets(allowed))
    other = Recording()
    with ScriptedServer(other) as place:
        away = f"http://elsewhere.invalid:{place.port}"
        with (
            ScriptedServer(Recording(307, f"{away}/next")) as server,
            running_user(away if is_own else server.url) as user,
        ):
            response = user.client.post(f"{server.url}/start", data="x")
            assert (len(other.seen), error_classes(user)) == (reached, {} if reached else {"redirect": 1})
            if not reached:
                assert "a redirect to elsewhere.invalid is not followed" in str(response.error)


def test_what_is_on_this_machine_leads_where_it_likes():
    """It can reach the services of this machine anyway; they are one system, such as a gateway with its backends."""
    behind = Recording()
    with (
        ScriptedServer(behind) as other,
        ScriptedServer(Recording(307, f"{other.url}/next")) as server,
        running_user(server.url) as user,
    ):
        assert user.client.post("/start", data="x").ok
    assert [request[0] for request in behind.seen] == ["POST"]


@pytest.mark.parametrize("given_by", ["class", "call"])
def test_secrets_stay_with_their_host(given_by):
    """Headers that carry secrets, from the class or the call, are not sent to another host; others are."""
    secrets = ("Authorization", "Proxy-Authorization", "Cookie", "X-Api-Key", "X-Auth-Token", "X-CSRF-Token")
    headers = dict.fromkeys(secrets, "s3cret") | {"X-Kept": "1", "Accept": "text/html"}
    of_class, of_call = (headers, None) if given_by == "class" else (None, headers)
    other = Recording()
    with ScriptedServer(other) as foreign:
        here = Recording(307, f"http://localhost:{foreign.port}/end")
        with ScriptedServer(here) as server, running_user(server.url, default_headers=of_class) as user:
            user.client.post("/start", data=b"body", headers=of_call)
    assert {name.lower() for name in headers} <= set(here.seen[0][3])
    fields = other.seen[0][3]
    assert "s3cret" not in fields.values()
    assert (fields["x-kept"], fields["accept"]) == ("1", "text/html")


def test_a_body_left_behind_takes_its_headers_along_a_chain():
    """After POST has become GET, no later redirect sends the body's Content-Type again."""
    script = Recording(302, "/start")
    with ScriptedServer(script) as server, running_user(server.url, max_redirects=2) as user:
        user.client.post("/start", data=b"body", headers={"Content-Type": "x/y"})
    assert ["content-type" in fields for *_, fields in script.seen] == [True, False, False]


@pytest.mark.parametrize(
    ("fields", "body"),
    [
        ("Content-Encoding: gzip\r\nContent-Length: 7", b"no gzip"),
        ("Content-Length: 100", b"cut"),
        ("Transfer-Encoding: chunked", b"xyz\r\n"),
        ("Content-Length: 100000000", b"huge"),
        ("Content-Type: text/plain", b"without length"),
    ],
)
def test_a_redirect_is_followed_whatever_its_own_body(fields, body):
    """A redirect whose body is corrupt, cut, malformed or endless is followed immediately, and counts as a success."""

    def script(peer: Peer) -> None:
        while head := peer.read_head():
            if b" /end " in head:
                peer.send(ok(b"end"))
                continue
            peer.send(f"HTTP/1.1 302 Found\r\nLocation: /end\r\n{fields}\r\n\r\n".encode(), body)
            if "without" not in str(body):
                return
            gevent.sleep(5)  # the client does not wait for the end of such a body

    with ScriptedServer(script) as server, running_user(server.url, network_timeout=2) as user:
        response = user.client.get("/start")
        assert (response.text, [passed.status_code for passed in response.history]) == ("end", [302])
        assert response.elapsed.total_seconds() < 1
        assert counts(user) == (1, 0)


def test_endless_redirects_end():
    """A loop is an error after max_redirects."""
    script = Recording(302, "/start")
    with ScriptedServer(script) as server, running_user(server.url, max_redirects=3) as user:
        response = user.client.get("/start")
        assert error_classes(user) == {"redirect": 1}
        assert (len(script.seen), len(response.history)) == (4, 4)


@pytest.mark.parametrize(
    "location",
    [
        *("ftp://h/x", "http://", "http://h:99999/", "javascript:alert(1)", "http+unix://%2Frun%2Fa.sock/", "ws://h/"),
        *("http://[", "//[::1", "http://a b/", "http://h%41/", "http://\u2100/", "file:///etc/passwd"),
    ],
)
def test_redirect_to_nowhere_is_an_error(location):
    """A location that this client cannot follow is an error of the class redirect, not an exception."""
    with ScriptedServer(Recording(302, location)) as server, running_user(server.url) as user:
        user.client.get("/start")
        assert error_classes(user) == {"redirect": 1}


def test_redirects_can_be_left_alone():
    """With allow_redirects=False the redirect itself is returned, and is not a failure, even without a location."""
    with ScriptedServer(Recording()) as server, running_user(server.url) as user:
        response = user.client.get("/start", allow_redirects=False)
        assert (response.status_code, response.headers["location"], response.ok) == (302, "/end", True)
    with ScriptedServer(always(ok(status="302 F"))) as server, running_user(server.url) as user:
        assert user.client.get("/").status_code == 302
        assert counts(user) == (1, 0)


@pytest.mark.parametrize(("location", "expected"), [("/start", {NOWHERE}), ("/end", set())])
def test_a_redirect_to_itself_that_is_not_followed_leads_nowhere(location, expected):
    """It counts as a success that led nowhere; a redirect to another place counts as a response."""
    with ScriptedServer(Recording(302, location)) as server, running_user(server.url) as user:
        user.client.get("/start", allow_redirects=False)
        tallies = Recorder.of(user.environment).take().tallies
    assert {tally.kind for tally in tallies} & {NOWHERE} == expected


def test_upload_is_repeated_only_if_it_can_be_read_again(tmp_path):
    """307 sends a file again from its start; a generator cannot be, which is an error of the class redirect."""
    path = tmp_path / "file"
    path.write_bytes(b"content")
    script = Recording(307)
    with ScriptedServer(script) as server, running_user(server.url) as user, path.open("rb") as file:
        assert user.client.put("/start", data=file).content == b"end"
        assert [body for _, _, body in script.requests] == [b"content", b"content"]
        counted(user.recorder)
        user.client.put("/start", data=(piece for piece in [b"x"]))
        assert error_classes(user) == {"redirect": 1}


def test_cookies_set_by_a_redirect_go_along():
    """A cookie that the redirect sets is sent with the next request of the chain."""
    script = Recording(302, "/end", "Set-Cookie: session=1; Path=/")
    with ScriptedServer(script) as server, running_user(server.url) as user:
        user.client.get("/start")
        assert script.seen[1][3]["cookie"] == "session=1"
        assert dict(user.client.cookies) == {"session": "1"}


@pytest.mark.parametrize("status", [302, 307])
def test_a_redirect_to_a_unix_socket_is_not_followed(tmp_path, status):
    """A service cannot send a worker to a local service: the socket is not connected, and the request fails."""
    path = str(tmp_path / "local.sock")
    accepted = []
    with gevent.socket.socket(gevent.socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        local = StreamServer(listener, lambda sock, _address: accepted.append(sock))
        local.start()
        script = Recording(status, f"http+unix://{quote(path, safe='')}/containers/create")
        with ScriptedServer(script) as server, running_user(server.url) as user:
            response = user.client.post("/start", data=b"body")
            assert "which the scenario did not name" in str(response.error)
            assert error_classes(user) == {"redirect": 1}
        local.stop(timeout=0)
    assert accepted == []


def test_a_redirect_within_the_users_own_unix_socket_is_followed(tmp_path):
    """If the host is a Unix socket, its redirects by path and by full URL are followed."""
    path = str(tmp_path / "own.sock")
    own = f"http+unix://{quote(path, safe='')}"
    for location in ("/end", f"{own}/end"):
        with gevent.socket.socket(gevent.socket.AF_UNIX) as listener:
            listener.bind(path)
            listener.listen()
            script = Recording(302, location)
            server = StreamServer(listener, lambda sock, _address, script=script: script(Peer(sock, 1)))
            server.start()
            with running_user(own) as user:
                assert user.client.get("/start").text == "end"
            server.stop(timeout=0)
        (tmp_path / "own.sock").unlink()
