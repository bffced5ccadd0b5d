"""Transitions with probabilities."""

from locust import HttpUser, MarkovTaskSet, constant, transition, transitions


class Walk(MarkovTaskSet):
    @transition("search")
    def home(self):
        self.client.get("/home")

    @transitions({"home": 1, "item": 3})
    def search(self):
        self.client.get("/search")

    @transitions(["home", "search"])
    def item(self):
        self.client.get("/item")


class Walker(HttpUser):
    wait_time = constant(0.05)
    tasks = [Walk]
