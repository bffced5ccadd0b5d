"""Error replies of a real Redis: their classes, and keys that must exist."""

import time

import gevent
import gevent.event
import pytest
import redis

from loadtest.clients.redis import RAW, Missing
from loadtest.local.process import free_port
from tests.redis_harness import Recorded, failure_of, private_redis, running_user

pytestmark = pytest.mark.usefixtures("short_backoff")


def test_error_replies_are_counted_by_class(redis_url, tmp_path):
    """WRONGTYPE, RedisJSON's messages for it, NOSCRIPT, OOM and all other errors each have their class."""
    with private_redis(redis_url, tmp_path) as server, running_user(server.url) as user:
        user.client.set("text", "x")
        user.client.json().set("doc", "$", {"a": "x"})
        user.client.json().set("number", "$", 1)
        assert failure_of(user, lambda c: c.lpush("text", 1))[1] == "redis_wrongtype"
        assert failure_of(user, lambda c: c.json().get("text"))[1] == "redis_wrongtype"
        assert failure_of(user, lambda c: c.json().strlen("number", "."))[1] == "redis_wrongtype"
        assert failure_of(user, lambda c: c.json().arrappend("doc", ".missing", 1))[1] == "redis_error"
        assert failure_of(user, lambda c: c.evalsha("0" * 40, 0))[1] == "redis_noscript"
        assert failure_of(user, lambda c: c.execute_command("NOTHING"))[1] == "redis_error"
        assert failure_of(user, lambda c: c.json().set("doc", "no path at all", 1))[1] == "redis_error"
        server.admin.config_set("maxmemory", 1)
        error, error_class = failure_of(user, lambda c: c.set("k", 1))
        assert (isinstance(error, redis.OutOfMemoryError), error_class) == (True, "redis_oom")
        assert failure_of(user, lambda c: c.json().set("k", "$", 1))[1] == "redis_oom"
        server.admin.config_set("maxmemory", 0)
        assert user.client.set("k", 1) is True


@pytest.mark.parametrize("protocol", [2, 3])
@pytest.mark.parametrize(
    "call",
    [
        lambda view: view.get("nothing"),
        lambda view: view.hget("nothing", "f"),
        lambda view: view.hgetall("nothing"),
        lambda view: view.json().get("nothing"),
        lambda view: view.json(decoder=RAW).get("nothing", "$.a"),
        lambda view: view.json().get("present", "$.nothing"),
        lambda view: view.json().set("present", "$.no.where", 1, xx=True),
    ],
)
def test_what_must_exist_and_does_not_is_afailure_of(redis_url, call, protocol):
    """Redis returns nil or an empty list, without an error; a view can declare this a failure."""
    with running_user(f"{redis_url}?protocol={protocol}") as user:
        user.client.json().set("present", "$", {"a": {"b": 1}})
        view = user.client.labelled("must", must_exist=True)
        error, error_class = failure_of(user, lambda _: call(view))
        assert (isinstance(error, Missing), error_class) == (True, "redis_missing")
        assert view.json().get("present", "$.a") == [{"b": 1}]
        assert view.delete("nothing") == 0
        user.client.delete("present")


def test_authentication_failures_are_counted_as_such(redis_url, tmp_path):
    """No password, a wrong one, an unexpected one and a command that the ACL denies all count as redis_auth."""
    options = ("--requirepass", "s3cret")
    with private_redis(redis_url, tmp_path, *options) as server:
        admin = redis.Redis.from_url(f"redis://:s3cret@127.0.0.1:{server.port}?protocol=2")
        admin.acl_setuser("limited", enabled=True, passwords="+pw", keys="*", commands=["+get", "+hello", "+client"])
        place = f"127.0.0.1:{server.port}"
        for protocol in (2, 3):
            for url in (f"redis://{place}", f"redis://:wrong@{place}", f"redis://nobody:pw@{place}"):
                with running_user(f"{url}?protocol={protocol}") as user:
                    error, error_class = failure_of(user, lambda c: c.get("k"))
                    assert (isinstance(error, redis.AuthenticationError), error_class) == (True, "redis_auth"), url
            with running_user(f"redis://:s3cret@{place}?protocol={protocol}") as user:
                assert user.client.set("k", 1) is True
            with running_user(f"redis://limited:pw@{place}?protocol={protocol}") as user:
                assert user.client.get("k") == b"1"
                error, error_class = failure_of(user, lambda c: c.set("k", 2))
                assert (isinstance(error, redis.exceptions.NoPermissionError), error_class) == (True, "redis_auth")
                assert user.client.get("k") == b"1"
        admin.close()


def test_a_password_that_the_server_does_not_expect_is_refused(redis_url):
    """AUTH on a server without a password is an error of authentication, not of the command."""
    place = redis_url.partition("://")[2]
    with running_user(f"redis://:unasked@{place}") as user:
        assert failure_of(user, lambda c: c.get("k"))[1] == "redis_auth"


def test_a_server_that_loads_its_data_is_counted_as_loading(redis_url, tmp_path):
    """Until the server has read its file each request fails as redis_loading and is sent once; then it works."""
    with private_redis(redis_url, tmp_path) as server:
        server.admin.execute_command("DEBUG", "POPULATE", 3_000)
        server.admin.save()
        server.process.kill()
        delays = ("--key-load-delay", "1000", "--loading-process-events-interval-bytes", "1024")
        server.start(*delays, ready=False)
        with running_user(server.url) as user:
            end_s = time.monotonic() + 20
            classes = set()
            while time.monotonic() < end_s:
                try:
                    user.client.get("key:1")
                    break
                except redis.BusyLoadingError:
                    classes |= set(Recorded(user).errors)
                    server.admin.config_set("key-load-delay", 0)  # seen: a busy machine need not wait for the others
                except redis.ConnectionError:
                    Recorded(user)
                gevent.sleep(0.01)
            assert classes == {"redis_loading"}
            assert user.client.get("key:1") is not None


def test_commands_that_change_how_a_connection_answers_are_refused(redis_url):
    """SUBSCRIBE, MONITOR and the like are refused before anything is sent, each time."""
    with running_user(redis_url) as user:
        for command in ("SUBSCRIBE", "subscribe", "MONITOR", "CLIENT REPLY", "HELLO"):
            for _ in range(2):
                with pytest.raises(redis.DataError, match="use a connection of your own"):
                    user.client.execute_command(command, "x")
        for arguments in (("CLIENT", "REPLY", "OFF"), (b"client", b"reply", b"skip"), (b"MONITOR",)):
            for sender in (user.client, user.client.pipeline()):
                with pytest.raises(redis.DataError, match="use a connection of your own"):
                    sender.execute_command(*arguments)
        assert Recorded(user).requests == {}


def test_redirections_of_a_cluster_are_reported(redis_url, tmp_path):
    """MOVED and ASK fail as redis_moved; the error has the key's node and the remedy."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    options = ("--cluster-enabled", "yes", "--cluster-node-timeout", "2000", "--cluster-port")
    buses = free_port(), free_port()  # by default 10,000 above the port, which may not be valid
    with (
        private_redis(redis_url, tmp_path / "a", *options, str(buses[0])) as first,
        private_redis(redis_url, tmp_path / "b", *options, str(buses[1])) as second,
    ):
        first.admin.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 8191)
        second.admin.execute_command("CLUSTER", "ADDSLOTSRANGE", 8192, 16383)
        first.admin.execute_command("CLUSTER", "MEET", "127.0.0.1", second.port, buses[1])
        end_s = time.monotonic() + 20
        while first.admin.execute_command("CLUSTER INFO")["cluster_state"] != "ok":
            assert time.monotonic() < end_s
            time.sleep(0.05)
        with running_user(first.url) as user:
            error, error_class = failure_of(user, lambda c: c.get("foo"))  # slot 12182
            assert error_class == "redis_moved"
            assert isinstance(error, redis.exceptions.MovedError)
            assert f"MOVED 12182 127.0.0.1:{second.port}" in str(error)
            assert "cluster=true in the URL follows" in str(error)
            other = second.admin.execute_command("CLUSTER", "MYID").decode()
            first.admin.execute_command("CLUSTER", "SETSLOT", 5061, "MIGRATING", other)
            error, error_class = failure_of(user, lambda c: c.get("bar"))  # slot 5061
            assert (isinstance(error, redis.exceptions.AskError), error_class) == (True, "redis_moved")
