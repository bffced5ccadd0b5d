"""A master with a web UI that is terminated while its test is stopping."""

import contextlib
import signal
import subprocess
import urllib.request
from pathlib import Path

import gevent
import pytest
import zmq.green as zmq
from locust import __version__
from locust.rpc import Message

from loadtest.local.process import free_port
from loadtest.measuring.health import Health
from loadtest.measuring.packed import PackedMeasurements
from loadtest.measuring.recorder import Recorder
from loadtest.measuring.wire import Delta
from loadtest.swarm.messages import DRAIN, REPORT
from tests.faults.swarm import FaultySwarm, Witness, end

pytestmark = [pytest.mark.native, pytest.mark.timeout(90)]


class Slow:
    """A worker's end of the link that answers the drain, and is then slow to report that it has stopped."""

    def __init__(self, port: int) -> None:
        """Join."""
        self.heard: list[str] = []
        self.socket = zmq.Context.instance().socket(zmq.DEALER)
        self.socket.setsockopt(zmq.IDENTITY, b"slow")
        self.socket.connect(f"tcp://127.0.0.1:{port}")
        self.say("client_ready", __version__)
        self.listening = gevent.spawn(self._listen)

    def say(self, kind: str, data: object) -> None:
        """Send a message."""
        self.socket.send(Message(kind, data, "slow").serialize())

    def _listen(self) -> None:
        while True:
            message = Message.unserialize(self.socket.recv())
            self.heard.append(message.type)
            if message.type == "spawn":
                self.say("spawning_complete", {"user_classes_count": {"HealthUser": 1}, "user_count": 1})
            elif message.type == DRAIN.name:
                self.say(REPORT.name, (1.0, [self._last_delta(message.data)], None, None))

    @staticmethod
    def _last_delta(run: str) -> bytes:
        recorder = Recorder()
        recorder.series("health", "GET", "health/live").success(1.0, 1.0, 1.5, 10)
        packed = PackedMeasurements.of(recorder.take())
        return Delta(run, 1, 0.0, 1.0, True, {"health": 1}, Health(), packed).to_bytes()

    def close(self) -> None:
        """Leave."""
        self.listening.kill()
        self.socket.close(linger=0)


def wait_for_word(worker: Slow, master: subprocess.Popen[bytes], word: str) -> None:
    """Wait until the worker has received this message from the master."""
    with gevent.Timeout(30):
        while word not in worker.heard:
            assert master.poll() is None
            gevent.sleep(0.02)


def test_the_report_is_written_though_the_stop_did_not_come_to_its_end(tmp_path: Path) -> None:
    """SIGTERM arrives while Locust waits for a slow worker after a stop: the master still writes the report."""
    witness, web = Witness(), free_port()
    with FaultySwarm(tmp_path, witness.url) as swarm:
        link = ["--master-bind-host", "127.0.0.1", "--master-bind-port", str(swarm.port)]
        master = swarm.start("--master", *link, "--web-host", "127.0.0.1", "--web-port", str(web))
        worker = Slow(swarm.port)
        swarm.wait_for(lambda s: s.workers == 1, "the worker is connected")

        def post(path: str, data: bytes = b"") -> None:
            with contextlib.suppress(OSError):  # the master ends before it responds to the stop
                urllib.request.urlopen(f"http://127.0.0.1:{web}{path}", data, timeout=30).close()

        post("/swarm", b"user_count=1&spawn_rate=1&load_profile=as-entered")
        wait_for_word(worker, master, "spawn")
        stopping = gevent.spawn(post, "/stop")
        wait_for_word(worker, master, "stop")
        end(master, signal.SIGTERM)
        stopping.kill()
        worker.close()
        record = swarm.record()
    witness.close()
    assert {series["name"]: series["requests"] for series in record["series"]} == {"health/live": 1}


def test_a_master_that_has_nothing_to_report_ends_by_a_signal(tmp_path: Path) -> None:
    """Locust then ends by sys.exit(0) in a greenlet: see `loadtest.swarm.listeners`."""
    witness, web = Witness(), free_port()
    with FaultySwarm(tmp_path, witness.url) as swarm, gevent.Timeout(60):
        link = ["--master-bind-host", "127.0.0.1", "--master-bind-port", str(swarm.port)]
        master = swarm.start("--master", *link, "--web-host", "127.0.0.1", "--web-port", str(web))
        worker = Slow(swarm.port)
        swarm.wait_for(lambda s: s.workers == 1, "the worker is connected")
        worker.close()
        assert end(master, signal.SIGTERM) == 0
    witness.close()
