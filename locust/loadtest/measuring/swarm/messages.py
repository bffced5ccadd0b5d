"""What master and workers say to each other, and how often."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

REPORT: Final = "loadtest_report"
ACKNOWLEDGEMENT: Final = "loadtest_acknowledgement"
DRAIN: Final = "loadtest_drain"
RUN_OPTION: Final = "loadtest_run"
"""The run's name rides to the workers under this name, among the parsed options of each spawn message."""
NO_RUN: Final = ""
"""Its value from the moment on at which a run is asked to end: whoever is then told of users starts none."""

FOLD_EVERY_S: Final = 0.1
DRAIN_S: Final = 10.0
"""How long the end of a run waits for last deltas and acknowledgements, beyond Locust's stop timeout."""


class Report(NamedTuple):
    """What a worker sends each second, and whenever a delta cannot wait."""

    now_s: float
    """The worker's monotonic clock when it was sent."""
    deltas: list[bytes]
    heartbeat: dict[str, Any] | None
    """Locust's heartbeat, now and then."""
    users: dict[str, Any] | None
    """What Locust's own report says besides statistics, now and then."""
