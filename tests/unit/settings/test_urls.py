"""Secrets in URLs: none is shown, wherever it stands and whatever characters it has."""

import time

import pytest

from loadtest.settings.urls import has_password, without_credentials

URLS = {
    "redis://user:hunter2@host:6379/0": "redis://***@host:6379/0",
    "redis://:hunter2@host/0": "redis://***@host/0",
    "redis://user:hunter2@hunter2@host/0": "redis://***@host/0",
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
    "a text: redis://:hunter2@host failed, http://host/?key=hunter2 too": (
        "a text: redis://***@host failed, http://host/?key=*** too"
    ),
}


@pytest.mark.parametrize("url", URLS)
def test_no_secret_of_a_url_is_shown(url: str) -> None:
    """Credentials and the values of parameters are masked; what finds the server is not."""
    assert without_credentials(url) == URLS[url]


@pytest.mark.parametrize(
    "url",
    [
        "redis://host:6379/0?key=: it is empty",
        "write redis://host:6379/0?key=… instead",
        *("redis://host:6379/0", "https://staging.example.com/a@b", "http://host:80/a:b@c", "http://h/x?page=2&q="),
        *("at 12:30 by ada@example.com", "GET /users/@me", "http://[::1]:80/@x", "http://h/?page=a:b@c"),
        *("redis://host/0?protocol=3", "documents", "50%", "http://h/service?wsdl", "http://h/#/route/of-a-page"),
        *("Basic authentication is required", "see http://h/x.", '"http://h/x", "ada@example.com"'),
    ],
)
def test_what_is_no_secret_is_shown(url: str) -> None:
    """A URL without credentials and with well-known parameters stays as it is."""
    assert (without_credentials(url), has_password(url)) == (url, False)


@pytest.mark.parametrize(
    "text",
    ["a" * 200_000, "://" * 60_000, "?=" * 90_000, "http://" + ":" * 200_000, "?a=" + "'" * 200_000, "=" * 200_000],
)
def test_a_long_text_takes_little_time(text: str) -> None:
    """No text makes it look again and again at the same characters."""
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
    """In the address or in a parameter."""
    assert has_password(url)


@pytest.mark.parametrize(
    "url",
    [
        *("mongodb://host/x?serverSelectionTimeoutMS=200", "postgresql+psycopg://me@host/shop?table=customers"),
        *("redis://locust@redis:6379/0", "redis://host/0?key=tokens", 'p99{name="GET /x?token=1"} < 5ms'),
    ],
)
def test_a_user_and_an_unknown_parameter_are_no_password(url: str) -> None:
    """They may stand on a command line."""
    assert not has_password(url)
