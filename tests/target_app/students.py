"""Students, for the tests of the education room and of its accounts and sessions."""

import secrets
from dataclasses import dataclass
from typing import Any

from flask.testing import FlaskClient
from werkzeug.test import TestResponse


def bearer(token: str) -> dict[str, str]:
    """Return the header of an access token."""
    return {"Authorization": f"Bearer {token}"}


@dataclass
class Student:
    """A student who has signed up and in."""

    client: FlaskClient
    email: str
    password: str
    access: str
    refresh: str

    @property
    def credentials(self) -> dict[str, str]:
        """The body of a sign-in."""
        return {"email": self.email, "password": self.password}

    def open(self, method: str, path: str, **more: Any) -> TestResponse:
        """Send a request with the access token."""
        return self.client.open(f"/api/{path}", method=method, headers=bearer(self.access), **more)

    def exchange(self, token: str) -> TestResponse:
        """Return the response to a refresh with this token."""
        return self.client.post("/api/accounts/token/refresh/", json={"refresh": token})


def sign_up(client: FlaskClient) -> Student:
    """Sign up a new student, and sign in."""
    email, password = f"{secrets.token_hex(6)}@example.com", secrets.token_urlsafe()
    answer = client.post("/api/accounts/sign-up/", json={"email": email, "password": password, "name": "Ada"})
    assert answer.status_code == 201, answer.text
    session = client.post("/api/accounts/sign-in/", json={"email": email, "password": password}).json
    return Student(client, email, password, session["access"], session["refresh"])
