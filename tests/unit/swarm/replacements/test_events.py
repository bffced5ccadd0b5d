"""The replacements in Locust's events, with each replacement and without it."""

import pytest
from locust.event import EventHook

from loadtest.measuring.measurements import LISTENERS
from loadtest.swarm import listeners

pytestmark = pytest.mark.usefixtures("locust")


def test_what_a_listener_raises_is_kept_and_the_others_are_called() -> None:
    """The error and its place are recorded (replaces EventHook.fire)."""
    called = []

    def broken(**_: object) -> None:
        raise KeyError("no such user")

    hook = EventHook()
    listeners.take_raised()
    hook.add_listener(broken)
    hook.add_listener(lambda **arguments: called.append(arguments))
    hook.fire(environment=1)
    assert called == [{"environment": 1}]
    [raised] = listeners.take_raised()
    assert (raised.scenario, raised.exception, raised.message) == (LISTENERS, "KeyError", "'no such user'")
    assert raised.place.endswith("test_events.py:17 in broken")
    assert listeners.take_raised() == []
