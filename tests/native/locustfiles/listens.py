"""Counts its requests itself, by a listener."""

from locust import HttpUser, constant, events, task

seen = []


@events.request.add_listener
def note(request_type, name, response_time, exception, context, **_kwargs):
    seen.append((request_type, name, exception is None, response_time >= 0, context.get("user")))


@events.quitting.add_listener
def show(**_kwargs):
    print(f"listened {len(seen)}", flush=True)


class Listener(HttpUser):
    wait_time = constant(0.05)

    def context(self):
        return {"user": "me"}

    @task
    def read(self):
        self.client.get("/read", context={"more": 1})
