"""Tasks that tags choose."""

from locust import HttpUser, constant, tag, task


class Tagged(HttpUser):
    wait_time = constant(0.05)

    @tag("read", "safe")
    @task
    def read(self):
        self.client.get("/read")

    @tag("write")
    @task
    def write(self):
        self.client.post("/written-against-the-tags")

    @tag("read", "slow")
    @task
    def slow(self):
        self.client.get("/slow-against-the-tags")
