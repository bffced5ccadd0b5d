"""The classes under which errors are counted, without dependencies on the recorder or on Locust.

Tested by tests/unit/measuring/test_recorder.py.
"""

from __future__ import annotations

from typing import Final

from loadtest.measuring.labels import OTHER

NO_ANSWER: Final = "no answer yet when the user was stopped"

UNFINISHED: Final = "unfinished"
"""The class of a request that had no response when its user was stopped. Its time until then, a lower bound, counts."""
GENERATOR: Final = "generator"
"""The class of errors of the load generator itself: it ran out of file descriptors, ports or memory."""
ERROR_CLASSES: Final = frozenset(
    {
        "timeout_connect", "timeout_read", "timeout_total", "connect", "reset", "closed", "protocol", "too_large",
        "tls", "dns", "redirect", "status_4xx", "status_5xx", "status_other", "assertion", "check", "exception",
        "close_code", "redis_error", "redis_cluster_down",
        "redis_oom", "redis_loading", "redis_moved", "redis_auth", "redis_noscript", "redis_wrongtype", "redis_missing",
        UNFINISHED, GENERATOR, OTHER,
    }
)  # fmt: skip
"""The only values of the label ``class``; anything else counts as ``other``."""
