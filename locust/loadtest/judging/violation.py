"""Violation: a trust check that failed.

Tested in tests/unit/judging/test_generator_health.py and test_record_checks.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

NAMED: Final = 5
"""The maximum number of items that a sentence names."""


@dataclass(frozen=True, slots=True)
class Violation:
    """A trust check that failed."""

    rule: str
    subject: str
    """What broke the rule: ``worker 3``, ``master``, ``scenario documents``, ``run``."""
    value: float
    limit: float
    sentence: str
    """What was wrong and what to do about it, for people."""
