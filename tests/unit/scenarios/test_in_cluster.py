"""Scenarios on a Redis Cluster of six nodes, with RedisJSON: stable, while slots move, and with a primary killed."""

import contextlib
import re
from argparse import Namespace
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gevent
import pytest
import redis
from locust.env import Environment
from redis.crc import key_slot

from loadtest import scenarios
from loadtest.scenarios import documents
from loadtest.scenarios._run_mark import mark_of
from loadtest.session import Session
from loadtest.swarm.messages import RunOptions
from loadtest.swarm.session import Swarm
from loadtest.workload.key_value import Workload
from target_app.store import KEY_PREFIX
from tests.redis_cluster import NODE_TIMEOUT_MS, Cluster, running_cluster
from tests.unit.scenarios import test_key_value as key_value

COMMANDS = {command for operation in documents.OPERATIONS.values() for command in operation.resp.commands}
RUN = "moved"


@pytest.fixture(scope="module")
def cluster(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """The cluster; tests that break it come last."""
    with running_cluster(redis_url, tmp_path_factory.mktemp("cluster")) as running:
        yield running


def test_a_key_value_workload_runs_on_a_cluster_and_is_removed_from_it(cluster: Cluster, tmp_path: Path) -> None:
    """Its data is loaded, used and removed on all nodes, whose counts match the record's."""
    workload = key_value.workload(tmp_path, size=200)
    for node in cluster.nodes[:3]:
        node.admin.flushall()
    [sentence] = workload.load(cluster.url, key_value.quiet)
    assert re.fullmatch(r"a document of 600 bytes takes .* bytes as json, .* as hash, .* as string \(.*100\)", sentence)
    before = Counter({command: cluster.calls(command.lower()) for command, _ in workload.requests("kv")})
    record = key_value.done(workload, cluster.url, 400)
    assert (record.requests, record.failures) == (400, 0)
    asked, there = key_value.hits(record)
    assert asked == there > 100
    executed = {command: cluster.calls(command.lower()) - calls for command, calls in before.items()}
    made = Counter()
    for (command, _), count in key_value.requests(record).items():
        made[command] += count * (10 if command == "JSON.MGET" else 1)  # one for each key
    assert executed == made
    sizes = [node.admin.dbsize() for node in cluster.nodes[:3]]
    assert min(sizes) > 100
    assert workload.remove(cluster.url, "any") == 600
    assert sum(node.admin.dbsize() for node in cluster.nodes[:3]) == 0


def test_keys_of_one_hash_tag_are_read_by_one_command(cluster: Cluster, tmp_path: Path) -> None:
    """The command is sent as the user wrote it."""
    key_value.workload(tmp_path, "json_mget = 1")
    file = tmp_path / "w.toml"
    file.write_text(file.read_text().replace("u:{n}", "{u}:{n}"))
    workload = Workload.read(file)
    workload.load(cluster.url, key_value.quiet)
    asked, there = key_value.hits(key_value.done(workload, cluster.url, 20))
    assert asked == there == 200
    workload.remove(cluster.url, "any")


@contextlib.contextmanager
def journeys(cluster: Cluster) -> Iterator[tuple[Counter[str], Counter[str], list[str]]]:
    """Users of the scenario documents, who run one task after the other; yields their counts, and names."""
    kind = type("Users", (documents.DocumentsRespUser,), {"redis_url": cluster.url})
    done, requests, until = Counter[str](), Counter[str](), gevent.event.Event()

    def listen(request_type: str, exception: Exception | None, **_: object) -> None:
        requests[request_type] += exception is None
        done["failures"] += exception is not None

    def journey(user: Any) -> None:
        while not until.is_set():
            for task in dict.fromkeys(user.tasks):
                gevent.sleep(0.002)
                try:
                    task(user)
                except redis.RedisError as error:
                    done[error.error_class] += 1
            done[user.choices.scratch.user] += 1

    environment = Environment(user_classes=[kind], parsed_options=Namespace())
    RunOptions(RUN).announce(environment)
    Session.of(environment).put(Swarm, Swarm(environment))
    environment.events.request.add_listener(listen)
    users = [kind(environment) for _ in range(3)]
    for user in users:
        user.on_start()
    names = [user.choices.scratch.user for user in users]
    greenlets = [gevent.spawn(journey, user) for user in users]
    try:
        cluster.wait(lambda: min(done[name] for name in names) > 0)
        yield done, requests, names
    finally:
        until.set()
        gevent.joinall(greenlets, raise_error=True)
        for user in users:
            user.on_stop()
            user.client.close()


def wait_for_more(cluster: Cluster, done: Counter[str], names: list[str]) -> None:
    """Wait until each user has gone through all its tasks twice more, whatever their outcome."""
    reached = {name: done[name] for name in names}
    cluster.wait(lambda: all(done[name] > reached[name] + 1 for name in names))


@pytest.fixture
def loaded(cluster: Cluster) -> Iterator[Cluster]:
    """The cluster with the data that the scenario `documents` loads and removes itself."""
    documents.load_data(cluster.url, lambda _done, _total: None)
    cluster.wait(lambda: all(node.admin.wait(1, 20_000) for node in cluster.nodes[:3]))
    yield cluster
    assert documents.remove_data(cluster.url, RUN) > 600


@pytest.mark.parametrize("options", ["cluster=true", "sentinel=shop"])
def test_a_redis_that_the_sample_target_does_not_use_has_users_over_resp_alone(
    monkeypatch: pytest.MonkeyPatch, options: str
) -> None:
    """If another service is named, it has both kinds of users."""
    monkeypatch.setenv("REDIS_URL", f"redis://127.0.0.1:1?{options}")
    scenario = scenarios.load("documents")
    assert (scenario.user_classes, scenario.loads_only_redis) == ((documents.DocumentsRespUser,), True)
    assert {name.split("/")[1] for _, name in scenario.requests} == {"resp"}
    monkeypatch.setenv("LOADTEST_HOST", "http://shop")
    assert len(scenarios.load("documents").user_classes) == 2


def test_the_documents_scenario_runs_on_a_cluster_whose_slots_move(loaded: Cluster) -> None:
    """No request fails, and the nodes have executed the recorded commands, one by one."""
    before = {command: loaded.calls(command.lower()) for command in COMMANDS}
    with journeys(loaded) as (done, requests, names):
        moved = [*(f"{KEY_PREFIX}{kind}:type-small" for kind in ("document", "hash", "string")),
                 *(f"{KEY_PREFIX}scratch:{mark_of(RUN)}:{name}:simple" for name in names)]  # fmt: skip
        for key in moved:
            assert sum(1 for _ in loaded.migrate(key_slot(key.encode()))) > 0
        wait_for_more(loaded, done, names)
    assert done["failures"] == 0
    executed = {command: loaded.calls(command.lower()) - calls for command, calls in before.items()}
    assert executed == {command: requests[command] for command in COMMANDS}
    assert min(executed.values()) > 0


def test_a_killed_primary_costs_the_documents_scenario_counted_failures(loaded: Cluster) -> None:
    """Each has a class, and the load recovers on its own after the replica has taken over."""
    with journeys(loaded) as (done, _, names):
        loaded.allow_silence(NODE_TIMEOUT_MS)
        loaded.nodes[1].process.kill()
        loaded.wait(lambda: loaded.nodes[4].admin.info("replication")["role"] == "master")
        wait_for_more(loaded, done, names)
        failed = done["failures"]
        wait_for_more(loaded, done, names)
        assert done["failures"] == failed
    # A document written only to the old primary may be missing when it is deleted.
    classes = ("connect", "reset", "closed", "redis_cluster_down", "timeout_read", "timeout_connect", "redis_missing")
    assert done["failures"] == sum(done[one] for one in classes) > 0
