"""A stub whose calls an interceptor times, as gRPC users do."""

import time

import requests
from locust import User, constant, task


class Stub:
    def __init__(self, host, intercept):
        self._host, self._intercept = host, intercept

    def __getattr__(self, method):
        return lambda **message: self._intercept(
            f"/shop.Shop/{method}", lambda: requests.post(f"{self._host}/{method}", json=message, timeout=5)
        )


class GrpcUser(User):
    abstract = True
    stub_class = None

    def __init__(self, environment):
        super().__init__(environment)
        self.stub = self.stub_class(self.host, self.intercept)

    def intercept(self, name, call):
        error, response, begun = None, None, time.perf_counter()
        try:
            response = call()
            response.raise_for_status()
        except requests.RequestException as caught:
            error = caught
        self.environment.events.request.fire(
            request_type="grpc",
            name=name,
            response_time=(time.perf_counter() - begun) * 1000,
            response_length=0 if response is None else len(response.content),
            response=response,
            context={},
            exception=error,
        )
        return response


class Shopper(GrpcUser):
    stub_class = Stub
    wait_time = constant(0.05)

    @task
    def order(self):
        self.stub.order(item=1)
        self.stub.broken(item=2)
