"""Commands that find nothing: which ones count as misses, and how views declare them."""

import pytest
import redis

from loadtest.clients.redis import Missing
from loadtest.measuring.tallies import MISS
from tests.redis_harness import Recorded, running_user


def in_pipeline(*keys, transaction=False):
    """A pipeline that reads these keys."""

    def call(view):
        pipeline = view.pipeline(transaction=transaction)
        for key in keys:
            pipeline.get(key)
        pipeline.json().get("nothing", "$.a")
        pipeline.execute()

    return call


READS = {
    "get": lambda view: view.get("nothing"),
    "mget": lambda view: view.mget("nothing", "never"),
    "hget": lambda view: view.hget("hash", "nothing"),
    "hgetall": lambda view: view.hgetall("nothing"),
    "lrange": lambda view: view.lrange("nothing", 0, -1),
    "smembers": lambda view: view.smembers("nothing"),
    "json.get": lambda view: view.json().get("nothing"),
    "json.get at a path": lambda view: view.json().get("document", "$.no.where"),
    "json.mget": lambda view: view.json().mget(["nothing", "never"], "$.a"),
    "pipeline": in_pipeline("nothing", "never"),
    "transaction": in_pipeline("nothing", "never", transaction=True),
}
OTHERS = {
    "found": lambda view: view.get("text"),
    "found, and empty": lambda view: view.get("empty"),
    "one of two found": lambda view: view.mget("nothing", "text"),
    "found at a path": lambda view: view.json().get("document", "$.a"),
    "a document that is an empty list": lambda view: view.json().get("document", "$.list"),
    "a lock that another holds": lambda view: view.set("text", "mine", nx=True),
    "a count": lambda view: view.exists("nothing"),
    "a length": lambda view: view.json().strlen("document", "$.empty"),
    "a pipeline of which one command finds something": in_pipeline("nothing", "text"),
}


@pytest.fixture(params=[2, 3])
def user(request, redis_url):
    """A user whose Redis holds a few keys."""
    with redis.Redis.from_url(redis_url) as admin:
        admin.mset({"text": "a", "empty": ""})
        admin.hset("hash", "field", 1)
        admin.json().set("document", "$", {"a": 1, "list": [], "empty": ""})
        with running_user(f"{redis_url}?protocol={request.param}") as running:
            yield running
        admin.delete("text", "empty", "hash", "document")


@pytest.mark.parametrize("call", READS.values(), ids=READS)
def test_a_read_that_finds_nothing_is_counted(user, call):
    """It is not a failure; a view can declare it as intended."""
    call(user.client)
    call(user.client.labelled("read"))
    call(user.client.labelled("meant", must_exist=False))
    recorded = Recorded(user)
    assert (sum(recorded.tallies(MISS).values()), sum(recorded.failures.values())) == (2, 0)


@pytest.mark.parametrize("call", OTHERS.values(), ids=OTHERS)
def test_what_finds_something_or_does_not_read_is_no_miss(user, call):
    """An empty value is a value, and a write that did not take place is a result."""
    call(user.client)
    assert not Recorded(user).tallies(MISS)


def test_several_keys_of_which_none_exists_are_missing(user):
    """A view whose keys must exist treats them as one."""
    view = user.client.labelled("must", must_exist=True)
    assert view.mget("nothing", "text") == [None, b"a"]
    with pytest.raises(Missing):
        view.mget("nothing", "never")
    assert not Recorded(user).tallies(MISS)
