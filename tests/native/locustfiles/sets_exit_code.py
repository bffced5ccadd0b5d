"""The exit code is the file's own, set when Locust quits."""

from locust import HttpUser, constant, events, task


@events.quitting.add_listener
def decide(environment, **_kwargs):
    environment.process_exit_code = 7 if environment.stats.total.num_requests > 1 else 0


class Visitor(HttpUser):
    wait_time = constant(0.05)

    @task
    def visit(self):
        self.client.get("/")
