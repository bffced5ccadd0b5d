"""Streamed responses: each part is timed on arrival, kinds of end are distinguished, and each request counts once."""

import gzip
from contextlib import suppress
from time import perf_counter

import gevent
import pytest
from locust.exception import StopUser

from loadtest.clients.http.errors import InvalidRequestError, TooLargeError
from loadtest.clients.http.server_sent_events import MAX_EVENT_BYTES
from loadtest.measuring import record_dict
from loadtest.measuring.labels import SETUP
from loadtest.measuring.record import RunRecord
from loadtest.measuring.streams import StreamView
from tests.http_harness import Peer, ScriptedServer, always, ok, running_user

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n"
LAST = b"0\r\n\r\n"


def chunk(text: bytes) -> bytes:
    """A chunk of a body."""
    return b"%x\r\n%b\r\n" % (len(text), text)


def event(number: int) -> bytes:
    """A chunk with one event."""
    return chunk(b"id: %d\ndata: %d\n\n" % (number, number))


def paced(*pauses_s: float, end: bytes = LAST, head: bytes = HEAD):
    """A script that sends an event after each pause."""

    def script(peer: Peer) -> None:
        while peer.read_request()[0]:
            peer.send(head)
            for number, pause_s in enumerate(pauses_s):
                gevent.sleep(pause_s)
                peer.send(event(number))
            peer.send(end)
            if end != LAST:
                return

    return script


def record_of(user) -> RunRecord:
    """The samples recorded since the last look."""
    record = RunRecord()
    record.add(user.recorder.take(), 0)
    return record


def the_stream(record: RunRecord) -> StreamView:
    """The only streamed name."""
    (view,) = record.streams()
    return view


def ended(view: StreamView) -> dict[str, int]:
    """Ends by kind, without zeros."""
    return {who: count for who, count in view.ended_by.items() if count}


def test_each_part_of_a_stream_is_timed():
    """First byte, first event and gaps match the server's pace; bytes and events are exact."""
    with ScriptedServer(paced(0.1, 0.05, 0.05)) as server, running_user(server.url) as user:
        for _ in range(2):  # over a new connection, and over a kept one
            with user.client.stream("GET", "/", name="n") as answer:
                found = [(one.data, one.id, perf_counter()) for one in answer.events()]
            assert [one[:2] for one in found] == [("0", "0"), ("1", "1"), ("2", "2")]
            assert (answer.ok, answer.status_code) == (True, 200)
        record = record_of(user)
        assert server.connections == 1
    view = the_stream(record)
    body = 3 * len(b"id: 0\ndata: 0\n\n")
    assert (view.scenario, view.method, view.name, ended(view)) == ("TestUser", "GET", "n", {"server": 2})
    assert (view.first_byte.count, view.first_event.count, view.event_gap.count, view.events) == (2, 2, 4, 6)
    assert view.response_bytes == 2 * body
    assert view.first_event.min_s >= 0.1
    assert view.first_byte.min_s < view.first_event.min_s
    assert view.pace_per_s == pytest.approx(4 / view.event_gap.sum_s)
    (request,) = record.series()
    assert (request.requests, request.failures, request.response_bytes) == (2, 0, 2 * body)
    # However late a busy machine is, no event comes early, and the gaps add up to the last one.
    assert request.response_time.min_s >= 0.2
    assert 2 * 0.2 <= view.first_event.sum_s + view.event_gap.sum_s <= request.response_time.sum_s
    assert record.timeline.end == 1
    assert record_dict.as_dict(record)["streams"][0]["events"] == 6


def test_times_of_a_stream_are_those_at_which_its_pieces_come():
    """Events of one piece have no gap; the task's own time counts in the gap before the next piece, and is named."""
    looked_at = gevent.event.Event()

    def script(peer: Peer) -> None:
        peer.read_request()
        peer.send(HEAD, event(0))
        looked_at.wait(10)
        peer.send(chunk(b"data: 1\n\ndata: 2\n\n") + LAST)

    with ScriptedServer(script) as server, running_user(server.url) as user:
        with user.client.stream("GET", "/") as answer:
            events = answer.events()
            next(events)
            looked_at.set()
            gevent.sleep(0.1)
            assert [one.data for one in events] == ["1", "2"]
        gaps = the_stream(record_of(user)).event_gap
    assert (gaps.count, gaps.min_s, gaps.max_s >= 0.1) == (2, 0.0, True)


@pytest.mark.parametrize(("end", "error_class"), [(b"", "closed"), (b"zzz\r\n", "protocol")])
def test_a_stream_that_breaks_counts_as_failed(end, error_class):
    """Iteration ends, earlier parts count, and the error gives the reason."""
    with ScriptedServer(paced(0, end=end)) as server, running_user(server.url) as user:
        with user.client.stream("GET", "/") as answer:
            found = [one.data for one in answer.events()]
            assert answer.error.error_class == error_class
            assert list(answer.events()) == []
        record = record_of(user)
    assert (record.requests, record.failures, record.most_frequent_error()) == (1, 1, error_class)
    assert (ended(the_stream(record)), the_stream(record).events) == ({"error": 1}, len(found))


def silent(peer: Peer) -> None:
    """One event, then silence."""
    peer.read_request()
    peer.send(HEAD, event(0))
    peer.read_head()


def test_a_stream_that_falls_silent_ends_by_timeout():
    """It ends by network_timeout between two pieces, or by the scenario's own limit around the whole."""
    with ScriptedServer(silent) as server, running_user(server.url, network_timeout=1.0) as user:
        with user.client.stream("GET", "/") as answer:
            assert len(list(answer.events())) == 1
        record = record_of(user)
        assert (record.most_frequent_error(), ended(the_stream(record))) == ("timeout_read", {"timeout": 1})
        with pytest.raises(gevent.Timeout), gevent.Timeout(0.05), user.client.stream("GET", "/") as answer:
            list(answer.events())
        record = record_of(user)
        assert (record.most_frequent_error(), ended(the_stream(record))) == ("timeout_total", {"timeout": 1})


@pytest.mark.parametrize("leave", ["break", "StopUser"])
def test_a_stream_that_the_user_leaves_is_a_success(leave):
    """Leaving closes the connection, and the time ends there."""
    with ScriptedServer(silent) as server, running_user(server.url) as user:
        with suppress(StopUser), user.client.stream("GET", "/") as answer:
            for _ in answer.events():
                if leave == "StopUser":
                    raise StopUser
                break
        record = record_of(user)
    assert (record.requests, record.failures, ended(the_stream(record))) == (1, 0, {"user": 1})


@pytest.mark.parametrize("events", [0, 1])
def test_a_stream_whose_user_is_stopped_is_unfinished(events):
    """Before and after its head, it counts like any other request that the end of the run cuts off."""
    seen = gevent.event.Event()

    def script(peer: Peer) -> None:
        peer.read_request()
        if events:
            peer.send(HEAD, event(0))
        else:
            seen.set()
        peer.read_head()

    def read() -> None:
        with user.client.stream("GET", "/") as answer:
            for _ in answer.events():
                seen.set()

    with ScriptedServer(script) as server, running_user(server.url) as user:
        reader = gevent.spawn(read)
        assert seen.wait(10)
        reader.kill()
        record = record_of(user)
    assert (record.most_frequent_error(), ended(the_stream(record))) == ("unfinished", {"error": 1})
    assert (record.requests, the_stream(record).events) == (1, events)


@pytest.mark.parametrize(
    ("response", "error_class"),
    [
        (ok(b'{"error": "busy"}', "Content-Type: application/json"), "protocol"),
        (ok(b"data: a\n\n"), "protocol"),
        (ok(b"", "Content-Type: text/event-stream", status="503 X"), "status_5xx"),
    ],
)
def test_an_answer_that_is_no_event_stream_fails(response, error_class):
    """A 200 with another type is not a stream without events; an error status keeps its class."""
    with ScriptedServer(always(response)) as server, running_user(server.url) as user:
        with user.client.stream("GET", "/") as answer:
            assert list(answer.events()) == []
        record = record_of(user)
    assert (record.failures, record.most_frequent_error()) == (1, error_class)
    view = the_stream(record)
    assert (ended(view), view.first_byte.count, view.events) == ({"error": 1}, 1, 0)


def test_a_stream_without_a_connection_has_no_first_byte():
    """It counts once, as failed."""
    with running_user("http://127.0.0.1:1") as user:
        with user.client.stream("GET", "/") as answer:
            assert (list(answer.events()), answer.status_code) == ([], 0)
        record = record_of(user)
    assert (record.requests, record.most_frequent_error()) == (1, "connect")
    assert (ended(the_stream(record)), the_stream(record).first_byte.count) == ({"error": 1}, 0)


@pytest.mark.parametrize("read", ["events", "iter_lines"])
def test_a_line_without_end_is_bounded(read):
    """The class is too_large, the message names the bound, and no more than the bound and a piece is buffered."""
    sent: list[int] = []

    def endless(peer: Peer) -> None:
        peer.read_request()
        peer.send(HEAD)
        for _ in range(400):
            peer.send(chunk(b"x" * 65_536))
            sent.append(65_536)

    with ScriptedServer(endless) as server, running_user(server.url) as user:
        with user.client.stream("GET", "/") as answer:
            assert list(getattr(answer, read)()) == []
            assert isinstance(answer.error, TooLargeError)
            assert str(MAX_EVENT_BYTES) in str(answer.error)
        record = record_of(user)
    assert (record.failures, record.most_frequent_error()) == (1, "too_large")
    assert the_stream(record).response_bytes < 2 * MAX_EVENT_BYTES


def test_lines_count_as_events():
    """Each non-empty JSON line counts, also an unterminated last one; pieces and whole bodies do not count."""
    body = b'{"a": 1}\r\n\n{"b": 2}\n{"c": 3}'
    with (
        ScriptedServer(always(ok(body, "Content-Type: application/jsonl"))) as server,
        running_user(server.url) as user,
    ):
        with user.client.stream("GET", "/", name="lines") as answer:
            assert list(answer.iter_lines()) == ['{"a": 1}', "", '{"b": 2}', '{"c": 3}']
        with user.client.stream("GET", "/", name="whole") as answer:
            assert answer.content == body
        with user.client.stream("GET", "/", name="pieces") as answer:
            assert "".join(map(str, answer.iter_content())) == body.decode()
        with user.client.stream("GET", "/", name="file") as answer:
            assert answer.stream.read() == body
        found = {view.name: (view.events, view.response_bytes, ended(view)) for view in record_of(user).streams()}
    expected = {"lines": (3, len(body), {"server": 1})}
    expected |= dict.fromkeys(("whole", "pieces", "file"), (0, len(body), {"server": 1}))
    assert found == expected


def test_bytes_of_a_coded_stream_are_those_received():
    """Bytes are counted before decoding, as with any response."""
    coded = gzip.compress(b"data: a\n\n" * 1000)
    answer = ok(coded, "Content-Type: text/event-stream", "Content-Encoding: gzip")
    with ScriptedServer(always(answer)) as server, running_user(server.url) as user:
        with user.client.stream("GET", "/") as response:
            assert len(list(response.events())) == 1000
        record = record_of(user)
    assert (the_stream(record).response_bytes, record.total().response_bytes) == (len(coded), len(coded))
    assert the_stream(record).events == 1000


def test_a_with_block_has_the_last_word():
    """It decides the request's outcome and its name, which the stream's figures use as well."""
    told = []
    with ScriptedServer(paced(0, 0.05)) as server, running_user(server.url) as user:
        user.environment.events.request.add_listener(lambda **event: told.append(event))
        with user.client.stream("GET", "/", name="before") as answer:
            answer.request_meta["name"] = "after"
            list(answer.events())
            answer.failure("wrong answer")
        record = record_of(user)
    assert [view.name for view in record.series()] == ["after"]
    assert (record.most_frequent_error(), the_stream(record).name) == ("assertion", "after")
    assert (told[0]["name"], told[0]["response_length"]) == ("after", 30)
    assert told[0]["response_time"] >= 50


def test_streams_of_set_up_are_requests_only():
    """Streams of on_start are in no figure of the load."""
    with ScriptedServer(paced(0)) as server, running_user(server.url) as user:
        user.enter_phase(SETUP)
        with user.client.stream("GET", "/") as answer:
            assert len(list(answer.events())) == 1
        record = record_of(user)
    assert (record.requests, record.setup.requests, record.streams()) == (0, 1, [])


def test_an_intended_start_is_where_the_times_begin():
    """The times include a user's waiting, also in the open model; the lag counts once."""
    with ScriptedServer(paced(0, 0)) as server, running_user(server.url) as user:
        user.intended_start_s = perf_counter() - 5
        with user.client.stream("GET", "/") as answer:
            list(answer.events())
        record = record_of(user)
    view = the_stream(record)
    assert view.first_byte.min_s >= 5
    assert view.first_event.min_s >= 5
    assert view.event_gap.max_s < 5
    assert record.schedule_lag["TestUser"].count == 1


def test_nothing_is_sent_without_a_with_block_and_a_wrong_call_is_refused():
    """A stream that is never read would not be counted."""
    with ScriptedServer(paced(0)) as server, running_user(server.url) as user:
        unused = user.client.stream("GET", "/")
        assert server.connections == 0
        del unused
        with pytest.raises(InvalidRequestError), user.client.stream("GET", "/", verify=False):
            pass
        with user.client.stream("GET", "/", stream=False, catch_response=False) as answer:
            assert len(list(answer.events())) == 1
        assert record_of(user).requests == 2
