"""Runs generated scenarios against a scripted service."""

from __future__ import annotations

import json
import textwrap
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import gevent
import pytest

from tests.http_harness import Peer, ScriptedServer, ok
from tests.native.conftest import Stack, stack

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["stack"]

HEAD = """
import time
import gevent
from locust import constant, task
from locust.exception import StopUser
from loadtest.clients.http import HttpUser
from loadtest.scenarios import Scenario
"""
TAIL = """
scenario = Scenario("lie", (Lie,), {requests!r})
"""


class Referee:
    """A service that counts received and answered requests by path.

    Args:
        hangs: whether a request to this path, received this many seconds after the first, gets no response.
    """

    def __init__(self, hangs: Callable[[str, float], bool] = lambda _path, _age_s: False) -> None:
        self._hangs = hangs
        self._began_s: float | None = None
        self.received: Counter[str] = Counter()
        self.answered: Counter[str] = Counter()

    def answer_after_s(self, _age_s: float) -> float:
        """The delay of the response to a request received this many seconds after the first."""
        return 0.0

    def __call__(self, peer: Peer) -> None:
        """Serve one connection."""
        while head := peer.read_request()[0]:
            now_s = gevent.get_hub().loop.now()
            self._began_s = self._began_s or now_s
            path = head.split(b" ", 2)[1].decode()
            self.received[path] += 1
            if self._hangs(path, now_s - self._began_s):
                gevent.sleep(120)
                return
            gevent.sleep(self.answer_after_s(now_s - self._began_s))
            self.answered[path] += 1
            peer.send(ok(b"{}"))


@dataclass(frozen=True)
class RunReport:
    """The reports of a run."""

    exit_code: int
    output: str
    document: dict[str, Any]
    junit: str
    summary: str

    @property
    def outcome(self) -> str:
        """The verdict's name."""
        return str(self.document["verdict"]["name"])

    @property
    def rules(self) -> set[str]:
        """The trust rules that were broken."""
        return {finding["rule"] for finding in self.document["findings"]}

    def sentence(self, rule: str) -> str:
        """The sentence of a broken rule."""
        return next(str(finding["sentence"]) for finding in self.document["findings"] if finding["rule"] == rule)

    def requests(self, name: str) -> tuple[int, int]:
        """Requests and failures of a name; zeros where it is in no table."""
        found = [(one["requests"], one["failures"]) for one in self.document["series"] if one["name"] == name]
        return found[0] if found else (0, 0)


@pytest.fixture
def run_scenario(stack: Stack, tmp_path: Path) -> Callable[..., RunReport]:
    """Return a function that runs a scenario, given the body of its user class, and returns the run's reports."""

    def run_scenario(
        body: str,
        *arguments: str,
        service: Callable[[Peer], None] | None = None,
        requests: tuple[tuple[str, str], ...] = (("GET", "/ok"),),
        imports: str = "",
        **variables: str,
    ) -> RunReport:
        scenario = tmp_path / "lie.py"
        user = 'class Lie(HttpUser):\n    scenario = "lie"\n' + textwrap.indent(textwrap.dedent(body), "    ")
        scenario.write_text(HEAD + imports + user + TAIL.format(requests=requests))
        with ScriptedServer(service or Referee()) as server:
            stack.start("--scenario", str(scenario), "--host", server.url, *arguments, **variables)
            exit_code, output = stack.end(220)
        document = json.loads((stack.run_dir() / "record.json").read_text())
        junit = (stack.run_dir() / "junit.xml").read_text()
        return RunReport(exit_code, output, document, junit, (stack.run_dir() / "summary.md").read_text())

    return run_scenario
