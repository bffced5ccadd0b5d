"""Evidence of failures: it contains what helps to find the fault, and no secret."""

import json
from base64 import b64encode
from types import SimpleNamespace
from urllib.parse import urlencode

import pytest

from loadtest.measuring import evidence
from loadtest.measuring.evidence import Evidence, EvidenceQuota

SECRET = "hunter2-hunter2"  # noqa: S105
TOKEN = "c0ffee" * 8
OF_FORM = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjMifQ.c2lnbmF0dXJl"


def sent(url: str = "http://a.example/buy", body: object = None, **headers: str) -> SimpleNamespace:
    """A request."""
    return SimpleNamespace(method="POST", url=url, headers=headers, body=body)


def of(request: SimpleNamespace, answer: str | bytes = b"", cookies: tuple[str, ...] = (), **headers: str) -> Evidence:
    """The evidence of a request with a response of 500."""
    raw = answer.encode() if isinstance(answer, str) else answer
    return evidence.of_exchange(request, (500, "Internal Server Error"), headers, raw, cookies)


def test_a_form_without_secrets_is_shown_as_it_was_sent() -> None:
    """Its encoding is kept."""
    body = urlencode({"product": "a & b", "note": '{"price": "1 €"}'})
    assert of(sent(body=body, **OF_FORM)).request.endswith(f"\n\n{body}")


def test_what_helps_is_shown() -> None:
    """Method, URL, harmless headers and bodies of both sides are kept."""
    body = json.dumps({"product": "keyboard", "author": "Ann", "id": "550e8400-e29b-41d4-a716-446655440000"}).encode()
    request = sent("http://a.example/buy?page=2", body, **{"Content-Type": "application/json", "X-Request-Id": TOKEN})
    made = of(request, '{"error": "no stock"}', **{"content-type": "application/json"})
    assert made == Evidence(
        f"POST http://a.example/buy?page=2\nContent-Type: application/json\nX-Request-Id: {TOKEN}\n\n{body.decode()}",
        '500 Internal Server Error\ncontent-type: application/json\n\n{"error": "no stock"}',
    )


@pytest.mark.parametrize(
    ("request_", "answer"),
    [
        pytest.param(sent(Authorization=f"Bearer {SECRET}"), f"no right: {SECRET}", id="header"),
        pytest.param(sent(Authorization=SECRET), f"<td>{SECRET}</td>", id="header without a scheme"),
        pytest.param(sent(**{"X-Anything": SECRET}), SECRET, id="header of any name"),
        pytest.param(sent(Cookie=f"a=b; sid={SECRET}"), f"cookies: {{'x': '{SECRET}'}}", id="cookie"),
        pytest.param(sent(Authorization="Basic " + b64encode(f"ann:{SECRET}".encode()).decode()), SECRET, id="basic"),
        pytest.param(sent(f"http://a.example/?key={SECRET}"), "", id="query"),
        pytest.param(sent(f"http://ann:{SECRET}@a.example/"), "", id="credentials"),
        pytest.param(sent(body=json.dumps({"password": SECRET}).encode()), f"wrong: {SECRET}", id="JSON"),
        pytest.param(sent(body=json.dumps([{"tokens": {"a": [SECRET]}}])), SECRET, id="JSON below a name"),
        pytest.param(sent(body=b'{"user": {"accessToken": "%s", ' % SECRET.encode()), "", id="broken JSON"),
        pytest.param(sent(body=b'{"api_keys": ["%s"' % SECRET.encode()), "", id="broken list"),
        pytest.param(sent(body=json.dumps({"q": json.dumps({"password": SECRET})})), "", id="JSON in JSON"),
        pytest.param(sent(body=f"name=ann&client_secret={SECRET}&x=1"), f"got {SECRET}", id="form"),
        pytest.param(sent(body=urlencode({"user": str({"new-password": SECRET})})), SECRET, id="dict in a form"),
        pytest.param(sent(body=urlencode({"q": json.dumps({"token": SECRET})}), **OF_FORM), "", id="JSON in a form"),
        pytest.param(sent(body=urlencode({"my pass": f"{SECRET}&"}), **OF_FORM), f"{SECRET}&", id="name in a form"),
        pytest.param(sent(), f'{{"session_id": "{SECRET}"}}', id="answer"),
        pytest.param(sent(), f"error: password={SECRET}", id="text"),
        pytest.param(sent(), f"PASSWORD : '{SECRET}'", id="text with quotes"),
        pytest.param(sent(f"http://a.example/reset/{TOKEN}"), f"no reset {TOKEN}", id="token in a path"),
        pytest.param(sent(), f"<pre>{JWT}</pre>", id="JSON web token"),
        pytest.param(sent(body=f"<a:Password Type='x'>{SECRET}</a:Password>"), f"no {SECRET}", id="XML"),
        pytest.param(sent(), f'<input type="hidden" name="csrf_token" id="a" value="{SECRET}">', id="form in HTML"),
        pytest.param(sent(body=json.dumps([{"name": "password", "value": SECRET}])), SECRET, id="pairs in JSON"),
        pytest.param(sent(), f"no postgresql://ann:{SECRET}@db/shop", id="URL in an answer"),
        pytest.param(sent(), f"<pre>Cookie: a=b; c={SECRET}</pre>", id="cookie in an answer"),
        pytest.param(sent(), json.dumps({"trace": f"X-Api-Key: {SECRET}"}), id="header in JSON"),
        pytest.param(sent(body=b"a" * 20_000 + f'"password": "{SECRET}"'.encode()), "", id="beyond what is looked at"),
    ],
)
def test_no_secret_is_shown(request_: SimpleNamespace, answer: str) -> None:
    """This holds wherever it occurs, and wherever it is repeated."""
    made = "".join(of(request_, answer))
    assert [secret for secret in (SECRET, TOKEN, JWT, JWT[20:30]) if secret in made] == []


def test_cookies_of_the_jar_are_secrets_too() -> None:
    """The client adds the Cookie line itself, and the response may repeat it."""
    assert SECRET not in of(sent(), f"your cookies: {SECRET}", (SECRET,)).answer


def test_a_secret_of_the_answer_is_none_of_the_request_either() -> None:
    """A secret masked on one side is masked on the other, too."""
    made = of(sent(body=f"hello {SECRET}"), "", **{"set-cookie": f"sid={SECRET}; Path=/"})
    assert "hello ***" in made.request
    assert "set-cookie: ***" in made.answer


def test_bodies_that_are_no_text_are_their_size() -> None:
    """This applies to binary bodies, forms with files, and uploads."""
    assert of(sent(), b"\x89PNG\0\0").answer.endswith("\n\n(6 bytes)")
    form = sent(body=b"--x--", **{"Content-Type": "multipart/form-data; boundary=x"})
    assert of(form).request.endswith("\n\n(5 bytes of multipart/form-data)")
    assert of(sent(body=iter([b"a"]))).request.endswith("\n\n(a body that was sent in pieces)")


def test_no_answer_is_nothing() -> None:
    """A timeout has a request only."""
    assert evidence.of_exchange(sent(), None, {}, None, ()).answer == ""


@pytest.mark.parametrize(
    "text",
    [
        *("a1" * 50_000, "password" * 9_000, 'password="' * 9_000, "pass" + " " * 90_000, "eyJ" * 30_000, "[" * 90_000),
        json.dumps({f"token{number}": f"value {number}" for number in range(1_500)}),
        *("\ud800\x00\x1b[31m" * 9_000, "x\n" * 50_000, "é" * 50_000),
    ],
    ids=lambda text: text[:12],
)
def test_a_hostile_body_is_bounded(text: str) -> None:
    """Length and time are bounded; it contains no character that a terminal or XML cannot handle."""
    made = of(sent(body=text), text.encode("utf-8", "replace"))
    assert max(map(len, made)) <= evidence.LONGEST
    assert not set("\x00\x1b\ud800") & set("".join(made))


def test_commands_of_redis_are_shown_as_words() -> None:
    """Each command is a line, and the error is the response."""
    data = b'*3\r\n$8\r\nJSON.SET\r\n$1\r\nk\r\n$18\r\n{"token":"abcdefg"}\r\n*1\r\n$4\r\nPING\r\n'
    data = data.replace(b"$18", b"$19")
    made = evidence.of_command(data, "WRONGTYPE of k")
    assert made == Evidence('JSON.SET k {"token": "***"} \n PING', "WRONGTYPE of k")


@pytest.mark.parametrize(
    "words",
    [
        ("AUTH", "ann", SECRET),
        ("hello", "3", "AUTH", "ann", SECRET),
        ("CONFIG", "SET", "requirepass", SECRET),
        ("HSET", "user:1", "password", SECRET),
        ("JSON.SET", "k", "$.apiKey", f'"{SECRET}"'),
    ],
)
def test_no_secret_of_a_command_is_shown(words: tuple[str, ...]) -> None:
    """This applies to passwords, and to values stored under the name of one."""
    data = b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word.encode()) for word in words)
    made = evidence.of_command(data, f"ERR no {SECRET}")
    assert made.request.startswith(words[0])
    assert SECRET not in "".join(made)


def test_the_first_of_each_kind_are_kept() -> None:
    """Three messages of one name and class are kept; another class has its own."""
    quota = EvidenceQuota()
    admitted = [quota.admits(1, "check", message) for message in ("a", "b", "a", "c", "d", "a")]
    assert admitted == [True, True, True, True, False, True]
    assert quota.admits(1, "status_5xx", "d")
    assert sum(quota.admits(row, "check", "a") for row in range(2, 100)) == evidence.MAX_EVIDENCE - 4


def test_what_cannot_be_made_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    """The failure is counted in any case."""
    assert evidence.made(lambda: evidence.of_response(object())) is None
    assert "no sample of a failed request" in caplog.text
