"""The cookie jar, after RFC 6265."""

import time
from collections.abc import Sequence

import pytest

from loadtest.clients.http.cookies import CookieJar
from loadtest.clients.http.errors import InvalidRequestError
from loadtest.clients.http.url import parse
from tests.http_harness import Peer, ScriptedServer, always, error_classes, ok, running_user

# (Set-Cookie fields of one response, URL that set them, URL asked, expected Cookie value)
CASES = [
    (["a=b"], "http://h/", "http://h/", "a=b"),
    (["a=b"], "http://h/", "http://other/", ""),
    (["a=b"], "http://h/", "http://sub.h/", ""),
    (["a=b; Domain=example.org"], "http://www.example.org/", "http://api.example.org/", "a=b"),
    (["a=b; Domain=.example.org"], "http://www.example.org/", "http://example.org/", "a=b"),
    (["a=b; Domain=example.org"], "http://www.example.org/", "http://badexample.org/", ""),
    (["a=b; Domain=other.org"], "http://www.example.org/", "http://other.org/", ""),
    (["a=b; Domain=www.example.org"], "http://example.org/", "http://www.example.org/", ""),
    (["a=b; domain=0.0.1"], "http://127.0.0.1/", "http://127.0.0.1/", ""),
    (["a=b; Path=/x"], "http://h/", "http://h/x/y", "a=b"),
    (["a=b; Path=/x"], "http://h/", "http://h/xy", ""),
    (["a=b; Path=/x/"], "http://h/", "http://h/x", ""),
    (["a=b"], "http://h/dir/page", "http://h/dir/other", "a=b"),
    (["a=b"], "http://h/dir/page", "http://h/", ""),
    (["a=b; Secure"], "https://h/", "http://h/", ""),
    (["a=b; Secure"], "https://h/", "https://h/", "a=b"),
    (["a=b; HttpOnly; SameSite=Lax; Unknown=1"], "http://h/", "http://h/", "a=b"),
    (["a=b; Max-Age=0"], "http://h/", "http://h/", ""),
    (["a=b; Max-Age=-1"], "http://h/", "http://h/", ""),
    (["a=b; Max-Age=60"], "http://h/", "http://h/", "a=b"),
    (["a=b; Max-Age=" + "9" * 400], "http://h/", "http://h/", "a=b"),
    (["a=b; Max-Age=" + "9" * 5000], "http://h/", "http://h/", "a=b"),
    (["a=b; Max-Age=-" + "9" * 400], "http://h/", "http://h/", ""),
    (["a=b; Max-Age=0_0"], "http://h/", "http://h/", "a=b"),
    (["a=b; Max-Age=x"], "http://h/", "http://h/", "a=b"),
    (["a=b; Expires=Thu, 01 Jan 1970 00:00:00 GMT"], "http://h/", "http://h/", ""),
    (["a=b; Expires=Thu, 01-Jan-2099 00:00:00 GMT"], "http://h/", "http://h/", "a=b"),
    (["a=b; Expires=nonsense"], "http://h/", "http://h/", "a=b"),
    (["a=b; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=60"], "http://h/", "http://h/", "a=b"),
    (["a=b", "a=c"], "http://h/", "http://h/", "a=c"),
    (["a=b", "a=; Max-Age=0"], "http://h/", "http://h/", ""),
    (["a=1; Path=/", "b=2; Path=/x"], "http://h/", "http://h/x", "b=2; a=1"),
    (['a="quoted value"'], "http://h/", "http://h/", 'a="quoted value"'),
    (["a=gr\xc3\xbcn"], "http://h/", "http://h/", "a=grün"),
    (["a=b=c"], "http://h/", "http://h/", "a=b=c"),
    (["a="], "http://h/", "http://h/", "a="),
    (["no-equals"], "http://h/", "http://h/", ""),
    (["="], "http://h/", "http://h/", ""),
    (["a=" + "x" * 10_000], "http://h/", "http://h/", ""),
    ([" a = b ; path = /"], "http://h/", "http://h/", "a=b"),
]


# (what the service set, cookies of the call, what is sent)
OF_A_CALL = [
    ([], {"a": "1"}, "a=1"),
    ([], {"a": "1", "b": "2"}, "a=1; b=2"),
    (["a=1"], {"b": "2"}, "a=1; b=2"),
    (["a=1", "b=2"], {"a": "3"}, "b=2; a=3"),
    (["ab=1"], {"a": "2"}, "ab=1; a=2"),
    (["a=1"], {}, "a=1"),
    ([], {"a": "grün"}, "a=grün"),
    ([], {"a": ""}, "a="),
]


@pytest.mark.parametrize(("lines", "own", "expected"), OF_A_CALL)
def test_a_call_may_have_cookies_of_its_own(lines, own, expected):
    """They are sent with that call only, in addition to the user's own, and override those of the same name."""
    sent: list[str] = []
    with ScriptedServer(noting(sent)) as server, running_user(server.url) as user:
        user.client.cookies.store(parse(server.url), lines)
        for cookies in (own, None):
            user.client.post("/", cookies=cookies, data="x")
            user.client.get("/", cookies=cookies)
    assert sent == [expected] * 2 + ["; ".join(lines)] * 2


def noting(sent: list[str], redirect: Sequence[str] = ()):
    """A script that records the Cookie field of each request, and redirects /start with these header fields."""

    def script(peer: Peer) -> None:
        while head := peer.read_request()[0]:
            fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
            sent.append(fields.get("Cookie", ""))
            peer.send(ok(b"", *redirect, status="302 Found") if b" /start " in head else ok())

    return script


@pytest.mark.parametrize(("elsewhere", "expected"), [(False, "a=1; b=2"), (True, "a=1")])
def test_cookies_of_a_call_stay_with_their_host(elsewhere, expected):
    """A redirect on the same origin keeps them, in addition to those it sets; one to another origin does not."""
    here: list[str] = []
    there: list[str] = []
    with ScriptedServer(noting(there)) as other:
        away = [f"Location: {other.url if elsewhere else ''}/end", "Set-Cookie: a=1"]
        with ScriptedServer(noting(here, away)) as server, running_user(server.url) as user:
            user.client.get("/start", cookies={"b": "2"})
    assert (here + there) == ["b=2", expected]


@pytest.mark.parametrize(
    "cookies", ["a=1", ["a"], {"a": 1}, {1: "a"}, {"a": "1\r\nX: y"}, {"a;b": "1"}, {"a": "\ud800"}]
)
def test_a_cookie_that_cannot_be_sent_is_refused_and_counted(cookies):
    """The error is one sentence, and nothing is sent: a cookie cannot add lines to the head."""
    with ScriptedServer(always(ok())) as server, running_user(server.url) as user:
        with pytest.raises(InvalidRequestError, match="cookie"):
            user.client.get("/", cookies=cookies)
        assert (error_classes(user), server.connections) == ({"exception": 1}, 0)
        if isinstance(cookies, dict):
            (pair,) = cookies.items()
            with pytest.raises(InvalidRequestError, match="cookie"):
                user.client.cookies[pair[0]] = pair[1]


@pytest.mark.parametrize(("lines", "set_by", "asked", "expected"), CASES)
def test_cookie_goes_where_it_should(lines, set_by, asked, expected):
    """Domain, path, Secure, Max-Age and Expires determine which requests carry a cookie."""
    jar = CookieJar()
    jar.store(parse(set_by), lines)
    line = jar.line_for(parse(asked)).decode()
    assert line == (f"Cookie: {expected}\r\n" if expected else "")


def test_expired_cookie_is_no_longer_sent():
    """A cookie expires on time, even if nothing else happens."""
    jar = CookieJar()
    jar.store(parse("http://h/"), ["a=b; Max-Age=60", "c=d"])
    assert jar.line_for(parse("http://h/")) == b"Cookie: a=b; c=d\r\n"
    for cookie in jar._cookies.values():
        if cookie.expires_s is not None:
            cookie.expires_s = time.time() - 1
    jar._expires_s = time.time() - 1
    assert jar.line_for(parse("http://h/")) == b"Cookie: c=d\r\n"


def test_new_cookie_is_sent_at_once():
    """A cookie set after the first request is sent with the next one, and replaces one of the same name."""
    jar, url = CookieJar(), parse("http://h/")
    for line, expected in [("a=1", "a=1"), ("b=2", "a=1; b=2"), ("a=3", "a=3; b=2"), ("b=; Max-Age=0", "a=3")]:
        jar.store(url, [line])
        assert f"Cookie: {expected}\r\n" == jar.line_for(url).decode()


def test_jar_is_bounded():
    """A server that keeps setting new cookies fills the jar only to its bound."""
    jar = CookieJar()
    jar.store(parse("http://h/"), [f"c{number}=v" for number in range(1000)])
    assert len(jar) == 300
    assert "c999" in jar


def test_jar_is_a_mapping():
    """Scenarios set, read and delete cookies by name; a value that would break the header is refused."""
    jar = CookieJar()
    jar["a"] = "b"
    assert (dict(jar), jar.line_for(parse("http://anywhere/"))) == ({"a": "b"}, b"Cookie: a=b\r\n")
    del jar["a"]
    assert (len(jar), jar.line_for(parse("http://anywhere/"))) == (0, b"")
    with pytest.raises(KeyError):
        jar["a"]
    with pytest.raises(KeyError):
        del jar["a"]
    with pytest.raises(ValueError, match="line break"):
        jar["a"] = "b\r\nX: y"


def test_user_keeps_its_cookies_and_sends_them_back():
    """A cookie set by a response is sent with the user's next requests, but not with another user's."""
    seen = []

    def script(peer: Peer) -> None:
        while head := peer.read_request()[0]:
            cookies = [line for line in head.split(b"\r\n") if line.lower().startswith(b"cookie")]
            seen.append(cookies)
            peer.send(ok(b"x", "Set-Cookie: a=1; Path=/", "Set-Cookie: b=2; Path=/") if b"/set" in head else ok())

    with (
        ScriptedServer(script) as server,
        running_user(server.url) as user,
        running_user(server.url) as other,
    ):
        user.client.get("/")
        user.client.get("/set")
        user.client.get("/")
        user.client.get("/", headers={"Cookie": "own=1"})
        other.client.get("/")
        user.client.cookies.clear()
        user.client.get("/")
    assert seen == [[], [], [b"Cookie: a=1; b=2"], [b"Cookie: own=1"], [], []]


def test_cookies_go_back_as_the_bytes_that_came():
    """UTF-8 and Latin-1 in a cookie are sent back unchanged; UTF-8 is read as text."""

    def script(peer: Peer) -> None:
        heads.append(peer.read_request()[0])
        peer.send(ok(b"", "Set-Cookie: a=grün").replace(b"\r\nContent", b"\r\nSet-Cookie: b=gr\xfcn\r\nContent"))
        heads.append(peer.read_request()[0])
        peer.send(ok())

    heads: list[bytes] = []
    with ScriptedServer(script) as server, running_user(server.url) as user:
        user.client.get("/")
        assert user.client.cookies["a"] == "grün"
        user.client.get("/")
    assert b"Cookie: a=gr\xc3\xbcn; b=gr\xfcn" in heads[1].split(b"\r\n")
