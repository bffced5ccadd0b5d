"""The periodic work of measuring in a process, and what it takes over from Locust.

Tested in tests/unit/swarm/test_loops.py and test_record_keeper.py.
"""

from __future__ import annotations

import logging
import math
import time
from collections import Counter
from typing import TYPE_CHECKING, Final

import gevent

from loadtest.clients.transport.deadlines import DeadlineSweeper
from loadtest.measuring import locust_statistics
from loadtest.measuring.delivery import Reporter
from loadtest.measuring.in_flight import InFlightProbe
from loadtest.measuring.recorder import Recorder
from loadtest.measuring.turn import Turns
from loadtest.measuring.users import scenario_of
from loadtest.swarm import listeners

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from locust.env import Environment
    from locust.event import EventHook

    from loadtest.measuring.delivery import Outbox
    from loadtest.measuring.health import HealthProbe

_log = logging.getLogger(__name__)

FOLD_EVERY_S: Final = 0.1


class Loops:
    """Loops that continue after an error: a failure in one second must not cost the rest of the run."""

    def __init__(self) -> None:
        """Create it without any loops."""
        self._greenlets: list[gevent.Greenlet[..., None]] = []

    def spawn(self, loop: Callable[[], None]) -> None:
        """Run a loop until `end` is called."""

        def keep_going() -> None:
            while True:
                try:
                    loop()
                except Exception:
                    _log.exception("measuring failed for one second, and continues")
                    gevent.sleep(1.0)

        self._greenlets.append(gevent.spawn(keep_going))

    def end(self) -> None:
        """End all loops."""
        gevent.killall(self._greenlets, block=False)


def reporter_of(environment: Environment, outbox: Outbox, probe: HealthProbe) -> Reporter:
    """Return the reporter that cuts this process's samples and health observations into deltas."""
    recorder, sweeper = Recorder.of(environment), DeadlineSweeper.current()
    in_flight = InFlightProbe(sweeper.waiting, recorder.open_requests, sweeper.watched)
    return Reporter(recorder, outbox, lambda: users_of(environment), probe.take, in_flight.look, listeners.take_raised)


def seconds(recorder: Recorder, reporter: Reporter) -> Iterator[int | None]:
    """Fold recorded samples a few times a second, at even intervals. The caller does the rest of each turn's work.

    Yields:
        The second that has begun, with everything before it folded; None within a second.
    """
    second = math.floor(time.time())
    while True:
        gevent.sleep(FOLD_EVERY_S - time.time() % FOLD_EVERY_S)
        recorder.fold_early()
        begun, second = second, math.floor(time.time())
        if second == begun:
            yield None
        else:
            turns = Turns()
            recorder.fold()
            turns.end()
            reporter.observe()
            turns.end()
            yield second


def users_of(environment: Environment) -> dict[str, int]:
    """Return the number of users that run in this process, by scenario."""
    runner = environment.runner
    if runner is None:
        return {}
    if len(runner.user_classes) == 1:
        return {scenario_of(runner.user_classes[0]): len(runner.user_greenlets)}
    users = dict.fromkeys(map(scenario_of, runner.user_classes), 0)
    for kind, count in Counter(type(user) for one in runner.user_greenlets for user in one.args[:1]).items():
        users[scenario_of(kind)] += count
    return users


def drop_locusts_statistics(environment: Environment) -> None:
    """Stop Locust from sending its statistics to the master, where they are fed from the record instead."""
    events = environment.events
    for event in (events.report_to_master, events.worker_report):
        for listener in list(event._handlers):
            if locust_statistics.is_locusts_own(listener):
                event.remove_listener(listener)  # type: ignore[no-untyped-call]


def listen(event: EventHook, listener: Callable[..., None]) -> None:
    """Add a listener to one of Locust's events."""
    event.add_listener(listener)  # type: ignore[no-untyped-call]
