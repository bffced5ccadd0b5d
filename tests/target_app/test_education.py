"""The education room: a student's actions, which need an access token."""

import pytest
import redis
from flask.testing import FlaskClient

from target_app import education_data
from target_app.store import KEY_PREFIX
from tests.target_app.students import Student, bearer, sign_up

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


@pytest.mark.parametrize(("method", "path"), SIGNED_IN)
def test_no_access_without_a_valid_token(student: Student, method: str, path: str) -> None:
    """No token, another scheme, a changed token and a refresh token are each a 401 whose header says Bearer."""
    wrong = [{}, {"Authorization": "Basic eDp5"}, bearer(student.access[:-2]), bearer(student.refresh), bearer("")]
    answers = [student.client.open(path, method=method, headers=headers, json={}) for headers in wrong]
    assert [answer.status_code for answer in answers] == [401] * 5
    assert all("Bearer" in answer.headers["WWW-Authenticate"] for answer in answers)


def test_the_dashboard_counts_a_students_collections_and_threads(client: FlaskClient) -> None:
    """Collections and threads of this student are counted, but not those of others."""
    student, other = sign_up(client), sign_up(client)
    for _ in range(2):
        student.open("POST", "ai-assistant/create-collection/", json={"title": "x", "items": [1]})
    student.open("POST", "ai-assistant/chat/thread/", json={"message": "hello"})
    shown = [one.open("GET", "dashboard/").json for one in (student, other)]
    assert [(each["name"], each["collections"], each["threads"]) for each in shown] == [("Ada", 2, 1), ("Ada", 0, 0)]


def test_search_finds_the_items_that_have_all_words(student: Student) -> None:
    """Words match regardless of case and order; a word that no item has matches nothing."""
    found = student.open("GET", "dashboard/v2/search/?q=QUIZ+algebra").json
    assert (found["total"], {(item["subject"], item["kind"]) for item in found["items"]}) == (4, {("algebra", "quiz")})
    for query in ("quiz+nonsense", "%21%21", "algebra+geometry"):
        assert student.open("GET", f"dashboard/v2/search/?q={query}").json["items"] == []


def test_search_and_library_are_read_in_pages(student: Student) -> None:
    """The pages together contain every item once; a page beyond the last is empty."""
    pages = [student.open("GET", f"ai-assistant/library/?page={page}").json["items"] for page in range(1, 22)]
    assert [item["id"] for page in pages for item in page] == list(range(education_data.ITEMS))
    assert pages[-1] == []
    physics = student.open("GET", "ai-assistant/library/?subject=physics&page=2").json
    assert (
        physics["total"],
        len(physics["items"]),
        {item["subject"] for item in physics["items"]},
    ) == (20, 10, {"physics"})


def test_threads_are_listed_continued_and_private(client: FlaskClient) -> None:
    """A thread is listed, can be continued by its student, and is a 404 for another."""
    student, other = sign_up(client), sign_up(client)
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
    """Only the latest fifty collections are kept."""
    for number in range(52):
        body = {"title": f"number {number}", "items": [number]}
        made = student.open("POST", "ai-assistant/create-collection/", json=body)
    assert (made.status_code, made.json["items"]) == (201, [51])
    kept = student.open("GET", "ai-assistant/my-collection/").json
    assert [collection["title"] for collection in kept] == [f"number {number}" for number in range(2, 52)]


def test_help_articles_can_be_searched_without_an_account(client: FlaskClient) -> None:
    """Without a query all articles are returned; with one, those that contain all its words."""
    assert len(client.get("/api/help-center/help-articles/").json) == 18
    found = client.get("/api/help-center/help-articles/?q=password+begin").json
    assert [article["title"] for article in found] == ["How do I begin with my password?"]


def test_each_message_to_support_gets_an_id(client: FlaskClient) -> None:
    """Each message is stored under an id of its own."""
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
    """Every wrong field is named, and a password's value is not repeated."""
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
    """The error names the wrong parameter and its value."""
    answer = student.open("GET", path)
    assert answer.status_code == 422
    assert words in answer.json["detail"]


def test_a_token_of_a_deleted_account_is_401(student: Student, redis_url: str) -> None:
    """A valid token gives no access once its account is gone."""
    with redis.Redis.from_url(redis_url, protocol=2) as direct:
        direct.delete(*direct.scan_iter(f"{KEY_PREFIX}~education:account:*", count=1000))
    answers = [
        student.open("GET", "dashboard/"),
        student.open("GET", "ai-assistant/my-collection/"),
        student.open("POST", "ai-assistant/create-collection/", json={"title": "x", "items": [1]}),
    ]
    assert [answer.status_code for answer in answers] == [401, 401, 401]
