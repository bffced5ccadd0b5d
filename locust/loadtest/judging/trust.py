"""Trust checks: whether the generator was fit to measure, by rules over what each process observed, and the record.

A run whose generator was the bottleneck describes the generator, not the system under test, so it is *not
trustworthy*, whatever its figures are. The table in docs/measuring.md lists the rules with their limits, constants of
`loadtest.judging.generator_health` and `loadtest.judging.record_checks`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from loadtest.judging import generator_health, record_checks

if TYPE_CHECKING:
    from loadtest.judging.violation import Violation
    from loadtest.measuring.health import Watch
    from loadtest.measuring.record import RunRecord


def violations(record: RunRecord, watch: Watch) -> list[Violation]:
    """Return the violation of every broken rule."""
    return [*generator_health.violations(record, watch), *record_checks.violations(record)]
