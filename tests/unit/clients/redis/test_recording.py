"""The record of a request: one sample with the right name, class and bytes."""

import gevent
import pytest
import redis
from gevent.pool import Group
from locust import task
from locust.env import Environment
from locust.exception import RescheduleTask, StopUser

from loadtest.clients import routes
from loadtest.clients.redis import LAZY, RAW, LazyJson, RedisJsonUser
from loadtest.clients.routes import RouteTable
from loadtest.measuring.tallies import KEY
from tests.http_harness import counted
from tests.redis_harness import Recorded, private_redis, running_user


def test_the_name_is_the_command_where_no_label_is_given(redis_url):
    """Method and name are the command in upper case, however it was written."""
    with running_user(redis_url) as user:
        user.client.json().get("nothing")
        user.client.execute_command("hget", "nothing", "f")
        user.client.client_getname()
        recorded = Recorded(user)
    assert recorded.requests == {
        ("JSON.GET", "JSON.GET"): 1,
        ("HGET", "HGET"): 1,
        ("CLIENT GETNAME", "CLIENT GETNAME"): 1,
    }
    assert recorded.scenarios == {"probe"}


def test_a_label_names_every_command_of_its_view(redis_url):
    """A labelled view is recorded under its label, the client itself is not, and both use one connection."""
    with running_user(redis_url) as user:
        view = user.client.labelled("documents/read")
        assert user.client.client_id() == view.client_id()
        view.json().get("nothing")
        view.get("nothing")
        recorded = Recorded(user)
    assert recorded.requests == {
        ("CLIENT ID", "documents/read"): 1,
        ("CLIENT ID", "CLIENT ID"): 1,
        ("JSON.GET", "documents/read"): 1,
        ("GET", "documents/read"): 1,
    }


def test_labels_without_end_do_not_fill_the_memory(redis_url, monkeypatch):
    """Beyond the bound, the routes of a new label are not cached, and no request is lost."""
    monkeypatch.setattr(routes, "MAX_TABLES", 3)
    with running_user(redis_url) as user:
        for number in range(10):
            user.client.labelled(f"key:{number}").get("nothing")
        recorded = Recorded(user)
        kept = RouteTable._shared[user.environment]
    assert recorded.requests == {("GET", f"key:{number}"): 1 for number in range(10)}
    assert len(kept) == 3


def test_requests_counted_are_the_commands_that_redis_counted(redis_url, tmp_path):
    """After 20 greenlets have sent a mixture, each command's count equals Redis's, including those in pipelines."""
    with private_redis(redis_url, tmp_path) as server, running_user(server.url) as user:
        json = user.client.json()

        def work(number):
            for turn in range(25):
                key = f"d:{number}:{turn}"
                json.set(key, "$", {"n": turn})
                json.get(key)
                json.numincrby(key, "$.n", 1)
                user.client.set(f"s:{number}", turn)
                user.client.pipeline(transaction=False).get(f"s:{number}").get(f"s:{number}").execute()

        server.admin.config_resetstat()
        gevent.joinall([gevent.spawn(work, number) for number in range(20)], raise_error=True)
        stats = server.admin.info("commandstats")
        recorded = Recorded(user)
    counted = {name: int(stats[f"cmdstat_{name.lower()}"]["calls"]) for name in ("JSON.SET", "JSON.GET", "SET", "GET")}
    assert counted == {"JSON.SET": 500, "JSON.GET": 500, "SET": 500, "GET": 1000}
    assert recorded.requests == {
        ("JSON.SET", "JSON.SET"): 500,
        ("JSON.GET", "JSON.GET"): 500,
        ("JSON.NUMINCRBY", "JSON.NUMINCRBY"): 500,
        ("SET", "SET"): 500,
        ("PIPELINE", "PIPELINE"): 500,
    }
    assert recorded.errors == {}


def test_bytes_are_those_on_the_wire(redis_url):
    """Commands and replies count with their framing, pipelines with all of theirs, and refused commands too."""
    with running_user(redis_url) as user:
        user.client.set("bytes", "12345")
        Recorded(user)
        user.client.get("bytes")
        user.client.pipeline(transaction=False).get("bytes").get("bytes").execute()
        with pytest.raises(redis.ResponseError):
            user.client.execute_command("LPUSH", "bytes", "1")
        recorded = Recorded(user)
    sent = {name: recorded.request_bytes[name, name] for name in ("GET", "PIPELINE", "LPUSH")}
    assert sent == {
        "GET": len(b"*2\r\n$3\r\nGET\r\n$5\r\nbytes\r\n"),
        "PIPELINE": 2 * len(b"*2\r\n$3\r\nGET\r\n$5\r\nbytes\r\n"),
        "LPUSH": len(b"*3\r\n$5\r\nLPUSH\r\n$5\r\nbytes\r\n$1\r\n1\r\n"),
    }
    assert recorded.response_bytes["GET", "GET"] * 2 == recorded.response_bytes["PIPELINE", "PIPELINE"] == 22


def test_a_sample_of_the_requests_finds_a_hot_key(redis_url):
    """Over single commands and pipelines of all labels it has its share; of many keys hardly any is named."""
    with running_user(redis_url) as user:
        hot = user.client.labelled("hot")
        for number in range(2_000):
            hot.get("one" if number % 20 else f"other:{number}")
            user.client.pipeline(transaction=False).get("one").execute()
            user.client.ping()
        sampled = Recorded(user).tallies(KEY)
        assert 50 < sum(sampled.values()) < 2_000
        assert sampled["one"] > 0.9 * sum(sampled.values())
        for number in range(2_000):
            user.client.get(f"other:{number}")
        assert len(Recorded(user).tallies(KEY)) < 15


def test_a_key_that_looks_like_a_token_is_masked_and_told_from_others(redis_url):
    """The record is shared with others; yet two sessions must not count as one key."""
    tokens = ["session:" + digit * 31 + "a" for digit in "12"]
    with running_user(redis_url) as user:
        for number in range(100):
            user.client.get(tokens[number % 2])
        sampled = Recorded(user).tallies(KEY)
    assert (len(sampled), sampled[""]) == (2, 0)
    assert not any("1111" in key or "2222" in key for key in sampled)


def test_the_first_request_of_an_iteration_takes_the_intended_start(redis_url):
    """Response time counts from the intended start for the first request, and from the send for the next."""
    with running_user(redis_url) as user:
        user.client.ping()
        series = user.recorder.series("probe", "PING", "PING")
        user.intended_start_s = 1.0
        user.client.ping()
        assert user.intended_start_s is None
        assert len(series.late) == 2
        assert series.late[0] > 0
        user.client.ping()
        assert len(series.times) == 2
        user.intended_start_s = 1.0
        user.client.pipeline().ping().execute()
        assert user.intended_start_s is None


def test_listeners_of_locust_receive_every_request(redis_url):
    """A listener of events.request gets Locust's arguments for a good request, a bad one and a pipeline."""
    events = []
    with running_user(redis_url) as user:
        user.environment.events.request.add_listener(lambda **event: events.append(event))
        user.context = lambda: {"who": "me"}
        user.client.set("told", "abc")
        user.client.labelled("label").get("told")
        with pytest.raises(redis.ResponseError):
            user.client.lpush("told", 1)
        user.client.pipeline(transaction=False).get("told").lpush("told", 1).execute(raise_on_error=False)
        recorded = Recorded(user)
    assert [(each["request_type"], each["name"]) for each in events] == [
        ("SET", "SET"),
        ("GET", "label"),
        ("LPUSH", "LPUSH"),
        ("PIPELINE", "PIPELINE"),
    ]
    good, bad = events[1], events[2]
    assert (good["response"], good["exception"], good["response_length"]) == (b"abc", None, 9)
    assert good["context"] == {"who": "me"}
    assert 0 < good["response_time"] < 5000
    assert good["url"] in redis_url
    assert isinstance(bad["exception"], redis.ResponseError)
    assert isinstance(events[3]["exception"], redis.ResponseError)
    assert sum(recorded.requests.values()) == 4, "a listener must not make requests count twice"


def test_a_failed_request_ends_its_task_and_is_counted_once(redis_url):
    """An error that the task does not catch ends only the task: no event, no traceback, and the next task runs."""
    turns = []
    events = []

    class Failing(RedisJsonUser):
        redis_url = ""

        @task
        def fail(self):
            turns.append("begun")
            if len(turns) > 20:
                raise StopUser
            self.client.evalsha("0" * 40, 0)
            turns.append("never")

    Failing.redis_url = redis_url
    environment = Environment(user_classes=[Failing])
    environment.events.user_error.add_listener(lambda **event: events.append(event))
    user = Failing(environment)
    user.start(Group()).join()
    recorded = Recorded(user)
    assert turns == ["begun"] * 21
    assert events == []
    assert recorded.errors == {"redis_noscript": 20}


def test_a_mistake_in_the_call_is_an_exception_of_the_task(redis_url):
    """An error before the send is raised as by redis-py, and is not counted as a request."""
    with running_user(redis_url) as user:
        with pytest.raises(redis.DataError) as caught:
            user.client.set("k", {"a": 1})
        assert not isinstance(caught.value, RescheduleTask)
        assert Recorded(user).requests == {}


def test_a_document_can_be_left_unparsed(redis_url):
    """RAW returns the bytes; LAZY returns the bytes and, on request, the value; both work with redis-py, too."""
    with running_user(redis_url) as user, redis.Redis.from_url(redis_url, protocol=2) as theirs:
        user.client.json().set("unparsed", "$", {"a": [1, None]})
        for client in (user.client, theirs):
            assert client.json(decoder=RAW).get("unparsed") == b'{"a":[1,null]}'
            assert client.json(decoder=RAW).get("missing") is None
            lazy = client.json(decoder=LAZY).get("unparsed")
            assert isinstance(lazy, LazyJson)
            assert (lazy.raw, lazy.value) == (b'{"a":[1,null]}', {"a": [1, None]})
            assert lazy.value is lazy.value
            assert client.json(decoder=LAZY).get("missing") is None
            assert client.json(decoder=RAW).arrlen("unparsed", "$.a") == [2]
        user.client.delete("unparsed")


def test_custom_coders_are_used(redis_url):
    """redis-py's encoder and decoder arguments work as they do there, for one view only."""

    class Shouting:
        def encode(self, _value):
            return '"SHOUT"'

        def decode(self, text):
            return text.decode().lower() if isinstance(text, bytes) else text

    with running_user(redis_url) as user:
        shouting = user.client.json(encoder=Shouting(), decoder=Shouting())
        assert shouting.set("shout", "$", "whisper") is True
        assert shouting.get("shout") == '"shout"'
        assert user.client.json().get("shout") == "SHOUT"
        user.client.delete("shout")


def test_views_and_pipelines_made_in_on_start_are_load_afterwards(redis_url):
    """The phase depends on the user, not on when the view or pipeline was made."""
    with running_user(redis_url) as user:
        user.enter_phase("setup")
        view = user.client.labelled("documents/read")
        pipeline = view.pipeline(transaction=False)
        view.get("nothing")
        user.enter_phase("load")
        view.get("nothing")
        pipeline.get("nothing").execute()
        taken = counted(user.recorder)
    found = {(key.method, key.phase): int(count) for key, count in zip(taken.series, taken.requests, strict=True)}
    assert found == {("GET", "setup"): 1, ("GET", "load"): 1, ("PIPELINE", "load"): 1}
