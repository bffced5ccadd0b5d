"""What master and workers say to each other, and how often."""

from __future__ import annotations

from typing import Final

DELTAS: Final = "loadtest_deltas"
ACKNOWLEDGEMENT: Final = "loadtest_acknowledgement"
DRAIN: Final = "loadtest_drain"
RUN_OPTION: Final = "loadtest_run"
"""The run's name rides to the workers under this name, among the parsed options of each spawn message."""

FOLD_EVERY_S: Final = 0.1
DRAIN_S: Final = 10.0
"""How long the end of a run waits for last deltas and acknowledgements, beyond Locust's stop timeout."""
