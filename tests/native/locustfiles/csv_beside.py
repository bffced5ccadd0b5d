"""Data from a CSV file next to the locustfile, one row per user in turn."""

import csv
import itertools
import os

from locust import HttpUser, between, task

with open(os.path.join(os.path.dirname(__file__), "people.csv")) as file:
    people = itertools.cycle(list(csv.DictReader(file)))


class Reciter(HttpUser):
    wait_time = between(0.05, 0.1)

    def on_start(self):
        self.person = next(people)
        self.client.post("/login", json={"name": self.person["name"]})

    @task
    def search(self):
        self.client.get("/search", params={"q": self.person["word"]}, name="/search")
