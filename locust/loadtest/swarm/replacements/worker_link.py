"""How a worker keeps in touch with its master: it looks for it a bounded time, and never loads without one.

Three greenlets of Locust's worker are replaced. Its heartbeat and its report of users ride in the report that
`loadtest.measuring.swarm` sends each second anyway: a message costs the master more than what is in it. And its watch
over the master, which ends the process after 60 s of silence by a clock that may step, becomes `_watch_master`.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final, NoReturn

import gevent
from locust import __version__, runners
from locust.rpc import Message

from loadtest.swarm.monitor import CLOSED, Monitor

if TYPE_CHECKING:
    from locust.runners import WorkerRunner

CLOSED_S: Final = 4.0
"""A worker whose connection to the master closed, as when the master died, stops its users when it has heard nothing
for so long. The master answers every other second."""
SILENCE_S: Final = 7.0
"""The same while the connection stands: a cut of three seconds, and what TCP needs after it, is no loss."""
_LOOK_EVERY_S: Final = 0.25

_log = logging.getLogger(__name__)


def keep(wait_s: float) -> None:
    """Make workers of this process give up after `wait_s` seconds without a master, and stop users that have none.

    Locust tries for five minutes and then names no reason. Its start-up turns the ConnectionError into a log line
    and exit code 255.
    """

    def connect_to_master(runner: WorkerRunner) -> None:
        tries = max(1, round(wait_s / runners.CONNECT_TIMEOUT))
        for _ in range(tries):
            runner.client.send(Message("client_ready", __version__, runner.client_id))  # type: ignore[no-untyped-call]
            if runner.connection_event.wait(timeout=wait_s / tries):
                runner.connected = True
                return
        raise ConnectionError(
            f"no master answered at {runner.master_host}:{runner.master_port} within {wait_s:g} s. Allowed: the "
            "address of a running master. Next: start the master, or correct --master-host and --master-port."
        )

    runners.WorkerRunner.connect_to_master = connect_to_master  # type: ignore[method-assign]
    runners.WorkerRunner.heartbeat_timeout_checker = _watch_master  # type: ignore[assignment,method-assign]
    runners.WorkerRunner.heartbeat = _leave_to_report  # type: ignore[assignment,method-assign]
    runners.WorkerRunner.stats_reporter = _leave_to_report  # type: ignore[assignment,method-assign]


def _leave_to_report(runner: WorkerRunner) -> None:
    """Nothing: see the module's text."""


class _Hearing:
    """What a worker hears of its master: every message is a word."""

    def __init__(self, runner: WorkerRunner) -> None:
        self.words = 0
        self.busy = False
        """Whether a message is being handled. At a test's end Locust takes the stop timeout for that, and its master
        does not know the worker meanwhile, hence does not answer it."""
        self.closed_after = -1
        """The number of words before the connection closed."""
        handle = runner.handle_message

        def hear(message: Message) -> None:
            self.words += 1
            self.busy = True
            try:
                handle(message)
            finally:
                self.busy = False

        def close() -> None:
            self.closed_after = self.words

        runner.handle_message = hear  # type: ignore[assignment,method-assign]
        Monitor.of(runner.client.socket).listen(CLOSED, close)


def _watch_master(runner: WorkerRunner) -> NoReturn:
    # Silence is counted in looks, not by a clock: neither a stepped clock nor a worker that was itself held up is
    # taken for a lost master.
    hearing = _Hearing(runner)
    words, silent_s = hearing.words, 0.0
    while True:
        gevent.sleep(_LOOK_EVERY_S)
        if hearing.words != words or hearing.busy:
            words, silent_s = hearing.words, 0.0
            continue
        silent_s += _LOOK_EVERY_S
        if silent_s >= (CLOSED_S if hearing.closed_after == words else SILENCE_S):
            _find_master_again(runner, silent_s)
            silent_s = 0.0


def _find_master_again(runner: WorkerRunner, silent_s: float) -> None:
    _log.warning(
        "no word from the master for %g s: stopping %d users, then looking for it", silent_s, runner.user_count
    )
    runner.environment.stop_timeout = 0.0  # the next spawn message brings it anew
    runner.stop()
    runner.worker_state = runners.STATE_INIT
    runner.last_received_spawn_timestamp = 0  # another master's clock may be behind
    runner.connection_event.clear()
    try:
        runner.connect_to_master()  # type: ignore[no-untyped-call]
    except ConnectionError as error:
        _log.error("%s", error)
        runner.environment.process_exit_code = 1
        runner.quit()
    _log.info("the master is there again")
