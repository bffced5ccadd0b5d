"""Shared by the tests of the exporter: recording in place of a user, and reading a scrape."""

import gevent
from locust import User, task
from locust.env import Environment
from prometheus_client.parser import text_string_to_metric_families

from loadtest.exporting.exposition import Exposition
from loadtest.measuring.recorder import Recorder
from tests.swarms import record_keeper

Labels = frozenset[tuple[str, str]]
Samples = dict[tuple[str, Labels], float]


class OneUser(User):
    """Waits; the tests record in its place."""

    scenario = "mine"

    @task
    def wait_here(self) -> None:
        """Do nothing for a while."""
        gevent.sleep(0.01)


def record(environment: Environment, name: str, times_s: list[float], *, errors: int = 0) -> None:
    """Record requests that took these times, the first `errors` of them as status 500."""
    series = Recorder.of(environment).series("mine", "GET", name)
    for index, took_s in enumerate(times_s):
        sent_s = 100.0
        if index < errors:
            series.failure(sent_s, sent_s, sent_s + took_s, 10, "status_5xx", "500")
        else:
            series.success(sent_s, sent_s, sent_s + took_s, 10, 20)


def flush(environment: Environment) -> None:
    """Add the recorded samples to the totals, as a worker's delta does."""
    measured = record_keeper(environment)
    measured.totals.add(Recorder.of(environment).take())


def count(environment: Environment, name: str, times_s: list[float], *, errors: int = 0) -> None:
    """Record requests and add them to the totals."""
    record(environment, name, times_s, errors=errors)
    flush(environment)


def samples_of(text: str) -> Samples:
    """Return the value of each sample by name and labels."""
    families = list(text_string_to_metric_families(text))
    found = [(sample.name, frozenset(sample.labels.items()), sample.value) for f in families for sample in f.samples]
    values = {(name, labels): value for name, labels, value in found}
    assert len(values) == len(found), "a sample came twice"
    return values


def scrape(environment: Environment) -> Samples:
    """Return the samples that one scrape of the exposition gives."""
    return samples_of(Exposition(environment).text().decode())


def value(samples: Samples, metric: str, **labels: str) -> float:
    """Return one sample."""
    return samples[metric, frozenset((key.rstrip("_"), text) for key, text in labels.items())]


def total(samples: Samples, metric: str, **labels: str) -> float:
    """Return the sum of all samples of a metric with these labels."""
    wanted = set(labels.items())
    return sum(number for (name, having), number in samples.items() if name == metric and wanted <= having)
