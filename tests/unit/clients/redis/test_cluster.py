"""A Redis Cluster of six nodes, with RedisJSON: where the client sends its commands, and how it handles faults."""

import contextlib
from collections import Counter

import gevent
import pytest
import redis
from redis.crc import key_slot

from loadtest.clients.redis import RedisJsonUser
from loadtest.clients.redis.cluster import MAX_HOPS, key_of
from loadtest.clients.redis.topology import Topology
from loadtest.exceptions import StackError, UsageError
from loadtest.local import redis_server
from loadtest.local.process import free_port
from tests.redis_cluster import NODE_TIMEOUT_MS, SLOTS, running_cluster
from tests.redis_harness import Recorded, client_of, running_user, scripted_server
from tests.unit.clients.redis.test_replies import JSON_CALLS, PLAIN_CALLS, _outcome

OF_REDIS_PY = {
    "argument None", "echo", "wrong number of arguments",  # it looks for the key, and has other words for there is none
    "unknown command", "json no such command",  # the same with the table of commands
    "json debug help",  # it finds no node, and raises IndexError
    "json without json()",  # its cluster client turns OK into True, unlike its other one
}  # fmt: skip
"""Calls of which redis-py's cluster client makes something else than its client of one server, which counts here."""


def key_in(slot: int) -> str:
    """A key in a slot."""
    return next(key for number in range(10**6) if key_slot((key := f"k{number}").encode()) == slot)


def alone_in_cluster(port: int) -> bytes:
    """The reply to CLUSTER SLOTS of a node that serves all of them."""
    return b"*1\r\n*3\r\n:0\r\n:16383\r\n*3\r\n$9\r\n127.0.0.1\r\n:%d\r\n$2\r\nid\r\n" % port


@pytest.fixture(scope="module")
def cluster(redis_url, tmp_path_factory):
    """The cluster; tests that break it come last."""
    with running_cluster(redis_url, tmp_path_factory.mktemp("cluster")) as running:
        yield running


@pytest.mark.filterwarnings("ignore:Call to deprecated nummultby")
def test_calls_return_what_redis_pys_cluster_client_returns(cluster):
    """Each command gives an equal value or the same error; commands about nodes are refused, never sent to one."""
    outcomes = []
    for made in (lambda: redis.RedisCluster(host="127.0.0.1", port=cluster.nodes[0].port, protocol=2), None):
        for node in cluster.nodes[:3]:
            node.admin.flushall()
        with made() if made else client_of(cluster.url) as client:
            found = {f"json {name}": _outcome(call, client.json(), client) for name, call in JSON_CALLS.items()}
            found |= {name: _outcome(call, client) for name, call in PLAIN_CALLS.items()}
            found["mset"] = _outcome(lambda c: c.mset_nonatomic({"a": 1, "b": 2, "c": 3}), client)
            found["mget"] = _outcome(lambda c: c.mget_nonatomic("c", "nothing", "a", "b"), client)
            found["tags"] = _outcome(lambda c: (c.mset({"{t}a": 1, "{t}b": 2}), c.mget("{t}b", "{t}a")), client)
            found["split"] = _outcome(
                lambda c: (c.exists("a", "b", "nothing"), c.touch("a"), c.delete("a", "b", "c")), client
            )
        outcomes.append(found)
    theirs, ours = outcomes
    different = {name for name, outcome in ours.items() if outcome != theirs[name]}
    wrong = different & {"json mget", "json mget legacy"}
    assert [name for name in wrong if "None" not in str(theirs[name])] == []  # of documents that exist
    refused = {name for name in different if "is about a node" in str(ours[name])}
    crossing = {name for name in different if "hash to the same slot" in str(ours[name])}
    assert {name for name in crossing if not theirs[name][0].startswith("raises")} == set()
    assert {name: (theirs[name], ours[name]) for name in different - refused - crossing - wrong - OF_REDIS_PY} == {}
    assert len(ours) - len(different) > 150


@pytest.mark.parametrize("protocol", [2, 3])
def test_every_command_of_a_pipeline_reaches_its_node(cluster, protocol):
    """Split by slot, with the replies in the order of the commands; a transaction stays within one slot."""
    with running_user(f"{cluster.url}&protocol={protocol}") as user:
        client = user.client
        with client.pipeline(transaction=False) as pipeline:
            for number in range(60):
                pipeline.json().set(f"p{number}", "$", {"n": number})
                pipeline.json().get(f"p{number}", "$.n")
            assert pipeline.execute() == [each for number in range(60) for each in (True, [number])]
        with client.pipeline() as pipeline:
            pipeline.set("{one}a", 1).incr("{one}a")
            assert pipeline.execute() == [True, 2]
            pipeline.set("x1", 1).set("x2", 2)
            with pytest.raises(redis.exceptions.CrossSlotTransactionError, match=r"in several slots.*hash tag"):
                pipeline.execute()
        assert client.transaction(lambda p: (p.multi(), p.incr("{one}a")), "{one}a") == [3]
        assert (client.exists("x1", "x2"), user._session.connection.busy) == (0, False)
        with pytest.raises(redis.DataError, match="DBSIZE is about a node"):
            client.dbsize()


def test_replicas_answer_reads_if_asked(cluster):
    """Only reads go to replicas; by default primaries serve everything."""

    def reads(number):
        return cluster.nodes[number].admin.info("commandstats").get("cmdstat_json.get", {}).get("calls", 0)

    with client_of(f"{cluster.url}&read_from_replicas=true") as client:
        client.json().set("replicated", "$", [1])
        owner = key_slot(b"replicated") * 3 // SLOTS
        replica = cluster.nodes[owner + 3].admin
        cluster.wait(lambda: replica.dbsize() and client.json().get("replicated") == [1])
        before = reads(owner), reads(owner + 3)
        assert [client.json().get("replicated") for _ in range(10)] == [[1]] * 10
        assert (reads(owner), reads(owner + 3)) == (before[0], before[1] + 10)


def _load(user: RedisJsonUser, name: str, done: Counter, until: gevent.event.Event) -> None:
    """Increment a document and read it, until the end; a value that is another key's, or goes back, is an error."""
    json, last, other = user.client.json(), 0, name.replace("counter", "other")
    while not until.is_set():
        gevent.sleep(0.002)
        done[name] += 1
        try:
            (value,) = json.numincrby(name, "$.n", 1)
            done["json.numincrby"] += 1
            with user.client.pipeline() as transaction:
                transaction.json().numincrby(name, "$.n", 1).json().get(name).json().get(other)
                (then,), *documents = transaction.execute()
            done["json.numincrby"] += 1
            with user.client.pipeline(transaction=False) as pipeline:
                documents += pipeline.json().get(name).json().get("elsewhere").json().get(other).execute()
            done["json.get"] += 5
            documents += json.mget([name, "elsewhere"], "$")
            documents.append(user.client.exists(name, other))
        except redis.RedisError as error:
            done["failed"] += 1
            done[error.error_class] += 1
            continue
        counted = {"name": name, "n": then}
        expected = [counted, {"name": other}, counted, [0], {"name": other}, [counted], [[0]], 2]
        if documents != expected or then != value + 1 or (value <= last and not done["failed"]):
            done["wrong"] += 1
        last = value


@contextlib.contextmanager
def _under_load(cluster):
    """Generate load from several users; yields their requests."""
    done, until = Counter(), gevent.event.Event()
    names = [f"{{{number}}}:counter" for number in range(8)]
    with contextlib.ExitStack() as users:
        made = [users.enter_context(running_user(cluster.url)) for _ in names]
        for user, name in zip(made, names, strict=True):
            user.client.json().set(name, "$", {"name": name, "n": 0})
            other = name.replace("counter", "other")
            user.client.json().set(other, "$", {"name": other})
            user.client.json().set("elsewhere", "$", [0])
            Recorded(user)
        greenlets = [gevent.spawn(_load, user, name, done, until) for user, name in zip(made, names, strict=True)]
        try:
            cluster.wait(lambda: done["json.get"] > 50)
            yield done, names
        finally:
            until.set()
            gevent.joinall(greenlets, raise_error=True)
        recorded = [Recorded(user) for user in made]
        done["requests"] = sum(sum(one.requests.values()) for one in recorded)
        done["failures"] = sum(sum(one.failures.values()) for one in recorded)


def _wait_for_more(cluster, done: Counter, *names: str) -> None:
    """Wait until each user has gone through all its requests twice more, whatever their outcome."""
    reached = {name: done[name] for name in names}
    cluster.wait(lambda: all(done[name] > reached[name] + 2 for name in names))


def test_no_request_fails_while_slots_move_and_the_servers_count_the_same(cluster, monkeypatch):
    """MOVED, ASK and TRYAGAIN are followed within the request, and each request is executed once."""
    monkeypatch.setattr("loadtest.clients.redis.cluster.MAX_HOPS", 100)  # MIGRATE is slow on a busy machine
    monkeypatch.setattr("loadtest.clients.redis.cluster._TRY_AGAIN_S", 0.1)
    commands = "json.numincrby", "json.get", "json.mget", "exists", "exec"
    before = {command: cluster.calls(command) for command in commands}
    with _under_load(cluster) as (done, names):
        for name in names:
            moved = 0
            for _ in cluster.migrate(key_slot(name.encode())):
                moved += 1
                if moved == 2:  # ASK leads to both keys
                    _wait_for_more(cluster, done, name)
            assert moved == 2
        _wait_for_more(cluster, done, *names)
    assert (done["failed"], done["failures"], done["wrong"]) == (0, 0, 0)
    rounds = sum(done[name] for name in names)
    assert {command: cluster.calls(command) - calls for command, calls in before.items()} == {
        "json.numincrby": 2 * rounds, "json.get": 5 * rounds, "json.mget": 2 * rounds, "exists": rounds,
        "exec": rounds,
    }  # fmt: skip
    assert done["requests"] == 5 * rounds


@pytest.mark.parametrize("transacts", [False, True])
def test_keys_on_two_nodes_of_a_moving_slot_are_asked_for_until_they_are_together(cluster, monkeypatch, transacts):
    """The node returns TRYAGAIN; if the slot is never ready, the request fails after a bounded number of attempts."""

    def both(client):
        if transacts:
            with client.pipeline() as pipeline:
                return pipeline.get(f"{{{transacts}}}a").get(f"{{{transacts}}}b").execute()
        return client.mget(f"{{{transacts}}}a", f"{{{transacts}}}b")

    with running_user(cluster.url) as user:
        user.client.set(f"{{{transacts}}}a", 1)
        user.client.set(f"{{{transacts}}}b", 2)
        migration = cluster.migrate(key_slot(str(transacts).encode()))
        next(migration)
        Recorded(user)
        before = cluster.tries_again()
        with pytest.raises(redis.ResponseError, match=f"given up after {MAX_HOPS} redirections.*Multiple keys"):
            both(user.client)
        assert Recorded(user).errors == {"redis_moved": 1}
        assert before + MAX_HOPS - 2 <= cluster.tries_again() <= before + MAX_HOPS
        monkeypatch.setattr("loadtest.clients.redis.cluster.MAX_HOPS", 10_000)
        before = cluster.tries_again()
        asking = gevent.spawn(both, user.client)
        cluster.wait(lambda: cluster.tries_again() > before)
        next(migration)
        assert asking.get(timeout=60) == [b"1", b"2"]
        assert sum(Recorded(user).requests.values()) == 1
        assert list(migration) == []
        assert both(user.client) == [b"1", b"2"]


def test_a_node_that_redirects_for_ever_is_a_failure_of_its_own():
    """After a bounded number of redirections, recorded as one request."""
    asked = Counter()

    def script(sock):
        port = sock.getsockname()[1]
        while data := sock.recv(4096):
            asked[data.split(b"\r\n")[2]] += 1
            if b"SLOTS" in data:
                sock.sendall(alone_in_cluster(port))
            else:
                sock.sendall(b"-MOVED 1 127.0.0.1:%d\r\n" % port)

    with scripted_server(script) as url, running_user(f"{url}?cluster=true") as user:
        with pytest.raises(redis.ResponseError, match=f"given up after {MAX_HOPS} redirections.*1 127"):
            user.client.get("a")
        recorded = Recorded(user)
        assert (recorded.errors, recorded.failures) == ({"redis_moved": 1}, {("GET", "GET"): 1})
        assert asked[b"GET"] == MAX_HOPS


def test_a_cluster_that_is_away_or_none_is_one_sentence(redis_url, monkeypatch):
    """The second attempt is delayed; a single Redis does not get commands meant for a cluster."""
    monkeypatch.setattr("loadtest.clients.redis.topology.REFRESH_S", 0.2)
    with running_user(f"redis://127.0.0.1:{free_port()}?cluster=true") as user:
        with pytest.raises(redis.ConnectionError, match=r"cannot be asked for its slots \(cannot connect to .*a node"):
            user.client.get("a")
        assert Recorded(user).errors == {"connect": 1}
        assert user._session.connection.await_turn()
    alone = redis_url.rpartition("/")[0]
    with running_user(f"{alone}?cluster=true") as user:
        for _ in range(2):
            with pytest.raises(redis.ConnectionError, match="cluster support disabled"):
                user.client.get("a")
        assert sum(Recorded(user).failures.values()) == 2


@pytest.mark.parametrize("protocol", [2, 3])
def test_documents_of_several_slots_are_read_by_one_request(cluster, protocol):
    """Replies are in the keys' order, alone and in a pipeline; redis-py asks the first key's node for all."""
    keys, url = [f"d{number}" for number in range(12)], f"{cluster.url}&protocol={protocol}"
    expected = [*([number] for number in range(12)), None]
    with running_user(url) as user:
        json = user.client.json()
        for number, key in enumerate(keys):
            json.set(key, "$", {"n": number})
        Recorded(user)
        assert json.mget([*keys, "nothing"], "$.n") == expected
        assert Recorded(user).requests == {("JSON.MGET", "JSON.MGET"): 1}
        with user.client.pipeline(transaction=False) as pipeline:
            pipeline.set("x", 1).json().mget([*keys, "nothing"], "$.n").get("x")
            assert pipeline.execute() == [True, expected, b"1"]
        with user.client.pipeline() as pipeline:
            pipeline.json().mget(keys, "$.n")
            with pytest.raises(redis.exceptions.CrossSlotTransactionError):
                pipeline.execute()
    for node in cluster.nodes[:3]:
        node.admin.execute_command("ACL", "SETUSER", "limited", "on", ">x", "+@all", "~d1")
    with running_user(f"{url}&username=limited&password=x") as user:
        with pytest.raises(redis.exceptions.NoPermissionError):
            user.client.json().mget(keys, "$.n")
        assert (Recorded(user).errors, user.client.json().mget(["d1"], "$.n")) == ({"redis_auth": 1}, [[1]])
    with redis.RedisCluster(host="127.0.0.1", port=cluster.nodes[0].port, protocol=protocol) as theirs:
        assert theirs.json().mget(keys, "$.n").count(None) > 0


def test_the_redis_of_a_run_may_be_a_cluster(cluster):
    """RedisJSON is found on any node, even for a key on another one."""
    for node in cluster.nodes[:3]:
        redis_server.check_given(f"{node.url}?cluster=true")


@pytest.mark.parametrize("options", ["cluster=true&db=1", "read_from_replicas=true"])
def test_options_that_contradict_each_other_are_refused(options):
    """A cluster has one database, and only a cluster has known replicas."""
    with pytest.raises(UsageError, match="cluster"), running_user(f"redis://127.0.0.1:1?{options}"):
        pass


@pytest.mark.parametrize(
    ("command", "key"),
    [
        ("GET a", "a"), ("PING", None), ("EVAL x 2 k l", "k"), ("EVAL x 0 v", None), ("ZUNION 2 k l", "k"),
        ("XREAD COUNT 1 STREAMS s 0", "s"), ("OBJECT ENCODING k", "k"), ("JSON.DEBUG MEMORY k", "k"),
        ("json.get k", "k"), ("BLMPOP 0 2 k l LEFT", "k"),
    ],
)  # fmt: skip
def test_the_key_of_a_command_is_found(command, key):
    """It may be another argument than the first."""
    found = key_of([part.encode() for part in command.split()])
    assert found == (None if key is None else key.encode())


@pytest.mark.parametrize("command", ["KEYS *", "DBSIZE", "SCRIPT LOAD x", "CONFIG GET x", "flushall"])
def test_commands_about_nodes_are_refused(command):
    """A single node's reply would be a wrong value."""
    with pytest.raises(redis.DataError, match="is about a node, not a key"):
        key_of([part.encode() for part in command.split()])


def test_users_of_a_process_share_what_they_know_of_a_cluster(cluster):
    """A thousand users do not ask for the slots a thousand times."""
    with running_user(cluster.url) as one, running_user(cluster.url) as other:
        assert Topology.of(one._session.settings) is Topology.of(other._session.settings)


def test_users_that_start_together_wait_for_the_first_to_learn_the_slots(cluster):
    """None of them fails because another one is asking."""
    url = f"{cluster.url}&client_name=together"
    with contextlib.ExitStack() as users:
        clients = [users.enter_context(running_user(url)).client for _ in range(10)]
        greenlets = [gevent.spawn(client.set, f"together{number}", 1) for number, client in enumerate(clients)]
        gevent.joinall(greenlets, raise_error=True)


def test_users_go_on_with_what_they_know_while_one_asks_for_the_slots(monkeypatch):
    """A node that does not respond delays only the user that asked it."""
    monkeypatch.setattr("loadtest.clients.redis.topology.REFRESH_S", 0)
    slots_asked = gets = 0
    silent = gevent.event.Event()

    def script(sock):
        nonlocal slots_asked, gets
        port = sock.getsockname()[1]
        while data := sock.recv(4096):
            if b"SLOTS" in data:
                slots_asked += 1
                if slots_asked > 1:
                    silent.set()
                    gevent.sleep(60)
                sock.sendall(alone_in_cluster(port))
            else:
                gets += 1
                sock.sendall(b"$1\r\nx\r\n" if gets > 1 else b"-MOVED 1 127.0.0.1:%d\r\n" % port)

    with scripted_server(script) as server:
        url = f"{server}?cluster=true&socket_timeout=30"
        with running_user(url) as one, running_user(url) as other:
            assert one.client.get("a") == b"x"
            asking = gevent.spawn(one.client.get, "a")
            assert silent.wait(60)
            assert other.client.get("a") == b"x"
            assert not asking.ready()
            asking.kill()


def test_a_killed_primary_costs_counted_failures_until_its_replica_takes_over(cluster):
    """They are few, each has a class, no value is another key's, and the load recovers on its own."""
    with _under_load(cluster) as (done, names):
        victim = cluster.nodes[1]
        lost = next(
            slots[0] for slots in victim.admin.execute_command("CLUSTER", "SLOTS") if slots[2][1] == victim.port
        )
        cluster.allow_silence(NODE_TIMEOUT_MS)
        victim.process.kill()
        with running_user(cluster.url) as user:
            key = key_in(lost)

            def answers() -> bool:
                with contextlib.suppress(redis.RedisError):
                    return bool(user.client.set(key, "x"))
                return False

            cluster.wait(answers)
            assert user.client.get(key) == b"x"
        _wait_for_more(cluster, done, *names)
    assert done["failures"] == done["failed"] > 0
    classes = {"connect", "reset", "closed", "redis_cluster_down", "timeout_read", "timeout_connect"}
    assert sum(done[one] for one in classes) == done["failed"]
    assert done["wrong"] == 0


@pytest.mark.parametrize("is_alive", [False, True])
def test_half_a_cluster_refuses_and_each_failure_has_its_class(cluster, is_alive):
    """A primary that is down cannot be reached, and the remaining one serves nothing without the others."""
    cluster.allow_silence(NODE_TIMEOUT_MS)
    for number in (1, 2, 4):
        cluster.nodes[number].process.kill()
    owners = cluster.nodes[0].admin.execute_command("CLUSTER", "SLOTS")
    key = key_in(next(slots[0] for slots in owners if (slots[2][1] == cluster.nodes[0].port) is is_alive))
    expected, found = "redis_cluster_down" if is_alive else "connect", set()
    with running_user(f"{cluster.url}&client_name={expected}") as user:

        def has_failed() -> bool:
            with contextlib.suppress(redis.RedisError):
                user.client.get(key)
            found.update(Recorded(user).errors)
            return expected in found

        cluster.wait(has_failed)
    assert found == {expected}
    if is_alive:  # the remaining nodes report it before a run, too
        with pytest.raises(StackError, match=r"a cluster that does not serve all of its keys \("):
            redis_server.check_given(f"{cluster.nodes[0].url}?cluster=true")
