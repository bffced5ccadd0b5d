"""Redis Sentinel: three of them, a primary and a replica; the client finds the primary, and a new one."""

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import gevent
import pytest
import redis
import trustme

from loadtest.clients.redis import RedisJsonClient, RedisJsonUser
from loadtest.local.process import ManagedProcess, free_port
from loadtest.settings.redis_url import server_of
from tests.redis_harness import PrivateRedis, Recorded, client_of, private_redis, running_user, scripted_server

NAME = "shop"
ENDED = {"connect", "reset", "closed", "timeout_connect", "timeout_read"}
"""The classes of what a server that goes away does to requests."""


def sentinel(file: Path, primary_port: int, *lines: str) -> ManagedProcess:
    """Start a Sentinel with additional lines in its configuration."""
    own = "\n".join(lines)
    file.write_text(
        f"{own}\nbind 127.0.0.1\ndir {file.parent}\n"
        f"sentinel monitor {NAME} 127.0.0.1 {primary_port} 2\n"
        f"sentinel down-after-milliseconds {NAME} 60000\n"  # on a busy machine no server may be declared dead
        f"sentinel failover-timeout {NAME} 10000\n"
    )
    return ManagedProcess("sentinel", ["redis-server", str(file), "--sentinel"], file.with_suffix(".log"))


class Watched:
    """A primary and a replica, and the Sentinels that watch them.

    Attributes:
        url: of the first Sentinel, as this product's users name it.
    """

    def __init__(self, servers: list[PrivateRedis], folder: Path) -> None:
        self.primary, self.replica = servers
        self.ports = [free_port() for _ in range(3)]
        self.url = f"redis://127.0.0.1:{self.ports[0]}?sentinel={NAME}"
        self.admins = [redis.Redis(port=port, protocol=2, socket_timeout=20) for port in self.ports]
        self.sentinels = [sentinel(folder / f"{port}.conf", self.primary.port, f"port {port}") for port in self.ports]
        wait_until(lambda: [self._has_met_the_others(admin) for admin in self.admins] == [True] * 3)

    @staticmethod
    def _has_met_the_others(admin: redis.Redis) -> bool:
        with contextlib.suppress(redis.RedisError):
            found = admin.execute_command("SENTINEL MASTER", NAME)
            return (found["num-other-sentinels"], found["num-slaves"]) == (2, 1)
        return False

    def allow_silence(self, timeout_ms: int) -> None:
        """Set the silence after which a server counts as dead."""
        for admin in self.admins:
            with contextlib.suppress(redis.ConnectionError):
                admin.execute_command("SENTINEL SET", NAME, "down-after-milliseconds", timeout_ms)

    def close(self) -> None:
        """End the Sentinels."""
        for admin, sentinel in zip(self.admins, self.sentinels, strict=True):
            admin.close()
            sentinel.kill()


def wait_until(condition: Callable[[], object]) -> None:
    """Wait for something that depends on how busy the machine is; Sentinel waits half a minute after a long pause."""
    until_s = time.monotonic() + 90
    while not condition():
        assert time.monotonic() < until_s
        gevent.sleep(0.05)


@pytest.fixture(scope="module")
def watched(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """The servers; tests that break them come last."""
    with contextlib.ExitStack() as servers:
        folders = [tmp_path_factory.mktemp(name) for name in ("primary", "replica", "sentinels")]
        options = ("--repl-diskless-sync-delay", "0", "--repl-ping-replica-period", "1")
        primary = servers.enter_context(private_redis(redis_url, folders[0], *options))
        follow = (*options, "--replicaof", f"127.0.0.1 {primary.port}")
        replica = servers.enter_context(private_redis(redis_url, folders[1], *follow))
        wait_until(lambda: replica.admin.info("replication")["master_link_status"] == "up")
        running = Watched([primary, replica], folders[2])
        servers.callback(running.close)
        yield running


@pytest.mark.parametrize("protocol", [2, 3])
def test_every_command_goes_to_the_primary(watched: Watched, protocol: int) -> None:
    """This includes reads; Sentinels and replica get no data."""
    watched.primary.admin.config_resetstat()
    with running_user(f"{watched.url}&protocol={protocol}") as user:
        assert user.client.json().set("a", "$", {"n": 1})
        assert user.client.json().get("a") == {"n": 1}
        assert user.client.pipeline().incr("n").delete("n").execute() == [1, 1]
        assert Recorded(user).requests.total() == 3
    served = watched.primary.admin.info("commandstats")
    assert {name: served[f"cmdstat_{name}"]["calls"] for name in ("json.set", "json.get", "role")} == {
        "json.set": 1, "json.get": 1, "role": 1,
    }  # fmt: skip


def naming(port: int) -> bytes:
    """The reply of a Sentinel that knows no other."""
    return b"*2\r\n$9\r\n127.0.0.1\r\n$%d\r\n%d\r\n*0\r\n" % (len(str(port)), port)


def test_a_replica_that_a_sentinel_still_names_is_not_asked(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its values may be old: the request fails, and the next one goes to the primary once a Sentinel names it."""
    monkeypatch.setattr("loadtest.clients.redis.sentinel.REFRESH_S", 0)
    ports = [watched.replica.port, watched.primary.port]

    def script(sock: gevent.socket.socket) -> None:
        while sock.recv(4096):
            sock.sendall(naming(ports.pop(0)))

    with scripted_server(script) as url, running_user(f"{url}?sentinel={NAME}") as user:
        with pytest.raises(redis.ConnectionError, match=rf"{watched.replica.port}, which Sentinel names, is not the"):
            user.client.get("a")
        assert Recorded(user).errors == {"connect": 1}
        assert user.client.set("b", "x")


def test_who_is_no_sentinel_or_knows_no_such_primary_is_one_sentence(watched: Watched) -> None:
    """The address is unreachable, belongs to a Redis, or to a Sentinel of other primaries."""
    beginning = "no Sentinel says where the primary '{}' is"
    for url, name, reason in (
        (f"redis://127.0.0.1:{free_port()}", NAME, "cannot connect"),
        (watched.primary.url, NAME, "unknown command"),
        (f"redis://127.0.0.1:{watched.ports[0]}", "other", r"does not know it|No such master"),
    ):
        with client_of(f"{url}?sentinel={name}") as client, pytest.raises(redis.RedisError) as raised:
            client.get("a")
        assert str(raised.value).startswith(beginning.format(name))
        raised.match(f"{reason}.*must lead to a Sentinel")


@pytest.mark.parametrize("has_tls", [False, True])
def test_sentinels_have_a_password_and_tls_of_their_own(redis_url: str, tmp_path: Path, *, has_tls: bool) -> None:
    """The primary has another password and no TLS; wrong or missing credentials are reported and counted as such."""
    authority, port = trustme.CA(), free_port()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "server.pem"))
    files = [f"tls-{name}-file {tmp_path}/server.pem" for name in ("cert", "key")]
    listening = [f"tls-port {port}", "port 0", "tls-auth-clients no", *files] if has_tls else [f"port {port}"]
    url = f"redis://:of-the-primary@127.0.0.1:{port}/0?sentinel={NAME}&ssl_ca_certs={tmp_path}/ca.pem"
    with private_redis(redis_url, tmp_path, "--requirepass", "of-the-primary") as primary:
        watching = sentinel(tmp_path / "s.conf", primary.port, *listening, "requirepass secret")
        try:
            right = f"{url}&sentinel_password=secret" + "&sentinel_ssl=true" * has_tls
            with client_of(right) as client:
                wait_until(lambda: _answers(client))
            with server_of(right, 5) as looking_after:
                assert looking_after.get("a") == b"x"
            for password in ("", "&sentinel_password=wrong"):
                asked = url + password + "&sentinel_ssl=true" * has_tls
                with running_user(asked) as user:
                    with pytest.raises(redis.ConnectionError, match=r"no Sentinel says.*sentinel_password in the URL"):
                        user.client.get("a")
                    assert Recorded(user).errors == {"redis_auth": 1}
            with running_user(f"{url}&sentinel_password=secret&sentinel_ssl={not has_tls}") as user:
                with pytest.raises(redis.ConnectionError, match=r"no Sentinel says"):
                    user.client.get("a")
                (found,) = Recorded(user).errors
                assert found in {"tls", "closed", "reset", "protocol", "timeout_connect"}
        finally:
            watching.kill()


def _answers(client: RedisJsonClient) -> bool:
    with contextlib.suppress(redis.RedisError):
        return bool(client.set("a", "x"))
    return False


def _count_up(user: RedisJsonUser, key: str, done: Counter[str], until: gevent.event.Event) -> None:
    """Increment a key and read another until the end; another's value, or a decrease without a failure, is an error."""
    last = 0
    while not until.is_set():
        gevent.sleep(0.005)
        try:
            value = user.client.incr(key)
            name = user.client.get(f"name of {key}")
        except redis.RedisError as error:
            done["failed"] += 1
            done[error.error_class] += 1  # type: ignore[attr-defined]
            last = 0  # the last writes confirmed by the old primary may be lost: replication is asynchronous
            continue
        if value <= last or name != key.encode():
            done["wrong"] += 1
        last = value
        done[key] += 1


def test_a_killed_primary_costs_counted_failures_until_the_replica_is_promoted(watched: Watched) -> None:
    """They are few, each has a class, no value is wrong; the Sentinel in the URL is killed along with the primary."""
    done, until, keys = Counter[str](), gevent.event.Event(), [f"counter {number}" for number in range(4)]
    with contextlib.ExitStack() as users:
        made = [users.enter_context(running_user(watched.url)) for _ in keys]
        for user, key in zip(made, keys, strict=True):
            user.client.set(f"name of {key}", key)
            Recorded(user)
        watched.primary.admin.wait(1, 20_000)
        going = [gevent.spawn(_count_up, user, key, done, until) for user, key in zip(made, keys, strict=True)]
        try:
            wait_until(lambda: all(done[key] > 20 for key in keys))
            watched.allow_silence(1_000)
            watched.sentinels[0].kill()
            watched.primary.process.kill()
            away_s, reached = time.monotonic(), {key: done[key] for key in keys}
            wait_until(lambda: watched.replica.admin.info("replication")["role"] == "master")
            wait_until(lambda: all(done[key] > reached[key] + 3 for key in keys))
            away_s = time.monotonic() - away_s
        finally:
            until.set()
            gevent.joinall(going, raise_error=True)
        recorded = [Recorded(user) for user in made]
    assert done["wrong"] == 0
    assert sum(sum(one.failures.values()) for one in recorded) == done["failed"] >= len(keys)
    assert sum((one.errors for one in recorded), Counter()) == Counter({one: done[one] for one in ENDED if done[one]})
    assert done["failed"] <= len(keys) * (8 + away_s / 0.7)  # six pauses that double, then 0.75 s or more each
