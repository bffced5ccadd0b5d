"""A scenario of one request, under load until a file exists: it then ends as planned."""

from pathlib import Path

from locust import LoadTestShape, between, task

from loadtest.clients.http import HttpUser

END = Path("/tmp/end")  # noqa: S108 - of the master's container
USERS = 10


class Visitor(HttpUser):
    """Requests a path of its own, so that the target counts the requests of these users only."""

    wait_time = between(0.1, 0.3)

    @task
    def live(self) -> None:
        """Send the request."""
        self.client.get("/healthz/live", name="live")


class UntilTold(LoadTestShape):
    """The same number of users until the file is there."""

    def tick(self) -> tuple[int, float] | None:
        """Return users and rate."""
        return None if END.exists() else (USERS, USERS)
