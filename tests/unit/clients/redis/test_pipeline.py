"""Pipelines and transactions: redis-py's values and errors, one request each, and no watch lost silently."""

import gc
import weakref
from typing import Any

import gevent
import pytest
import redis

from tests.redis_harness import Recorded, client_of, private_redis, running_user


def _outcome(call: Any, client: Any) -> Any:
    try:
        return [repr(each) for each in call(client)]
    except redis.RedisError as error:
        return type(error).__name__, str(error)


def _mixed(pipe: Any, raise_on_error: bool) -> Any:
    pipe.set("k", 1)
    pipe.lpush("k", 2)
    pipe.json().set("d", "$", {"a": [1]})
    pipe.json().get("d")
    pipe.json().get("missing")
    pipe.hset("h", "f", "v").hgetall("h")
    pipe.zadd("z", {"m": 1.5}).zrange("z", 0, -1, withscores=True)
    return pipe.execute(raise_on_error=raise_on_error)


PIPELINES: dict[str, Any] = {
    "plain": lambda r: _mixed(r.pipeline(transaction=False), raise_on_error=False),
    "plain raising": lambda r: _mixed(r.pipeline(transaction=False), raise_on_error=True),
    "transaction": lambda r: _mixed(r.pipeline(), raise_on_error=False),
    "transaction raising": lambda r: _mixed(r.pipeline(), raise_on_error=True),
    "empty": lambda r: r.pipeline().execute(),
    "json pipeline": lambda r: r.json().pipeline().set("j", "$", 1).execute(),
    "json pipeline in steps": lambda r: _json_steps(r.json().pipeline()),
    "refused while queuing": lambda r: r.pipeline().set("a", 1).execute_command("NOTHING", 1).execute(),
    "one command": lambda r: r.pipeline(transaction=False).get("k").execute(),
    "multi twice": lambda r: _multi_twice(r.pipeline()),
    "multi after commands": lambda r: r.pipeline().set("a", 1).multi(),
    "long": lambda r: _long(r.pipeline(transaction=False)),
    "watch": lambda r: _watch(r.pipeline()),
    "watch and unwatch": lambda r: _unwatch(r.pipeline()),
    "watch without commands": lambda r: _watch_only(r.pipeline()),
    "transaction()": lambda r: r.transaction(lambda pipe: (pipe.multi(), pipe.set("t", 1)), "t"),
    "transaction() of a value": lambda r: [r.transaction(lambda _: "value", value_from_callable=True)],
    "nested pipelines": lambda r: r.pipeline().pipeline().set("n", 1).execute(),
}


def _json_steps(pipe: Any) -> Any:
    with pipe:
        pipe.set("steps", "$", {"a": 1})
        pipe.numincrby("steps", "$.a", 2)
        pipe.get("steps")
        pipe.incr("counted")
        queued = len(pipe), bool(pipe)
        return [queued, *pipe.execute()]


def _multi_twice(pipe: Any) -> Any:
    pipe.watch("a")
    try:
        pipe.multi()
        return pipe.multi()
    finally:
        pipe.reset()


def _long(pipe: Any) -> Any:
    for number in range(2_000):
        pipe.set(f"long:{number}", number)
    return pipe.execute()


def _watch(pipe: Any) -> Any:
    with pipe:
        pipe.watch("w")
        before = pipe.get("w")
        pipe.multi()
        pipe.incr("w").get("w")
        return [before, *pipe.execute()]


def _unwatch(pipe: Any) -> Any:
    with pipe:
        pipe.watch("w")
        pipe.unwatch()
        pipe.set("w", 9)
        return pipe.execute()


def _watch_only(pipe: Any) -> Any:
    with pipe:
        pipe.watch("w")
        return pipe.execute()


@pytest.mark.parametrize("protocol", [2, 3], ids=["RESP2", "RESP3"])
def test_pipelines_return_what_redis_py_returns(redis_url, protocol):
    """Each kind of pipeline gives the same values or the same error on both clients."""
    base = redis_url.rpartition("/")[0]
    theirs_url = f"{base}/7?protocol={protocol}"
    with client_of(f"{base}/6?protocol={protocol}") as ours, redis.Redis.from_url(theirs_url) as theirs:
        for client in (ours, theirs):
            client.flushdb()
        differences = {}
        for name, call in PIPELINES.items():
            outcomes = _outcome(call, theirs), _outcome(call, ours)
            if outcomes[0] != outcomes[1]:
                differences[name] = outcomes
        for client in (ours, theirs):
            client.flushdb()
    assert differences == {}


def test_a_pipeline_is_one_request(redis_url):
    """Ten commands in a pipeline count once, under the label, as PIPELINE or MULTI."""
    with running_user(redis_url) as user:
        client = user.client.labelled("room/batch")
        for transaction in (False, True):
            pipe = client.pipeline(transaction=transaction)
            for number in range(10):
                pipe.echo(number)
            assert len(pipe) == 10
            assert len(pipe.execute()) == 10
            assert (len(pipe), bool(pipe)) == (0, True)
        recorded = Recorded(user)
    assert recorded.requests == {("PIPELINE", "room/batch"): 1, ("MULTI", "room/batch"): 1}
    assert recorded.errors == {}


@pytest.mark.parametrize("transaction", [False, True])
def test_a_pipeline_with_a_failed_command_is_a_failed_request(redis_url, transaction):
    """One WRONGTYPE among good commands makes the request fail under that class, whether raised or not."""
    with running_user(redis_url) as user:
        user.client.set("pipe:text", "x")
        pipe = user.client.pipeline(transaction=transaction)
        values = pipe.get("pipe:text").lpush("pipe:text", 1).execute(raise_on_error=False)
        assert values[0] == b"x"
        assert isinstance(values[1], redis.ResponseError)
        recorded = Recorded(user)
    method = "MULTI" if transaction else "PIPELINE"
    assert {(method, method): 1} == recorded.failures
    assert recorded.errors == {"redis_wrongtype": 1}


def test_a_changed_key_fails_the_transaction_but_not_the_request(redis_url):
    """WatchError is raised, but Redis behaved correctly, so no error is counted."""
    with running_user(redis_url) as user, client_of(redis_url) as other:
        pipe = user.client.pipeline()
        pipe.watch("watched")
        other.incr("watched")
        pipe.multi()
        pipe.set("watched", 0)
        with pytest.raises(redis.WatchError, match="Watched variable changed"):
            pipe.execute()
        assert Recorded(user).errors == {}
        assert user.client.get("watched") != b"0"


def test_transaction_tries_again_until_nothing_changed(redis_url):
    """A conflict in the first attempt leads to a second one."""
    attempts = []

    with client_of(redis_url) as ours, client_of(redis_url) as other:
        ours.set("tries", 0)

        def work(pipe):
            attempts.append(int(pipe.get("tries")))
            if len(attempts) == 1:
                other.incr("tries")
            pipe.multi()
            pipe.incr("tries")

        assert ours.transaction(work, "tries") == [2]
    assert attempts == [0, 1]


def test_a_watching_pipeline_keeps_its_connection_to_itself(redis_url):
    """Commands of the client between WATCH and EXEC use another connection."""
    with client_of(redis_url) as ours:
        with ours.pipeline() as pipe:
            pipe.watch("own")
            watching = pipe.client_id()
            assert watching != ours.client_id()
            assert watching == pipe.client_id()
        assert watching == ours.client_id()


def test_a_watch_does_not_survive_its_connection(redis_url, tmp_path):
    """When the server dies between WATCH and EXEC, the transaction is refused, even if a new server is up by then."""
    with private_redis(redis_url, tmp_path) as server, client_of(server.url) as ours:
        pipe = ours.pipeline()
        pipe.watch("k")
        server.process.kill()
        server.start()
        gevent.sleep(0.05)
        pipe.multi()
        pipe.set("k", 1)
        with pytest.raises(redis.WatchError, match="while watching"):
            pipe.execute()
        assert ours.get("k") is None


def test_a_reset_ends_the_watch_on_the_server(redis_url):
    """When a pipeline is left without execute, a change of its watched key does not affect the next one."""
    with client_of(redis_url) as ours, client_of(redis_url) as other:
        with ours.pipeline() as pipe:
            pipe.watch("left")
        other.incr("left")
        assert ours.pipeline().set("left", 5).execute() == [True]


def test_a_pipeline_that_was_cut_off_leaves_no_reply_behind(redis_url):
    """A greenlet killed within a pipeline does not give its replies to the next request."""
    with client_of(redis_url) as ours:
        ours.set("after", "right")
        blocked = gevent.spawn(lambda: ours.pipeline(transaction=False).ping().blpop("nothing", timeout=5).execute())
        gevent.sleep(0.05)
        blocked.kill()
        assert ours.get("after") == b"right"


def test_a_pipeline_is_freed_without_the_garbage_collector(redis_url):
    """A pipeline leaves nothing that only the collector could find, since a collection stalls all users."""
    with client_of(redis_url) as ours:
        ours.json().set("d", "$", {"a": 1})
        gc.collect()
        gc.disable()
        try:
            pipe = ours.pipeline(transaction=False)
            assert pipe.json().get("d").execute() == [{"a": 1}]
            gone = weakref.ref(pipe)
            del pipe
            assert gone() is None
        finally:
            gc.enable()


def test_a_json_view_outlives_the_execution_of_its_pipeline(redis_url):
    """The result of ``json()`` can queue commands again after ``execute``, as can a new view."""
    with client_of(redis_url) as ours:
        pipe = ours.pipeline(transaction=False)
        view = pipe.json()
        view.set("d", "$", {"a": 1})
        view.get("d", "$.a")
        assert pipe.execute() == [True, [1]]
        view.get("d")
        pipe.json().type("d")
        view.get("nothing")
        assert pipe.execute() == [{"a": 1}, b"object", None]
