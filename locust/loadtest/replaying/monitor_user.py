"""MonitorUser: sends the command that Redis executed at each arrival's time.

Tested in tests/native/test_replay.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from locust import task

from loadtest.clients.redis import RedisJsonClient, RedisJsonUser
from loadtest.clients.redis.commands import pack
from loadtest.pacing.service import number_of
from loadtest.replaying.replay_user import lines_of
from loadtest.scenarios import Scenario

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


class MonitorUser(RedisJsonUser):
    """Sends the commands of a file.

    Attributes:
        commands_file: see `loadtest.replaying.monitor_replay`.
    """

    abstract = True
    commands_file: Path

    def on_start(self) -> None:
        """Keep a view of the client for each name, created on first use."""
        self._views: dict[str, RedisJsonClient] = {}

    @task
    def send(self) -> None:
        """Send the command of this arrival; its reply is ignored unless it is an error."""
        if self.intended_start_s is None:
            raise RuntimeError("a replay follows the times of its log: run it by `loadtest replay`")
        name, *words = lines_of(self.commands_file)[number_of(self.environment, self.intended_start_s)]
        command = (words[0].upper(), *(word.encode("latin-1") for word in words[1:]))
        view = self._views.get(name) or self._views.setdefault(name, self.client.labelled(name))
        view.submit(command[0], pack(command), None, None)


def scenario_of(name: str, path: Path, requests: Sequence[tuple[str, str]], redis_url: str) -> Scenario:
    """Return the scenario of a prepared replay.

    Args:
        name: the scenario's.
        path: the file of its commands.
        requests: command and name of each kind.
        redis_url: where they are sent.
    """
    attributes = {"abstract": False, "scenario": name, "commands_file": path, "redis_url": redis_url}
    user_class = type("MonitoredUser", (MonitorUser,), attributes)
    return Scenario(name=name, user_classes=(user_class,), requests=tuple(requests))
