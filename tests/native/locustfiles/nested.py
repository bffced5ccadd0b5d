"""TaskSets within TaskSets."""

from locust import HttpUser, TaskSet, constant, task


class Forum(TaskSet):
    wait_time = constant(0.02)

    @task(2)
    class Thread(TaskSet):
        @task
        def read(self):
            self.client.get(f"/thread/{self.parent.__class__.__name__}")

        @task
        def back(self):
            self.interrupt(reschedule=False)

    @task
    def index(self):
        self.client.get("/forum")

    @task
    def home(self):
        self.interrupt()


class Reader(HttpUser):
    wait_time = constant(0.05)
    tasks = {Forum: 2}

    @task
    def start_page(self):
        self.client.get("/")
