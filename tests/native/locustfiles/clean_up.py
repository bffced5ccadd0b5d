"""Users log out when they stop."""

from locust import HttpUser, constant, task


class Guest(HttpUser):
    wait_time = constant(0.05)

    def on_start(self):
        self.client.post("/check-in")

    def on_stop(self):
        self.client.post("/check-out")

    @task
    def stay(self):
        self.client.get("/room")
