"""Events counted in addition to the requests, and their meaning for the figures."""

import pytest

from loadtest.judging import tallied
from loadtest.measuring.labels import FIRST_EVENT, PAIR
from loadtest.measuring.record import RunRecord
from loadtest.measuring.recorder import Recorder
from loadtest.measuring.tallies import (
    CONNECTION,
    ELSEWHERE,
    KEY,
    LOOKUP,
    MISS,
    NOWHERE,
    REDIRECT,
    RETRY,
    SAME,
    SIZE,
    UNKNOWN,
    VARIED,
)


def record_of(*tallies: tuple[str, str, int, float], requests: int = 100, response_s: float = 0.1) -> RunRecord:
    """A record of one request name; each tally has its kind, its detail, its count, and its duration."""
    recorder = Recorder()
    series = recorder.series("shop", "GET", "buy")
    for _ in range(requests):
        series.success(1.0, 1.0, 1.0 + response_s, 1)
    for kind, detail, times, each_s in tallies:
        for _ in range(times):
            series.tally(kind, detail, each_s)
    record = RunRecord()
    record.add(recorder.take())
    return record


def rules(record: RunRecord) -> list[str]:
    """The names of the rules that a record fails."""
    return [finding.rule for finding in tallied.findings(record)]


@pytest.mark.parametrize(
    ("times", "each_s", "expected"),
    [
        (100, 0.01, ["name_lookups"]),  # 10 % of 10 s
        (100, 0.009, []),
        (5, 0.2, ["name_lookups"]),  # few users that keep their connections, and a resolver that takes long
        (4, 0.3, []),
        (0, 0.0, []),
    ],
)
def test_look_ups_that_take_a_tenth_of_the_times_break_their_rule(
    times: int, each_s: float, expected: list[str]
) -> None:
    """Few or quick ones do not: every user has to look its host up once."""
    assert rules(record_of((LOOKUP, "shop.example", times, each_s))) == expected


@pytest.mark.parametrize(
    ("same", "varied", "expected"), [(20, 0, ["same_answers"]), (19, 0, []), (96, 4, ["same_answers"]), (95, 5, [])]
)
def test_answers_that_should_vary_and_do_not_break_their_rule(same: int, varied: int, expected: list[str]) -> None:
    """The rule applies from twenty on, if fewer than one in twenty differs from its predecessor."""
    assert rules(record_of((SAME, "", same, 0.0), (VARIED, "", varied, 0.0))) == expected


@pytest.mark.parametrize(
    ("tally", "few", "expected"),
    [
        ((CONNECTION, "", 50, 0.02), 49, "50 connections were opened for 100 requests of GET buy, and took 10% of"),
        ((REDIRECT, "", 1, 0.0), 0, "1 redirects were followed within 100 requests of GET buy"),
        ((RETRY, "", 1, 0.0), 0, "1 requests were retried over another connection within 100 requests"),
        ((UNKNOWN, "", 1, 0.0), 0, "retries of GET buy are unknown: their client does not report them"),
        ((KEY, "hot", 20, 0.0), 19, "100% of the commands of scenario shop used one Redis key, hot (20 of 20 in a"),
        ((CONNECTION, "10.0.0.7", 10, 0.0), 9, "and all 10 connections went to 10.0.0.7: one server took the"),
    ],
)
def test_what_only_the_reader_can_judge_is_noted(tally: tuple[str, str, int, float], few: int, expected: str) -> None:
    """They are noted from their limit on, and fail no rule."""
    kind, detail, _, each_s = tally
    record = record_of(tally)
    [note] = tallied.notes(record)
    assert expected in note
    assert rules(record) == []
    assert list(tallied.notes(record_of((kind, detail, few, each_s)))) == []


@pytest.mark.parametrize(("hot", "others", "is_noted"), [(90, 10, True), (89, 11, False), (0, 100, False)])
def test_a_hot_key_is_noted_by_its_share_of_the_sample(hot: int, others: int, is_noted: bool) -> None:
    """The note is from nine in ten on; keys too rare to be named count as many, never as one."""
    notes = list(tallied.notes(record_of((KEY, "hot", hot, 0.0), (KEY, "", others, 0.0))))
    assert [note.startswith("90% of the commands of scenario shop used one Redis key") for note in notes] == [
        True
    ] * is_noted


@pytest.mark.parametrize(
    ("kind", "times", "requests", "expected"),
    [
        (RETRY, 5, 100, ["resent_requests"]),
        (RETRY, 4, 100, []),
        (RETRY, 4, 10, []),
        (NOWHERE, 1, 100, ["empty_redirects"]),
        (NOWHERE, 1, 101, []),
    ],
)
def test_failures_that_count_as_successes_break_a_rule(
    kind: str, times: int, requests: int, expected: list[str]
) -> None:
    """These are requests saved by a second connection, and responses without content."""
    assert rules(record_of((kind, "", times, 0.0), requests=requests)) == expected


@pytest.mark.parametrize(
    ("misses", "requests", "expected", "is_noted"),
    [
        (100, 100, ["only_misses"], False),
        (99, 100, ["only_misses"], False),
        (98, 100, [], True),
        (20, 20, ["only_misses"], False),
        (19, 19, [], False),
        (20, 200, [], True),
        (20, 201, [], False),
    ],
)
def test_reads_of_redis_that_find_nothing_break_their_rule(
    misses: int, requests: int, expected: list[str], is_noted: bool
) -> None:
    """An empty database is fast; if only some reads find nothing, as with a cache, that is noted."""
    record = record_of((MISS, "", misses, 0.0), requests=requests)
    assert rules(record) == expected
    assert [f"{misses} of {requests} GET buy found nothing in Redis" in note for note in tallied.notes(record)] == [
        True
    ] * is_noted


@pytest.mark.parametrize(
    ("redirected", "names", "expected"),
    [
        ({"a": 90, "b": 100}, 2, ["redirected_away"]),
        ({"a": 89, "b": 100}, 2, []),
        ({"a": 100}, 1, []),  # one page may have another address
        ({"a": 100, "b": 100}, 5, []),  # less than half of the requests
    ],
)
def test_requests_of_several_names_that_end_at_one_place_break_their_rule(
    redirected: dict[str, int], names: int, expected: list[str]
) -> None:
    """Users whose login failed measure the login page, under every name."""
    recorder = Recorder()
    for name in "abcde"[:names]:
        series = recorder.series("shop", "GET", name)
        for _ in range(100):
            series.success(1.0, 1.0, 1.1, 1)
        for number in range(redirected.get(name, 0)):
            series.note_redirect(f"https://shop.example/login;jsessionid={number}?next=/{name}")
    record = RunRecord()
    record.add(recorder.take())
    assert rules(record) == expected
    assert all("were redirected to /login" in finding.sentence for finding in tallied.findings(record))


@pytest.mark.parametrize(
    ("host", "names", "expected"),
    [
        ("http://shop.example", ["buy"], ["another_host"]),
        ("http://shop.example", ["buy", "pay"], []),  # some went where they should
        (None, ["buy"], []),  # each user sets its own host
    ],
)
def test_a_run_none_of_whose_requests_went_to_its_host_breaks_a_rule(
    host: str | None, names: list[str], expected: list[str]
) -> None:
    """The run claims to load one service, but loads another."""
    recorder = Recorder()
    for name in names:
        recorder.series("shop", "GET", name).success(1.0, 1.0, 1.1, 1)
    recorder.series("shop", "GET", "buy").tally(ELSEWHERE, "api.example:8080")
    record = RunRecord(configuration={"host": host})
    record.add(recorder.take())
    assert rules(record) == expected
    assert "requests of GET buy went to a host other than the users' own: api.example:8080" in tallied.notes(record)


@pytest.mark.parametrize(
    ("is_duet", "detail", "names", "expected"),
    [
        (True, "old.example", ["buy", "pay"], ["another_host"]),  # one of its names is that of the other version
        (True, "third.example", ["buy"], ["another_host"]),  # no request goes to its own version
        (True, "third.example", ["buy", "pay"], []),  # such as the service of another company, on both sides
        (False, "old.example", ["buy", "pay"], []),  # users of one service that also request another's
    ],
)
def test_a_side_of_a_duet_that_loads_the_other_version_breaks_a_rule(
    is_duet: bool, detail: str, names: list[str], expected: list[str]
) -> None:
    """A scenario with a host in its URLs would compare a version with itself."""
    recorder = Recorder()
    for side in ("base", "new"):
        for name in names:
            recorder.series(side, "GET", name).success(1.0, 1.0, 1.1, 1)
    recorder.series("new", "GET", "buy").tally(ELSEWHERE, detail)
    if is_duet:
        recorder.series("duet", "GET", "buy", PAIR).success(0.0, 0.0, 1.0, 0)
    hosts = ["http://new.example", "http://old.example"]
    record = RunRecord(configuration={"host": None}, context={"target": {"hosts": hosts}})
    record.add(recorder.take())
    found = list(tallied.findings(record))
    assert [one.rule for one in found] == expected
    assert all(f"requests of the new version, GET buy, went to {detail}" in one.sentence for one in found)


@pytest.mark.parametrize(
    ("requests", "expected"),
    [
        ([("HEAD", "page", 0)], ["HEAD page"]),
        ([("GET", "page", 0), ("DELETE", "item", 0)], ["GET page, DELETE item"]),
        ([("GET", "page", 0), ("DELETE", "item", 0), ("GET", "other", 9)], ["GET page"]),
        ([("POST", "item", 0), ("HEAD", "page", 0), ("GET", "other", 9)], []),
        ([("GET", "page", 9)], []),
    ],
)
def test_answers_without_a_body_are_noted(requests: list[tuple[str, str, int]], expected: list[str]) -> None:
    """For GET this always holds; for other methods, where it is usual, only if nothing else was measured."""
    recorder = Recorder()
    for method, name, received_bytes in requests:
        recorder.series("shop", method, name).success(1.0, 1.0, 1.1, received_bytes)
    record = RunRecord()
    record.add(recorder.take())
    assert [note.partition(" had a body")[0] for note in tallied.notes(record)] == [
        f"no response of {names}" for names in expected
    ]


def test_a_session_that_brings_events_needs_no_body() -> None:
    """Neither its opening nor its end needs one; a session without events is noted."""
    recorder = Recorder()
    for name in ("/news", "/silence"):
        for method in ("GET", "CLOSE"):
            recorder.series("shop", method, name).success(1.0, 1.0, 1.1, 0)
    recorder.series("shop", "GET", "/news", FIRST_EVENT).success(1.0, 1.0, 1.1, 20)
    record = RunRecord()
    record.add(recorder.take())
    (note,) = tallied.notes(record)
    assert note.startswith("no response of GET /silence, CLOSE /silence had a body")


@pytest.mark.parametrize(
    ("closes", "body_bytes", "is_noted"), [(True, 0, False), (True, 5, False), (False, 0, False), (False, 5, True)]
)
def test_a_websocket_session_has_its_connection_for_itself(closes: bool, body_bytes: int, is_noted: bool) -> None:
    """This holds whoever closes it, and even if a failed opening had a body; another stream could have shared it."""
    recorder = Recorder()
    session = recorder.series("shop", "GET", "/news")
    for _ in range(100):
        session.success(1.0, 1.0, 1.1, body_bytes)
        session.tally(CONNECTION, "", 0.02)
    recorder.series("shop", "GET", "/news", FIRST_EVENT).success(1.0, 1.0, 1.1, 20)
    if closes:
        recorder.series("shop", "CLOSE", "/news").success(1.0, 1.0, 1.1, 0)
    record = RunRecord()
    record.add(recorder.take())
    notes = [note for note in tallied.notes(record) if "connections were opened" in note]
    assert [note.startswith("100 connections were opened for 100 requests of GET /news") for note in notes] == [
        True
    ] * is_noted


def test_servers_that_share_the_load_are_no_note() -> None:
    """Here one address is among others."""
    assert list(tallied.notes(record_of((CONNECTION, "10.0.0.7", 20, 0.0), (CONNECTION, "10.0.0.8", 1, 0.0)))) == []


@pytest.mark.parametrize(
    ("sizes", "requests", "is_noted"),
    [
        (("2",), 20, True),
        (("1", "2"), 20, True),
        (("2",), 19, False),
        (("2", "4"), 20, False),
        (("1",), 20, False),  # without a body, which has its own note
    ],
)
def test_answers_that_hold_nothing_are_noted(sizes: tuple[str, ...], requests: int, is_noted: bool) -> None:
    """A service without data returns an empty list, and is fast."""
    record = record_of(*((SIZE, size, 1, 0.0) for size in sizes), requests=requests)
    expected = "no response of GET buy had more than 3 bytes, about the size of an empty list"
    assert [note.startswith(expected) for note in tallied.notes(record)] == [True] * is_noted


@pytest.mark.parametrize(("smallest", "noted"), [("16", True), ("32", False)])
def test_sizes_that_differ_wildly_suggest_to_look_into_the_answers(smallest: str, noted: bool) -> None:
    """The note is from a factor of 64 on."""
    notes = list(tallied.notes(record_of((SIZE, smallest, 1, 0.0), (SIZE, "1024", 1, 0.0))))
    assert bool(notes) is noted
    assert all("with expect=Expect(…)" in note for note in notes)
