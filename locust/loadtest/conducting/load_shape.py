"""The locustfile's own load shape: the load that it requests, its errors, and how a run ends it.

Tested in tests/native/test_load_model.py.
"""

from __future__ import annotations

import contextlib
import logging
import math
import signal
from typing import TYPE_CHECKING, Any

import gevent
from locust.exception import StopTest

from loadtest.exceptions import described
from loadtest.judging.plan import RequestedByShape, begins_s
from loadtest.measuring import steady_clock
from loadtest.profiles.shape import ProfileShape
from loadtest.swarm import preparation
from loadtest.swarm.record_keeper import RecordKeeper

if TYPE_CHECKING:
    from collections.abc import Callable

    from locust.env import Environment

logger = logging.getLogger(__name__)


def end_of(environment: Environment) -> Callable[[], None] | None:
    """Return a function that ends a headless shape early, with a report, also on SIGTERM; None without such a shape.

    Locust's main greenlet waits for the shape, and must be the one that ends the run: it would interrupt any other. It
    installs Locust's handler of SIGTERM only afterwards, so until then the signal would end the process at once.
    """
    options: Any = environment.parsed_options
    if environment.shape_class is None or not options.headless:
        return None
    waiting = gevent.getcurrent()

    def end_shape() -> None:
        handler.cancel()
        gevent.kill(waiting, KeyboardInterrupt)

    handler = gevent.signal_handler(signal.SIGTERM, end_shape)
    environment.events.test_stopping.add_listener(lambda **_: handler.cancel())  # type: ignore[no-untyped-call]
    return end_shape


class WatchedShape:
    """The locustfile's own load shape. An error in it ends the test; Locust would go on without the shape."""

    def __init__(self, environment: Environment, tick: Callable[[], Any]) -> None:
        self._environment = environment
        self._tick = tick
        self.error = ""
        """The error that it raised during the load."""
        self._first: tuple[Any, ...] | None = None
        self._asked: RequestedByShape | None = None

    @classmethod
    def watch(cls, environment: Environment) -> WatchedShape | None:
        """Watch the shape of an Environment, if it has one."""
        shape: Any = environment.shape_class
        if shape is None or isinstance(shape, ProfileShape):
            return None
        watched = cls(environment, shape.tick)
        shape.tick = watched.tick
        return watched

    def tick(self) -> Any:
        """Return the result of the shape's tick; None, which ends the test, if it raises."""
        try:
            asked = self._tick()
            self._follow(asked)
        except (Exception, SystemExit) as error:
            if RecordKeeper.of(self._environment).running:
                logger.exception("the load shape raised an exception, which ends the test")
                self.error = described(error)
                return None
            with contextlib.suppress(StopTest):
                preparation.refuse(self._environment, error)
            return None
        else:
            return asked

    def _follow(self, asked: Any) -> None:
        keeper = RecordKeeper.of(self._environment)
        if not keeper.running or (record := keeper.record) is None:
            self._first = asked  # this one starts the test
            return
        if self._asked is None or self._asked.record is not record:
            self._asked = RequestedByShape(record)
            self._asked.follow(begins_s(record), *(self._first or (None,))[:2])
        self._asked.follow(steady_clock.now() - math.floor(record.started_at), *(asked or (None,))[:2])
