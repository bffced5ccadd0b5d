"""Results: the run in the web UI: its progress, its verdict so far and final, and its files as downloads.

Locust's page shows none of these. `page.js` shows them in a corner of it.

Tested in tests/unit/web/test_results.py, tests/native/test_start_form.py and test_web_guard.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from flask import abort, jsonify, request, send_file

from loadtest.exceptions import UsageError
from loadtest.measuring.record_dict import error_dict
from loadtest.measuring.snapshot import WINDOW_S
from loadtest.pacing.service import intended_rate_per_s
from loadtest.progress import milliseconds
from loadtest.reporting.document import failure_reasons, failure_samples
from loadtest.reporting.files import FILES

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from flask import Response
    from locust.env import Environment

    from loadtest.judging.outcome import Verdict
    from loadtest.measuring.record import RunRecord

ADDRESS: Final = "/loadtest-result"
CHANGE: Final = "/loadtest-level"
MAX_POINTS: Final = 30
"""The number of points in the chart, each of `WINDOW_S` seconds: the latest five minutes."""
_CHANGED, _REFUSED, _NOT_FOUND = 200, 409, 404


class RunResult(NamedTuple):
    """The current or last run."""

    record: RunRecord
    verdict: Verdict
    """The final verdict, or the one that the run would get if it ended now."""
    folder: Path
    stage: tuple[int, int] = (0, 0)
    """The number of the profile's current stage, and the number of stages; zeros without a profile."""
    load: str = ""
    """What of the profile can be changed: users, or arrivals/s; empty if nothing can."""


def serve(environment: Environment, look: Callable[[], RunResult | None], change: Callable[[str], str]) -> None:
    """Serve the result in the web UI, protected by its guard, and accept changes of the running load.

    Args:
        environment: an Environment with a web UI.
        look: returns the current or last run; None before the first.
        change: changes the load to the level that a person entered, and returns a sentence; raises UsageError if it
            cannot.
    """
    web_ui: Any = environment.web_ui
    options: Any = environment.parsed_options
    address = f"{options.web_base_path}{ADDRESS}"

    def described() -> Response:
        return jsonify(result_dict(look(), intended_rate_per_s(environment)))

    def changed() -> tuple[Response, int]:
        try:
            said, status = change(request.form.get("level", "")), _CHANGED
        except UsageError as error:
            said, status = " ".join(str(error).splitlines()), _REFUSED
        return jsonify({"success": status == _CHANGED, "message": said}), status

    web_ui.app.add_url_rule(address, "loadtest_result", described)
    web_ui.app.add_url_rule(f"{options.web_base_path}{CHANGE}", "loadtest_level", changed, methods=["POST"])
    web_ui.app.add_url_rule(f"{address}/<name>", "loadtest_result_file", lambda name: _file(look(), name))


def result_dict(result: RunResult | None, planned_per_s: float = 0.0) -> dict[str, Any]:
    """Return the data that the page shows.

    Args:
        result: the run; None before the first.
        planned_per_s: the current arrivals per second of an open model; 0 in the closed model.
    """
    if result is None:
        return {"run_id": None}
    record, verdict = result.record, result.verdict
    failures = {"errors": [error_dict(error) for error in record.errors()]}
    return {
        "run_id": record.run_id,
        "is_over": record.ended,
        "verdict": verdict.outcome.value,
        "now": [] if record.ended else _now(result, planned_per_s),
        "load": "" if record.ended else result.load,
        "times": _times(record),
        "reasons": list(verdict.reasons),
        "failures": failure_reasons(failures),
        "samples": [{"title": title, **evidence} for title, evidence in failure_samples(failures)],
        "notes": list(verdict.notes),
        "thresholds": [one.as_dict() for one in verdict.results],
        "files": _files(result),
    }


def _now(result: RunResult, planned_per_s: float) -> list[str]:
    """Return the run's progress as lines, the most important first."""
    window, (stage, stages) = result.record.window(WINDOW_S), result.stage
    of_stages = [f"stage {stage} of {stages}"] if stage else []
    planned = [f"{planned_per_s:,.1f} arrivals/s planned"] if planned_per_s else []
    times = {"Response time": window.response_time, "Service time": window.service_time}
    return [
        ", ".join([*of_stages, f"{window.requests_per_s:,.1f} requests/s", *planned, f"{window.users:,} users"]),
        *(
            f"{name} of the last {WINDOW_S} s: "
            + ", ".join(f"p{100 * share:g} {milliseconds(histogram.quantile(share))} ms" for share in (0.5, 0.95, 0.99))
            for name, histogram in times.items()
        ),
    ]


def _times(record: RunRecord) -> list[list[float]]:
    """Return the second, and the p95 of the response time and of the service time in milliseconds, of each of the run's
    latest windows that had a response."""
    ends = range(record.timeline.end, 0, -WINDOW_S)[:MAX_POINTS]
    windows = [(end, record.window(WINDOW_S, end)) for end in reversed(ends)]
    return [
        [end, *(round(1e3 * times.quantile(0.95), 3) for times in (window.response_time, window.service_time))]
        for end, window in windows
        if window.response_time.count
    ]


def _files(result: RunResult) -> list[str]:
    """Return which of the run's files exist; they are written at its end."""
    return [name for name in FILES if result.record.ended and (result.folder / name).is_file()]


def _file(result: RunResult | None, name: str) -> Response:
    if result is None or name not in _files(result):
        abort(_NOT_FOUND, "there is no such file of the run. Next: look again when the run has ended.")
    return send_file((result.folder / name).resolve(), as_attachment=True, download_name=f"{result.folder.name}-{name}")
