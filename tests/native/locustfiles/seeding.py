"""Data is made when the test starts, and counted when it ends."""

import requests
from locust import HttpUser, constant, events, task
from locust.runners import MasterRunner

items = []


@events.init.add_listener
def on_init(environment, **_kwargs):
    environment.seeds = 5


@events.test_start.add_listener
def seed(environment, **_kwargs):
    if not isinstance(environment.runner, MasterRunner):
        for number in range(environment.seeds):
            requests.put(f"{environment.host}/seed/{number}", timeout=5)
            items.append(number)


@events.test_stop.add_listener
def clean(environment, **_kwargs):
    requests.delete(f"{environment.host}/seed/all", timeout=5)


class Harvester(HttpUser):
    wait_time = constant(0.05)

    @task
    def read(self):
        self.client.get(f"/item/{items[-1]}", name="/item/[id]")
