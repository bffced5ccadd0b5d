"""Real masters and workers of Locust in one process."""

from locust import User, constant, task
from locust.runners import MasterRunner, WorkerRunner


class Idle(User):
    """Does nothing, slowly."""

    wait_time = constant(0.1)

    @task
    def wait(self) -> None:
        """Do nothing."""


def end(master: MasterRunner, *workers: WorkerRunner) -> None:
    """End them, and close what Locust leaves open."""
    for worker in workers:
        worker.quit()
    master.greenlet.kill()
    for link in (*(worker.client for worker in workers), master.server):
        link.socket.context.destroy(linger=0)
