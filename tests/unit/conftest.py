"""Fixtures of the package's tests: Locust as changed by this product, and stock Locust."""

from collections.abc import Iterator

import pytest

from loadtest.settings.config import Config
from loadtest.swarm import replacements


@pytest.fixture(autouse=True)
def replaced_locust() -> Iterator[None]:
    """Locust with all replacements in the table."""
    replacements.install(Config())
    yield
    replacements.restore()


@pytest.fixture
def stock_locust(replaced_locust: None) -> None:  # noqa: ARG001 - it must come first
    """Unmodified Locust: tests show on it why something is replaced."""
    replacements.restore()
