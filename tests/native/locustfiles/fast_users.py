"""Locust's FastHttpUser, with its shorthands."""

from locust import FastHttpUser, constant, task


class Fast(FastHttpUser):
    wait_time = constant(0.05)
    default_headers = {"X-Client": "fast"}

    @task(2)
    def read(self):
        with self.rest("GET", "/read") as response:
            assert response.js["status"] == "ok", "not ok"

    @task
    def group(self):
        with self.client.rename_request("/group/[id]"):
            for number in range(3):
                self.client.get(f"/group/{number}")

    @task
    def wrong(self):
        with self.rest("POST", "/wrong", json={"a": 1}) as response:
            assert response.js["status"] == "done", "not done"

    @task
    def fresh(self):
        with self.rest_("GET", "/fresh"):
            pass
