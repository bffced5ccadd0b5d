"""Replies that are invalid, too large, split or unsolicited, from servers of the tests."""

import time

import gevent
import gevent.event
import pytest

from tests.redis_harness import client_of, failure_of, running_user, scripted_server

pytestmark = pytest.mark.usefixtures("short_backoff")


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "protocol"),
        (b"$5\r\nhello\r\n$5\r\nextra\r\n", "protocol"),
        (b"$-7\r\n", "protocol"),
        (b"%1\r\n*0\r\n$-1\r\n", "protocol"),
        (b"*1\r\n%1\r\n%0\r\n:1\r\n", "protocol"),
        (b"*1\r\n$100\r\nhalf", "closed"),
        (b"", "closed"),
        (b"-MOVED 3999 127.0.0.1:6381\r\n", "redis_moved"),
        (b"-LOADING Redis is loading the dataset in memory\r\n", "redis_loading"),
        (b"-ERR max number of clients reached\r\n", "redis_error"),
    ],
)
def test_what_is_not_a_reply_is_an_error_of_its_class(sent, expected):
    """Garbage, too many replies, half a reply and no reply each cause one error of its class."""

    def script(sock):
        sock.recv(1000)
        sock.sendall(sent)
        sock.close()

    with scripted_server(script) as url, running_user(url) as user:
        assert failure_of(user, lambda c: c.get("k"))[1] == expected


HUGE = b"1000000000\r\n"
LOOKS_LIKE_A_HEAD = b"$28\r\n" + b"*" + HUGE + b"\r\n*" + HUGE + b"\r\n"


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
        [b"*4\r\n" + b"*9999999\r\n:1\r\n" * 2],
        [b"*2\r\n", LOOKS_LIKE_A_HEAD, b"*" + HUGE],
        [b"*2\r\n" + LOOKS_LIKE_A_HEAD + b"*", HUGE],
        [b"*2\r\n" + LOOKS_LIKE_A_HEAD[:-6], LOOKS_LIKE_A_HEAD[-6:] + b"*100", b"0000000\r\n"],
        [b"*3\r\n" + LOOKS_LIKE_A_HEAD + b"*1\r\n*", HUGE],
        [b"*2\r\n$1\r\naXY*" + HUGE],
        [b"*2\r\n$1\r\na\r0*" + HUGE],
        [b"*2\r\n$0\r\n*1*" + HUGE],
        [b"*2\r\n$1\r\na", b"XY*" + HUGE],
        [b"*2\r\n$1\r\naXY", b"*" + HUGE],
        [b"*2\r\n$1\r\naXY*1000", b"000000\r", b"\n"],
        [b"*2\r\n$1\r\na\r\n", b"$1\r\naXY*1\r\n*" + HUGE],
        [b"*2\r\n$70000\r\n", b"x" * 70_000 + b"XY%" + HUGE],
        [b"*2\r\n$70000\r\n" + b"x" * 70_000, b"XY", b"*1000000", b"000\r\n"],
        [b"*99\r\n" + b"$9\r\nsomething\r\n" * 90 + b"$1\r\naXY|" + HUGE],
    ],
)
@pytest.mark.parametrize("protocol", [2, 3])
def test_a_reply_that_announces_more_than_fits_is_refused_at_once(pieces, protocol):
    """However it is split and nested, the parser allocates nothing for a thousand million missing elements."""

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
        error, error_class = failure_of(user, lambda c: c.get("k"))
        assert (error_class, "more than 16777216 elements" in str(error)) == ("protocol", True)


@pytest.mark.parametrize("protocol", [2, 3])
def test_a_value_that_looks_like_a_head_announces_nothing(protocol):
    """However it is split, and whatever surrounds it, its value arrives unchanged, and so does the next one."""
    reply = b"*3\r\n" + LOOKS_LIKE_A_HEAD + b"*2\r\n:1\r\n" + LOOKS_LIKE_A_HEAD + b"$1\r\nx\r\n"
    value = LOOKS_LIKE_A_HEAD[5:-2]

    def script(sock):
        if protocol == 3:
            sock.recv(1000)
            sock.sendall(b"%1\r\n+proto\r\n:3\r\n")
        for cut in range(1, len(reply)):
            sock.recv(1000)
            for piece in (reply[:cut], reply[cut : cut + 3], reply[cut + 3 :]):
                sock.sendall(piece)
                gevent.sleep(0.002)
        sock.recv(1000)

    with scripted_server(script) as url, client_of(f"{url}?protocol={protocol}&socket_timeout=20") as client:
        for _ in range(1, len(reply)):
            assert client.lrange("k", 0, -1) == [value, [1, value], b"x"]


@pytest.mark.parametrize("protocol", [2, 3])
def test_a_value_of_many_lines_like_heads_comes_whole(redis_url, protocol):
    """A file of Redis' own commands is such a value: it arrives whole in one piece and in many."""
    with client_of(f"{redis_url}?protocol={protocol}&socket_timeout=20") as client:
        for lines in (10, 100_000):
            value = b"\r\n*9999999\r\n%5000000\r\n" * lines
            client.set("lines", value)
            assert client.get("lines") == value
            assert client.mget("lines", "nothing", "lines") == [value, None, value]
            pipeline = client.pipeline(transaction=False)
            pipeline.get("lines").ping().get("lines")
            assert pipeline.execute() == [value, True, value]
        client.delete("lines")


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
    """The limit applies to one reply: a hundred thousand elements at a time are far below it."""
    with client_of(f"{redis_url}?protocol={protocol}&socket_timeout=20") as client:
        client.rpush("long", *range(100_000))
        for _ in range(200):
            assert client.lrange("long", 0, 2) == [b"0", b"1", b"2"]
        assert sum(map(int, client.lrange("long", 0, -1))) == sum(range(100_000))
        client.delete("long")


def test_unsolicited_data_does_not_become_the_next_reply():
    """Bytes between two requests close the connection instead of answering the second."""
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


def test_a_reply_in_pieces_arrives_whole():
    """A reply may be split anywhere, with pauses between its pieces."""

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
