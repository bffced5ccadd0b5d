"""A target with the endpoints of the scenario health, whose answers wait as if for a database.

    gunicorn 'bench.duet.target:create_app()'

The wait is log-normal, median 20 ms. `DUET_SLOWER=0.03` makes it 3 % longer, of the endpoints and requests that
`DUET_KIND` says: all, one (of the two endpoints), or tail (one request in fifty, by ten times that share).
"""

import os
import random
import time
from collections.abc import Callable, Iterable
from typing import Any

MEDIAN_S = 0.020
SPREAD = 0.2
SLOWED = "/healthz/ready"
TAIL = 0.02


def create_app() -> Callable[..., Iterable[bytes]]:
    """Return the application."""
    slower, kind = float(os.environ.get("DUET_SLOWER", "0")), os.environ.get("DUET_KIND", "all")

    def factor(path: str) -> float:
        if kind == "one" and path != SLOWED:
            return 1.0
        if kind == "tail":
            return 1 + 10 * slower * (random.random() < TAIL)
        return 1 + slower

    def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        time.sleep(random.lognormvariate(0, SPREAD) * MEDIAN_S * factor(environ["PATH_INFO"]))
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "2")])
        return [b"ok"]

    return application
