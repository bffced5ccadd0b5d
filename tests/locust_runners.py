"""Real masters and workers of Locust in one process."""

from typing import Any, Final

from locust import User, constant, task
from locust.runners import MasterRunner, WorkerRunner

_KEPT: Final[list[Any]] = []


class Idle(User):
    """Does nothing, slowly."""

    wait_time = constant(0.1)

    @task
    def wait(self) -> None:
        """Do nothing."""


def end(master: MasterRunner, *workers: WorkerRunner) -> None:
    """End the runners, and close the sockets that Locust leaves open."""
    for worker in workers:
        worker.quit()
    master.greenlet.kill()
    for link in (*(worker.client for worker in workers), master.server):
        close(link.socket.context)


def close(context: Any) -> None:
    """Close a ZeroMQ context's sockets. Terminating it could block, so it is kept until the process ends."""
    for socket in list(context._sockets):
        socket.close(linger=0)
    _KEPT.append(context)
