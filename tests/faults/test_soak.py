"""Random faults and operations for four minutes; `make soak` runs them for an hour."""

import os
from pathlib import Path

import pytest

from .soak import soak

pytestmark = [pytest.mark.native, pytest.mark.timeout(900)]

SECONDS = float(os.environ.get("SOAK_SECONDS", "240"))
SEEDS = (1,)
"""One that once failed is added; they share the time."""


@pytest.mark.parametrize("seed", SEEDS)
def test_what_the_referee_answered_is_what_the_records_count(tmp_path: Path, seed: int) -> None:
    """Workers leave, hang or are killed: each request is counted, or its loss is reported with a correct bound."""
    told: list[str] = []
    assert soak(tmp_path, SECONDS / len(SEEDS), seed, told.append) == [], "\n".join(told)
