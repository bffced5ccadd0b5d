"""Request names that would break dashboards: unbounded in number, very long, and unprintable."""

import time
from collections.abc import Iterator

import pytest
from locust.env import Environment
from prometheus_client.parser import text_string_to_metric_families

from loadtest.exporting.exposition import Exposition
from loadtest.measuring.labels import MAX_LABEL_CHARS, MAX_SERIES
from loadtest.measuring.recorder import Recorder
from loadtest.swarm.record_keeper import RecordKeeper
from tests.swarms import record_keeper

ODD = {
    "a\nnewline": "a\nnewline",
    'a "quote"': 'a "quote"',
    "a \\ backslash": "a \\ backslash",
    b"not \xff UTF-8".decode("utf-8", "surrogateescape"): "not ? UTF-8",
    "long " + "x" * 1024 * 1024: ("long " + "x" * MAX_LABEL_CHARS)[:MAX_LABEL_CHARS],
    "日本語 😀": "日本語 😀",
}
COUNT = 10_000


@pytest.fixture
def environment() -> Iterator[Environment]:
    """An environment in this process, measured and ready to be exported."""
    environment = Environment()
    environment.create_local_runner()
    own = record_keeper(environment)
    environment.events.test_start.fire(environment=environment)
    yield environment
    own.finish()


def count(environment: Environment, name: str) -> None:
    """Record a request of this name, failed, with the name as the message."""
    now_s = time.perf_counter()
    Recorder.of(environment).series("names", "GET", name).failure(now_s, now_s, now_s + 0.001, 1, "protocol", name)


def exported(environment: Environment) -> dict[str, float]:
    """Return the requests by name, as a scraper reads them."""
    text = Exposition(environment).text().decode()
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == "loadtest_requests_total":
                found[sample.labels["name"]] = found.get(sample.labels["name"], 0.0) + sample.value
    return {name: value for name, value in found.items() if value}


def test_odd_names_are_counted_and_shown(environment: Environment) -> None:
    """Newlines, quotes, bytes that are no UTF-8 and a megabyte of name: each is counted, exported and recorded."""
    for name in ODD:
        count(environment, name)
    record = RecordKeeper.of(environment).finish()
    assert {series.name for series in record.series()} == set(ODD.values())
    assert exported(environment) == dict.fromkeys(ODD.values(), 1.0)


def test_ten_thousand_names_are_bounded_and_none_is_lost(environment: Environment) -> None:
    """Ten thousand names become the first two thousand and ``other``; the total is exact."""
    for number in range(COUNT):
        count(environment, f"user/{number}")
    record = RecordKeeper.of(environment).finish()
    names = exported(environment)
    assert COUNT == record.requests == sum(names.values())
    assert len(list(record.series())) == MAX_SERIES + 1
    assert names["other"] >= COUNT - MAX_SERIES
