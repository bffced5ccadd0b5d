"""A load shape of stages, each with its own User classes."""

from locust import HttpUser, LoadTestShape, constant, task


class Reader(HttpUser):
    wait_time = constant(0.05)

    @task
    def read(self):
        self.client.get("/read")


class Writer(HttpUser):
    wait_time = constant(0.05)

    @task
    def write(self):
        self.client.post("/write", json={"a": 1})


class Stages(LoadTestShape):
    stages = [
        {"duration": 1, "users": 2, "spawn_rate": 10, "user_classes": [Reader]},
        {"duration": 10, "users": 4, "spawn_rate": 10, "user_classes": [Reader, Writer]},
    ]

    def tick(self):
        for stage in self.stages:
            if self.get_run_time() < stage["duration"]:
                return stage["users"], stage["spawn_rate"], stage["user_classes"]
        return None
