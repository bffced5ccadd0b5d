"""Tallied: problems with a run's figures that are visible only in what was counted in addition to its requests.

Source: `loadtest.measuring.tallies`. Three findings make a run not trustworthy, because it measured a resolver, an
empty database or a cache: look-ups that take much of the response times, Redis reads that find nothing, and identical
responses where the scenario says that they vary. Connections, redirects, retries and sizes are noted alongside the
verdict: real services may have many of them, and only the reader knows whether that was intended.
"""

from __future__ import annotations

from collections import defaultdict
from operator import itemgetter
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import urlsplit

from loadtest.measuring.labels import PAIRS
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
from loadtest.progress import listed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from loadtest.measuring.record import RunRecord

LOOKUP_RATIO: Final = 0.10
"""Share of all response times that look-ups took."""
LOOKUP_S: Final = 0.010
"""The smallest mean time of a look-up, in seconds, from which they count."""
MIN_LOOKUPS: Final = 5
"""The minimum number of look-ups that count: one slow look-up does not affect a run."""
VARIED_RATIO: Final = 0.05
"""Share of responses that must differ from the previous one, where the scenario says that they vary."""
COMPARED_ANSWERS: Final = 20
CONNECTIONS_RATIO: Final = 0.5
"""Share of a name's requests that opened a connection."""
MIN_REQUESTS: Final = 20
RESENT_RATIO: Final = 0.05
"""Share of a name's requests that were retried: more than closed idle connections explain."""
MIN_RESENT: Final = 5
"""The minimum number of retries that count."""
NOWHERE_RATIO: Final = 0.01
"""Share of a name's requests whose 3xx response was not a usable redirect."""
MISS_RATIO: Final = 0.99
"""Share of a name's Redis commands that found nothing, from which hardly any command found something."""
MIN_MISSES: Final = 20
"""The minimum number of of these commands that count."""
NOTED_MISS_RATIO: Final = 0.1
"""Share of a name's Redis commands that found nothing, from which they are noted."""
AWAY_RATIO: Final = 0.9
"""Share of a name's requests that were redirected to one place, from which that place was measured, not the name."""
AWAY_NAMES: Final = 2
"""The minimum number of names that were redirected to the same place."""
AWAY_SHARE: Final = 0.5
"""The smallest share of all requests that these names made."""
EXTRA_RATIO: Final = 0.01
"""Share of a name's requests that were redirected or retried."""
MIN_CONNECTIONS: Final = 10
"""The minimum number of connections to a name with several addresses, for a note that all went to one of them."""
KEY_RATIO: Final = 0.9
"""Share of a scenario's sampled commands that named the same key."""
MIN_SAMPLED: Final = 20
"""The smallest sample of commands that counts."""
SIZES_RATIO: Final = 64
"""The size of the largest success divided by that of the smallest, from which sizes are noted."""
EMPTY_BYTES: Final = 4
"""The size, in bytes, below which a response is an empty list or object with a line end."""
GET: Final = "GET"


class Finding(NamedTuple):
    """A broken rule."""

    rule: str
    subject: str
    value: float
    limit: float
    sentence: str


def findings(record: RunRecord) -> Iterator[Finding]:
    """Yield what makes a run's figures those of something other than the service."""
    tallies = record.tallies()
    lookups = [row for row in tallies if row.kind == LOOKUP]
    times, seconds = sum(row.times for row in lookups), sum(row.seconds for row in lookups)
    all_s = record.total().response_time.sum_s
    if times >= MIN_LOOKUPS and seconds >= LOOKUP_S * times and seconds >= LOOKUP_RATIO * all_s:
        names = ", ".join(dict.fromkeys(row.detail for row in lookups))
        yield Finding(
            "name_lookups",
            "run",
            seconds / all_s if all_s else 1.0,
            LOOKUP_RATIO,
            f"{times:,} look-ups of {names} took {seconds / times * 1000:.0f} ms each, {_share(seconds, all_s)} of all "
            "response times: keep connections alive, use a caching resolver, or use an IP address in HOST",
        )
    yield from _failures_as_successes(record)
    yield from _only_misses(record)
    yield from _redirected_away(record)
    yield from _another_host(record)
    yield from _other_version(record)
    answers: dict[tuple[str, str], dict[str, int]] = defaultdict(lambda: {SAME: 0, VARIED: 0})
    for row in tallies:
        if row.kind in {SAME, VARIED}:
            answers[row.method, row.name][row.kind] += row.times
    for (method, name), counted in answers.items():
        compared = counted[SAME] + counted[VARIED]
        if compared >= COMPARED_ANSWERS and counted[VARIED] < VARIED_RATIO * compared:
            yield Finding(
                "same_answers",
                f"{method} {name}",
                counted[VARIED] / compared,
                VARIED_RATIO,
                f"{counted[SAME]:,} of {compared:,} responses of {method} {name} were byte-identical to the previous "
                "one, although the scenario declares that they vary: a cache, or a single key, was measured; request "
                "more than one item, and check whether the responses come from the service itself",
            )


def _requests(record: RunRecord) -> dict[tuple[str, str], int]:
    """The number of requests by method and name."""
    requests: dict[tuple[str, str], int] = defaultdict(int)
    for view in record.counts():
        requests[view.method, view.name] += view.requests
    return requests


def _failures_as_successes(record: RunRecord) -> Iterator[Finding]:
    """Failures that count as successes: requests that needed a retry, and responses without a result."""
    requests = _requests(record)
    counted: dict[tuple[str, str], dict[str, int]] = defaultdict(lambda: {RETRY: 0, NOWHERE: 0})
    for row in record.tallies():
        if row.kind in {RETRY, NOWHERE}:
            counted[row.method, row.name][row.kind] += row.times
    for name, times in counted.items():
        label, made = " ".join(name), requests[name]
        if times[RETRY] >= max(MIN_RESENT, RESENT_RATIO * made):
            yield Finding(
                "resent_requests",
                label,
                times[RETRY] / made if made else 1.0,
                RESENT_RATIO,
                f"{times[RETRY]:,} of {made:,} {label} were retried because the service closed the connection without "
                "a response, and each counts as one success: find out why; if the cause is its idle timeout, raise it "
                "above the users' think time",
            )
        if times[NOWHERE] >= max(1.0, NOWHERE_RATIO * made):
            yield Finding(
                "empty_redirects",
                label,
                times[NOWHERE] / made if made else 1.0,
                NOWHERE_RATIO,
                f"{times[NOWHERE]:,} of {made:,} responses of {label} had status 3xx without a usable redirect (304 to "
                "an unconditional request, or a redirect without a location or to itself) and no content: check the "
                "service, or define the expected response with expect=Expect(…)",
            )


def _misses(record: RunRecord, fewest: int) -> Iterator[tuple[str, int, int]]:
    """Yield the names with at least this number of misses in Redis: the name, the misses and the requests."""
    requests = _requests(record)
    counted: dict[tuple[str, str], int] = defaultdict(int)
    for row in record.tallies():
        if row.kind == MISS:
            counted[row.method, row.name] += row.times
    for name, misses in counted.items():
        if misses >= fewest:
            yield " ".join(name), misses, max(requests[name], misses)


def _only_misses(record: RunRecord) -> Iterator[Finding]:
    for label, misses, made in _misses(record, MIN_MISSES):
        if misses >= MISS_RATIO * made:
            yield Finding(
                "only_misses",
                label,
                misses / made,
                MISS_RATIO,
                f"{misses:,} of {made:,} {label} found nothing in Redis (no key, or nothing at the path), which takes "
                "less time than returning data: load the data first and check the keys; if this is intended, declare "
                "it with labelled(…, must_exist=False)",
            )


def _some_misses(record: RunRecord) -> Iterator[str]:
    for label, misses, made in _misses(record, MIN_MISSES):
        if NOTED_MISS_RATIO * made <= misses < MISS_RATIO * made:
            yield (
                f"{misses:,} of {made:,} {label} found nothing in Redis: its times mix hits and misses. Next: if every "
                "key should exist, use labelled(…, must_exist=True)"
            )


def _elsewhere(record: RunRecord) -> tuple[list[str], dict[tuple[str, str], None]]:
    """Return the hosts other than the users' own to which requests went, and the names of those requests."""
    rows = [row for row in record.tallies() if row.kind == ELSEWHERE]
    return sorted({row.detail for row in rows}), {(row.method, row.name): None for row in rows}


def _another_host(record: RunRecord) -> Iterator[Finding]:
    """A run in which no request went to the host that it names."""
    hosts, elsewhere = _elsewhere(record)
    host = record.configuration.get("host")
    if hosts and host and elsewhere.keys() == _requests(record).keys():
        yield Finding(
            "another_host",
            "run",
            1.0,
            1.0,
            f"no request went to {host}, the host of the run: they went to {listed(hosts)}; use paths without a host "
            "in the scenario, or set HOST to the host that it loads",
        )


def _other_version(record: RunRecord) -> Iterator[Finding]:
    """Requests of a side of a duet that went to the other side's version, or of which none went to its own."""
    rows = [row for row in record.tallies() if row.kind == ELSEWHERE]
    if not rows or not any(True for phase in PAIRS.values() for _ in record.of_phase(phase).series()):
        return
    versions = {urlsplit(url).netloc for url in record.context.get("target", {}).get("hosts", ())}
    for side in sorted({row.scenario for row in rows}):
        own = [row for row in rows if row.scenario == side]
        astray = {(row.method, row.name) for row in own}
        if astray != {(view.method, view.name) for view in record.series() if view.scenario == side}:
            own = [row for row in own if row.detail in versions]
        if own:
            names = listed(sorted({f"{row.method} {row.name}" for row in own}))
            yield Finding(
                "another_host",
                side,
                1.0,
                1.0,
                f"requests of the {side} version, {names}, went to {listed(sorted({row.detail for row in own}))} "
                "instead, so the duet did not compare the two versions: use paths without a host in the scenario",
            )


def _redirected_away(record: RunRecord) -> Iterator[Finding]:
    """Requests of several names that all end at one place, such as a log-in page after a session has expired."""
    requests = _requests(record)
    to_place: dict[str, dict[tuple[str, str], int]] = defaultdict(lambda: defaultdict(int))
    for row in record.tallies():
        if row.kind == REDIRECT and row.detail:
            to_place[row.detail][row.method, row.name] += row.times
    for place, counted in to_place.items():
        names = [name for name, times in counted.items() if times >= AWAY_RATIO * requests[name] > 0]
        away = sum(requests[name] for name in names)
        if len(names) >= AWAY_NAMES and away >= AWAY_SHARE * record.requests:
            yield Finding(
                "redirected_away",
                "run",
                away / record.requests,
                AWAY_SHARE,
                f"{away:,} of {record.requests:,} requests were redirected to {place}, including those of "
                f"{listed([' '.join(name) for name in names])}, so that page was measured instead of the requested "
                "ones: fix the log-in if they need one, or request that page directly",
            )


def notes(record: RunRecord) -> Iterator[str]:
    """Yield notes that explain the figures but do not change the verdict."""
    requests = _requests(record)
    counted: dict[tuple[str, str], dict[str, list[float]]] = defaultdict(lambda: defaultdict(lambda: [0.0, 0.0]))
    sizes: dict[tuple[str, str], set[int]] = defaultdict(set)
    peers: dict[str, int] = defaultdict(int)
    for row in record.tallies():
        together = counted[row.method, row.name][row.kind]
        together[0] += row.times
        together[1] += row.seconds
        if row.kind == SIZE and row.detail:
            sizes[row.method, row.name].add(int(row.detail))
        if row.kind == CONNECTION and row.detail:
            peers[row.detail] += row.times
    times_s: dict[tuple[str, str], float] = defaultdict(float)
    for view in record.series(lambda key: (key.method, key.name) in counted):
        times_s[view.method, view.name] += view.response_time.sum_s
    sessions = _sessions(record)
    for name, of_kind in counted.items():
        opened = [0.0, 0.0] if name in sessions else of_kind[CONNECTION]
        yield from _connections(" ".join(name), requests[name], times_s[name], *opened)
        yield from _extra(" ".join(name), requests[name], of_kind[REDIRECT][0], of_kind[RETRY][0])
        yield from _sizes(" ".join(name), requests[name], sizes[name])
        yield from _empty(*name, requests[name], sizes[name])
    hosts, elsewhere = _elsewhere(record)
    if hosts:
        labels = listed([" ".join(name) for name in elsewhere])
        yield f"requests of {labels} went to a host other than the users' own: {listed(hosts)}"
    if unknown := [" ".join(name) for name, of_kind in counted.items() if of_kind[UNKNOWN][0]]:
        yield (
            f"the connections, look-ups, redirects and retries of {listed(unknown)} are unknown: their client does not "
            "report them"
        )
    yield from _without_body(record)
    yield from _one_key(record)
    yield from _some_misses(record)
    if len(peers) == 1 and (most := max(peers.values())) >= MIN_CONNECTIONS:
        (address,) = peers
        yield (
            f"the service's name has several addresses, and all {most:,} connections went to {address}: one server "
            "took the whole load. Next: load the others too, or state that one server was measured"
        )


def _sessions(record: RunRecord) -> set[tuple[str, str]]:
    """Return the names of WebSocket sessions, each of which needs a connection of its own.

    A session is recognised by two facts: its user closes it with a request of its own, and its events, unlike those of
    other streams, are in no body.
    """
    closed = {(GET, view.name) for view in record.counts() if view.method == "CLOSE"}
    with_body = {(view.method, view.name) for view in record.counts() if view.response_bytes}
    return closed | {(view.method, view.name) for view in record.streams()} - with_body


def _one_key(record: RunRecord) -> Iterator[str]:
    """Name the scenarios in which nearly all Redis commands used one key: only the reader knows if that is intended."""
    keys: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for row in record.tallies():
        if row.kind == KEY:
            keys[row.scenario][row.detail] += row.times
    for scenario, counted in keys.items():
        sampled = sum(counted.values())
        key, times = max(((key, times) for key, times in counted.items() if key), key=itemgetter(1), default=("", 0))
        if sampled >= MIN_SAMPLED and times >= KEY_RATIO * sampled:
            yield (
                f"{_share(times, sampled)} of the commands of scenario {scenario} used one Redis key, {key} "
                f"({times:,} of {sampled:,} in a sample): other keys were not measured. Next: spread the commands over "
                "as many keys as your users have, or state that one key was measured"
            )


def _without_body(record: RunRecord) -> Iterator[str]:
    """Name the requests without a response body: all of the run's, or those of methods that request nothing else.

    A WebSocket session has events instead.
    """
    sessions = {(view.scenario, view.name) for view in record.streams() if view.response_bytes}
    series = [view for view in record.counts() if (view.scenario, view.name) not in sessions]
    answered = [view for view in series if view.requests > view.failures]
    empty = [view for view in answered if not view.response_bytes]
    asked = empty if len(empty) == len(answered) else [view for view in empty if view.method == GET]
    if asked:
        names = listed([f"{view.method} {view.name}" for view in asked])
        yield (
            f"no response of {names} had a body: the run shows only that the service answered. Next: if there should "
            "be one, define the expected response with expect=Expect(…)"
        )


def _connections(name: str, requests: int, times_s: float, opened: float, took_s: float) -> Iterator[str]:
    if requests >= MIN_REQUESTS and opened >= CONNECTIONS_RATIO * requests:
        yield (
            f"{opened:,.0f} connections were opened for {requests:,} requests of {name}, and took "
            f"{_share(took_s, times_s)} of their response times, as with new visitors. Next: if your users reuse "
            "connections, find out whether the scenario or the service closes them"
        )


def _extra(name: str, requests: int, redirects: float, retries: float) -> Iterator[str]:
    for extra, what in (
        (redirects, "redirects were followed"),
        (retries, "requests were retried over another connection"),
    ):
        if extra >= max(1, EXTRA_RATIO * requests):
            yield (
                f"{extra:,.0f} {what} within {requests:,} requests of {name}: each counts once, with its total time, "
                "so the service answered more requests than the figures show"
            )


def _sizes(name: str, requests: int, sizes: set[int]) -> Iterator[str]:
    if requests >= MIN_REQUESTS and sizes and max(sizes) >= SIZES_RATIO * min(sizes):
        yield (
            f"successes of {name} ranged from about {min(sizes):,} to {max(sizes):,} bytes or more: the small ones may "
            "be errors returned as a success. Next: define the expected response with expect=Expect(…), or check it "
            "with catch_response=True in a client of Locust"
        )


def _empty(method: str, name: str, requests: int, sizes: set[int]) -> Iterator[str]:
    """Name the pages whose responses were all empty. Those without a body, 0 or 1 bytes here, are noted separately."""
    if method == GET and requests >= MIN_REQUESTS and sizes and 1 < max(sizes) < EMPTY_BYTES:
        yield (
            f"no response of GET {name} had more than {EMPTY_BYTES - 1} bytes, about the size of an empty list: if it "
            "should have content, load the service's data. Next: define the expected response with expect=Expect(…)"
        )


def _share(part_s: float, whole_s: float) -> str:
    return f"{min(part_s / whole_s, 1.0):.0%}" if whole_s else "all"
