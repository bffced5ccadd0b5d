"""Results: the verdict of the run in the web UI, while it lasts and after it, and its files as downloads.

Locust's page knows neither. `page.js` shows them in a corner of it.

Tested in tests/native/test_start_form.py and test_web_guard.py.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from flask import abort, jsonify, send_file

from loadtest.reporting.document import failure_reasons
from loadtest.reporting.files import FILES

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from flask import Response
    from locust.env import Environment

    from loadtest.judging.outcome import Verdict
    from loadtest.measuring.record import RunRecord

ADDRESS: Final = "/loadtest-result"
_NOT_FOUND: Final = 404


class RunResult(NamedTuple):
    """The current run, or the last one."""

    record: RunRecord
    verdict: Verdict
    """The one that it got, or would get if it ended now."""
    folder: Path


def serve(environment: Environment, look: Callable[[], RunResult | None]) -> None:
    """Serve the result in the web UI, behind its guard.

    Args:
        environment: with a web UI.
        look: returns the current run, or the last one; None before the first.
    """
    web_ui: Any = environment.web_ui
    options: Any = environment.parsed_options
    address = f"{options.web_base_path}{ADDRESS}"
    web_ui.app.add_url_rule(address, "loadtest_result", lambda: jsonify(_described(look())))
    web_ui.app.add_url_rule(f"{address}/<name>", "loadtest_result_file", lambda name: _file(look(), name))


def _described(result: RunResult | None) -> dict[str, Any]:
    if result is None:
        return {"run_id": None}
    record, verdict, _ = result
    return {
        "run_id": record.run_id,
        "is_over": record.ended,
        "verdict": verdict.outcome.value,
        "reasons": list(verdict.reasons),
        "failures": failure_reasons({"errors": [asdict(error) for error in record.errors()]}),
        "thresholds": [one.as_dict() for one in verdict.results],
        "files": _files(result),
    }


def _files(result: RunResult) -> list[str]:
    """Return which of the run's files there are; they are written at its end."""
    return [name for name in FILES if result.record.ended and (result.folder / name).is_file()]


def _file(result: RunResult | None, name: str) -> Response:
    if result is None or name not in _files(result):
        abort(_NOT_FOUND, "there is no such file of the run. Next: look again when the run has ended.")
    return send_file((result.folder / name).resolve(), as_attachment=True, download_name=f"{result.folder.name}-{name}")
