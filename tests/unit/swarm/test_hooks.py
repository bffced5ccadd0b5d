"""A scenario's setup and teardown: once each, in this order, within their timeouts."""

from typing import Any

import gevent
import pytest
from locust.env import Environment

from loadtest.exceptions import StackError
from loadtest.swarm import hooks
from loadtest.swarm.hooks import Hooks


def test_each_is_called_once_with_the_environment() -> None:
    """A second end of the same run does not tear down again."""
    called: list[Any] = []
    environment = Environment()
    both = Hooks(environment, lambda given: called.append(("set", given)), lambda given: called.append(("end", given)))
    both.set_up()
    both.tear_down()
    both.tear_down()
    assert called == [("set", environment), ("end", environment)]


def test_nothing_is_torn_down_that_was_not_set_up() -> None:
    """After a failed setup, and before any, teardown would find nothing to tear down."""
    called: list[str] = []

    def fail(_environment: Environment) -> None:
        raise ValueError("no database")

    both = Hooks(Environment(), fail, lambda _: called.append("end"))
    with pytest.raises(ValueError, match="no database"):
        both.set_up()
    both.tear_down()
    assert called == []


def test_data_is_removed_whatever_else_fails() -> None:
    """This includes a setup or a teardown that failed, and happens once."""
    called: list[str] = []

    def fail(_environment: Environment) -> None:
        raise ValueError("no database")

    both = Hooks(Environment(), None, fail)
    both.removals += [lambda _: called.append("one"), lambda _: called.append("other")]
    both.set_up()
    with pytest.raises(ValueError, match="no database"):
        both.tear_down()
    both.tear_down()
    assert sorted(called) == ["one", "other"]


@pytest.mark.parametrize("name", ["setup", "teardown"])
def test_a_hook_that_does_not_end_is_ended(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """The error names the hook and its limit, or the hook's own timeout that ended it."""
    monkeypatch.setattr(hooks, f"{name.upper()}_LIMIT_S", 0.05)
    both = Hooks(
        Environment(), *((lambda _: gevent.sleep(60)) if hook == name else None for hook in ("setup", "teardown"))
    )
    with pytest.raises(StackError, match=rf"the scenario's {name} took too long. Allowed: 0.05 s"):
        (both.set_up(), both.tear_down())

    def own(_environment: Environment) -> None:
        with gevent.Timeout(0.01):
            gevent.sleep(60)

    with pytest.raises(StackError, match=r"the scenario's setup ended by its own timeout of 0.01 s"):
        Hooks(Environment(), own, None).set_up()
