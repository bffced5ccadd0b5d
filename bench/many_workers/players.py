"""Workers without users, many in one process: see `bench.many_workers`.

    python players.py MASTER_HOST COUNT REQUESTS_PER_REPORT

Each has its own connection, recorder, outbox and numbered deltas, from the product's code. Its measurements and its
health are synthetic. When the run is over, the process prints how many requests it counted, and waits to be killed.
"""

import gevent.monkey

gevent.monkey.patch_all()

import secrets  # noqa: E402
import signal  # noqa: E402
import socket  # noqa: E402
import sys  # noqa: E402
import time  # noqa: E402
from typing import TYPE_CHECKING, Any  # noqa: E402

import gevent  # noqa: E402
import zmq.green as zmq  # noqa: E402
from locust import __version__  # noqa: E402
from locust.rpc import Message  # noqa: E402

from loadtest.measuring.delivery import RESEND_AFTER_S, Acknowledgement, Outbox, Reporter  # noqa: E402
from loadtest.measuring.health import Health  # noqa: E402
from loadtest.measuring.recorder import Recorder  # noqa: E402
from loadtest.settings.config import Config  # noqa: E402
from loadtest.settings.credentials import read_secret  # noqa: E402
from loadtest.swarm.delta_sender import HEARTBEAT_EVERY_S  # noqa: E402
from loadtest.swarm.keys import SHORTEST, Keys  # noqa: E402
from loadtest.swarm.messages import ACKNOWLEDGEMENT, DRAIN, REPORT, Heartbeat, Report, RunOptions, Users  # noqa: E402
from loadtest.swarm.sockets import WorkerEnd  # noqa: E402
from loadtest.swarm.software import Software  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable

SCENARIO = "health"
PORT = 5557
NAMES = 20
USERS_EVERY_S = 3
DURATION_S = 0.01
SOFTWARE = Software.of(SCENARIO, [])

zmq.Context = zmq.Context.instance  # type: ignore[misc,assignment]  # Locust makes one with two threads for each socket


class Player:
    """A worker, as seen by its master."""

    def __init__(self, name: str, host: str, keys: Keys, requests: int) -> None:
        self.name = name
        self.counted = 0
        self._requests = requests
        self._is_known = False
        self._link = WorkerEnd(host, PORT, name, keys)
        self._recorder = Recorder()
        self._series = [self._recorder.series(SCENARIO, "GET", f"operation-{number}") for number in range(NAMES)]
        self._outbox = Outbox()
        self._reporter = Reporter(self._recorder, self._outbox, self._users, lambda: Health(0.2, 0.001))
        self._classes: dict[str, int] = {}
        self._state = "ready"
        self._handle: dict[str, Callable[[Any], None]] = {
            "spawn": self._on_spawn,
            DRAIN.name: self._on_drain,
            ACKNOWLEDGEMENT.name: self._on_acknowledgement,
            "stop": self._on_stop,
            "ack": self._on_ack,
        }
        gevent.spawn(self._listen)

    def _on_ack(self, _: Any) -> None:
        self._is_known = True

    @property
    def has_finished(self) -> bool:
        """Whether its last delta was requested, after which it counts nothing."""
        return bool(self._reporter.run) and self._reporter.finished

    def _users(self) -> dict[str, int]:
        return {SCENARIO: sum(self._classes.values())}

    def _say(self, kind: str, data: Any = None) -> None:
        self._link.send(Message(kind, data, self.name))  # type: ignore[no-untyped-call]

    def _listen(self) -> None:
        while True:
            message = self._link.recv()
            if message.type in self._handle:
                self._handle[message.type](message.data)

    def _on_spawn(self, job: dict[str, Any]) -> None:
        options = RunOptions.of(job["parsed_options"])
        if options and options.run and options.run != self._reporter.run:
            self._reporter.begin(options.run, time.perf_counter())
        self._classes, self._state = job["user_classes_count"], "running"
        self._say("spawning_complete", self._said_users())

    def _said_users(self) -> dict[str, Any]:
        return {"user_classes_count": self._classes, "user_count": sum(self._classes.values())}

    def _on_acknowledgement(self, data: Any) -> None:
        if data is not None:
            self._outbox.acknowledge(Acknowledgement(*data))

    def _on_drain(self, _run: str) -> None:
        self._classes = dict.fromkeys(self._classes, 0)
        self._send(self._reporter.answer(time.perf_counter()))

    def _on_stop(self, _: Any) -> None:
        self._state = "ready"
        self._say("client_stopped")
        self._say("client_ready", __version__)

    def second(self, second: int) -> None:
        """Record synthetic measurements, and report them like a worker, at each whole second of its clock."""
        now_s = time.perf_counter()
        if not self._is_known:
            self._say("client_ready", __version__)
            return
        if self._classes and not self._reporter.finished:
            for number in range(self._requests):
                self._series[number % NAMES].success(now_s, now_s, now_s + DURATION_S, 1000)
            self.counted += self._requests
        heartbeat = users = None
        if second % HEARTBEAT_EVERY_S == 0:
            heartbeat = Heartbeat(
                state=self._state, current_cpu_usage=20.0, current_memory_usage=50_000_000, software=SOFTWARE
            )
        if second % USERS_EVERY_S == 0:
            users = Users(**self._said_users())
        self._send(self._reporter.cut(now_s) + self._outbox.due(now_s, RESEND_AFTER_S), heartbeat, users)

    def _send(self, deltas: list[bytes], heartbeat: Heartbeat | None = None, users: Users | None = None) -> None:
        if deltas or heartbeat or users:
            self._say(REPORT.name, REPORT.write(Report(time.perf_counter(), deltas, heartbeat, users)))


def main(host: str, count: int, requests: int) -> None:
    """Run until this process is killed."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    file = Config.load().link_key_file
    if file is None:
        raise SystemExit("LOADTEST_LINK_KEY_FILE is not set")
    keys = Keys.of(read_secret(file, "LOADTEST_LINK_KEY_FILE", SHORTEST))
    players = [Player(f"{socket.gethostname()}_{secrets.token_hex(4)}", host, keys, requests) for _ in range(count)]
    has_said = False
    while True:  # unacknowledged deltas are sent again
        gevent.sleep(1.0 - time.time() % 1.0)
        for player in players:
            player.second(int(time.time()))
            gevent.sleep(0)
        if not has_said and all(player.has_finished for player in players):
            print(f"counted {sum(player.counted for player in players)}", flush=True)
            has_said = True


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
