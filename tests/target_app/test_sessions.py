"""Sessions: access tokens expire, and a refresh token works once."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from flask import Flask

from tests.target_app.students import Student


def test_an_expired_token_is_refused_and_renewed(student: Student, monkeypatch: pytest.MonkeyPatch) -> None:
    """An expired access token gets a 401 that says so; its refresh token gets a valid one."""
    now_s = time.time()
    monkeypatch.setattr(time, "time", lambda: now_s + 400)
    answer = student.open("GET", "dashboard/")
    assert (answer.status_code, answer.json["detail"]) == (401, "The token has expired: it was valid for 300 s.")
    student.access = student.exchange(student.refresh).json["access"]
    assert student.open("GET", "dashboard/").status_code == 200


def test_a_refresh_token_works_once_and_its_reuse_ends_the_session(student: Student) -> None:
    """Each refresh returns a new token; a used one is refused, and so is the newest from then on."""
    second = student.exchange(student.refresh).json["refresh"]
    third = student.exchange(second)
    assert third.status_code == 200
    reused = student.exchange(second)
    assert reused.status_code == 401
    assert "used before" in reused.json["detail"]
    revoked = student.exchange(third.json["refresh"])
    assert (revoked.status_code, revoked.json["detail"]) == (401, "The session was revoked: sign in again.")


def test_revoking_a_session_leaves_the_students_others_valid(student: Student) -> None:
    """Revoking the tokens of one sign-in leaves those of another valid."""
    other = student.client.post("/api/accounts/sign-in/", json=student.credentials).json["refresh"]
    for _ in range(2):
        student.exchange(student.refresh)
    assert student.exchange(other).status_code == 200


def test_concurrent_refreshes_succeed_at_most_once(app: Flask, student: Student) -> None:
    """Of several requests with one refresh token, at most one gets new tokens."""

    def race(_: int) -> int:
        body = {"refresh": student.refresh}
        return app.test_client().post("/api/accounts/token/refresh/", json=body).status_code

    with ThreadPoolExecutor(4) as threads:
        statuses = list(threads.map(race, range(12)))
    assert statuses.count(200) <= 1
    assert {200, 401} >= set(statuses)


def test_a_wrong_or_expired_refresh_token_is_401(student: Student, monkeypatch: pytest.MonkeyPatch) -> None:
    """A truncated token, an access token and an expired refresh token each get a 401."""
    assert [student.exchange(token).status_code for token in (student.refresh[:-3], student.access)] == [401, 401]
    now_s = time.time()
    monkeypatch.setattr(time, "time", lambda: now_s + 86_402)
    assert "expired" in student.exchange(student.refresh).json["detail"]
