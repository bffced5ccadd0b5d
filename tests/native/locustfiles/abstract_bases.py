"""Abstract bases, one of which logs in, and weights."""

from locust import HttpUser, constant, task


class Member(HttpUser):
    abstract = True
    wait_time = constant(0.05)

    def on_start(self):
        self.client.headers.update({"X-Member": type(self).__name__})
        self.client.post("/login", data={"name": type(self).__name__})

    @task
    def home(self):
        self.client.get("/home")


class Customer(Member):
    weight = 3

    @task(2)
    def buy(self):
        self.client.post("/buy")


class Admin(Member):
    weight = 1

    @task
    def report(self):
        self.client.get("/report")
