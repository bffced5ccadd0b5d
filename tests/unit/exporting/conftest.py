"""The environment that is exported."""

from collections.abc import Iterator

import pytest
from locust.env import Environment

from tests.swarms import record_keeper
from tests.unit.exporting.samples import OneUser


@pytest.fixture
def environment() -> Iterator[Environment]:
    """A Locust environment with a runner and a user class that no scenario declares."""
    made = Environment(user_classes=[OneUser])
    made.create_local_runner()
    record_keeper(made)
    yield made
    made.runner.quit()
