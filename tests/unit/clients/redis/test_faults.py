"""What goes wrong between client and server: the exception raised, the class counted, and what works afterwards."""

import contextlib
import gc
import itertools
import random
import socket
import struct
import time
import warnings

import gevent
import gevent.event
import pytest
import redis

from loadtest.clients.redis import RAW, Missing
from loadtest.clients.redis import connection as resp_connection
from loadtest.clients.transport.deadlines import DeadlineSweeper
from loadtest.clients.transport.poller import Poller
from loadtest.local.process import free_port
from tests.redis_harness import Recorded, client_of, private_redis, running_user, scripted_server


def _failure(user, call):
    """The exception of a call, and the class under which it was counted, exactly once."""
    Recorded(user)
    with pytest.raises(redis.RedisError) as caught:
        call(user.client)
    recorded = Recorded(user)
    assert sum(recorded.requests.values()) == sum(recorded.failures.values()) == 1
    ((error_class, occurrences),) = recorded.errors.items()
    assert occurrences == 1
    return caught.value, error_class


@pytest.fixture(autouse=True)
def short_backoff(monkeypatch):
    """Keep the pauses between attempts to connect short."""
    monkeypatch.setattr(resp_connection, "BACKOFF_MOST_S", 0.1)


def test_error_replies_are_counted_by_class(redis_url, tmp_path):
    """WRONGTYPE, RedisJSON's messages for it, NOSCRIPT, OOM and any other error each have their class."""
    with private_redis(redis_url, tmp_path) as server, running_user(server.url) as user:
        user.client.set("text", "x")
        user.client.json().set("doc", "$", {"a": "x"})
        user.client.json().set("number", "$", 1)
        assert _failure(user, lambda c: c.lpush("text", 1))[1] == "redis_wrongtype"
        assert _failure(user, lambda c: c.json().get("text"))[1] == "redis_wrongtype"
        assert _failure(user, lambda c: c.json().strlen("number", "."))[1] == "redis_wrongtype"
        assert _failure(user, lambda c: c.json().arrappend("doc", ".missing", 1))[1] == "redis_error"
        assert _failure(user, lambda c: c.evalsha("0" * 40, 0))[1] == "redis_noscript"
        assert _failure(user, lambda c: c.execute_command("NOTHING"))[1] == "redis_error"
        assert _failure(user, lambda c: c.json().set("doc", "no path at all", 1))[1] == "redis_error"
        server.admin.config_set("maxmemory", 1)
        error, error_class = _failure(user, lambda c: c.set("k", 1))
        assert (isinstance(error, redis.OutOfMemoryError), error_class) == (True, "redis_oom")
        assert _failure(user, lambda c: c.json().set("k", "$", 1))[1] == "redis_oom"
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
def test_what_must_exist_and_does_not_is_a_failure(redis_url, call, protocol):
    """Redis answers nil or an empty list, without an error; a view can say that this is a failure."""
    with running_user(f"{redis_url}?protocol={protocol}") as user:
        user.client.json().set("present", "$", {"a": {"b": 1}})
        view = user.client.labelled("must", must_exist=True)
        error, error_class = _failure(user, lambda _: call(view))
        assert (isinstance(error, Missing), error_class) == (True, "redis_missing")
        assert view.json().get("present", "$.a") == [{"b": 1}]
        assert view.delete("nothing") == 0
        user.client.delete("present")


def test_authentication_failures_are_counted_as_such(redis_url, tmp_path):
    """No password, a wrong one, one too many and a command that the ACL denies are all redis_auth."""
    options = ("--requirepass", "s3cret")
    with private_redis(redis_url, tmp_path, *options) as server:
        admin = redis.Redis.from_url(f"redis://:s3cret@127.0.0.1:{server.port}?protocol=2")
        admin.acl_setuser("limited", enabled=True, passwords="+pw", keys="*", commands=["+get", "+hello", "+client"])
        place = f"127.0.0.1:{server.port}"
        for protocol in (2, 3):
            for url in (f"redis://{place}", f"redis://:wrong@{place}", f"redis://nobody:pw@{place}"):
                with running_user(f"{url}?protocol={protocol}") as user:
                    error, error_class = _failure(user, lambda c: c.get("k"))
                    assert (isinstance(error, redis.AuthenticationError), error_class) == (True, "redis_auth"), url
            with running_user(f"redis://:s3cret@{place}?protocol={protocol}") as user:
                assert user.client.set("k", 1) is True
            with running_user(f"redis://limited:pw@{place}?protocol={protocol}") as user:
                assert user.client.get("k") == b"1"
                error, error_class = _failure(user, lambda c: c.set("k", 2))
                assert (isinstance(error, redis.exceptions.NoPermissionError), error_class) == (True, "redis_auth")
                assert user.client.get("k") == b"1"
        admin.close()


def test_a_password_that_the_server_does_not_expect_is_refused(redis_url):
    """AUTH on a server without a password is an error of authentication, not of the command."""
    place = redis_url.partition("://")[2]
    with running_user(f"redis://:unasked@{place}") as user:
        assert _failure(user, lambda c: c.get("k"))[1] == "redis_auth"


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
                    server.admin.config_set("key-load-delay", 0)  # seen: a busy machine need not wait for the rest
                except redis.ConnectionError:
                    Recorded(user)
                gevent.sleep(0.01)
            assert classes == {"redis_loading"}
            assert user.client.get("key:1") is not None


def test_a_killed_server_fails_the_request_under_way_and_is_found_again(redis_url, tmp_path):
    """A request that waits is reset or closed, those that follow cannot connect, and after a restart all is well."""
    with private_redis(redis_url, tmp_path) as server, running_user(server.url) as user:
        user.client.ping()
        gevent.spawn_later(0.1, server.process.kill)
        error, error_class = _failure(user, lambda c: c.blpop("nothing", timeout=3))
        assert isinstance(error, redis.ConnectionError)
        assert error_class in {"closed", "reset"}
        server.process.kill()  # and wait: a dying server may still accept
        error, error_class = _failure(user, lambda c: c.ping())
        assert (isinstance(error, redis.ConnectionError), error_class) == (True, "connect")
        server.start()
        assert user.client.ping() is True
        assert Recorded(user).errors == {}


def test_an_idle_connection_that_the_server_closed_costs_no_error(redis_url):
    """A connection killed while it is idle is replaced before the next request is sent."""
    with running_user(redis_url) as user, client_of(redis_url) as other:
        before = user.client.client_id()
        assert other.client_kill_filter(_id=before) == 1
        gevent.sleep(0.05)
        assert before != user.client.client_id()
        assert Recorded(user).errors == {}


def test_nothing_is_sent_twice():
    """A request whose connection breaks after the send is not repeated on the next connection."""
    received = []

    def script(sock):
        received.append(sock.recv(1000))
        sock.close()

    with scripted_server(script) as url, running_user(url) as user:
        assert _failure(user, lambda c: c.incr("k"))[1] == "closed"
        assert len(received) == 1
    assert received[0].count(b"INCRBY") == 1


def test_a_slow_reply_times_out(redis_url, tmp_path):
    """A reply that takes longer than socket_timeout fails in about that time, and the next request is answered."""
    with private_redis(redis_url, tmp_path) as server, running_user(f"{server.url}?socket_timeout=0.2") as user:
        server.admin.client_pause(5_000)
        started_s = time.monotonic()
        error, error_class = _failure(user, lambda c: c.set("k", "late"))
        assert 0.2 <= time.monotonic() - started_s < 4
        assert (isinstance(error, redis.TimeoutError), error_class) == (True, "timeout_read")
        assert "in 0.2 s" in str(error)
        server.admin.client_unpause()
        assert user.client.ping() is True


def test_a_pipeline_times_out_as_a_whole(redis_url):
    """A pipeline whose last reply does not come in time fails once, as timeout_read."""
    with running_user(f"{redis_url}?socket_timeout=0.1") as user:
        pipe = user.client.pipeline(transaction=False).ping().blpop("nothing", timeout=2)
        assert _failure(user, lambda _: pipe.execute())[1] == "timeout_read"


def test_a_server_that_does_not_greet_times_out():
    """Connecting includes the handshake: a silent server fails as timeout_connect."""
    with (
        scripted_server(lambda _: gevent.sleep(2)) as url,
        running_user(f"{url}?protocol=3&socket_connect_timeout=0.1") as user,
    ):
        error, error_class = _failure(user, lambda c: c.ping())
        assert (isinstance(error, redis.TimeoutError), error_class) == (True, "timeout_connect")


def test_a_failure_to_connect_is_counted_by_class(unused_port):
    """A closed port, a missing socket file and an unknown host each say what they are."""
    for url, expected in (
        (f"redis://127.0.0.1:{unused_port}", "connect"),
        ("unix:///nowhere/redis.sock", "connect"),
        ("redis://no-such-host.invalid:6379", "dns"),
    ):
        with running_user(url) as user:
            error, error_class = _failure(user, lambda c: c.ping())
            assert (isinstance(error, redis.ConnectionError), error_class) == (True, expected), url


@pytest.fixture
def unused_port():
    """A port without a listener."""
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        yield reserved.getsockname()[1]


def test_failed_connecting_is_slowed_down(unused_port):
    """A user that cannot connect tries a bounded number of times, however fast its tasks are."""
    with running_user(f"redis://127.0.0.1:{unused_port}") as user:
        attempts = 0
        end_s = time.monotonic() + 0.5
        while time.monotonic() < end_s:
            with pytest.raises(redis.ConnectionError):
                user.client.ping()
            attempts += 1
    assert 3 <= attempts <= 15


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "protocol"),
        (b"$5\r\nhello\r\n$5\r\nextra\r\n", "protocol"),
        (b"$-7\r\n", "protocol"),
        (b"*1\r\n$100\r\nhalf", "closed"),
        (b"", "closed"),
        (b"-MOVED 3999 127.0.0.1:6381\r\n", "redis_moved"),
        (b"-LOADING Redis is loading the dataset in memory\r\n", "redis_loading"),
        (b"-ERR max number of clients reached\r\n", "redis_error"),
    ],
)
def test_what_is_not_a_reply_is_an_error_of_its_class(sent, expected):
    """Garbage, more than was asked for, half a reply and no reply each end in one error of its class."""

    def script(sock):
        sock.recv(1000)
        sock.sendall(sent)
        sock.close()

    with scripted_server(script) as url, running_user(url) as user:
        assert _failure(user, lambda c: c.get("k"))[1] == expected


HUGE = b"1000000000\r\n"


@pytest.mark.parametrize(
    "pieces",
    [
        [b"*" + HUGE],
        [b"~" + HUGE],
        [b">" + HUGE],
        [b"%" + HUGE],
        [b"*2\r\n:1\r\n*" + HUGE],
        [b"*2\r\n$70000\r\n", b"x" * 70_000 + b"\r\n*" + HUGE],
        [b"*", b"1000", b"000000\r\n"],
        [b"*1\r\n", b"*1000000000\r", b"\n"],
        [b"*999999\r\n" * 20],
        [b"*9999\r\n:1\r\n" * 2_000],
    ],
)
@pytest.mark.parametrize("protocol", [2, 3])
def test_a_reply_that_announces_more_than_fits_is_refused_at_once(pieces, protocol):
    """However it is cut and nested, the parser makes no room for a thousand million elements that have not come."""

    def script(sock):
        if protocol == 3:
            sock.recv(1000)
            sock.sendall(b"%1\r\n+proto\r\n:3\r\n")
        sock.recv(1000)
        for piece in pieces:
            sock.sendall(piece)
            gevent.sleep(0.02)
        sock.recv(1000)

    with scripted_server(script) as url, running_user(f"{url}?protocol={protocol}") as user:
        error, error_class = _failure(user, lambda c: c.get("k"))
        assert (error_class, "more than 16777216 elements" in str(error)) == ("protocol", True)


def test_what_comes_unasked_makes_no_room_either():
    """An array between two requests closes the connection before it is parsed."""
    answered, closed = gevent.event.Event(), gevent.event.Event()

    def script(sock):
        sock.recv(1000)
        sock.sendall(b"$5\r\nfirst\r\n")
        if not closed.is_set():
            answered.wait(20)
            sock.sendall(b"*" + HUGE)
            assert sock.recv(1000) == b""
            closed.set()

    with scripted_server(script) as url, client_of(url) as client:
        assert client.get("a") == b"first"
        began_s = time.process_time()
        answered.set()
        assert closed.wait(20)
        assert client.get("b") == b"first"
        assert time.process_time() - began_s < 3


@pytest.mark.parametrize("protocol", [2, 3])
def test_arrays_of_many_elements_arrive_whole(redis_url, protocol):
    """What is announced counts for one reply: a hundred thousand elements at a time are far from too many."""
    with client_of(f"{redis_url}?protocol={protocol}&socket_timeout=20") as client:
        client.rpush("long", *range(100_000))
        for _ in range(200):
            assert client.lrange("long", 0, 2) == [b"0", b"1", b"2"]
        assert sum(map(int, client.lrange("long", 0, -1))) == sum(range(100_000))
        client.delete("long")


def test_a_reset_connection_is_counted_as_such():
    """A TCP reset instead of a reply is counted as reset."""

    def script(sock):
        sock.recv(1000)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()

    with scripted_server(script) as url, running_user(url) as user:
        assert _failure(user, lambda c: c.get("k"))[1] == "reset"


def test_unsolicited_data_does_not_become_the_next_reply():
    """What arrives between two requests closes the connection instead of answering the second."""
    connections = []

    def script(sock):
        connections.append(sock)
        sock.recv(1000)
        sock.sendall(b"$5\r\nfirst\r\n")
        if len(connections) == 1:
            gevent.sleep(0.05)
            sock.sendall(b"$5\r\nwrong\r\n")
        sock.recv(1000)

    with scripted_server(script) as url, client_of(url) as client:
        assert client.get("a") == b"first"
        gevent.sleep(0.1)
        assert client.get("b") == b"first"
    assert len(connections) == 2


def test_a_killed_greenlet_leaves_no_reply_to_the_next(redis_url):
    """The reply to a request that was cut off never reaches another request."""
    with client_of(redis_url) as client:
        client.set("own", "right")
        client.rpush("list", "wrong")
        for pause_s in (0, 0.0001, 0.01):
            victim = gevent.spawn(lambda: [client.lrange("list", 0, -1) for _ in range(1000)])
            gevent.sleep(pause_s)
            victim.kill()
            assert client.get("own") == b"right"
        with gevent.Timeout(0.05, False):
            client.blpop("nothing", timeout=3)
        assert client.get("own") == b"right"
        client.delete("own", "list")


def test_closing_a_client_wakes_who_waits_on_it(redis_url):
    """A request under way ends as closed when another greenlet closes the client, and no greenlet hangs."""
    with running_user(redis_url) as user:
        waiting = gevent.spawn(lambda: _failure(user, lambda c: c.blpop("nothing", timeout=4)))
        gevent.sleep(0.05)
        user.client.close()
        error, error_class = waiting.get(timeout=2)
        assert (isinstance(error, redis.ConnectionError), error_class) == (True, "closed")
        assert user.client.ping() is True


def test_greenlets_that_share_a_client_get_their_own_replies(redis_url):
    """Thirty greenlets on one client use several connections and never each other's replies."""
    with client_of(redis_url) as client:

        def work(number):
            for turn in range(50):
                assert f"{number}:{turn}".encode() == client.echo(f"{number}:{turn}")
            return client.client_id()

        workers = [gevent.spawn(work, number) for number in range(30)]
        gevent.joinall(workers, raise_error=True)
        assert len({each.value for each in workers}) > 1


def test_no_reply_goes_astray_in_a_storm(redis_url):
    """Greenlets that sleep, are killed, time out or lose their connection at random never get another's reply."""
    dice = random.Random(7)
    wrong: list[tuple[bytes, bytes]] = []
    answered = 0

    def work(client, name):
        nonlocal answered
        for turn in itertools.count():
            token = f"{name}:{turn}".encode() * dice.choice((1, 1, 1, 5_000))
            with contextlib.suppress(redis.ConnectionError, redis.TimeoutError):
                if dice.random() < 0.01:
                    client.blpop("nothing", timeout=1)
                replies = client.pipeline(transaction=False).echo(token).echo(token).execute()
                wrong.extend((token, reply) for reply in [client.echo(token), *replies] if reply != token)
                answered += 1
            if dice.random() < 0.2:
                gevent.sleep(dice.choice((0, 0.001)))

    with contextlib.ExitStack() as stack:
        urls = [f"{redis_url}?socket_timeout=0.1&protocol={2 + number % 2}" for number in range(12)]
        clients = [stack.enter_context(client_of(url)) for url in urls]
        admin = stack.enter_context(client_of(redis_url))
        workers = [gevent.spawn(work, client, f"{number}") for number, client in enumerate(clients * 3)]
        for round_number in range(60):
            gevent.sleep(0.02)
            victim = dice.randrange(len(workers))
            workers[victim].kill(block=False)
            workers[victim] = gevent.spawn(work, dice.choice(clients), f"again:{round_number}")
            if round_number % 10 == 0:
                admin.client_kill_filter(_type="normal", skipme=True)
            if round_number % 10 == 5:
                dice.choice(clients).close()
        gevent.killall(workers)
    assert wrong == []
    assert answered > 100


def test_too_many_requests_of_one_user_at_once_are_refused(redis_url):
    """The connections of one user are bounded; the error says so."""
    with client_of(redis_url) as client:
        workers = [gevent.spawn(client.blpop, "nothing", timeout=1) for _ in range(80)]
        gevent.joinall(workers)
        refused = [each.exception for each in workers if each.exception is not None]
        assert len(refused) == 80 - 64
        assert all(isinstance(each, redis.exceptions.MaxConnectionsError) for each in refused)


@pytest.mark.parametrize("protocol", [2, 3])
def test_large_commands_and_replies_come_through_whole(redis_url, protocol):
    """Twenty megabytes each way, more than any buffer of the kernel, arrive as they were."""
    blob = bytes(range(256)) * 80_000
    with client_of(f"{redis_url}?protocol={protocol}&socket_timeout=20") as client:
        assert client.set("blob", blob) is True
        assert blob == client.get("blob")
        assert [blob, True, blob] == client.pipeline(transaction=False).get("blob").ping().get("blob").execute()
        client.delete("blob")
        document = {"items": [{"n": number, "text": "x" * 50} for number in range(20_000)]}
        client.json().set("large", "$", document)
        assert document == client.json().get("large")
        client.delete("large")


def test_a_server_that_stops_reading_times_the_send_out():
    """A command that the server never takes fails as timeout_read and does not hang."""
    with (
        scripted_server(lambda _: gevent.sleep(3)) as url,
        running_user(f"{url}?socket_timeout=0.2") as user,
    ):
        started_s = time.monotonic()
        assert _failure(user, lambda c: c.set("k", b"x" * 30_000_000))[1] == "timeout_read"
        assert time.monotonic() - started_s < 1.5


def test_a_reply_may_come_before_the_command_is_out():
    """A reply that arrives while a long command is still being sent is that command's reply."""

    def script(sock):
        sock.recv(1000)
        sock.sendall(b"+OK\r\n")
        gevent.sleep(0.05)
        while sock.recv(1_000_000):
            pass

    with scripted_server(script) as url, client_of(f"{url}?socket_timeout=3") as client:
        assert client.set("k", b"x" * 30_000_000) is True


def test_an_early_error_ends_a_long_send():
    """A server that answers and closes while the command is still being sent is not missed."""

    def script(sock):
        sock.recv(1000)
        sock.sendall(b"-ERR Protocol error: too big\r\n")
        sock.close()

    with scripted_server(script) as url, running_user(url) as user:
        assert _failure(user, lambda c: c.set("k", b"x" * 30_000_000))[1] in {"redis_error", "reset", "closed"}


def test_a_deferred_command_that_the_kernel_does_not_take_whole_arrives_whole(redis_url, monkeypatch):
    """Deferring may meet a full buffer; the greenlet then sends the rest itself, as of any long command."""
    monkeypatch.setattr(resp_connection, "_SHORT_BYTES", 100_000_000)
    blob = b"x" * 30_000_000
    with client_of(redis_url) as client:
        for turn in range(3):
            assert client.set("blob", blob) is True
            assert len(blob) == client.strlen("blob"), turn


def test_a_deferred_command_that_cannot_be_sent_is_an_error(redis_url):
    """A command that waits to be sent together with others fails as any other if its connection broke."""
    with running_user(redis_url) as user:
        assert user.client.ping() is True
        user.client._session.connection.stream.shutdown(socket.SHUT_WR)
        assert _failure(user, lambda c: c.ping())[1] == "reset"
        assert user.client.ping() is True


@pytest.mark.parametrize(("sent", "expected"), [(b"?", "protocol"), (b"+OK\r\n+OK\r\n", "protocol"), (b"", "closed")])
def test_what_ends_a_connection_ends_a_long_send(sent, expected):
    """Garbage, too many replies and the end of the stream each end a command that the server has stopped to read."""

    def script(sock):
        sock.recv(1000)
        if sent:
            sock.sendall(sent)
        else:
            sock.shutdown(socket.SHUT_WR)
        gevent.sleep(2)

    with scripted_server(script) as url, running_user(f"{url}?socket_timeout=1.5") as user:
        started_s = time.monotonic()
        assert _failure(user, lambda c: c.set("k", b"x" * 30_000_000))[1] == expected
        assert time.monotonic() - started_s < 1


def test_a_reply_in_pieces_arrives_whole():
    """The pieces of a reply may come with pauses between them, wherever it is cut."""

    def script(sock):
        sock.recv(1000)
        for piece in (b"$1", b"1\r\nhello", b" ", b"world", b"\r", b"\n"):
            sock.sendall(piece)
            gevent.sleep(0.02)
        sock.recv(1000)

    with scripted_server(script) as url, client_of(url) as client:
        assert client.get("k") == b"hello world"


def test_push_messages_do_not_count_as_replies(redis_url):
    """With RESP3 and CLIENT TRACKING, invalidations arrive between and within requests and change no value."""
    with client_of(f"{redis_url}?protocol=3") as tracking, client_of(redis_url) as other:
        tracking.execute_command("CLIENT", "TRACKING", "ON", "BCAST", "NOLOOP")
        connection = tracking.client_id()
        for turn in range(50):
            other.set("tracked", turn)
            if turn % 3 == 0:
                gevent.sleep(0.001)
            assert str(turn).encode() == tracking.get("tracked")
            pipe = tracking.pipeline(transaction=False)
            writer = gevent.spawn(other.set, "tracked", turn)
            assert pipe.echo("a").blpop("nothing", timeout=0.01).echo("b").execute() == [b"a", None, b"b"]
            writer.join()
        assert connection == tracking.client_id(), "a push message must not cost the connection"
        tracking.execute_command("CLIENT", "TRACKING", "OFF")
        other.delete("tracked")


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
    """MOVED and ASK fail as redis_moved and say where the key is and what to do."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    options = ("--cluster-enabled", "yes", "--cluster-node-timeout", "2000", "--cluster-port")
    buses = free_port(), free_port()  # by default 10,000 above the port, which may be none
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
            error, error_class = _failure(user, lambda c: c.get("foo"))  # slot 12182
            assert error_class == "redis_moved"
            assert isinstance(error, redis.exceptions.MovedError)
            assert f"MOVED 12182 127.0.0.1:{second.port}" in str(error)
            assert "cluster=true in the URL follows" in str(error)
            other = second.admin.execute_command("CLUSTER", "MYID").decode()
            first.admin.execute_command("CLUSTER", "SETSLOT", 5061, "MIGRATING", other)
            error, error_class = _failure(user, lambda c: c.get("bar"))  # slot 5061
            assert (isinstance(error, redis.exceptions.AskError), error_class) == (True, "redis_moved")


def test_closed_connections_leave_nothing_behind(redis_url):
    """Fifty users that come and go leave no watched connection, no polled descriptor and no warning."""
    sweeper, poller = DeadlineSweeper.current(), Poller.current()
    gc.collect()
    before = len(sweeper.watched), len(poller)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(50):
            with client_of(redis_url) as client:
                client.ping()
        gc.collect()
    assert before == (len(sweeper.watched), len(poller))


def _blocked_pipeline(client):
    pipeline = client.pipeline(transaction=False)
    pipeline.blpop("nothing", timeout=4)
    pipeline.execute()


@pytest.mark.parametrize("call", [lambda c: c.blpop("nothing", timeout=4), _blocked_pipeline])
def test_a_request_whose_user_is_stopped_is_unfinished(redis_url, call):
    """A command, or a pipeline, without a reply when its user is killed counts with its age."""
    with running_user(redis_url) as user:
        user.client.ping()
        user.recorder.take()
        blocked = gevent.spawn(lambda: call(user.client))
        gevent.sleep(0.2)
        blocked.kill()
        taken = user.recorder.take()
        assert [(error.error_class, error.occurrences) for error in taken.errors] == [("unfinished", 1)]
        assert int(taken.requests.sum()) == 1
        assert 0.15 < taken.response_time.summaries.max() / 1e9 < 2


def test_a_limit_of_the_scenario_is_a_timeout(redis_url):
    """A gevent.Timeout around a call is the scenario's own time limit."""
    with running_user(redis_url) as user:
        with gevent.Timeout(0.05, False):
            user.client.blpop("nothing", timeout=4)
        assert [error.error_class for error in user.recorder.take().errors] == ["timeout_read"]
