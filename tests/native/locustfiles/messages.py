"""Messages between the runners, which a process that runs alone sends to itself."""

from locust import HttpUser, constant, events, task
from locust.runners import MasterRunner, WorkerRunner

names = []


def take(environment, msg, **_kwargs):
    names.append(msg.data)
    environment.runner.send_message("taken", f"took {msg.data}")


def confirm(msg, **_kwargs):
    print(f"confirmed {msg.data}", flush=True)


@events.init.add_listener
def register(environment, **_kwargs):
    if not isinstance(environment.runner, MasterRunner):
        environment.runner.register_message("names", take)
    if not isinstance(environment.runner, WorkerRunner):
        environment.runner.register_message("taken", confirm)


@events.test_start.add_listener
def deal(environment, **_kwargs):
    if not isinstance(environment.runner, WorkerRunner):
        environment.runner.send_message("names", "ada")


class Named(HttpUser):
    wait_time = constant(0.05)

    @task
    def call(self):
        self.client.get("/names" if names else "/too-early")
