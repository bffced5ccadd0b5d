"""The outcome of each request is decided in a with-block."""

from locust import HttpUser, constant, task


class Judge(HttpUser):
    wait_time = constant(0.05)

    @task(3)
    def right(self):
        with self.client.get("/right", catch_response=True) as response:
            if response.json()["status"] != "ok":
                response.failure("not ok")

    @task
    def wrong(self):
        with self.client.get("/wrong", catch_response=True) as response:
            response.failure("another answer was expected")

    @task
    def forgiven(self):
        with self.client.get("/forgiven", catch_response=True) as response:
            if response.status_code == 404:
                response.success()

    @task
    def missing(self):
        self.client.get("/missing")
