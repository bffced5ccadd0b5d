"""Registration and login of clients."""

import secrets
from concurrent.futures import ThreadPoolExecutor

import pytest
from flask import Flask
from flask.testing import FlaskClient


def new_client() -> dict[str, str]:
    """Return the registration of a new client."""
    name = f"user-{secrets.token_hex(6)}"
    more = {"fullName": "Ada Lovelace", "phone": "+44 20 7946 0000", "password": secrets.token_urlsafe()}
    return {"userName": name, "email": f"{name}@example.com", **more}


@pytest.mark.parametrize("kind", ["json", "data"])
def test_clients_register_and_log_in_with_json_or_a_form(client: FlaskClient, kind: str) -> None:
    """Both return 200; a login says how long its token is valid."""
    registration = new_client()
    registered = client.post("/client_registeration", **{kind: registration})
    assert (registered.status_code, registered.json) == (200, {"msg": "User Registered"})
    for names in (["email"], ["userName"], ["userName", "email"]):
        login = {name: registration[name] for name in [*names, "password"]}
        answer = client.post("/client_login", **{kind: login})
        assert (answer.status_code, answer.json["msg"], answer.json["expires_in_s"]) == (200, "Login successful", 300)


def test_a_wrong_login_is_401(client: FlaskClient) -> None:
    """A wrong password, an unknown name, and the combined names of two clients get the same response."""
    one, other = new_client(), new_client()
    for registration in (one, other):
        client.post("/client_registeration", json=registration)
    wrong = [
        {"email": one["email"], "password": other["password"]},
        {"userName": "nobody-at-all", "password": one["password"]},
        {"userName": other["userName"], "email": one["email"], "password": one["password"]},
    ]
    answers = [client.post("/client_login", json=login) for login in wrong]
    assert [answer.status_code for answer in answers] == [401] * 3
    assert len({answer.json["detail"] for answer in answers}) == 1


@pytest.mark.parametrize("field", ["userName", "email"])
def test_a_duplicate_is_409_and_names_the_field(client: FlaskClient, field: str) -> None:
    """User name and address are each unique, regardless of case; when one is refused, the other stays free."""
    first, second = new_client(), new_client()
    client.post("/client_registeration", json=first)
    answer = client.post("/client_registeration", json=second | {field: first[field].upper()})
    assert answer.status_code == 409
    assert f'"{field}"' in answer.json["detail"]
    assert client.post("/client_registeration", json=second).status_code == 200


def test_concurrent_registrations_succeed_once(app: Flask) -> None:
    """No two clients get the same user name, even when they register at the same time."""
    registration = new_client()

    def register(number: int) -> int:
        body = registration | {"email": f"{number}{registration['email']}"}
        return app.test_client().post("/client_registeration", json=body).status_code

    with ThreadPoolExecutor(4) as threads:
        assert sorted(threads.map(register, range(12))) == [200] + [409] * 11


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"email": "ada"}, "\"email\" is 'ada'"),
        ({"userName": ""}, '"userName"'),
        ({"phone": "call me"}, '"phone"'),
        ({"fullName": None}, '"fullName"'),
        ({"password": "tiny"}, '"password" is not allowed'),
    ],
)
def test_a_bad_registration_is_422_and_names_the_field(
    client: FlaskClient, change: dict[str, object], word: str
) -> None:
    """The response names the field and what is wrong with it, and does not repeat a password."""
    answer = client.post("/client_registeration", json=new_client() | change)
    assert answer.status_code == 422
    assert word in answer.json["detail"]
    assert "tiny" not in answer.text


def test_a_login_without_a_name_or_a_password_is_422(client: FlaskClient) -> None:
    """A user name or an address is required, and a password."""
    answers = [client.post("/client_login", json=body) for body in ({"password": "long enough"}, {"userName": "ada"})]
    assert [answer.status_code for answer in answers] == [422, 422]
    assert '"userName"' in answers[0].json["detail"]
    assert '"password" is missing' in answers[1].json["detail"]


def test_a_token_of_one_room_is_refused_by_another(client: FlaskClient) -> None:
    """An access token is valid only in the room that issued it."""
    registration = new_client()
    client.post("/client_registeration", json=registration)
    token = client.post("/client_login", json=registration).json["access"]
    answer = client.get("/api/dashboard/", headers={"Authorization": f"Bearer {token}"})
    assert (answer.status_code, answer.json["detail"]) == (401, "The token is for another part of this service.")
