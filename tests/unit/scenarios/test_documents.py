"""The documents scenario: every task against the real target and the real Redis."""

import ast
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import redis
from locust import User
from locust.env import Environment

from loadtest import scenarios
from loadtest.exceptions import StackError
from loadtest.local import redis_server
from loadtest.local.process import ManagedProcess, free_port
from loadtest.scenarios import documents
from loadtest.scenarios._scratch import Scratch
from target_app.store import KEY_PREFIX
from tests.journeys import run_each_task_once
from tests.redis_harness import Recorded, private_redis
from tests.servers import target


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, redis_url: str) -> None:
    """Make Redis available to the RESP users."""
    monkeypatch.setenv("REDIS_URL", redis_url)


@pytest.mark.parametrize("user_class", scenarios.load("documents").user_classes)
def test_no_task_fails(user_class: type[User], target_url: str) -> None:
    """Each task, run once, makes requests that all succeed."""
    requests = run_each_task_once(user_class, target_url)
    assert [request for request in requests if request.error] == []


def test_no_task_fails_on_locusts_own_client(target_url: str, redis_url: str) -> None:
    """LOADTEST_CLIENT=locust makes the same requests through FastHttpUser."""
    code = (
        "import gevent.monkey; gevent.monkey.patch_all(); import sys; sys.path.insert(0, '.'); "
        "from tests.journeys import run_each_task_once; from loadtest.scenarios import load; "
        f"requests = run_each_task_once(load('documents').user_classes[0], '{target_url}'); "
        "print(sorted({(request.method, request.name, request.error) for request in requests}))"
    )
    environment = {"LOADTEST_CLIENT": "locust", "REDIS_URL": redis_url}
    command = [sys.executable, "-c", code]
    answer = subprocess.run(
        command, cwd=Path(__file__).parents[3], env=environment, capture_output=True, text=True, check=True
    )
    declared = [(*request, None) for request in scenarios.load("documents").requests if "/resp/" not in request[1]]
    assert ast.literal_eval(answer.stdout) == sorted(declared)


def test_what_is_declared_is_what_is_requested(target_url: str) -> None:
    """The declared names are exactly those that the users record."""
    scenario = scenarios.load("documents")
    requests = [request for users in scenario.user_classes for request in run_each_task_once(users, target_url)]
    assert {(request.method, request.name) for request in requests} == set(scenario.requests)


def test_both_users_do_the_same_operations_with_the_same_weights() -> None:
    """The figures of the API and of RESP describe the same mix, under corresponding names."""
    names = {name for _, name in scenarios.load("documents").requests}
    over_resp = {name for name in names if name.startswith("documents/resp/")}
    assert {name.replace("/resp/", "/") for name in over_resp} == names - over_resp
    mixes = [
        Counter(task.__name__ for task in user_class.tasks) for user_class in scenarios.load("documents").user_classes
    ]
    assert mixes[1] == mixes[0]


def test_every_task_is_tagged() -> None:
    """Each task is tagged as reading or writing, and with its subject."""
    tags = [task.locust_tag_set for user_class in scenarios.load("documents").user_classes for task in user_class.tasks]
    assert [tag for tag in tags if len(tag & {"read", "write"}) != 1] == []
    assert [tag for tag in tags if len(tag & {"document", "hash", "string"}) != 1] == []


def test_users_leave_seeded_data_alone(target_url: str, redis_url: str) -> None:
    """Only scratch keys change, and deleted keys no longer exist."""
    with redis.Redis.from_url(redis_url, protocol=2) as direct:

        def seeded() -> dict[bytes, object]:
            keys = [key for key in direct.scan_iter(f"{KEY_PREFIX}*", 1_000) if b":scratch:" not in key]
            return {key: direct.dump(key) for key in keys}

        before = seeded()
        for user_class in scenarios.load("documents").user_classes:
            run_each_task_once(user_class, target_url)
        assert seeded() == before
        scratch = set(direct.scan_iter(f"{KEY_PREFIX}scratch:*", 1_000))
    uses = {key.decode().rpartition(":")[2] for key in scratch}
    assert uses >= {"simple", "complex", "hash", "string"}
    assert [use for use in uses if use.startswith("deleted")] == []


@pytest.mark.parametrize("user_class", scenarios.load("documents").user_classes)
def test_growing_documents_are_written_again(user_class: type[User], target_url: str, redis_url: str) -> None:
    """A user's array and string stay bounded, however often it appends."""
    environment = Environment(user_classes=[user_class])
    user = type(user_class.__name__, (user_class,), {"host": target_url})(environment)
    user.on_start()
    for _ in range(120):
        user.do(documents.OPERATIONS["append_to_array"])
        user.do(documents.OPERATIONS["append_to_string"])
    name = user.choices.scratch.name
    user.on_stop()
    user.client.close()
    with redis.Redis.from_url(redis_url, protocol=2) as direct:
        tags = direct.execute_command("JSON.ARRLEN", f"{KEY_PREFIX}{name}:complex", "$.tags")[0]
        text = direct.execute_command("JSON.STRLEN", f"{KEY_PREFIX}{name}:simple", "$.bio")[0]
    assert tags <= 5 + 50
    assert text <= 200 + 50 * len(" and more")


def test_a_user_chooses_the_same_in_every_run() -> None:
    """Random choices are seeded by the user's slot."""
    first, second = (documents.Choices(Scratch(Environment())) for _ in range(2))
    again = documents.Choices(first.scratch)
    assert [again.number() for _ in range(20)] == [first.number() for _ in range(20)]
    first.scratch.release()
    second.scratch.release()


def test_loading_data_without_redis_is_a_clear_error() -> None:
    """Without Redis the loader says what it needs and how to get it."""
    with pytest.raises(StackError, match=r"cannot be used.*Allowed: a running Redis with RedisJSON"):
        documents.load_data(f"redis://127.0.0.1:{free_port()}/0", lambda _done, _total: None)


def test_a_resp_user_requires_the_data(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reads of missing data would be fast and look like success, so the user does not start."""
    monkeypatch.setenv("REDIS_URL", redis_url.replace("/0", "/1"))
    user = documents.DocumentsRespUser(Environment())
    with pytest.raises(StackError, match="document:type-small"):
        user.on_start()
    user.client.close()


def test_a_read_of_data_that_is_gone_is_a_failure(
    redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After Redis has lost its data, no read over RESP looks like a fast success, and none ends in a traceback."""
    with private_redis(redis_url, tmp_path) as server:
        monkeypatch.setenv("REDIS_URL", server.url)
        documents.load_data(server.url, lambda _done, _total: None)
        user = documents.DocumentsRespUser(Environment(user_classes=[documents.DocumentsRespUser]))
        user.on_start()
        server.admin.flushall()
        Recorded(user)
        reading = [one for one in documents.OPERATIONS.values() if "read" in one.tags]
        for operation in (*reading, documents.OPERATIONS["update_field"], documents.OPERATIONS["string_update_field"]):
            with pytest.raises(redis.RedisError):
                user.do(operation)
        recorded = Recorded(user)
        user.on_stop()
        user.client.close()
    assert recorded.failures == recorded.requests
    assert set(recorded.errors) <= {"redis_missing", "redis_error"}


@pytest.mark.parametrize("user_class", scenarios.load("documents").user_classes)
def test_no_task_fails_on_the_imitation_of_redis(
    user_class: type[User], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a Redis, a run on fakeredis has no failures either."""
    port = free_port()
    url = f"redis://127.0.0.1:{port}/0"
    command = [
        sys.executable,
        "-c",
        f"import fakeredis; fakeredis.TcpFakeServer(('127.0.0.1', {port})).serve_forever()",
    ]
    imitation = ManagedProcess("fakeredis", command, tmp_path / "fakeredis.log")
    try:
        imitation.wait_until(lambda: redis_server.answers_json(url), 30)
        documents.load_data(url, lambda _done, _total: None)
        monkeypatch.setenv("REDIS_URL", url)
        with target(url, tmp_path) as host:
            assert [request for request in run_each_task_once(user_class, host) if request.error] == []
    finally:
        imitation.stop()
