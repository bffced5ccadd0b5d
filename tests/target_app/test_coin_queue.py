"""The coin queue: one place for each user, also under concurrent requests."""

import json
import random
import sys
import threading
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import redis
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from loadtest.local import redis_server
from loadtest.local.process import ManagedProcess, free_port
from target_app import coin_queue, create_app
from target_app.settings import Settings
from target_app.store import Store
from tests.servers import answers

URL = "/api/quickie/user/coin-queue/pre-purchase"
USERS = [f"user-{number}" for number in range(400)]


@pytest.fixture(scope="module", params=["redis", "imitation"])
def store_url(
    request: pytest.FixtureRequest, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """A real RedisJSON, and the imitation that a run falls back to."""
    if request.param == "redis":
        yield redis_url
        return
    port = free_port()
    command = [sys.executable, "-c", redis_server._IMITATION, str(port)]
    server = ManagedProcess("imitation", command, tmp_path_factory.mktemp("imitation") / "log")
    url = f"redis://127.0.0.1:{port}"
    server.wait_until(lambda: redis_server.answers_json(url), 20)
    yield url
    server.stop()


@pytest.fixture
def app(store_url: str) -> Iterator[Flask]:
    """The application."""
    app = create_app(Settings(redis_url=store_url))
    yield app
    app.extensions["store"].close()


@pytest.fixture
def queue(app: Flask) -> Store:
    """An empty queue and three users who have not asked yet."""
    store: Store = app.extensions["store"]
    open_queue(store)
    for user in USERS[:3]:
        store.write(coin_queue.user_key(user), json.dumps({"id": user, "coin_queue": None}).encode())
    return store


@pytest.fixture
def client(app: Flask, queue: Store) -> FlaskClient:  # noqa: ARG001 - the queue must exist
    """A client of the application, without a server."""
    return app.test_client()


def open_queue(store: Store, **changes: object) -> None:
    """Open a new queue."""
    store.write(coin_queue.QUEUE_KEY, json.dumps(coin_queue.new_queue() | changes).encode())


def ask(client: FlaskClient, user: object) -> TestResponse:
    """Ask for a place."""
    return client.post(URL, json={"user_id": user})


def test_a_first_pre_purchase_gives_the_next_place(client: FlaskClient) -> None:
    """Users get 1, 2, 3, … in the order in which they ask."""
    answered = [ask(client, user) for user in USERS[:3]]
    assert [answer.status_code for answer in answered] == [200] * 3
    assert [answer.get_json() for answer in answered] == [
        {"user_id": user, "place": place} for place, user in enumerate(USERS[:3], 1)
    ]


def test_the_same_user_keeps_its_place(client: FlaskClient, queue: Store) -> None:
    """Asked again, even in a closed queue, the service returns 200 with the same place, and the queue does not grow."""
    first, other = ask(client, USERS[0]), ask(client, USERS[1])
    again = ask(client, USERS[0])
    queue.update(coin_queue.QUEUE_KEY, "$.open", b"false")
    closed = ask(client, USERS[0])
    assert tuple(each.status_code for each in (first, other, again, closed)) == (200,) * 4
    assert first.get_json() == again.get_json() == closed.get_json()
    assert json.loads(queue.read_path(coin_queue.QUEUE_KEY, "$.users[*]")) == USERS[:2]


def test_places_are_of_one_queue(client: FlaskClient, queue: Store) -> None:
    """When a new queue is opened, every user may take a place in it."""
    ask(client, USERS[0])
    open_queue(queue)
    answers = [ask(client, user) for user in (USERS[1], USERS[0])]
    assert [(answer.status_code, answer.get_json()["place"]) for answer in answers] == [(200, 1), (200, 2)]


def test_an_unknown_user_is_404(client: FlaskClient) -> None:
    """A user who is not in the store gets no place."""
    answer = ask(client, "nobody")
    assert (answer.status_code, answer.get_json(force=True)["type"]) == (404, "/#unknown-user")


@pytest.mark.parametrize(("changes", "kind"), [({"open": False}, "closed"), ({"capacity": 2}, "full")])
def test_a_closed_or_full_queue_is_409(client: FlaskClient, queue: Store, changes: dict, kind: str) -> None:
    """The problem's type says which of the two it is."""
    open_queue(queue, users=["earlier", "users"], **changes)
    answer = ask(client, USERS[0])
    assert (answer.status_code, answer.get_json(force=True)["type"]) == (409, f"/#queue-{kind}")


def test_a_missing_queue_counts_as_closed(client: FlaskClient, queue: Store) -> None:
    """Before the first queue is opened, the response is a 409."""
    queue.delete(coin_queue.QUEUE_KEY)
    assert ask(client, USERS[0]).status_code == 409


@pytest.mark.parametrize("user", [None, True, 1.5, "", "a b", "*", "x" * 129, ["user-1"], {"id": 1}])
def test_a_wrong_user_id_is_422(client: FlaskClient, user: object) -> None:
    """The response names the member and what it must be."""
    answer = client.post(URL, json={"user_id": user, "other": 1})
    assert answer.status_code == 422
    assert '"user_id"' in answer.get_json(force=True)["detail"]


def test_a_number_is_a_user_id(client: FlaskClient, queue: Store) -> None:
    """Ids that are whole numbers work like their digits."""
    queue.write(coin_queue.user_key("7"), b'{"id": 7}')
    assert (ask(client, 7).status_code, ask(client, 7).get_json()["user_id"]) == (200, "7")


def test_no_place_is_given_twice_under_concurrency(redis_url: str, tmp_path: Path) -> None:
    """On 3 Gunicorn workers and 24 threads, each of 400 users asks 4 times: places are 1 to 400, one per user."""
    with redis.Redis.from_url(redis_url) as client:
        client.json().set(f"loadtest:{coin_queue.QUEUE_KEY}", "$", coin_queue.new_queue(capacity=len(USERS)))
        for user in USERS:
            client.json().set(f"loadtest:{coin_queue.user_key(user)}", "$", {"id": user})
    port = free_port()
    environment = {
        "REDIS_URL": redis_url,
        "TARGET_APP_BIND": f"127.0.0.1:{port}",
        "TARGET_APP_WORKERS": "3",
        "TARGET_APP_THREADS": "8",
        "TARGET_APP_TMP_DIR": str(tmp_path),
    }
    command = [sys.executable, "-m", "gunicorn", "-c", "python:target_app.gunicorn_conf", "target_app:create_app()"]
    server = ManagedProcess("target", command, tmp_path / "target.log", environment)
    try:
        server.wait_until(lambda: answers(f"http://127.0.0.1:{port}/healthz/ready"), 20)
        asked = USERS * 4
        random.Random(6).shuffle(asked)
        barrier = threading.Barrier(24)

        def purchase(user: str) -> tuple[int, str, int]:
            body = json.dumps({"user_id": user}).encode()
            request = urllib.request.Request(
                f"http://127.0.0.1:{port}{URL}", body, {"Content-Type": "application/json"}
            )
            with urllib.request.urlopen(request, timeout=30) as response:
                answer = json.load(response)
                return response.status, answer["user_id"], answer["place"]

        with ThreadPoolExecutor(24, initializer=barrier.wait) as pool:
            given = list(pool.map(purchase, asked))
    finally:
        server.stop()
    assert {status for status, _, _ in given} == {200}
    assert len({(user, place) for _, user, place in given}) == len(USERS)
    assert sorted({place for _, _, place in given}) == list(range(1, 401))
