"""This product's own base class, under its locustfile and under plain Locust."""

from locust import constant, task

from loadtest.clients.http import HttpUser


class Ours(HttpUser):
    wait_time = constant(0.05)

    @task(3)
    def read(self):
        self.client.get("/read")

    @task
    def wrong(self):
        with self.client.get("/wrong", catch_response=True) as response:
            response.failure("another answer was expected")
