"""Names besides the calls themselves that scenario files for FastHttpUser use."""

import ssl
from http.cookiejar import Cookie

import pytest
from locust.exception import CatchResponseError, LocustError

from loadtest.clients.http.errors import StatusError
from tests.http_harness import Peer, ScriptedServer, always, counted, counts, ok, running_user
from tests.unit.clients.http.test_tls import AUTHORITY, CERTIFICATE, serving, trusting

KEPT = ok(b"abc\ndef", "Set-Cookie: session=1; Path=/")


def authorizations(seen: list[str]):
    """A script that records the Authorization of each request."""

    def script(peer: Peer) -> None:
        while head := peer.read_request()[0]:
            fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
            seen.append(fields.get("Authorization", ""))
            peer.send(ok())

    return script


def test_base_url_is_live():
    """A base URL set later is used from the next call on; credentials in it are sent to that host only."""
    first, second = [], []
    with (
        ScriptedServer(authorizations(first)) as here,
        ScriptedServer(authorizations(second)) as there,
        running_user(here.url) as user,
    ):
        user.client.get("/")
        user.client.get("/")
        user.client.base_url = there.url.replace("//", "//u:p@")
        user.client.get("/")
        user.client.get("/")
        user.client.get(f"{here.url}/")
        assert user.client.base_url == there.url
        assert user.client.auth_header == "Basic dTpw"
    assert (first, second) == (["", "", ""], ["Basic dTpw"] * 2)


def test_auth_header_is_live_and_the_users_own():
    """A token set later is sent with the next calls of this user to its host, until it is removed."""
    seen, elsewhere = [], []
    with (
        ScriptedServer(authorizations(seen)) as server,
        ScriptedServer(authorizations(elsewhere)) as other,
        running_user(server.url) as user,
    ):
        colleague = type(user)(user.environment)
        user.client.get("/")
        user.client.auth_header = "Bearer one"
        user.client.get("/")
        user.client.get("/")
        colleague.client.get("/")
        user.client.get("/", headers={"Authorization": "own"})
        user.client.get(f"{other.url}/")
        user.client.auth_header = None
        user.client.get("/")
        colleague.close()
    assert (seen, elsewhere) == (["", "Bearer one", "Bearer one", "", "own", ""], [""])


@pytest.mark.parametrize(("path", "expected"), [("/", (2, 0)), ("/broken", (2, 2))])
def test_a_caught_response_that_is_never_used_counts_by_its_status(path, expected):
    """A forgotten with-block loses no request, on the general path and on the fast one."""

    def answer(peer):
        while head := peer.read_request()[0]:
            peer.send(ok() if b"GET / " in head else ok(status="500 Internal Server Error"))

    with ScriptedServer(answer) as server, running_user(server.url) as user:
        response = user.client.get(path, catch_response=True)
        assert counts(user) == (0, 0)  # its block may still follow
        for decide, reason in (("success", ()), ("failure", ("nope",))):
            with pytest.raises(LocustError):
                getattr(response, decide)(*reason)
        del response
        user.client.get(path, catch_response=True)
        assert counts(user) == expected


def test_a_with_block_needs_no_catch_response():
    """As in FastHttpUser the response can be used in a with-block; the request is counted at the call."""
    with ScriptedServer(always(KEPT)) as server, running_user(server.url) as user:
        for _ in range(2):
            with user.client.get("/") as response:
                assert response.text == "abc\ndef"
        with pytest.raises(ZeroDivisionError), user.client.get("/"):
            raise ZeroDivisionError
        assert counts(user) == (3, 0)


def test_every_response_tells_what_was_sent():
    """request.url, .headers and .body exist on the first call, the fast path, with a body, and after a redirect."""
    with ScriptedServer(always(ok())) as server, running_user(server.url, default_headers={"X-D": "d"}) as user:
        for _ in range(3):
            sent = user.client.get("/a?b=c").request
            assert (sent.method, sent.url, sent.body, sent.payload) == ("GET", f"{server.url}/a?b=c", None, None)
            assert (sent.headers["x-d"], "Accept-Encoding" in sent.headers) == ("d", True)
            sent = user.client.post("/", json={"a": 1}, headers={"X-D": None, "X-E": ["1", "2"]}).request
            assert (sent.body, sent.headers["Content-Type"]) == (b'{"a":1}', "application/json")
            assert ("x-d" in sent.headers, sent.headers["x-e"]) == (False, "1, 2")
        source = iter([b"x"])
        assert user.client.post("/", data=source).request.body is source
        with user.client.get("/", catch_response=True) as response:
            assert response.request.url == f"{server.url}/"
    assert user.client.get("/gone").request.url == f"{server.url}/gone"


@pytest.mark.parametrize("path", ["/fast", "/general"])
def test_request_meta_renames_a_request(path):
    """Changes to request_meta in a with-block are counted and sent to listeners."""
    events = []
    with ScriptedServer(always(ok(b"abc", status="404 X"))) as server, running_user(server.url) as user:
        user.environment.events.request.add_listener(lambda **event: events.append(event))
        if path == "/fast":
            user.client.get(path, name="before")
        events.clear()
        counted(user.recorder)
        with user.client.get(path, name="before", catch_response=True) as response:
            assert response.request_meta["name"] == "before"
            assert isinstance(response.request_meta["exception"], StatusError)
            response.request_meta.update(name="after", request_type="TASK", response_time=2000.0, response_length=7)
            response.request_meta["context"]["k"] = "v"
            response.success()
        taken = counted(user.recorder)
    assert [(key.method, key.name) for key in taken.series if int(sum(taken.requests))][-1:] == [("TASK", "after")]
    assert (int(sum(taken.requests)), int(sum(taken.failures)), int(sum(taken.response_bytes))) == (1, 0, 7)
    assert taken.response_time.total().quantile(0.5) == pytest.approx(2.0, rel=0.01)
    told = [events[0][key] for key in ("name", "request_type", "response_time", "exception", "context")]
    assert (told, len(events)) == (["after", "TASK", 2000.0, None, {"k": "v"}], 1)


def test_a_failed_with_block_is_locusts_error_to_listeners():
    """response.failure() reaches listeners as a CatchResponseError, which distinguishes it from other errors."""
    events = []
    with ScriptedServer(always(KEPT)) as server, running_user(server.url) as user:
        assert user.client.request_event is user.environment.events.request
        user.client.request_event.add_listener(lambda exception, **_: events.append(exception))
        with user.client.get("/", catch_response=True) as response:
            response.failure("wrong")
    assert (isinstance(events[0], CatchResponseError), str(events[0])) == (True, "wrong")


@pytest.mark.parametrize("stream", [False, True])
def test_a_body_is_a_file_or_pieces(stream):
    """response.stream reads like a file, and iter_content(None) returns the pieces as they arrive."""
    with ScriptedServer(always(KEPT)) as server, running_user(server.url) as user:
        response = user.client.get("/", stream=stream)
        assert (response.stream.read(2), response.stream.readline(), list(response.stream)) == (b"ab", b"c\n", [b"def"])
        response = user.client.get("/", stream=stream)
        assert list(response.iter_content(None)) == ["abc\ndef"]
        assert (counts(user), server.connections) == ((2, 0), 1)


def test_cookies_have_the_form_of_the_standard_library():
    """client.cookiejar holds and accepts http.cookiejar's cookies; response.cookies are those the response set."""
    seen = []

    def script(peer: Peer) -> None:
        while head := peer.read_request()[0]:
            seen.append([line for line in head.decode().split("\r\n") if line.startswith("Cookie")])
            peer.send(KEPT)

    with ScriptedServer(script) as server, running_user(server.url) as user:
        jar = user.client.cookiejar
        assert dict(user.client.get("/").cookies) == {"session": "1"}
        (cookie,) = jar
        assert (type(cookie), cookie.name, cookie.value, cookie.domain) == (Cookie, "session", "1", "127.0.0.1")
        cookie.name, cookie.value = "other", "2"
        jar.set_cookie(cookie)
        assert (len(jar), cookie in jar) == (2, True)
        user.client.get("/")
        jar.clear("127.0.0.1", "/", "session")
        assert [each.name for each in jar] == ["other"]
        jar.clear()
        assert (list(jar), dict(user.client.cookies)) == ([], {})
    assert seen == [[], ["Cookie: session=1; other=2"]]


def own_factory(self) -> ssl.SSLContext:
    """A factory as a method: its context belongs to the user."""
    self.made = getattr(self, "made", 0) + 1
    return trusting()


def test_a_factory_may_be_a_method_or_an_attribute_of_a_user():
    """A method with self makes one context per user; a factory set in __init__ belongs to that user."""
    with serving(always(ok(b"a", "Connection: close"))) as server:
        host = f"https://localhost:{server.port}"
        with running_user(host, ssl_context_factory=own_factory) as user:
            other = type(user)(user.environment)
            assert [each.client.get("/").content for each in (user, user, other)] == [b"a"] * 3
            assert (user.made, other.made) == (1, 1)
            other.close()
        with running_user(host) as user:
            user.ssl_context_factory = trusting
            assert user.client.get("/").content == b"a"
        with running_user(host) as user:
            user.insecure = True
            assert user.client.get("/").content == b"a"


def test_a_user_may_have_a_certificate_of_its_own():
    """Each user can present a different client certificate."""
    names = []

    def script(peer: Peer) -> None:
        subject = dict(pair[0] for pair in peer.sock.getpeercert()["subject"])
        names.append(subject["commonName"])
        always(ok())(peer)

    def context_of(self) -> ssl.SSLContext:
        context = trusting()
        AUTHORITY.issue_cert(f"{self.name}.example", common_name=self.name).configure_cert(context)
        return context

    with ScriptedServer(script, ssl_context=client_verifying()) as server:
        for name in ("ada", "bob"):
            with running_user(f"https://localhost:{server.port}", ssl_context_factory=context_of, name=name) as user:
                assert user.client.get("/").ok
    assert names == ["ada", "bob"]


def client_verifying() -> ssl.SSLContext:
    """A server's context that requires a client certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    CERTIFICATE.configure_cert(context)
    AUTHORITY.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    return context
