"""Tasks as functions with weights, and a wait_time method."""

from locust import HttpUser


def index(user):
    user.client.get("/")


def page(user):
    user.client.get("/page")


class Passer(HttpUser):
    tasks = {index: 3, page: 1}

    def wait_time(self):
        return 0.05
