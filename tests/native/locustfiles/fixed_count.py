"""One administrator, and as many visitors as there are places left."""

from locust import HttpUser, constant_pacing, constant_throughput, task


class Warden(HttpUser):
    fixed_count = 1
    wait_time = constant_pacing(0.1)

    @task
    def watch(self):
        self.client.get("/admin")


class Visitor(HttpUser):
    weight = 5
    wait_time = constant_throughput(10)

    @task
    def visit(self):
        self.client.get("/visit")
