"""SampleTarget: the sample target under Gunicorn, as a process of this machine.

Tested in tests/native/test_local_stack.py and tests/native/test_duet.py.
"""

from __future__ import annotations

import http.client
import sys
from typing import TYPE_CHECKING

from loadtest.local.process import ManagedProcess, free_port
from loadtest.settings.fetching import fetch

if TYPE_CHECKING:
    from pathlib import Path

_TIMEOUT_S = 30.0
_LISTENER = "127.0.0.1"


class SampleTarget(ManagedProcess):
    """Starts at once; `wait_until_ready` waits until it answers.

    Args:
        redis_url: its Redis.
        log: its log file.
        port: where it listens; 0 for any free one.
        folder: the folder that holds the package target_app; None for the one that Python finds.

    Attributes:
        url: its base URL.
    """

    def __init__(self, redis_url: str, log: Path, port: int = 0, folder: Path | None = None) -> None:
        bind = f"{_LISTENER}:{port or free_port()}"
        self.url = f"http://{bind}"
        command = ["-m", "gunicorn", "-c", "python:target_app.gunicorn_conf", "target_app:create_app()"]
        variables = {"TARGET_APP_BIND": bind, "REDIS_URL": redis_url}
        super().__init__("target_app", [sys.executable, *command], log, variables, folder=folder)

    def wait_until_ready(self) -> float:
        """Wait until it and its Redis answer, and return the seconds that took.

        Raises:
            StackError: it ends before that, or does not answer in time.
        """
        return self.wait_until(lambda: status(f"{self.url}/healthz/ready") == http.client.OK, _TIMEOUT_S)


def status(url: str) -> int | None:
    """Return the status of a URL's answer; None if there is none."""
    try:
        return fetch(url, 2).status
    except OSError:
        return None
