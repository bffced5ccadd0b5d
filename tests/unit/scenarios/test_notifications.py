"""The scenario of WebSocket sessions."""

import pytest

from loadtest import scenarios
from loadtest.scenarios import notifications
from tests.journeys import run_each_task_once


def test_a_session_has_round_trips_and_an_end(target_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One iteration makes the declared requests, and none fails."""
    scenario = scenarios.load("notifications")
    monkeypatch.setattr(notifications._CHANCE, "randint", lambda low, _high: low)
    requests = run_each_task_once(scenario.user_classes[0], target_url)
    assert [each.error for each in requests] == [None] * 7
    assert [(each.method, each.name) for each in (requests[0], requests[1], requests[-1])] == list(scenario.requests)
    assert scenarios.streams_of("notifications") == (("GET", "notifications/session"),)
