"""Each replacement is tested twice: with it in place, and on unmodified Locust, where the test must fail."""

import pytest

from loadtest.swarm import replacements

OURS_AND_STOCK = [
    "ours",
    pytest.param("stock", marks=pytest.mark.xfail(strict=True, reason="this is why Locust's is replaced")),
]


@pytest.fixture(params=OURS_AND_STOCK)
def locust(request: pytest.FixtureRequest, replaced_locust: None) -> str:  # noqa: ARG001 - it must come first
    """Locust with its replacements, then unmodified."""
    if request.param == "stock":
        replacements.restore()
    return str(request.param)
