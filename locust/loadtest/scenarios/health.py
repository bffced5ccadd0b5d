"""The smoke scenario: both probes of the target and nothing else."""

from locust import between, task

from loadtest.scenarios import Scenario
from loadtest.scenarios._users import HttpUser

NAME = "health"


class HealthUser(HttpUser):
    """Requests both probes in turn."""

    scenario = NAME
    wait_time = between(0.5, 1.5)

    @task
    def probe(self) -> None:
        """Check that the target is alive and ready."""
        self.client.get("/healthz/live", name="health/live")
        self.client.get("/healthz/ready", name="health/ready")


scenario = Scenario(
    name=NAME,
    user_classes=(HealthUser,),
    requests=(("GET", "health/live"), ("GET", "health/ready")),
)
