"""The smoke scenario."""

from loadtest import scenarios
from tests.journeys import run_each_task_once


def test_it_asks_both_probes_and_nothing_else(target_url: str) -> None:
    """One iteration makes the two declared requests, and both succeed."""
    scenario = scenarios.load("health")
    requests = run_each_task_once(scenario.user_classes[0], target_url)
    assert [(request.method, request.name) for request in requests] == list(scenario.requests)
    assert [request.error for request in requests] == [None, None]
