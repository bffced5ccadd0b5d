"""Random faults and operations on the Compose stack, for one run; `make soak COMPOSE=1` runs them for an hour."""

from pathlib import Path

import pytest

from tests.faults.soak import go_on
from tests.stack.compose import Project
from tests.stack.soak import ComposeSoak

SEEDS = (807,)
"""This one scales, up and down, and loses nothing. One that once failed is added."""


@pytest.mark.parametrize("seed", SEEDS)
def test_what_the_referees_answered_is_what_the_records_count(built: Project, tmp_path: Path, seed: int) -> None:
    """Containers join, leave, hang and die: each request is counted, or its loss is reported with a correct bound."""
    told: list[str] = []
    going = ComposeSoak(tmp_path, seed, name=built.name, say=told.append)
    assert go_on(going, seconds=0.0) == [], "\n".join(told)
