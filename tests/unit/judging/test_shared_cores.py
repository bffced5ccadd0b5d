"""The note on a service that shares the load generator's machine."""

import pytest

from loadtest.judging.outcome import decide
from loadtest.judging.shared_cores import note
from loadtest.measuring.record import RunRecord
from tests import reports

MEAN = {"machine_cpu_ratio": 0.5, "target_cpu_ratio": 0.25, "others_cpu_ratio": 0.05}


def record(host: str, **mean: float) -> RunRecord:
    """A run against a host, and its master's observations."""
    made = reports.record(2)
    made.context["target"] = {"hosts": [host], "sentence": host}
    made.context["host"] = {"cores": 2}
    made.workers = ({"subject": "master", "seconds": 2.0, "mean": mean, "highest": {}},)
    return made


@pytest.mark.parametrize("host", ["http://127.0.0.1:5000", "http://localhost", "https://[::1]:8443/shop"])
def test_cores_that_are_shared_are_said_with_numbers(host: str) -> None:
    """The shares of the service, the generator and other processes are noted with the verdict."""
    said = (
        "the service shares the 2 cores of its machine with the load generator; the cores were 50% busy: 25% by the "
        "service, 20% by the generator and the run's stores, 5% by other processes"
    )
    shared = record(host, **MEAN)
    assert note(shared) == said
    assert said in decide(shared, []).notes


def test_what_the_workers_waited_for_a_core_is_said() -> None:
    """The value is the longest mean wait of a worker per turn."""
    shared = record("http://127.0.0.1:5000", **MEAN)
    waited = {"run_delay_ratio": 0.1, "turns_per_s": 100.0}
    shared.workers += ({"subject": "worker 0", "seconds": 2.0, "mean": waited, "highest": {}},)
    assert note(shared).endswith("5% by other processes; a worker waited 1.00 ms for a core per time slice")


def test_a_service_whose_processes_cannot_be_seen_is_said_too() -> None:
    """Behind a port proxy its share is unknown, but its presence is not."""
    assert note(record("http://127.0.0.1:5000", machine_cpu_ratio=0.5)).endswith("the cores were 50% busy")


@pytest.mark.parametrize("host", ["https://shop.example.com", "http://10.0.0.5:8080"])
def test_a_service_elsewhere_needs_no_note(host: str) -> None:
    """Only a service on this machine takes CPU time from the generator."""
    assert note(record(host, **MEAN)) == ""
