"""The education room: accounts and sessions that are really checked, and everything that a student does."""

import secrets
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest
import redis
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from target_app import education_data
from target_app.store import KEY_PREFIX

SIGNED_IN = [
    ("GET", "/api/dashboard/"),
    ("GET", "/api/dashboard/v2/search/?q=quiz"),
    ("GET", "/api/ai-assistant/tools-and-template/"),
    ("GET", "/api/ai-assistant/random-mystery-box/"),
    ("GET", "/api/ai-assistant/chat/thread/"),
    ("POST", "/api/ai-assistant/chat/thread/"),
    ("GET", "/api/ai-assistant/library/"),
    ("GET", "/api/ai-assistant/my-collection/"),
    ("POST", "/api/ai-assistant/create-collection/"),
]


@dataclass
class Student:
    """A student who has signed up and in."""

    client: FlaskClient
    email: str
    password: str
    access: str
    refresh: str

    def open(self, method: str, path: str, **more: Any) -> TestResponse:
        """Send a request with the access token."""
        return self.client.open(f"/api/{path}", method=method, headers=bearer(self.access), **more)


def bearer(token: str) -> dict[str, str]:
    """Return the header of an access token."""
    return {"Authorization": f"Bearer {token}"}


@pytest.fixture
def sign_up(client: FlaskClient) -> Callable[[], Student]:
    """Makes students."""

    def made() -> Student:
        email, password = f"{secrets.token_hex(6)}@example.com", secrets.token_urlsafe()
        answer = client.post("/api/accounts/sign-up/", json={"email": email, "password": password, "name": "Ada"})
        assert answer.status_code == 201, answer.text
        session = client.post("/api/accounts/sign-in/", json={"email": email, "password": password}).json
        return Student(client, email, password, session["access"], session["refresh"])

    return made


@pytest.fixture
def student(sign_up: Callable[[], Student]) -> Student:
    """Return a student."""
    return sign_up()


def refreshed(student: Student, token: str) -> TestResponse:
    """Return the answer to a refresh with this token."""
    return student.client.post("/api/accounts/token/refresh/", json={"refresh": token})


def test_an_account_is_made_once(student: Student) -> None:
    """A second sign-up with the same address, in whatever case, is a 409 that names the field."""
    body = {"email": student.email.upper(), "password": "another one", "name": "Eve"}
    answer = student.client.post("/api/accounts/sign-up/", json=body)
    assert answer.status_code == 409
    assert '"email"' in answer.json["detail"]
    assert student.client.post("/api/accounts/sign-in/", json=_signing_in(student)).status_code == 200


def test_no_password_is_kept_and_no_account_is_public(student: Student, redis_url: str) -> None:
    """Redis holds a hash only, for a day at most, and the documents' API neither lists nor reads accounts."""
    with redis.Redis.from_url(redis_url, protocol=2, decode_responses=True) as direct:
        keys = list(direct.scan_iter(f"{KEY_PREFIX}~education:account:*", count=1000))
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
    wrong = [_signing_in(student) | {"password": "not this"}, _signing_in(student) | {"email": "no@body.example"}]
    answers = [student.client.post("/api/accounts/sign-in/", json=body) for body in wrong]
    assert [answer.status_code for answer in answers] == [401, 401]
    assert answers[1].json["detail"] == answers[0].json["detail"]
    assert student.password not in answers[0].text


@pytest.mark.parametrize(("method", "path"), SIGNED_IN)
def test_no_access_without_a_valid_token(student: Student, method: str, path: str) -> None:
    """No token, another scheme, a changed token and a refresh token are each a 401 that says how to do it."""
    wrong = [{}, {"Authorization": "Basic eDp5"}, bearer(student.access[:-2]), bearer(student.refresh), bearer("")]
    answers = [student.client.open(path, method=method, headers=headers, json={}) for headers in wrong]
    assert [answer.status_code for answer in answers] == [401] * 5
    assert all("Bearer" in answer.headers["WWW-Authenticate"] for answer in answers)


def test_an_expired_token_is_refused_and_renewed(student: Student, monkeypatch: pytest.MonkeyPatch) -> None:
    """After its lifetime an access token is a 401 that says so; its refresh token brings a valid one."""
    now_s = time.time()
    monkeypatch.setattr(time, "time", lambda: now_s + 400)
    answer = student.open("GET", "dashboard/")
    assert (answer.status_code, answer.json["detail"]) == (401, "The token is expired: it is valid for 300 s.")
    student.access = refreshed(student, student.refresh).json["access"]
    assert student.open("GET", "dashboard/").status_code == 200


def test_a_refresh_token_works_once_and_its_reuse_ends_the_session(student: Student) -> None:
    """Each refresh hands out a new token; a used one is refused, and then the newest is too."""
    second = refreshed(student, student.refresh).json["refresh"]
    third = refreshed(student, second)
    assert third.status_code == 200
    reused = refreshed(student, second)
    assert reused.status_code == 401
    assert "used before" in reused.json["detail"]
    revoked = refreshed(student, third.json["refresh"])
    assert (revoked.status_code, revoked.json["detail"]) == (401, "The session was revoked: sign in again.")


def test_another_session_of_the_same_student_goes_on(student: Student) -> None:
    """Revoking one sign-in's tokens leaves those of another."""
    other = student.client.post("/api/accounts/sign-in/", json=_signing_in(student)).json["refresh"]
    for _ in range(2):
        refreshed(student, student.refresh)
    assert refreshed(student, other).status_code == 200


def test_of_many_refreshes_at_once_one_is_answered(app: Flask, student: Student) -> None:
    """A refresh token raced for is handed over to one at most."""

    def race(_: int) -> int:
        body = {"refresh": student.refresh}
        return app.test_client().post("/api/accounts/token/refresh/", json=body).status_code

    with ThreadPoolExecutor(4) as threads:
        statuses = list(threads.map(race, range(12)))
    assert statuses.count(200) <= 1
    assert {200, 401} >= set(statuses)


def test_a_refresh_token_lives_as_long_as_is_said(student: Student, monkeypatch: pytest.MonkeyPatch) -> None:
    """A refresh token that is expired, cut off or an access token is a 401."""
    assert [refreshed(student, token).status_code for token in (student.refresh[:-3], student.access)] == [401, 401]
    now_s = time.time()
    monkeypatch.setattr(time, "time", lambda: now_s + 86_402)
    assert "expired" in refreshed(student, student.refresh).json["detail"]


def test_the_dashboard_counts_what_a_student_has(sign_up: Callable[[], Student]) -> None:
    """Collections and threads of this student are counted, those of others not."""
    student, other = sign_up(), sign_up()
    for _ in range(2):
        student.open("POST", "ai-assistant/create-collection/", json={"title": "x", "items": [1]})
    student.open("POST", "ai-assistant/chat/thread/", json={"message": "hello"})
    shown = [one.open("GET", "dashboard/").json for one in (student, other)]
    assert [(each["name"], each["collections"], each["threads"]) for each in shown] == [("Ada", 2, 1), ("Ada", 0, 0)]


def test_search_finds_the_items_that_have_all_words(student: Student) -> None:
    """Words are found whatever their case and order; a word that no item has finds nothing."""
    found = student.open("GET", "dashboard/v2/search/?q=QUIZ+algebra").json
    assert (found["total"], {(item["subject"], item["kind"]) for item in found["items"]}) == (4, {("algebra", "quiz")})
    for query in ("quiz+nonsense", "%21%21", "algebra+geometry"):
        assert student.open("GET", f"dashboard/v2/search/?q={query}").json["items"] == []


def test_search_and_library_are_read_in_pages(student: Student) -> None:
    """The pages together are everything, once; a page beyond the last is empty."""
    pages = [student.open("GET", f"ai-assistant/library/?page={page}").json["items"] for page in range(1, 22)]
    assert [item["id"] for page in pages for item in page] == list(range(education_data.ITEMS))
    assert pages[-1] == []
    physics = student.open("GET", "ai-assistant/library/?subject=physics&page=2").json
    assert (
        physics["total"],
        len(physics["items"]),
        {item["subject"] for item in physics["items"]},
    ) == (20, 10, {"physics"})


def test_what_all_students_share_is_written_when_it_is_missing(student: Student, redis_url: str) -> None:
    """An emptied Redis has its library, tools and articles again at the first request for each."""
    paths = ("library/", "tools-and-template/", "random-mystery-box/")
    for path in (*(f"ai-assistant/{path}" for path in paths), "help-center/help-articles/", "dashboard/v2/search/?q=a"):
        with redis.Redis.from_url(redis_url, protocol=2) as direct:
            direct.delete(*(KEY_PREFIX + key for key, _ in education_data.documents()))
        answer = student.open("GET", path)
        assert answer.status_code == 200, path
        assert answer.json, path


def test_the_mystery_box_shows_different_items(student: Student) -> None:
    """Twenty boxes do not all hold the same."""
    assert len({student.open("GET", "ai-assistant/random-mystery-box/").json["id"] for _ in range(20)}) > 1


def test_threads_begin_go_on_and_are_ones_own(sign_up: Callable[[], Student]) -> None:
    """A thread is listed, can be continued by its student, and is a 404 for another."""
    student, other = sign_up(), sign_up()
    begun = student.open("POST", "ai-assistant/chat/thread/", json={"message": "What is a prime?"})
    assert (begun.status_code, begun.json["reply"]["text"]) == (201, "Let us look at it together: What is a prime?")
    more = {"message": "And 1?", "thread": begun.json["thread"]}
    assert [one.open("POST", "ai-assistant/chat/thread/", json=more).status_code for one in (student, other)] == [
        201,
        404,
    ]
    listed = student.open("GET", "ai-assistant/chat/thread/").json
    assert listed == [{"id": begun.json["thread"], "title": "What is a prime?"}]


def test_collections_are_kept_in_order_and_bounded(student: Student) -> None:
    """The latest fifty collections stay."""
    for number in range(52):
        body = {"title": f"number {number}", "items": [number]}
        made = student.open("POST", "ai-assistant/create-collection/", json=body)
    assert (made.status_code, made.json["items"]) == (201, [51])
    kept = student.open("GET", "ai-assistant/my-collection/").json
    assert [collection["title"] for collection in kept] == [f"number {number}" for number in range(2, 52)]


def test_help_articles_are_searched_by_anybody(client: FlaskClient) -> None:
    """All articles without a query; with one, those with all its words."""
    assert len(client.get("/api/help-center/help-articles/").json) == 18
    found = client.get("/api/help-center/help-articles/?q=password+begin").json
    assert [article["title"] for article in found] == ["How do I begin with my password?"]


def test_a_letter_gets_a_number(client: FlaskClient) -> None:
    """Each letter is kept under a number of its own."""
    letter = {"name": "Ada", "email": "ada@example.com", "subject": "Hello", "message": "Where is the quiz?"}
    answers = [client.post("/api/help-center/contact-us/", json=letter) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[1].json["id"] != answers[0].json["id"]


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        ("accounts/sign-up/", {"password": "long enough", "name": "Ada"}, ['"email" is missing']),
        ("accounts/sign-up/", {"email": "ada", "password": "short", "name": ""}, ['"email"', '"password"', '"name"']),
        ("accounts/sign-up/", {"email": "a@b.c", "password": "long enough", "name": "A", "x": 1}, ['"x" is not known']),
        ("accounts/sign-in/", {"email": "a@b.c", "password": 5}, ['"password"']),
        ("accounts/sign-in/", [], ["must be a JSON object"]),
        ("accounts/token/refresh/", {"refresh": ""}, ['"refresh"']),
        ("help-center/contact-us/", {"name": "A", "email": "a@b.c", "subject": "s"}, ['"message" is missing']),
    ],
)
def test_bad_input_is_422_and_names_each_field(client: FlaskClient, path: str, body: object, words: list[str]) -> None:
    """Every field that is wrong is named, and a password's value is not repeated."""
    answer = client.post(f"/api/{path}", json=body)
    assert answer.status_code == 422
    assert [word for word in words if word not in answer.json["detail"]] == []
    assert "short" not in answer.json["detail"]


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("dashboard/v2/search/", '"q" is missing'),
        ("dashboard/v2/search/?q=a&page=0", '"page" is'),
        ("dashboard/v2/search/?q=a&page=x", '"page" is'),
        ("ai-assistant/library/?subject=cooking", '"subject" is'),
        ("ai-assistant/library/?colour=red", '"colour" is not known; allowed: subject, page'),
    ],
)
def test_a_bad_query_is_422_and_names_the_parameter(student: Student, path: str, words: str) -> None:
    """A parameter that is wrong is named, with its value."""
    answer = student.open("GET", path)
    assert answer.status_code == 422
    assert words in answer.json["detail"]


def test_an_account_that_is_gone_is_401(student: Student, redis_url: str) -> None:
    """A token that outlives its account opens nothing."""
    with redis.Redis.from_url(redis_url, protocol=2) as direct:
        direct.delete(*direct.scan_iter(f"{KEY_PREFIX}~education:account:*", count=1000))
    answers = [
        student.open("GET", "dashboard/"),
        student.open("GET", "ai-assistant/my-collection/"),
        student.open("POST", "ai-assistant/create-collection/", json={"title": "x", "items": [1]}),
    ]
    assert [answer.status_code for answer in answers] == [401, 401, 401]


def _signing_in(student: Student) -> dict[str, str]:
    return {"email": student.email, "password": student.password}
