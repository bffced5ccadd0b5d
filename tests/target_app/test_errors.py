"""Every error is JSON problem details with the right status."""

import logging

import pytest
from flask import Flask
from flask.testing import FlaskClient

from loadtest.local.process import free_port
from target_app import create_app
from target_app.settings import Settings
from tests.target_app.problems import URL, problem

pytestmark = pytest.mark.usefixtures("problem_document")


def test_an_unknown_route_is_404(client: FlaskClient) -> None:
    """HTTP errors are problem details too."""
    assert problem(client.get("/nothing/here")) == (404, "about:blank")


def test_a_wrong_method_is_405_and_says_what_is_allowed(client: FlaskClient) -> None:
    """The Allow header is kept."""
    response = client.patch(URL)
    assert problem(response) == (405, "about:blank")
    assert set(response.headers["Allow"].split(", ")) == {"GET", "HEAD", "PUT", "DELETE", "OPTIONS"}


def test_an_unhandled_exception_is_500_and_leaks_nothing(
    app: Flask, client: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    """The reason is in the log, but not in the response."""

    def broken(_key: str) -> bytes:
        raise RuntimeError("secret detail")

    app.extensions["store"].read = broken
    with caplog.at_level(logging.ERROR):
        response = client.get(URL)
    assert problem(response) == (500, "about:blank")
    assert b"secret" not in response.data
    assert "secret detail" in caplog.text


def test_redis_away_is_503_with_retry_after() -> None:
    """Readiness and data return 503; liveness does not depend on Redis."""
    app = create_app(Settings(redis_url=f"redis://127.0.0.1:{free_port()}/0"))
    client = app.test_client()
    answers = [client.get("/healthz/ready"), client.get(URL), client.put(URL, json={"a": 1})]
    assert [problem(answer) for answer in answers] == [(503, "/#unavailable")] * 3
    assert [answer.headers["Retry-After"] for answer in answers] == ["1"] * 3
    assert client.get("/healthz/live").status_code == 200
