"""What a scenario declares, read in a process of its own."""

from loadtest.scenarios import declared


def test_declared_requests_are_those_of_the_scenario() -> None:
    """A process of its own reads them, so that this one keeps the standard library's sockets."""
    assert set(declared("health").requests) == {("GET", "health/live"), ("GET", "health/ready")}
