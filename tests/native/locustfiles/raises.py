"""A task that raises now and then."""

from locust import HttpUser, constant, task


class Careless(HttpUser):
    wait_time = constant(0.05)

    @task(3)
    def read(self):
        self.client.get("/read")

    @task
    def stumble(self):
        self.client.get("/stumble").json()["no such key"]
