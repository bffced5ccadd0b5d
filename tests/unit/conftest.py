"""Fixtures of the package's tests: Locust as changed by this product, and stock Locust."""

from collections.abc import Iterator

import pytest

from loadtest.settings.config import Config
from loadtest.swarm import replacements


@pytest.fixture(autouse=True)
def replaced_locust() -> Iterator[None]:
    """Locust with everything in the table of replacements."""
    replacements.install(Config())
    yield
    replacements.restore()


@pytest.fixture
def stock_locust(replaced_locust: None) -> None:  # noqa: ARG001 - it comes first
    """Locust as it is: what a test shows on it is why something is replaced."""
    replacements.restore()
