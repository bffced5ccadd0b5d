"""Preparation: the first error of a listener of test_start refuses the start."""

from collections.abc import Callable
from typing import Any

import pytest
from locust.env import Environment
from locust.exception import StopTest

from loadtest.swarm.preparation import fire_strictly


def prepared(*listeners: Callable[..., None]) -> tuple[Environment, list[str]]:
    """An Environment with these listeners, and the calls of ours."""
    environment, called = Environment(), list[str]()
    environment.create_local_runner()
    fire_strictly(environment, lambda **_: called.append("made"), lambda: called.append("cleaned"))
    for listener in listeners:
        environment.events.test_start.add_listener(listener)
    return environment, called


def test_the_run_is_made_when_everything_is_prepared() -> None:
    """Listeners that are added later are called before it, too."""
    order: list[str] = []
    environment, called = prepared(lambda **_: order.append(f"before {called}"))
    environment.events.test_start.fire(environment=environment)
    assert (order, called) == (["before []"], ["made"])


def test_an_error_leaves_no_run() -> None:
    """No further preparation follows, what was begun is undone, and the caller gets the error."""

    def fail(**_: Any) -> None:
        raise ValueError("no bucket")

    environment, called = prepared(fail, lambda **_: called.append("not reached"))
    with pytest.raises(StopTest, match=r"could not be prepared: ValueError: no bucket \(.*test_preparation.py, line"):
        environment.events.test_start.fire(environment=environment)
    assert called == ["cleaned"]
    assert "no bucket" in next(iter(environment.runner.exceptions.values()))["msg"]
