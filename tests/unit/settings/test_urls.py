"""Secrets in URLs are never shown, wherever they are and whatever characters they contain."""

import time

import pytest

from loadtest.settings.urls import has_password, without_credentials

URLS = {
    "redis://user:hunter2@host:6379/0": "redis://***@host:6379/0",
    "redis://:hunter2@host/0": "redis://***@host/0",
    "redis://user:hunter2@hunter2@host/0": "redis://***@host/0",
    "from redis://user:an@hunter2@host/0": "from redis://***@host/0",
    "redis://user:hunter2@/x@host/0": "redis://***@/x@host/0",
    "redis://user:hunter2/more@host/0": "redis://***@host/0",
    "postgresql://user:hunter2?x@host/db": "postgresql://***@host/db",
    "mongodb://user:1#hunter2@host/db": "mongodb://***@host/db",
    "redis://:12/hunter2@host/0": "redis://***@host/0",
    "user:hunter2@host is no URL": "***@host is no URL",
    "//user:hunter2@host/x": "//***@host/x",
    "http://hunter2@host": "http://***@host",
    "HTTP://user:hunter2@host": "HTTP://***@host",
    "http://host/x?access_token=hunter2": "http://host/x?access_token=***",
    "http://host/x?client-secret=hunter2&page=2": "http://host/x?client-secret=***&page=2",
    "http://host/x?X-Amz-Signature=hunter2": "http://host/x?X-Amz-Signature=***",
    "http://host/x?sig=hunter2;api_key=hunter2": "http://host/x?sig=***;api_key=***",
    "http://host/#id_token=hunter2": "http://host/#id_token=***",
    "/relative?code=hunter2": "/relative?code=***",
    "mongodb://a:hunter2@h1,h2/db?replicaSet=r&authSource=admin": "mongodb://***@h1,h2/db?replicaSet=r&authSource=admin",
    "redis://user:a'hunter2@host/0": "redis://***@host/0",
    'redis://user:"hunter2"@host/0': "redis://***@host/0",
    "redis://user:a`<hunter2>@host": "redis://***@host",
    "redis://user:two words hunter2@host/0": "redis://***@host/0",
    "http:/user:hunter2@host is none": "***@host is none",
    "HOST=//user:hunter2@host": "HOST=//***@host",
    "//hunter2@host/x": "//***@host/x",
    "http://host/x?hunter2": "http://host/x?***",
    "http://host/x?page=1&hunter2": "http://host/x?page=1&***",
    "http://host/x?token%3Dhunter2": "http://host/x?***",
    "http://host/#hunter2": "http://host/#***",
    "http://host/x?token='hunter2'": "http://host/x?token=***'",
    'http://host/x?token="a"hunter2': "http://host/x?token=***",
    "http://host/x?token=<hunter2>&page=3": "http://host/x?token=***>&page=3",
    "http://host/x?path=/?token=hunter2": "http://host/x?path=***",
    "http://host/x?sort=up,token=hunter2": "http://host/x?sort=***",
    "http://host/x?offset=http://u:hunter2@h": "http://host/x?offset=***",
    "http://host/x%3Ftoken=hunter2%26page=1": "http://host/x%3Ftoken=***",
    "Max retries exceeded with url: /x?access_token=hunter2 (Caused by 7)": (
        "Max retries exceeded with url: /x?access_token=*** (Caused by 7)"
    ),
    "{'Authorization': 'Bearer hunter2.x'}": "{'Authorization': 'Bearer ***'}",
    "Authorization: basic aHVudGVyMg==": "Authorization: basic ***",
    "Authorization: hunter2 and more": "Authorization: ***",
    "Proxy-Authorization: Digest username=a, response=hunter2": "Proxy-Authorization: Digest ***",
    '401 for Cookie: a=hunter2; b="hunter2 x"; c=hunter2': "401 for Cookie: ***",
    "Set-Cookie: sid=hunter2; Path=/\nDate: today": "Set-Cookie: ***\nDate: today",
    r"b'GET / HTTP/1.1\r\nCookie: a=hunter2\r\nHost: h'": r"b'GET / HTTP/1.1\r\nCookie: ***\r\nHost: h'",
    "{'X-Api-Key': 'hunter2', 'Accept': '*/*'}": "{'X-Api-Key': '***', 'Accept': '*/*'}",
    "{'Cookie': 'a=\\'hunter2\\'; b=hunter2', 'A': 'b'}": "{'Cookie': '***', 'A': 'b'}",
    "{b'x-auth-token': b'hunter2'}": "{b'x-auth-token': b'***'}",
    "[('Set-Cookie', 'a=hunter2; b=hunter2'), ('Date', 'now')]": "[('Set-Cookie', '***'), ('Date', 'now')]",
    '{"accessToken":"hunter2","n":1}': '{"accessToken":"***","n":1}',
    '{"password": 1234567, "token": null}': '{"password": ***, "token": null}',
    '"{\\"client_secret\\": \\"hunter2\\"}"': '"{\\"client_secret\\": \\"***\\"}"',
    "LOADTEST_PASSWORD=hunter2 locust": "LOADTEST_PASSWORD=*** locust",
    "login(name='ann', password='hunter2 x')": "login(name='ann', password='***')",
    "grant=x&client_secret=hunter2&page=2": "grant=x&client_secret=***&page=2",
    r"Invalid header value b'hunter2\n'": "Invalid header value b'***'",
    r"the header 'X-Key' has the value 'hunter2\n'; no": "the header 'X-Key' has the value '***'; no",
    "curl -H 'X-Api-Key: hunter2' -u ann:hunter2 http://h/": "curl -H 'X-Api-Key: ***' -u ann:*** http://h/",
    'curl -H "Cookie: a=hunter2" -b "c=hunter2" -b d=hunter2 -d x=1': ('curl -H "Cookie: ***" -b "***" -b *** -d x=1'),
    "curl --oauth2-bearer hunter2 --user 'ann:hunter2' h": "curl --oauth2-bearer *** --user 'ann:***' h",
    "a text: redis://:hunter2@host failed, http://host/?key=hunter2 too": (
        "a text: redis://***@host failed, http://host/?key=*** too"
    ),
}


@pytest.mark.parametrize("url", URLS)
def test_no_secret_of_a_url_is_shown(url: str) -> None:
    """Credentials and values of parameters are masked; the parts that locate the server are not."""
    assert without_credentials(url) == URLS[url]


@pytest.mark.parametrize(
    "url",
    [
        "redis://host:6379/0?key=: it is empty",
        "write redis://host:6379/0?key=… instead",
        *("redis://host:6379/0", "https://staging.example.com/a@b", "http://host:80/a:b@c", "http://h/x?page=2&q="),
        *("at 12:30 by ada@example.com", "GET /users/@me", "http://[::1]:80/@x", "http://h/?page=a:b@c"),
        *("redis://host/0?protocol=3", "documents", "50%", "http://h/service?wsdl", "http://h/#/route/of-a-page"),
        *("unexpected token: }", "the password is too short", "max_tokens=100", '{"total_tokens": 50, "token": null}'),
        *("X-Api-Key:", "Cookie: ***", "LOADTEST_TOKEN_FILE=local_conf/token", "token=None", "cut -b 1-5", "sort -u x"),
        "RUN_AS=$(id -u):$(id -g)",
        *("no session: log in again", "fields ['login', 'password', 'email']", 'POST /auth/token{name="/token"}'),
        *("Basic authentication is required", "see http://h/x.", '"http://h/x", "ada@example.com"'),
    ],
)
def test_what_is_no_secret_is_shown(url: str) -> None:
    """A URL without credentials and with well-known parameters is unchanged."""
    assert (without_credentials(url), has_password(url)) == (url, False)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "a" * 200_000,
            "://" * 60_000,
            "?=" * 90_000,
            "http://" + ":" * 200_000,
            "?a=" + "'" * 200_000,
            "=" * 200_000,
        ),
        *("a-" * 30_000, '"' * 30_000, "token=" * 9_000, '"token":"' * 9_000, "Cookie: " * 9_000, "\\n" * 30_000),
        *("header " * 9_000, '-b "' * 9_000, 'token=\\"' * 9_000),
    ],
)
def test_a_long_text_takes_little_time(text: str) -> None:
    """No text causes repeated scans of the same characters."""
    began_s = time.process_time()
    without_credentials(text)
    assert time.process_time() - began_s < 5


@pytest.mark.parametrize(
    "url",
    [
        *(
            "redis://:hunter2@host",
            "redis://user:two words@host",
            "redis://host?password=hunter2",
            "redis://user:hunter2/more@host/0",
        ),
        *("mongodb://h/x?tlsCertificateKeyFilePassword=hunter2", "postgresql+psycopg://host/db?sslpassword=hunter2"),
    ],
)
def test_a_password_is_known_by_its_place(url: str) -> None:
    """It is in the authority or in a parameter."""
    assert has_password(url)


@pytest.mark.parametrize(
    "url",
    [
        *("mongodb://host/x?serverSelectionTimeoutMS=200", "postgresql+psycopg://me@host/shop?table=customers"),
        *("redis://locust@redis:6379/0", "redis://host/0?key=tokens", 'p99{name="GET /x?token=1"} < 5ms'),
    ],
)
def test_a_user_and_an_unknown_parameter_are_no_password(url: str) -> None:
    """They may be on a command line."""
    assert not has_password(url)
