"""The service under load, and the reason for its choice."""

import re

import pytest
from locust import FastHttpUser, User
from locust import HttpUser as StockHttpUser

from loadtest.clients.http import HttpUser
from loadtest.exceptions import UsageError
from loadtest.settings.config import Config
from loadtest.settings.urls import without_credentials
from loadtest.users.target import check_hosts, redis_target_of, target_of

SAMPLE, MINE, OTHER = "http://127.0.0.1:5000", "https://staging.example.com", "https://shop.example.com"


@pytest.mark.parametrize(
    ("host", "of_classes", "sentence"),
    [
        (MINE, {}, MINE),
        (MINE, {"Shopper": MINE}, MINE),
        (MINE, {"Shopper": OTHER}, f"{MINE} (HOST, instead of {OTHER} of Shopper)"),
        (None, {"Shopper": OTHER}, f"{OTHER} of Shopper (HOST is not set)"),
        (None, {"A": OTHER, "B": SAMPLE}, f"{OTHER} of A, {SAMPLE} of B (HOST is not set)"),
        (None, {}, "no host (HOST is not set)"),
        ("grpc://me:secret@shop:1", {}, "grpc://***@shop:1 (given to Locust, or set by the locustfile)"),
        (None, {"A": "mongodb://me:secret@shop"}, "mongodb://***@shop of A (HOST is not set)"),
        (SAMPLE, {}, f"the sample target, {SAMPLE}"),
        ("http://a", {"A": OTHER}, f"http://a (given to Locust, or set by the locustfile, instead of {OTHER} of A)"),
    ],
)  # fmt: skip
def test_the_target_is_named_with_the_reason(host: str | None, of_classes: dict[str, str], sentence: str) -> None:
    """If HOST, the classes' hosts and the sample target differ, the sentence says which one is used."""
    target = target_of(host, of_classes, Config(host=MINE, sample_target=SAMPLE))
    assert target.sentence == sentence
    assert target.hosts == sorted(map(without_credentials, {host} if host else set(of_classes.values())))


@pytest.mark.parametrize(
    ("host", "of_classes", "redis_url", "sentence"),
    [
        (None, {}, "redis://me:secret@shop:1/0", "the Redis redis://***@shop:1/0"),
        (MINE, {}, "redis://shop:1", "the Redis redis://shop:1"),
        ("redis://host:1", {}, "redis://shop:1", "the Redis redis://host:1"),
        (None, {"A": "redis://b", "B": "redis://a"}, "redis://shop:1", "the Redis redis://a, redis://b"),
        (None, {}, None, "the Redis that is started for the run"),
    ],
)
def test_users_of_redis_alone_load_a_redis(
    host: str | None, of_classes: dict[str, str], redis_url: str | None, sentence: str
) -> None:
    """The sample target, or a service in HOST, gets no load."""
    target = redis_target_of(host, of_classes, Config(host=MINE, sample_target=SAMPLE, redis_url=redis_url))
    assert target.sentence == sentence
    assert target.hosts == re.findall(r"redis://[^\s,]+", sentence)


@pytest.mark.parametrize("kind", [StockHttpUser, FastHttpUser, HttpUser])
def test_a_user_with_an_http_client_needs_a_host(kind: type[User]) -> None:
    """Without one no user could send a request; its own host, or one for all, is enough."""
    bare = type("Bare", (kind,), {})
    with pytest.raises(UsageError, match=r"Bare of this locustfile has no host\. .*--host"):
        check_hosts([type("Own", (kind,), {"host": MINE}), bare], None)
    check_hosts([bare], MINE)


def test_a_user_that_makes_its_own_client_needs_none() -> None:
    """This covers a custom User, and one that sets its host in its constructor."""

    class Late(StockHttpUser):
        def __init__(self, environment: object) -> None:
            self.host = MINE
            super().__init__(environment)

    check_hosts([type("Custom", (User,), {}), Late], None)


@pytest.mark.parametrize("host", ["localhost:50051", "grpc://shop:50051", "staging.example.com"])
def test_only_users_with_clients_of_their_own_take_a_host_that_is_no_url(host: str) -> None:
    """An HTTP client could not send a request to it."""
    custom = type("Custom", (User,), {})
    check_hosts([custom], host)
    with pytest.raises(UsageError, match=r"is not a base URL, which Visitor needs\. Allowed: http.*Next: set HOST="):
        check_hosts([custom, type("Visitor", (StockHttpUser,), {})], host)
