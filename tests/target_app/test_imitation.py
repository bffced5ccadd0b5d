"""The imitation of Redis in Python, the last fallback of a run, behaves like Redis."""

import secrets
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from loadtest.local import redis_server
from loadtest.local.process import ManagedProcess, free_port
from target_app import create_app
from target_app.settings import Settings


@pytest.fixture
def imitated(tmp_path: Path) -> Iterator[FlaskClient]:
    """The application over the imitation."""
    port = free_port()
    command = [sys.executable, "-c", redis_server._IMITATION, str(port)]
    imitation = ManagedProcess("imitation", command, tmp_path / "imitation.log")
    url = f"redis://127.0.0.1:{port}/0"
    imitation.wait_until(lambda: redis_server.answers_json(url), 30)
    app = create_app(Settings(redis_url=url, password_cost=10))
    yield app.test_client()
    app.extensions["store"].close()
    imitation.stop()


def journey(client: FlaskClient, email: str) -> list[Any]:
    """Return everything that a student and a client see, without the parts that differ between runs."""
    who = {"email": email, "password": "long enough"}
    client.post("/api/accounts/sign-up/", json=who | {"name": "Ada"})
    session = client.post("/api/accounts/sign-in/", json=who).json
    headers = {"Authorization": f"Bearer {session['access']}"}
    client.post("/api/ai-assistant/create-collection/", json={"title": "x", "items": [1]}, headers=headers)
    paths = (
        "dashboard/v2/search/?q=algebra+quiz",
        "dashboard/v2/search/?q=nonsense",
        "ai-assistant/library/?subject=physics",
        "ai-assistant/tools-and-template/",
        "ai-assistant/chat/thread/",
        "help-center/help-articles/",
    )
    seen = [client.get(f"/api/{path}", headers=headers).json for path in paths]
    collections = client.get("/api/ai-assistant/my-collection/", headers=headers).json
    counts = client.get("/api/dashboard/", headers=headers).json
    again = client.post("/api/accounts/sign-up/", json=who | {"name": "Ada"}).status_code
    refreshes = [
        client.post("/api/accounts/token/refresh/", json={"refresh": session["refresh"]}).status_code for _ in range(2)
    ]
    name = email.partition("@")[0]
    client.post("/client_registeration", json=who | {"userName": name, "fullName": "Ada", "phone": "1234567"})
    logins = [
        client.post("/client_login", json={"userName": name, "password": password}).status_code
        for password in ("long enough", "the wrong one")
    ]
    client.put("/api/v1/documents/test:imitated", json={"a": [1, {"b": None}]})
    document = client.get("/api/v1/documents/test:imitated").json
    titles = [collection["title"] for collection in collections]
    return [*seen, titles, counts["collections"], counts["name"], again, refreshes, logins, document]


def test_the_imitation_answers_as_redis(client: FlaskClient, imitated: FlaskClient) -> None:
    """The same journey gets the same responses."""
    email = f"{secrets.token_hex(8)}@example.com"
    assert journey(imitated, email) == journey(client, email)
