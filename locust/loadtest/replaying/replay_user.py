"""ReplayUser: sends the log's request that began at each arrival's time.

Tested in tests/native/test_replay.py.
"""

from __future__ import annotations

import base64
import mmap
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import orjson
from locust import task

from loadtest.clients.http import HttpUser
from loadtest.pacing.service import number_of
from loadtest.scenarios import Scenario, bearer_headers

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_FAILED: Final = 400


class RequestFile:
    """The requests of a replay, one on each line, read when they are sent.

    Args:
        path: of the file.
    """

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            self._lines = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        ends = np.flatnonzero(np.frombuffer(self._lines, np.uint8) == ord("\n"))
        self._limits = np.concatenate(([0], ends + 1))

    def __getitem__(self, number: int) -> list[Any]:
        line: list[Any] = orjson.loads(self._lines[self._limits[number] : self._limits[number + 1]])
        return line


@cache
def lines_of(path: Path) -> RequestFile:
    """Return the requests of a file, which all users of a process share."""
    return RequestFile(path)


class ReplayUser(HttpUser):
    """Sends the requests of a file.

    Attributes:
        requests_file: see `loadtest.replaying.replay`.
    """

    abstract = True
    requests_file: Path

    @task
    def send(self) -> None:
        """Send the request of this arrival.

        An answer with the status in the log is correct, whatever its content. Redirects are not followed, since the log
        contains the next request. Cookies of earlier answers are not sent, since they belong to another client.
        """
        if self.intended_start_s is None:
            raise RuntimeError("a replay follows the times of its log: run it by `loadtest replay`")
        self.client.cookiejar.clear()
        number = number_of(self.environment, self.intended_start_s)
        method, target, name, status, body, media_type = lines_of(self.requests_file)[number]
        headers = bearer_headers() | ({"Content-Type": media_type} if body else {})
        data = base64.b64decode(body) if body else None
        arguments: dict[str, Any] = {"name": name, "data": data, "headers": headers, "allow_redirects": False}
        if status < _FAILED:
            self.client.request(method, target, **arguments)
            return
        with self.client.request(method, target, catch_response=True, **arguments) as answer:
            if answer.status_code == status:
                answer.success()


def scenario_of(name: str, path: Path, requests: Sequence[tuple[str, str]]) -> Scenario:
    """Return the scenario of a prepared replay.

    Args:
        name: the scenario's.
        path: the file of its requests.
        requests: method and name of each kind.
    """
    user_class = type("LoggedUser", (ReplayUser,), {"abstract": False, "scenario": name, "requests_file": path})
    return Scenario(name=name, user_classes=(user_class,), requests=tuple(requests))
