"""A file that ends with 0 whatever failed, when its own stop comes first."""

from locust import HttpUser, constant, events, task


@events.test_stop.add_listener
def count(environment, **_kwargs):
    print(f"failures {environment.stats.total.num_failures}")


class Excused(HttpUser):
    wait_time = constant(0.05)

    @task
    def visit(self):
        self.client.get("/broken")
