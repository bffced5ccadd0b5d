"""A client of its own, which reports by events.request.fire."""

import http.client
import time
import urllib.parse

from locust import User, constant, events, task


class RpcClient:
    def __init__(self, host):
        self._netloc = urllib.parse.urlsplit(host).netloc

    def call(self, method):
        meta = {"request_type": "RPC", "name": method, "response_length": 0, "response": None, "exception": None}
        meta["start_time"] = time.time()
        start = time.perf_counter()
        try:
            connection = http.client.HTTPConnection(self._netloc)
            connection.request("POST", f"/{method}", body="{}")
            response = connection.getresponse()
            meta["response_length"] = len(response.read())
            connection.close()
            if response.status != 200:
                raise RuntimeError(f"status {response.status}")
        except Exception as error:
            meta["exception"] = error
        meta["response_time"] = (time.perf_counter() - start) * 1000
        events.request.fire(**meta)


class RpcUser(User):
    abstract = True

    def __init__(self, environment):
        super().__init__(environment)
        self.client = RpcClient(self.host)


class Caller(RpcUser):
    wait_time = constant(0.05)

    @task(3)
    def good(self):
        self.client.call("good")

    @task
    def bad(self):
        self.client.call("broken")
