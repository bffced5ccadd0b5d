"""The web UI's view of a run."""

from pathlib import Path

from loadtest.judging.outcome import decide
from loadtest.measuring.measurements import ExceptionCount
from loadtest.web.results import RunResult, result_dict
from tests import reports


def test_a_run_that_goes_on_says_how(tmp_path: Path) -> None:
    """Stage, throughput, planned arrivals and users come first, then response time next to service time."""
    record = reports.record(20, ("a",), 50)
    record.ended = False
    said = result_dict(RunResult(record, decide(record, []), tmp_path, (2, 3)), 12.5)["now"]
    assert said[0] == "stage 2 of 3, 50.0 requests/s, 12.5 arrivals/s planned, 10 users"
    response, service = said[1:]
    assert response.startswith("Response time of the last 10 s: p50 1")
    assert service.startswith("Service time of the last 10 s: p50 1")
    assert response != service  # each was sent a millisecond late
    assert [line.count(" ms") for line in said] == [0, 3, 3]
    in_no_stage = result_dict(RunResult(record, decide(record, []), tmp_path))["now"][0]
    assert in_no_stage == "50.0 requests/s, 10 users"


def test_the_chart_has_response_time_next_to_service_time(tmp_path: Path) -> None:
    """There is a point per ten seconds, the latest last, at most `MAX_POINTS`; none for a period without a response."""
    record = reports.record(25, ("a",), 50)
    times = result_dict(RunResult(record, decide(record, []), tmp_path))["times"]
    assert [second for second, *_ in times] == [5, 15, 25]
    assert all(10 < service < response < 21 for _, response, service in times)  # each was sent a millisecond late
    record.timeline.set_users(10_000, 1)
    assert result_dict(RunResult(record, decide(record, []), tmp_path))["times"] == []


def test_why_a_run_fails_is_said_with_a_sample_and_exceptions(tmp_path: Path) -> None:
    """It has the reasons with their counts, a failed request with its response, and exceptions of tasks."""
    record = reports.record(5, ("a",), failing="a")
    record.add_exceptions([ExceptionCount("documents", "KeyError", "'price'", "shop.py:7 in buy", False, 1)], 2)
    result = result_dict(RunResult(record, decide(record, []), tmp_path))
    (reason,), (sample,) = result["failures"], result["samples"]
    assert reason.startswith("20 with status_5xx: 503 from ")
    assert sample == {"title": "GET a: status_5xx", **reports.EVIDENCE._asdict()}
    assert [note for note in result["notes"] if "KeyError" in note] == [
        "1 x the scenario raised KeyError: 'price' at shop.py:7 in buy"
    ]


def test_a_run_that_is_over_has_a_verdict_only(tmp_path: Path) -> None:
    """It has no current values; before the first run there is nothing."""
    record = reports.record()
    result = result_dict(RunResult(record, decide(record, []), tmp_path, (3, 3)))
    assert (result["now"], result["is_over"]) == ([], True)
    assert result_dict(None) == {"run_id": None}
