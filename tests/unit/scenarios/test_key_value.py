"""The key-value workload against a real Redis: loading, operations, counts and removal."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from locust.env import Environment

from loadtest import preflight, scenarios
from loadtest.conducting.scenario_data import ScenarioData
from loadtest.exceptions import StackError, UsageError
from loadtest.local.process import free_port
from loadtest.measuring.labels import CHECK
from loadtest.measuring.record import RunRecord
from loadtest.measuring.recorder import Recorder
from loadtest.scenarios import key_value
from loadtest.settings.config import Config
from loadtest.workload.description import read
from loadtest.workload.documents import Documents
from loadtest.workload.key_value import Workload
from loadtest.workload.operations import OPERATIONS
from tests.redis_harness import private_redis

EACH = "\n".join(f"{name} = 1" for name in OPERATIONS)


def workload(folder: Path, operations: str = EACH, *, size: int = 40, more: str = "", name: str = "w") -> Workload:
    """Return a workload with these operations."""
    file = folder / f"{name}.toml"
    file.write_text(
        f'[keys]\nsize = {size}\npattern = "u:{{n}}"\n{more}\n[values]\nsize_bytes = 600\ndepth = 2\n'
        f"[operations]\n{operations}\n"
    )
    return Workload.read(file)


@pytest.fixture(scope="module")
def private(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A Redis without any other keys."""
    with private_redis(redis_url, tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def server(private: Any) -> Any:
    """The same Redis, empty."""
    private.admin.flushall()
    return private


def harmonic(number: int) -> float:
    """Return the sum of 1 / k."""
    return sum(1 / k for k in range(1, number + 1))


def quiet(_done: int, _total: int) -> None:
    """Show no progress."""


def done(described: Workload, url: str, times: int) -> RunRecord:
    """Return the record of a user that accesses the keys this often."""
    kind = type("User", (key_value.KeyValueUser,), {"redis_url": url, "scenario": "kv"})
    environment = Environment(user_classes=[kind])
    user = kind(environment)
    accesses = described.accesses(user)
    for _ in range(times):
        accesses.next()
    user.close()
    record = RunRecord()
    record.add(Recorder.of(environment).take(), 0)
    return record


def requests(record: RunRecord) -> Counter[tuple[str, str]]:
    """Return the number of requests by method and name."""
    return Counter({(view.method, view.name): view.requests for view in record.series()})


def hits(record: RunRecord) -> tuple[int, int]:
    """Return how many keys were read, and how many of them existed."""
    (view,) = record.of_phase(CHECK).series()
    assert (view.scenario, view.name) == ("kv", "hit")
    return view.requests, view.requests - view.failures


def test_every_operation_is_done_as_declared_and_none_fails(server: Any, tmp_path: Path) -> None:
    """Each uses its own command, as Redis counts it, and the requests are the declared ones."""
    described = workload(tmp_path)
    described.load(server.url, quiet)
    server.admin.config_resetstat()
    record = done(described, server.url, 400)
    made = requests(record)
    assert set(made) == set(described.requests("kv"))
    assert {name.removeprefix("kv/") for _, name in made} == set(OPERATIONS)
    assert (record.requests, record.failures) == (400, 0)
    served = server.admin.info("commandstats")
    for command in {method for method, _ in made}:
        expected = sum(count for (method, _), count in made.items() if method == command)
        assert served[f"cmdstat_{command.lower()}"]["calls"] == expected, command
    keys, there = hits(record)
    assert keys == there
    reads = sum(n for (_, name), n in made.items() if OPERATIONS[name.removeprefix("kv/")].effect == "read")
    assert keys == reads + 9 * made["JSON.MGET", "kv/json_mget"]


def test_documents_stay_documents_whatever_is_done_to_them(server: Any, tmp_path: Path) -> None:
    """An incremented, appended, merged or set document is still one of the workload, with only that change."""
    described = workload(tmp_path, size=1)
    described.load(server.url, quiet)
    record = requests(done(described, server.url, 200))
    (key,) = server.admin.keys("loadtest:key_value:*:json:u:0")
    document = orjson.loads(server.admin.execute_command("JSON.GET", key))
    assert document.keys() == {"name", "visits", "score", "active", "tags", "entries", "notes", "details"}
    assert 0 <= document["visits"] <= record["JSON.NUMINCRBY", "kv/json_numincrby"]
    assert set(document["tags"][3:]) <= {"new"}
    assert isinstance(document["details"]["name"], str)
    (hashed,) = server.admin.keys("loadtest:key_value:*:hash:u:0")
    assert {name.decode() for name in server.admin.hkeys(hashed)} == document.keys()


def test_operations_come_by_their_weights(server: Any, tmp_path: Path) -> None:
    """Nine reads per write, and half as many path reads as others, within five standard errors of 2,000."""
    file = tmp_path / "w.toml"
    file.write_text(
        "read_share = 0.9\n[keys]\nsize = 40\n[values]\nsize_bytes = 600\n"
        "[operations]\njson_get = 2\njson_get_path = 1\njson_set = 50\n"
    )
    described = Workload.read(file)
    described.load(server.url, quiet)
    made = requests(done(described, server.url, 2_000))
    for label, share in ((("JSON.GET", "kv/json_get"), 0.6), (("JSON.GET", "kv/json_get_path"), 0.3)):
        assert abs(made[label] / 2_000 - share) < 5 * (share * (1 - share) / 2_000) ** 0.5
    assert "90% of it reads" in str(described)


def test_the_same_user_does_the_same_in_every_run(server: Any, tmp_path: Path) -> None:
    """The first user of a worker, in a process that reads the file again, does the same; the second one does not."""
    first, again = workload(tmp_path), workload(tmp_path, name="again")
    first.load(server.url, quiet)
    kind = type("User", (key_value.KeyValueUser,), {"redis_url": server.url})
    users = [kind(Environment(user_classes=[kind])) for _ in range(3)]
    accesses = [first.accesses(users[0]), again.accesses(users[1]), first.accesses(users[2])]
    keys = [[one.key("json") for _ in range(50)] for one in accesses]
    assert keys[0] == keys[1]
    assert keys[0] != keys[2]
    for user in users:
        user.close()


@pytest.mark.parametrize(
    ("distribution", "fill", "expected"),
    [
        ("uniform", 0.3, 0.3),
        ("zipf(1)", 0.1, harmonic(100) / harmonic(1_000)),
        ("hot_set(0.2, 0.9)", 0.2, 0.9),
        ("gaussian(0.1)", 0.5, 0.5),
    ],
)
def test_the_hit_ratio_is_that_of_theory(
    server: Any, tmp_path: Path, distribution: str, fill: float, expected: float
) -> None:
    """Of a thousand keys, those with the lowest numbers exist. Misses are not failures."""
    more = f'fill = {fill}\ndistribution = "{distribution}"'
    described = workload(tmp_path, "json_get = 1\njson_mget = 1\nget = 1\nhget = 1\nhgetall = 1", size=1_000, more=more)
    described.load(server.url, quiet)
    record = done(described, server.url, 1_500)
    keys, there = hits(record)
    assert abs(there / keys - expected) < 5 * (expected * (1 - expected) / keys) ** 0.5
    assert record.failures == 0


def test_what_is_written_expires(server: Any, tmp_path: Path) -> None:
    """Loaded and written keys expire after a time in the range; a document and its expiry are one request."""
    more = 'fill = 0.5\nttl = ["100s", "200s"]'
    described = workload(tmp_path, "json_set = 1\nhset = 1\nset = 1", more=more)
    described.load(server.url, quiet)
    loaded = set(server.admin.keys("loadtest:key_value:*:u:*"))
    assert len(loaded) == 60
    record = done(described, server.url, 300)
    keys = set(server.admin.keys("loadtest:key_value:*:u:*"))
    assert len(keys) > 60
    lives_s = [server.admin.pttl(key) / 1000 for key in keys]
    assert min(lives_s) > 0
    assert max(lives_s) <= 200
    assert len(set(lives_s)) > len(keys) / 2
    assert set(requests(record)) == set(described.requests("kv")) == {
        ("PIPELINE", "kv/json_set"), ("PIPELINE", "kv/hset"), ("SET", "kv/set")
    }  # fmt: skip
    assert record.failures == 0


def test_loading_shows_its_progress_and_changes_nothing_the_second_time(server: Any, tmp_path: Path) -> None:
    """It covers each form of each key."""
    described = workload(tmp_path, size=1_100)
    shown: list[tuple[int, int]] = []
    described.load(server.url, lambda *progress: shown.append(progress))
    assert len(shown) >= 6
    assert shown[-1] == (3_300, 3_300)
    before = {key: server.admin.dump(key) for key in server.admin.keys("*:u:1*")}
    described.load(server.url, quiet)
    assert {key: server.admin.dump(key) for key in server.admin.keys("*:u:1*")} == before


def test_what_cannot_be_copied_is_written(server: Any, tmp_path: Path) -> None:
    """A full Redis may evict the document before it is copied."""
    described = workload(tmp_path, "json_get = 1", size=3_000)
    server.admin.flushall()

    def evict(done: int, _total: int) -> None:
        if done == 256:  # the first copies have been sent
            (source,) = server.admin.keys("*:json:u:5")
            server.admin.delete(source)

    described.load(server.url, evict)
    documents = Documents(1, (600, 600), (2, 2))
    (prefix,) = {key.rpartition(b":json:")[0].decode() for key in server.admin.keys("*:json:u:1285")}
    assert server.admin.execute_command("JSON.GET", f"{prefix}:json:u:1285") == documents.encoded(1285)
    assert len(server.admin.keys("*:json:u:*")) == 2_999


def test_each_key_holds_the_document_of_its_number(server: Any, tmp_path: Path) -> None:
    """Existing documents are copied within Redis; if they expire, each is written."""
    for more, copied in (("", 3 * (600 - 256)), ('ttl = "60s"', 0)):
        server.admin.flushall()
        server.admin.config_resetstat()
        described = workload(tmp_path, "json_get = 1\nget = 1\nhgetall = 1", size=600, more=more)
        described.load(server.url, quiet)
        served = server.admin.info("commandstats")
        assert served.get("cmdstat_copy", {}).get("calls", 0) == copied
        assert served["cmdstat_json.set"]["calls"] == 600 - copied // 3
        documents = Documents(1, (600, 600), (2, 2))
        (prefix,) = {key.rpartition(b":json:")[0].decode() for key in server.admin.keys("*:json:*")}
        for number in (0, 255, 256, 300, 511, 599):
            document = documents.encoded(number)
            assert server.admin.get(f"{prefix}:string:u:{number}") == document
            assert server.admin.execute_command("JSON.GET", f"{prefix}:json:u:{number}") == document
            assert server.admin.hgetall(f"{prefix}:hash:u:{number}") == {
                name.encode(): value for name, value in documents.fields(number).items()
            }


def test_the_report_says_what_a_document_takes_in_redis(server: Any, tmp_path: Path) -> None:
    """The size is given for JSON, hash and string, by Redis' own count for every key, but not for missing ones."""
    described = workload(tmp_path)
    [sentence] = described.load(server.url, quiet)
    means = []
    for form in ("json", "hash", "string"):
        sizes = [server.admin.memory_usage(key, 0) for key in server.admin.keys(f"loadtest:key_value:*:{form}:u:*")]
        assert len(sizes) == 40
        means.append(f"{sum(sizes) / 40:,.0f} bytes as {form}")
    assert sentence == f"a document of 600 bytes takes in Redis {', '.join(means)} (mean of 40)"
    assert workload(tmp_path, name="empty", more="fill = 0.0", operations="get = 1").load(server.url, quiet) == []
    scenario = scenarios.Scenario("kv", (), load_data=described.load)
    data = ScenarioData(scenario, server.url, lambda _: None)
    data.load()
    assert list(data.notes) == [sentence]


def test_the_last_run_removes_the_keys_and_nothing_else(server: Any, tmp_path: Path) -> None:
    """Keys of another workload, and of others, stay; those written by users are removed, too."""
    described, other = workload(tmp_path, "json_set = 1", more="fill = 0.5"), workload(tmp_path, size=7, name="other")
    server.admin.set("loadtest:mine", 1)
    other.load(server.url, quiet)
    before = set(server.admin.keys())
    described.load(server.url, quiet)
    done(described, server.url, 100)
    made = len([key for key in set(server.admin.keys()) - before if b"~" not in key])
    assert described.remove(server.url, "any") == made > 20
    assert set(server.admin.keys()) == before
    assert other.remove(server.url, "any") == 21
    assert server.admin.keys() == [b"loadtest:mine"]


def test_a_run_that_shares_the_keys_keeps_them(server: Any, tmp_path: Path) -> None:
    """They stay while another run of the same description has claimed them."""
    described = workload(tmp_path)
    described.load(server.url, quiet)
    (users,) = server.admin.keys("loadtest:~users-of:key_value:*")
    server.admin.sadd(users, "another")
    assert described.remove(server.url, "mine") == 0
    assert len(server.admin.keys("loadtest:key_value:*")) == 120


def test_a_redis_without_room_is_one_sentence(redis_url: str, tmp_path: Path) -> None:
    """So is one that is unreachable."""
    described = workload(tmp_path, "set = 1", size=20_000)
    server = private_redis(redis_url, tmp_path, "--maxmemory", "6mb")
    with server as full, pytest.raises(StackError, match=r"cannot be used .*maxmemory"):
        described.load(full.url, quiet)
    with pytest.raises(StackError, match="cannot be used"):
        described.load(f"redis://127.0.0.1:{free_port()}/0", quiet)


def test_the_scenario_is_that_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its requests are those of the file's operations, and the report describes it; a wrong file is refused."""
    workload(tmp_path, "get = 1\nset = 1")
    monkeypatch.setenv("LOADTEST_SCENARIO", "key_value")
    monkeypatch.setenv("LOADTEST_WORKLOAD_FILE", str(tmp_path / "w.toml"))
    key_value.workload.cache_clear()
    try:
        scenario = scenarios.load("key_value")
        assert scenario.requests == (("GET", "key_value/get"), ("SET", "key_value/set"))
        assert scenario.notes[0].startswith("workload: 40 keys, 100% of them there from the beginning, accessed by ")
        (tmp_path / "w.toml").write_text("[keys]\nsize = 0\n")
        key_value.workload.cache_clear()
        for refusing in (lambda: scenarios.load("key_value"), lambda: preflight.check(Config.load())):
            with pytest.raises(UsageError, match=r"keys\.size = 0 is not allowed"):
                refusing()
    finally:
        key_value.workload.cache_clear()
    with pytest.raises(AttributeError, match="scenarios"):
        _ = key_value.scenarios


def test_the_shipped_workload_has_every_operation() -> None:
    """The default run thus shows all of them."""
    assert set(read(Path("local_conf/key_value.toml")).shares) == set(OPERATIONS)


def test_a_scenario_of_ones_own_uses_a_workload(server: Any, tmp_path: Path) -> None:
    """It takes a few lines, with its data, its requests, and a custom task on the same keys."""
    workload(tmp_path, "get = 1\nset = 1")
    file = tmp_path / "shop.py"
    file.write_text(
        "from locust import constant, task\n"
        "from loadtest.clients.redis import RedisJsonUser\n"
        "from loadtest.scenarios import Scenario\n"
        "from loadtest.workload.key_value import Workload\n"
        f"CACHE = Workload.read({str(tmp_path / 'w.toml')!r})\n"
        "class Reader(RedisJsonUser):\n"
        "    scenario = 'shop'\n"
        "    wait_time = constant(0)\n"
        "    def on_start(self):\n"
        "        self.accesses = CACHE.accesses(self)\n"
        "    @task\n"
        "    def access(self):\n"
        "        self.accesses.next()\n"
        "    @task\n"
        "    def measure(self):\n"
        "        self.client.labelled('shop/strlen').strlen(self.accesses.key('string'))\n"
        "scenario = Scenario('shop', (Reader,), requests=CACHE.requests('shop'), load_data=CACHE.load, "
        "remove_data=CACHE.remove)\n"
    )
    own = scenarios.load(str(file))
    assert own.needs_redis
    assert own.load_data is not None
    assert own.remove_data is not None
    own.load_data(server.url, quiet)
    kind = type("Reader", (own.user_classes[0],), {"redis_url": server.url})
    user: Any = kind(Environment(user_classes=[kind]))
    user.on_start()
    for each in user.tasks:
        each(user)
    assert server.admin.strlen(user.accesses.key("string")) == 600
    user.close()
    assert own.remove_data(server.url, "mine") == 40
