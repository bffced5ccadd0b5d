"""The meaning of a Redis URL, and the errors for wrong ones."""

import re
import ssl
from pathlib import Path

import pytest
from locust.env import Environment

from loadtest.clients.redis import RedisJsonUser
from loadtest.clients.redis.settings import OPTIONS, RedisSettings
from loadtest.exceptions import UsageError


def test_a_plain_url_gives_the_defaults():
    """Port 6379, database 0, RESP2, five seconds, no credentials."""
    settings = RedisSettings.from_url("redis://cache")
    assert (settings.endpoint.host, settings.endpoint.port, settings.endpoint.tls) == ("cache", 6379, None)
    assert (settings.db, settings.protocol, settings.client_name) == (0, 2, "")
    assert (settings.username, settings.password) == ("", "")
    assert (settings.connect_timeout_s, settings.read_timeout_s) == (5.0, 5.0)


def test_every_part_of_a_url_is_read():
    """Names and passwords are percent-decoded, options override the defaults, IPv6 loses its brackets."""
    query = "protocol=3&client_name=load&socket_timeout=0.5&socket_connect_timeout=2"
    settings = RedisSettings.from_url(f"redis://us%40er:p%2Fw@[::1]:7000/5?{query}")
    assert (settings.endpoint.host, settings.endpoint.port) == ("::1", 7000)
    assert str(settings.endpoint) == "[::1]:7000"
    assert (settings.username, settings.password) == ("us@er", "p/w")
    assert (settings.db, settings.protocol, settings.client_name) == (5, 3, "load")
    assert (settings.read_timeout_s, settings.connect_timeout_s) == (0.5, 2.0)


def test_a_sentinel_has_a_port_of_its_own():
    """It has the usual one; users and databases are those of the primary."""
    settings = RedisSettings.from_url("redis://u:p@h/2?sentinel=shop&protocol=3")
    assert (settings.endpoint.port, settings.sentinel) == (26379, "shop")
    asked = settings.of_sentinel("other", 1)
    assert (asked.username, asked.password, asked.db, asked.protocol) == ("", "", 0, 2)
    given = RedisSettings.from_url("rediss://u:p@h?sentinel=shop&sentinel_username=s&sentinel_password=q")
    asked = given.of_sentinel("other", 1)
    assert (asked.username, asked.password, asked.endpoint.tls) == ("s", "q", given.endpoint.tls)
    plain = RedisSettings.from_url("rediss://h?sentinel=shop&sentinel_ssl=false").of_sentinel("other", 1)
    assert plain.endpoint.tls is None


def test_a_unix_socket_has_a_path_and_a_database_option():
    """unix:// names a file; credentials and database are given as elsewhere in redis-py."""
    settings = RedisSettings.from_url("unix://:pw@/run/re%20dis.sock?db=3")
    assert (settings.endpoint.path, settings.db, settings.password) == ("/run/re dis.sock", 3, "pw")
    assert str(settings.endpoint) == "unix:/run/re dis.sock"


def test_tls_verifies_unless_told_otherwise():
    """rediss:// checks certificate and name; ssl_check_hostname and ssl_cert_reqs relax the two separately."""
    strict = RedisSettings.from_url("rediss://h").endpoint.tls
    nameless = RedisSettings.from_url("rediss://h?ssl_check_hostname=false").endpoint.tls
    lax = RedisSettings.from_url("rediss://h?ssl_cert_reqs=none").endpoint.tls
    modes = [(context.verify_mode, context.check_hostname) for context in (strict, nameless, lax)]
    assert modes == [(ssl.CERT_REQUIRED, True), (ssl.CERT_REQUIRED, False), (ssl.CERT_NONE, False)]


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://h", "scheme is 'http'; allowed are redis, rediss, unix"),
        ("cache:6379", "scheme is 'cache'; allowed are"),
        ("redis://", "names no host"),
        ("redis://h:0", "port 0"),
        ("redis://h:99999", "Port out of range"),
        ("redis://h:port", "could not be cast"),
        ("redis://h/one", "database 'one'"),
        ("redis://h/-1", "database '-1'"),
        ("redis://h?db=²", "db='²'"),
        ("redis://h?protocol=4", "allowed are 2 and 3"),
        ("redis://h?socket_timeout=0", "seconds above 0"),
        ("redis://h?socket_timeout=nan", "seconds above 0"),
        ("redis://h?socket_timeout=soon", "socket_timeout='soon'"),
        ("redis://h?sokcet_timeout=1", "option 'sokcet_timeout' is unknown; known are db"),
        ("redis://h?sentinel_password=x", "sentinel_password is for Sentinels; add sentinel=NAME"),
        ("rediss://h?ssl_cert_reqs=maybe", "required, optional and none"),
        ("rediss://h?ssl_check_hostname=maybe", "true and false"),
        ("rediss://h?ssl_ca_certs=/nowhere.pem", "certificate file cannot be read"),
        ("rediss://h?ssl_certfile=/nowhere.pem", "certificate file cannot be read"),
        ("unix://", "names no socket file"),
        ("redis://[::1", "Invalid IPv6 URL"),
        ("redis://h?sentinel=", "the name in `sentinel monitor NAME"),
        ("redis://h?sentinel=a&cluster=true", "does not watch clusters"),
        ("unix:///s?sentinel=a", "reached by TCP"),
    ],
)
def test_a_wrong_url_is_explained(url, reason):
    """The error names what is wrong, what is allowed and where the URL is set."""
    with pytest.raises(UsageError, match="REDIS_URL") as caught:
        RedisSettings.from_url(url)
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "redis://user:s3cret@h:0",
        "redis://user:s3cret/s3cret@h",
        "redis://user:12/s3cret@h/0",
        "redis://user:s3cret?s3cret@h",
        "redis://user:12?db=s3cret@h",
        "redis://user:12?s3cret=x@h",
        "redis://user:s3cret℀@h",
        "redis://h?passwrd=s3cret",
        "redis://h/0?password=a@s3cret&db=x",
        "redis://user:[s3cret@h",
    ],
)
def test_an_error_hides_the_password(url):
    """Neither the URL nor its wrong part is shown with it, even with a character that seems to end it."""
    with pytest.raises(UsageError) as caught:
        RedisSettings.from_url(url)
    assert "s3cret" not in str(caught.value)
    assert "***" in str(caught.value)


def test_a_user_finds_its_redis(monkeypatch):
    """redis_url takes precedence over a host that is a Redis URL, and that over REDIS_URL; without any it fails."""

    class Probe(RedisJsonUser):
        pass

    def port():
        return Probe(Environment(user_classes=[Probe])).client.settings.endpoint.port

    monkeypatch.delenv("REDIS_URL", raising=False)
    with pytest.raises(UsageError, match="Probe has no Redis URL"):
        port()
    monkeypatch.setenv("REDIS_URL", "redis://h:1")
    assert port() == 1
    Probe.host = "http://h:5"
    assert port() == 1
    Probe.host = "redis://h:2"
    assert port() == 2
    Probe.redis_url = "redis://h:3"
    assert port() == 3


def test_the_options_are_those_in_the_reference():
    """docs/reference/redisjson_client.md has a row for each option, and no others."""
    text = (Path(__file__).parents[4] / "docs" / "reference" / "redisjson_client.md").read_text(encoding="utf-8")
    assert list(OPTIONS) == re.findall(r"^\| `(\w+)=", text, re.MULTILINE)
