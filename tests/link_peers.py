"""A real Locust master in this process, and workers that consist only of their end of the link."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Self

import gevent
import zmq.green as zmq
from locust import __version__
from locust.env import Environment
from locust.rpc import Message
from locust.runners import MasterRunner

from tests.locust_runners import Idle, close

PATIENCE_S = 5.0


@contextmanager
def master(**options: Any) -> Iterator[MasterRunner]:
    """Listen on a free port of this machine, for as long as the context lasts."""
    environment = Environment(user_classes=[Idle])
    environment.parsed_options = type("Options", (), {})()
    vars(environment.parsed_options).update({"enable_rebalancing": True, "headless": False, **options})
    runner = environment.create_master_runner("127.0.0.1", 0)
    try:
        yield runner
    finally:
        runner.greenlet.kill()
        close(runner.server.socket.context)


class Peer:
    """A worker's end: it joins, reports that it runs the requested users, and can be disconnected."""

    def __init__(self, runner: MasterRunner, name: str) -> None:
        """Join, and wait until the master knows it."""
        self.name = name
        self.spawned: list[int] = []
        self._runner = runner
        self._connect()
        self.say("client_ready", __version__)
        eventually(lambda: name in runner.clients)

    def _connect(self) -> None:
        self.socket = zmq.Context.instance().socket(zmq.DEALER)
        self.socket.setsockopt(zmq.IDENTITY, self.name.encode())
        self.socket.setsockopt(zmq.RCVHWM, 1)  # a peer that does not read soon falls behind
        self.socket.connect(f"tcp://127.0.0.1:{self._runner.server.port}")
        self._listening = gevent.spawn(self._listen)

    def say(self, kind: str, data: Any = None) -> None:
        """Send a message."""
        self.socket.send(Message(kind, data, self.name).serialize())

    def _listen(self) -> None:
        while True:
            message = Message.unserialize(self.socket.recv())
            if message.type == "spawn":
                users = message.data["user_classes_count"]
                self.spawned.append(sum(users.values()))
                self.say("spawning_complete", {"user_classes_count": users, "user_count": self.spawned[-1]})

    def cut(self) -> None:
        """Close the connection without a word, as the kernel does for a killed process."""
        self._listening.kill()
        self.socket.close(linger=0)

    def come_back(self) -> None:
        """Connect again under the same name."""
        self._connect()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.cut()


def eventually(holds: Callable[[], object], within_s: float = PATIENCE_S) -> float:
    """Wait until something holds; return how long it took, in seconds."""
    began_s = time.monotonic()
    while not holds():
        assert time.monotonic() < began_s + within_s
        gevent.sleep(0.01)
    return time.monotonic() - began_s
