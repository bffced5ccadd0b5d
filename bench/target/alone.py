"""The cost of the applications alone, called as Gunicorn calls them but without a server."""

import io
import os
import statistics
import sys
import time
from typing import TYPE_CHECKING, Any

from bench.target.variants import PATH, create_app
from target_app import create_app as create_target

if TYPE_CHECKING:
    from flask import Flask

REQUESTS = 1_000
_REQUEST = {
    "REQUEST_METHOD": "GET", "PATH_INFO": PATH, "QUERY_STRING": "", "SCRIPT_NAME": "", "HTTP_HOST": "127.0.0.1",
    "SERVER_NAME": "127.0.0.1", "SERVER_PORT": "80", "SERVER_PROTOCOL": "HTTP/1.1", "wsgi.url_scheme": "http",
    "wsgi.errors": sys.stderr, "wsgi.version": (1, 0), "wsgi.multithread": True, "wsgi.multiprocess": True,
}  # fmt: skip


def _start(status: str, *_: Any) -> None:
    if not status.startswith("200"):
        raise RuntimeError(f"the application answered {status}")


def cost_s(app: "Flask") -> float:
    """Return the CPU time of one request, in seconds, from a thousand."""
    before_s = time.process_time()
    for _ in range(REQUESTS):
        body: Any = app({**_REQUEST, "wsgi.input": io.BytesIO()}, _start)
        b"".join(body)
        body.close()
    return (time.process_time() - before_s) / REQUESTS


def costs_s(rounds: int) -> dict[str, float]:
    """Return the median cost of a request to each application, in seconds; alternately, after one to warm up.

    REDIS_URL has the address of Redis.
    """
    apps = {"redis-py, stdlib json": create_app("json"), "the sample target": create_target()}
    found: dict[str, list[float]] = {name: [] for name in apps}
    for _ in range(rounds + 1):
        for name, app in apps.items():
            found[name].append(cost_s(app))
    return {name: statistics.median(costs[1:]) for name, costs in found.items()}


if __name__ == "__main__":
    os.sched_setaffinity(0, {0})
    naive_s, target_s = costs_s(int(sys.argv[1])).values()
    print(f"The applications alone: {naive_s * 1e6:,.0f} and {target_s * 1e6:,.0f} µs of CPU, {naive_s / target_s:.2f}")
