"""The sample target with a slow back end: every response waits as if for a database.

    gunicorn 'bench.compare.target:create_app()'

The wait is log-normal, median 300 ms. `COMPARE_SLOWER=0.1` makes /healthz/ready 10 % slower, including the target's own
time; the other endpoint does not change.
"""

import os
import random
import time
from collections.abc import Callable, Iterable
from typing import Any

from target_app import create_app as create_target

MEDIAN_S = 0.300
SPREAD = 0.2
SLOWED = "/healthz/ready"


def create_app() -> Callable[..., Iterable[bytes]]:
    """Return the application."""
    target = create_target()
    slower = float(os.environ.get("COMPARE_SLOWER", "0"))

    def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        began_s = time.perf_counter()
        answer = target(environ, start_response)
        time.sleep(random.lognormvariate(0, SPREAD) * MEDIAN_S)
        if slower and environ["PATH_INFO"] == SLOWED:
            time.sleep(slower * (time.perf_counter() - began_s))
        return answer

    return application
