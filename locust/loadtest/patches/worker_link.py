"""How a worker finds its master: for a bounded time, and with a sentence when it does not."""

from __future__ import annotations

from locust import __version__, runners
from locust.rpc import Message


def bound_connecting(wait_s: float) -> None:
    """Make workers of this process give up after `wait_s` seconds without a master.

    Locust tries for five minutes and then names no reason. Its start-up turns the ConnectionError into a log line
    and exit code 255.
    """

    def connect_to_master(runner: runners.WorkerRunner) -> None:
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
