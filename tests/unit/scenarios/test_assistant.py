"""The assistant's scenario."""

from loadtest import scenarios
from tests.journeys import run_each_task_once


def test_it_asks_and_reads_to_the_end(target_url: str) -> None:
    """One iteration makes the declared request, and its response is complete."""
    scenario = scenarios.load("assistant")
    requests = run_each_task_once(scenario.user_classes[0], target_url)
    assert [(each.method, each.name, each.error) for each in requests] == [("POST", "assistant/answer", None)]
    assert scenario.requests == scenario.streams == scenarios.streams_of("assistant") == (("POST", "assistant/answer"),)
