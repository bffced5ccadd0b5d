"""Tallied: what is wrong with a run's figures by what was counted beside its requests.

Sources: `loadtest.measuring.tallies`. Look-ups that take much of the response times, and answers that are the same
where the scenario says that they vary, make a run not trustworthy: it measured a resolver, or a cache. Connections,
redirects, retries and sizes are noted beside the verdict, since a service that has many of them is a real one, and only
the reader knows whether that was meant.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final, NamedTuple

from loadtest.measuring.tallies import CONNECTION, LOOKUP, REDIRECT, RETRY, SAME, SIZE, VARIED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from loadtest.measuring.record import RunRecord

LOOKUP_RATIO: Final = 0.10
"""Share of all response times that look-ups took."""
LOOKUP_S: Final = 0.010
"""Their mean, and"""
FEWEST_LOOKUPS: Final = 5
"""their number, from which on they count: one slow look-up is none of a run."""
VARIED_RATIO: Final = 0.05
"""Share of the answers that must differ from the one before, where the scenario says that they vary."""
COMPARED_ANSWERS: Final = 20
CONNECTIONS_RATIO: Final = 0.5
"""Share of a name's requests that opened a connection."""
FEWEST_REQUESTS: Final = 20
EXTRA_RATIO: Final = 0.01
"""Share of a name's requests that were redirected, or sent again."""
FEWEST_CONNECTIONS: Final = 10
"""Connections to a name of several addresses, before it counts that all went to one of them."""
SIZES_RATIO: Final = 64
"""The largest success by the smallest."""


class Finding(NamedTuple):
    """What breaks a rule."""

    rule: str
    subject: str
    value: float
    limit: float
    sentence: str


def findings(record: RunRecord) -> Iterator[Finding]:
    """Yield what makes the figures those of something else than the service."""
    tallies = record.tallies()
    lookups = [row for row in tallies if row.kind == LOOKUP]
    times, seconds = sum(row.times for row in lookups), sum(row.seconds for row in lookups)
    all_s = record.total().response_time.sum_s
    if times >= FEWEST_LOOKUPS and seconds >= LOOKUP_S * times and seconds >= LOOKUP_RATIO * all_s:
        names = ", ".join(dict.fromkeys(row.detail for row in lookups))
        yield Finding(
            "name_lookups",
            "run",
            seconds / all_s if all_s else 1.0,
            LOOKUP_RATIO,
            f"{times:,} look-ups of {names} took {seconds / times * 1000:.0f} ms each, {_share(seconds, all_s)} of all "
            "response times: keep connections alive, use a resolver that caches, or load an address",
        )
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
                f"{counted[SAME]:,} of {compared:,} answers of {method} {name} were the same bytes as the one before, "
                "where the scenario says that they vary: a cache, or one key, was measured; ask for more than one "
                "thing, and look whether the service's answers are its own",
            )


def notes(record: RunRecord) -> Iterator[str]:
    """Yield what a reader has to know beside the verdict."""
    requests: dict[tuple[str, str], int] = defaultdict(int)
    times_s: dict[tuple[str, str], float] = defaultdict(float)
    for view in record.series():
        requests[view.method, view.name] += view.requests
        times_s[view.method, view.name] += view.response_time.sum_s
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
    for name, of_kind in counted.items():
        yield from _connections(" ".join(name), requests[name], times_s[name], *of_kind[CONNECTION])
        yield from _extra(" ".join(name), requests[name], of_kind[REDIRECT][0], of_kind[RETRY][0])
        yield from _sizes(" ".join(name), requests[name], sizes[name])
    if len(peers) == 1 and (most := max(peers.values())) >= FEWEST_CONNECTIONS:
        (address,) = peers
        yield (
            f"the service's name has several addresses, and all {most:,} connections went to {address}: one server "
            "took all the load. Next: load the others too, or say that one server was measured"
        )


def _connections(name: str, requests: int, times_s: float, opened: float, took_s: float) -> Iterator[str]:
    if requests >= FEWEST_REQUESTS and opened >= CONNECTIONS_RATIO * requests:
        yield (
            f"{opened:,.0f} connections were opened for {requests:,} requests of {name}, {_share(took_s, times_s)} of "
            "their response times: they are those of new visitors. Next: if your users keep their connections, look "
            "who closes them, the scenario or the service"
        )


def _extra(name: str, requests: int, redirects: float, retries: float) -> Iterator[str]:
    for extra, what in (
        (redirects, "redirects were followed"),
        (retries, "requests were sent again, over another connection,"),
    ):
        if extra >= max(1, EXTRA_RATIO * requests):
            yield (
                f"{extra:,.0f} {what} within {requests:,} requests of {name}: each counts once, with the time of all "
                "that it took, so the service answered more requests than the figures say"
            )


def _sizes(name: str, requests: int, sizes: set[int]) -> Iterator[str]:
    if requests >= FEWEST_REQUESTS and sizes and max(sizes) >= SIZES_RATIO * min(sizes):
        yield (
            f"successes of {name} had from about {min(sizes):,} to {max(sizes):,} bytes or more: the small ones may be "
            "errors that were answered as a success. Next: say what a good answer looks like, with expect=Expect(…)"
        )


def _share(part_s: float, whole_s: float) -> str:
    return f"{min(part_s / whole_s, 1.0):.0%}" if whole_s else "all"
