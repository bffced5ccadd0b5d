"""Sessions: opened like HTTP requests, each round trip and event timed, the kinds of end distinguished."""

import ssl
import zlib
from contextlib import suppress
from time import perf_counter

import gevent
import pytest
import trustme
from locust.exception import StopUser

from loadtest.clients.http.errors import InvalidRequestError
from loadtest.clients.transport.stream import tls_context
from loadtest.clients.websocket import WebSocketUser
from loadtest.clients.websocket.errors import SessionError
from loadtest.measuring.record import RunRecord
from tests.http_harness import ScriptedServer, answering, error_classes, ok, running_user
from tests.websocket_harness import (
    BINARY,
    PING,
    PONG,
    TEXT,
    SocketPeer,
    accepting,
    close_frame,
    echoing,
    frame,
    switching,
)


def record_of(user) -> RunRecord:
    """The samples recorded since the last look."""
    record = RunRecord()
    record.add(user.recorder.take(), 0)
    return record


def requests_of(record: RunRecord) -> dict[tuple[str, str], int]:
    """Requests by method and name."""
    return {(row.method, row.name): row.requests for row in record.series()}


def classes_of(record: RunRecord) -> dict[str, int]:
    """Failures by class."""
    return {error.error_class: error.occurrences for error in record.errors()}


def ended(record: RunRecord) -> dict[str, int]:
    """Ends of sessions by kind, without zeros."""
    (view,) = record.streams()
    return {who: count for who, count in view.ended_by.items() if count}


def pushing(*pauses_s: float):
    """A server that sends an event after each pause, and then closes."""

    def script(peer):
        for number, pause_s in enumerate(pauses_s):
            gevent.sleep(pause_s)
            peer.send(frame(TEXT, b'{"number": %d}' % number))
        peer.send(close_frame(1000))
        peer.read()

    return accepting(script)


def test_round_trips_are_matched_by_key_and_events_are_not_taken_for_answers():
    """An event, and the response to another key, arrive first; each has its own figure."""

    def script(peer):
        for _ in range(2):
            _, payload = peer.read()
            peer.send(frame(TEXT, b"no JSON"), frame(TEXT, b'{"key": 99}'))
            gevent.sleep(0.05)
            peer.send(frame(TEXT, payload))
        peer.finish()

    with ScriptedServer(accepting(script)) as server, running_user(server.url, WebSocketUser) as user:
        with user.client.websocket("/", name="n") as socket:
            for key in range(2):
                answer = socket.round_trip({"key": key, "text": "é"}, "echo")
                assert answer.json() == {"key": key, "text": "é"}
            assert [socket.receive().data for _ in range(4)] == ["no JSON", '{"key": 99}'] * 2
        record = record_of(user)
    assert requests_of(record) == {("GET", "n"): 1, ("MESSAGE", "echo"): 2, ("CLOSE", "n"): 1}
    (view,) = record.streams()
    assert (view.events, view.first_byte.count, view.event_gap.count) == (4, 1, 3)
    assert ended(record) == {"user": 1}
    (echo,) = (row for row in record.series() if row.name == "echo")
    assert echo.response_time.min_s >= 0.05


def test_events_are_timed_when_they_arrive_and_pings_answered_while_the_user_sleeps():
    """The user reads the events only afterwards."""
    answered = []

    def script(peer):
        for number in range(3):
            gevent.sleep(0.05)
            peer.send(frame(TEXT, b"%d" % number), frame(PING, b"%d" % number))
            answered.append(peer.read())
        peer.send(close_frame(1001))
        peer.read()

    with ScriptedServer(accepting(script)) as server, running_user(server.url, WebSocketUser) as user:
        with user.client.websocket("/", name="n") as socket:
            while socket.close_code is None:
                gevent.sleep(0.3)
            events = list(socket.events(5))
        record = record_of(user)
    assert [event.data for event in events] == ["0", "1", "2"]
    assert answered == [(PONG, b"0"), (PONG, b"1"), (PONG, b"2")]
    (view,) = record.streams()
    assert events[1].received_s - events[0].received_s >= 0.04
    assert view.event_gap.sum_s == pytest.approx(events[2].received_s - events[0].received_s, abs=0.001)
    assert ended(record) == {"server": 1}
    assert record.failures == 0


def test_pings_are_round_trips_too():
    """A pong for another ping is skipped."""

    def script(peer):
        _, payload = peer.read()
        peer.send(frame(PONG, b"another"), frame(PONG, payload))
        peer.finish()

    with ScriptedServer(accepting(script)) as server, running_user(server.url, WebSocketUser) as user:
        with user.client.websocket("/", name="n") as socket:
            socket.ping()
        record = record_of(user)
    assert requests_of(record) == {
        ("GET", "n"): 1,
        ("PING", "n"): 1,
        ("CLOSE", "n"): 1,
    }


def test_subprotocol_compression_bytes_and_what_comes_with_the_head():
    """A message of 300 kB is sent both ways in several frames, compressed, with data right after the head."""
    text = ("Größe " * 50_000).encode()

    def serve(peer):
        head = peer.read_head()
        fields = ("Sec-WebSocket-Protocol: v1", "Sec-WebSocket-Extensions: permessage-deflate")
        peer.send(switching(head, *fields) + frame(BINARY, b"first"))
        socket = SocketPeer(peer, head)
        opcode, payload = socket.read()
        assert opcode == TEXT | 0x40
        assert len(payload) < len(text) / 10
        assert zlib.decompressobj(-15).decompress(payload + b"\x00\x00\xff\xff") == text
        deflater = zlib.compressobj(wbits=-15)
        packed = (deflater.compress(text) + deflater.flush(zlib.Z_SYNC_FLUSH))[:-4]
        socket.send(frame(TEXT, packed[:99], fin=False, rsv1=True), frame(PING), frame(0, packed[99:]))
        socket.finish()

    with ScriptedServer(serve) as server, running_user(server.url, WebSocketUser) as user:
        with user.client.websocket("/", subprotocols=("v2", "v1")) as socket:
            assert socket.subprotocol == "v1"
            assert socket.receive().data == b"first"
            socket.send(text.decode())
            assert socket.receive().data == text.decode()
        assert error_classes(user) == {}


def test_messages_larger_than_the_kernel_takes_pass_while_the_server_sends():
    """Both sides send 4 MB before they read."""
    big = b"x" * (4 << 20)

    def script(peer):
        peer.send(frame(BINARY, big))
        assert peer.read() == (BINARY, big)
        peer.send(frame(TEXT, b"got it"))
        peer.finish()

    with ScriptedServer(accepting(script)) as server, running_user(server.url, WebSocketUser) as user:
        with user.client.websocket("/", compress=False) as socket:
            socket.send(big, timeout_s=60)
            answers = [socket.receive(60).data, socket.receive(60).data]
        assert answers[0] == big
        assert answers[1] == "got it"
        assert error_classes(user) == {}


def test_tls_cookies_and_redirects_are_those_of_the_http_client():
    """A cookie of an earlier request is sent, and the session follows a redirect, also to wss."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    seen = []

    def serve(peer):
        while head := peer.read_head():
            seen.append(head)
            if b"GET /login " in head:
                peer.send(ok(b"", "Set-Cookie: id=7"))
            elif b"GET /old " in head:
                port = peer.sock.getsockname()[1]
                moved = f"HTTP/1.1 302 Found\r\nLocation: wss://127.0.0.1:{port}/new\r\nContent-Length: 0\r\n\r\n"
                peer.send(moved.encode())
            else:
                peer.send(switching(head))
                echoing(SocketPeer(peer, head))
                return

    def trusted():
        with authority.cert_pem.tempfile() as path:
            return tls_context(authorities=path)

    with ScriptedServer(serve, ssl_context=context) as server:
        url = server.url.replace("http", "https")
        with running_user(url, WebSocketUser, ssl_context_factory=staticmethod(trusted)) as user:
            user.client.get("/login")
            with user.client.websocket(url.replace("https", "wss") + "/old", name="n") as socket:
                for key in range(20):
                    assert socket.round_trip({"key": key}, "echo").json() == {"key": key}
            assert error_classes(user) == {}
    assert [head.split()[1] for head in seen] == [b"/login", b"/old", b"/new"]
    assert all(b"Cookie: id=7" in head for head in seen[1:])


def test_a_session_that_is_not_opened_is_one_failed_request():
    """The block is not entered, and the class is that of the request."""
    cases = {
        ok(b"hello"): "protocol",
        ok(b"", status="403 Forbidden"): "status_4xx",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n": "protocol",
        b"": "closed",
    }
    for response, error_class in cases.items():
        with ScriptedServer(answering(response)) as server, running_user(server.url, WebSocketUser) as user:
            with pytest.raises(SessionError) as caught, user.client.websocket("/", name="n"):
                pytest.fail("there is no session")
            assert caught.value.error_class == error_class
            record = record_of(user)
            assert (record.requests, record.failures) == (1, 1)
            assert not record.streams()


def test_closed_addresses_are_refused_as_for_http():
    """No session is opened to an address where clouds keep credentials."""
    with running_user("http://127.0.0.1:1", WebSocketUser) as user:
        with pytest.raises(SessionError, match="credentials"), user.client.websocket("ws://169.254.169.254/"):
            pytest.fail("there is no session")
        assert error_classes(user) == {"connect": 1}


def test_plain_requests_do_not_switch():
    """A server that switches unasked, or for a call that cannot, fails the request."""
    head = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
    for headers in ({}, {"Upgrade": "h2c", "Connection": "Upgrade"}):
        with ScriptedServer(answering(head)) as server, running_user(server.url) as user:
            assert "switches to another protocol" in str(user.client.get("/", headers=headers).error)
            assert error_classes(user) == {"protocol": 1}


def test_close_codes_are_distinguished():
    """An error code fails the session once; a normal close does not."""
    wrong = {"close_code": 1}
    for code, classes, who in ((1000, {}, "server"), (1011, wrong, "error"), (4001, wrong, "error")):

        def script(peer, code=code):
            peer.send(close_frame(code, "because"))
            peer.read()

        with ScriptedServer(accepting(script)) as server, running_user(server.url, WebSocketUser) as user:
            with suppress(SessionError), user.client.websocket("/", name="n") as socket:
                list(socket.events(10))
            assert socket.close_code == code
            record = record_of(user)
            assert ended(record) == {who: 1}
            assert classes_of(record) == classes


def test_a_round_trip_that_the_session_ends_counts_once():
    """This includes a normal close: the round trip has no response."""

    def script(peer):
        peer.read()
        peer.send(close_frame(1000))
        peer.read()

    with ScriptedServer(accepting(script)) as server, running_user(server.url, WebSocketUser) as user:
        with suppress(SessionError), user.client.websocket("/", name="n") as socket:
            socket.round_trip({"key": 1}, "echo")
        record = record_of(user)
        assert ended(record) == {"server": 1}
        assert [(error.name, error.error_class) for error in record.errors()] == [("echo", "closed")]
        assert record.failures == 1


@pytest.mark.parametrize("call", ["round_trip", "ping", "receive", "close"])
def test_silence_is_a_timeout(call):
    """This covers a response, a pong, an event and the reply to the close frame; the session ends, counted once."""

    def silent(peer):
        with suppress(ConnectionError):
            while True:
                peer.read()

    with (
        ScriptedServer(accepting(silent)) as server,
        running_user(server.url, WebSocketUser, network_timeout=0.2) as user,
    ):
        with suppress(SessionError), user.client.websocket("/", name="n") as socket:
            if call == "round_trip":
                socket.round_trip({"key": 1}, "n")
            elif call != "close":
                getattr(socket, call)()
        record = record_of(user)
    assert ended(record) == {"timeout": 1}
    assert classes_of(record) == {"timeout_read": 1}


def test_a_stopped_user_counts_its_round_trip_as_unfinished_and_says_goodbye():
    """An idle session of a stopped user is not a failure."""
    closes = []

    def script(peer):
        with suppress(ConnectionError):
            while True:
                closes.append(peer.read())

    with ScriptedServer(accepting(script)) as server, running_user(server.url, WebSocketUser) as user:
        for is_asking, classes in ((True, {"unfinished": 1}), (False, {})):
            is_open = gevent.event.Event()

            def session(is_asking=is_asking, is_open=is_open):
                with user.client.websocket("/", name="n") as socket:
                    is_open.set()
                    socket.round_trip({"key": 1}, "n") if is_asking else gevent.sleep(60)

            greenlet = gevent.spawn(session)
            assert is_open.wait(30)
            gevent.sleep(0)
            greenlet.kill()
            record = record_of(user)
            assert ended(record) == {"user": 1}
            assert classes_of(record) == classes


def test_a_user_that_is_stopped_while_it_closes_has_ended_its_session():
    """The close is unfinished, and the session counts once."""
    closing = gevent.event.Event()

    def script(peer):
        peer.read()
        closing.set()
        gevent.sleep(60)

    with ScriptedServer(accepting(script)) as server, running_user(server.url, WebSocketUser) as user:

        def open_and_close():
            with user.client.websocket("/", name="n"):
                pass

        greenlet = gevent.spawn(open_and_close)
        assert closing.wait(60)
        greenlet.kill()
        record = record_of(user)
    assert (ended(record), classes_of(record)) == ({"user": 1}, {"unfinished": 1})


def test_an_answer_that_comes_after_its_user_has_given_up_is_no_event():
    """It is read at the end of the session, with the events before it."""
    given_up, answered = gevent.event.Event(), gevent.event.Event()

    def script(peer):
        _, payload = peer.read()
        given_up.wait(60)
        peer.send(frame(TEXT, b"event"), frame(TEXT, payload))
        answered.set()
        peer.finish()

    with ScriptedServer(accepting(script)) as server, running_user(server.url, WebSocketUser) as user:
        with user.client.websocket("/", name="n") as socket:
            with suppress(gevent.Timeout), gevent.Timeout(0.05):
                socket.round_trip({"key": 1}, "echo")
            given_up.set()
            assert answered.wait(60)
        record = record_of(user)
    (view,) = record.streams()
    assert (view.events, classes_of(record)) == (1, {"timeout_total": 1})


def test_what_the_block_raises_goes_on():
    """A StopUser of the scenario ends the session from this side, and is not a failure."""
    with ScriptedServer(accepting(echoing)) as server, running_user(server.url, WebSocketUser) as user:
        with pytest.raises(StopUser), user.client.websocket("/", name="n"):
            raise StopUser
        record = record_of(user)
        assert ended(record) == {"user": 1}
        assert record.failures == 0


def test_calls_that_cannot_be_built_are_refused():
    """A message without its key, invalid JSON, an invalid timeout, and use by two greenlets at once are refused."""
    with ScriptedServer(accepting(echoing)) as server, running_user(server.url, WebSocketUser) as user:
        with user.client.websocket("/", name="n") as socket:
            for call in (
                lambda: socket.round_trip({"id": 1}, "n"),
                lambda: socket.round_trip("text", "n"),
                lambda: socket.send({"key": object()}),
                lambda: socket.receive(timeout_s=0),
            ):
                with pytest.raises(InvalidRequestError):
                    call()
            waiting = gevent.spawn(socket.receive)
            gevent.sleep(0)
            with pytest.raises(InvalidRequestError, match="two greenlets"):
                socket.ping()
            waiting.kill()
            assert socket.round_trip({"id": 1}, "n", key="id").json() == {"id": 1}
        assert error_classes(user) == {}


def test_last_request_is_that_of_the_latest_message():
    """It distinguishes a user that waits for events from one that is stuck."""
    with ScriptedServer(pushing(0.0, 0.1)) as server, running_user(server.url, WebSocketUser) as user:
        with user.client.websocket("/", name="n") as socket:
            events = list(socket.events(10))
        assert user.last_request_s() == events[-1].received_s <= perf_counter()
