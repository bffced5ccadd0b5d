"""Accounts: created once, private, and accessible only with their password."""

import redis

from target_app.store import KEY_PREFIX
from tests.target_app.students import Student


def test_a_duplicate_sign_up_is_409(student: Student) -> None:
    """A second sign-up with the same address, in upper or lower case, is a 409 that names the field."""
    body = {"email": student.email.upper(), "password": "another one", "name": "Eve"}
    answer = student.client.post("/api/accounts/sign-up/", json=body)
    assert answer.status_code == 409
    assert '"email"' in answer.json["detail"]
    assert student.client.post("/api/accounts/sign-in/", json=student.credentials).status_code == 200


def test_passwords_are_stored_as_hashes_and_accounts_are_private(student: Student, redis_url: str) -> None:
    """Redis holds a hash only, for a day at most, and the documents' API neither lists nor reads accounts."""
    with redis.Redis.from_url(redis_url, protocol=2, decode_responses=True) as direct:
        accounts = f"{KEY_PREFIX}~education:account:"  # the keys of sessions have another colon
        keys = [key for key in direct.scan_iter(f"{accounts}*", count=1000) if ":" not in key[len(accounts) :]]
        held = "".join(direct.execute_command("JSON.GET", key) for key in keys)
        assert student.email in held
        assert "scrypt:" in held
        assert student.password not in held
        assert all(0 < direct.ttl(key) <= 24 * 3600 for key in keys)
    name = keys[0].removeprefix(KEY_PREFIX)
    assert student.client.get(f"/api/v1/documents/{name}").status_code == 400
    assert student.client.get("/api/v1/documents?match=*account*").json["keys"] == []


def test_signing_in_needs_the_right_password(student: Student) -> None:
    """A wrong password and an unknown address get the same 401."""
    wrong = [student.credentials | {"password": "not this"}, student.credentials | {"email": "no@body.example"}]
    answers = [student.client.post("/api/accounts/sign-in/", json=body) for body in wrong]
    assert [answer.status_code for answer in answers] == [401, 401]
    assert answers[1].json["detail"] == answers[0].json["detail"]
    assert student.password not in answers[0].text
