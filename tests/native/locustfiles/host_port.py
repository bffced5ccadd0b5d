"""A client that takes a host and a port, not a URL."""

import socket
import time

from locust import User, constant, task


class Line:
    def __init__(self, host):
        name, port = host.split(":")
        self._address = name, int(port)

    def ask(self, path):
        with socket.create_connection(self._address, timeout=30) as line:
            line.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
            return b"".join(iter(lambda: line.recv(4096), b""))


class Liner(User):
    wait_time = constant(0.05)

    def on_start(self):
        self.line = Line(self.host)

    @task
    def ask(self):
        begun = time.perf_counter()
        answer = self.line.ask("/line")
        self.environment.events.request.fire(
            request_type="LINE",
            name="/line",
            response_time=(time.perf_counter() - begun) * 1000,
            response_length=len(answer),
            exception=None,
            context={},
        )
