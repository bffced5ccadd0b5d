"""Exceptions of listeners, in Locust's calling order; the rest is in replacements/test_events.py."""

import json
import sys
import threading
from collections.abc import Iterator

import gevent
import pytest
from locust import User, events
from locust.env import Environment
from locust.event import EventHook, Events
from locust.exception import StopUser
from locust.runners import STATE_STOPPED
from locust.user.task import LOCUST_STATE_STOPPING
from requests import HTTPError

from loadtest.measuring.recorder import Recorder
from loadtest.measuring.stock_requests import mark_counted
from loadtest.swarm import listeners


@pytest.mark.usefixtures("replaced_locust")
@pytest.mark.parametrize(("reverse", "expected"), [(False, ["first", "second"]), (True, ["second", "first"])])
def test_listeners_are_called_in_locusts_order(reverse: bool, expected: list[str]) -> None:
    """They are called from first to last, or in reverse where Locust does so."""
    called: list[str] = []
    hook = EventHook()
    hook.add_listener(lambda **_: called.append("first"))
    hook.add_listener(lambda **_: called.append("second"))
    hook.fire(reverse=reverse)
    assert called == expected


@pytest.mark.usefixtures("replaced_locust")
def test_what_steers_a_user_goes_on_and_is_no_error() -> None:
    """A listener may stop a user."""

    def stop(**_: object) -> None:
        raise StopUser

    hook = EventHook()
    hook.add_listener(stop)
    listeners.take_raised()
    with pytest.raises(StopUser):
        hook.fire()
    assert listeners.take_raised() == []


@pytest.mark.usefixtures("replaced_locust")
def test_what_is_kept_is_bounded() -> None:
    """A listener of each request may raise for hours before a run collects the exceptions."""

    def broken(**_: object) -> None:
        raise KeyError

    hook = EventHook()
    hook.add_listener(broken)
    listeners.take_raised()
    for _ in range(1_010):
        hook.fire()
    assert len(listeners.take_raised()) == 1_000


@pytest.mark.usefixtures("replaced_locust")
def test_a_listener_that_ends_the_process_as_passed_is_an_error() -> None:
    """`sys.exit(0)` would hide a verdict; another exit code is kept, and before the first run so is 0."""
    hook, called = EventHook(), list[str]()
    hook.add_listener(lambda **_: sys.exit())
    hook.add_listener(lambda **_: called.append("next"))
    listeners.take_raised()
    hook.fire()
    assert ([one.exception for one in listeners.take_raised()], called) == (["SystemExit"], ["next"])
    hook.add_listener(lambda **_: sys.exit(3))
    with pytest.raises(SystemExit):
        hook.fire()
    before = events.init._handlers.copy()
    events.init._handlers[:] = [lambda **_: sys.exit(0)]
    try:
        with pytest.raises(SystemExit):
            events.init.fire()
    finally:
        events.init._handlers[:] = before
    listeners.take_raised()


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Iterator[Environment]:
    """An environment whose greenlets and threads are watched, without remains of earlier tests."""
    hub, environment = gevent.get_hub(), Environment(events=Events())
    before = vars(hub).pop("handle_error", None)
    monkeypatch.setattr(type(hub), "handle_error", lambda *_: None)
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    listeners.watch_greenlets(environment)
    listeners.take_raised()
    yield environment
    del hub.handle_error
    if before is not None:
        hub.handle_error = before
    listeners.take_raised()


class Parallel(User):
    """A user whose task starts its own greenlets."""

    def reply(self, error: Exception) -> None:
        """Raise an error."""
        raise error


def exceptions(environment: Environment) -> list[tuple[str, str, str, bool]]:
    """The recorder's counts of exceptions in the scenario's code."""
    taken = Recorder.of(environment).take().exceptions
    return [(one.scenario, one.exception, one.message, one.ends_user) for one in taken]


def test_what_greenlets_and_threads_of_the_scenario_raise_counts(watched: Environment) -> None:
    """One of a user is an exception of the scenario, even two greenlets deep; any other is a listener's."""
    user = Parallel(watched)

    def spawn(user: Parallel) -> None:
        gevent.spawn(user.reply, KeyError("of a user")).join()

    gevent.spawn(spawn, user).join()
    gevent.spawn(Parallel.reply, None, KeyError("of nobody")).join()
    thread = threading.Thread(target=Parallel.reply, args=(None, KeyError("of a thread")))
    thread.start()
    thread.join()
    assert exceptions(watched) == [("Parallel", "KeyError", "'of a user'", False)]
    assert [one.message for one in listeners.take_raised()] == ["'of nobody'", "'of a thread'"]


def test_what_greenlets_raise_counts_once_and_not_at_the_end(watched: Environment) -> None:
    """A failed request is counted, a user's own greenlet reports itself, and at the end connections are closed."""
    user, failure = Parallel(watched), HTTPError("404")
    mark_counted(failure)
    gevent.spawn(lambda _: user.reply(failure), user).join()
    user._greenlet = gevent.spawn(lambda _: user.reply(KeyError()), user)
    user._greenlet.join()
    user._state = LOCUST_STATE_STOPPING
    gevent.spawn(lambda _: user.reply(KeyError()), user).join()
    gevent.spawn(json.loads, "[").join()
    watched.create_local_runner().state = STATE_STOPPED
    gevent.spawn(Parallel.reply, None, KeyError("of nobody")).join()
    assert (exceptions(watched), listeners.take_raised()) == ([], [])


def test_a_greenlet_that_ends_the_process_as_passed_ends_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """gevent would end the main greenlet, and with it the master; another exit code is kept."""
    hub, codes, environment = gevent.get_hub(), list[object](), Environment()
    before = vars(hub).pop("handle_error", None)
    monkeypatch.setattr(type(hub), "handle_error", lambda *arguments: codes.append(arguments[3].code))
    try:
        listeners.watch_greenlets(environment)
        listeners.watch_greenlets(environment)
        listeners.take_raised()
        for code in (None, 0, 3):
            gevent.spawn(sys.exit, code).join()
        hub.handle_error(None, SystemExit, SystemExit(0), None)  # as in a signal handler
    finally:
        del hub.handle_error
        if before is not None:
            hub.handle_error = before
    raised = [(one.exception, one.message) for one in listeners.take_raised()]
    assert raised == [("SystemExit", ""), ("SystemExit", "0")]
    assert codes == [3, 0]
