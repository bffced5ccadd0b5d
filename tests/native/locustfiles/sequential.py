"""A checkout in order, with a set-up of its own."""

from locust import HttpUser, SequentialTaskSet, constant, task


class Checkout(SequentialTaskSet):
    def on_start(self):
        self.client.post("/basket")

    @task
    def add(self):
        self.client.put("/basket/1", data="1")

    @task
    def pay(self):
        self.client.post("/pay", {"card": "1234"})

    @task
    def leave(self):
        self.interrupt()


class Buyer(HttpUser):
    tasks = [Checkout]
    wait_time = constant(0.05)
