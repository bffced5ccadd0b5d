"""The workers' link of a real master with a key: peers that may join, and attacks and forgeries, which all fail."""

import contextlib
import os
import socket
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgpack
import pytest
import zmq.green as zmq
from prometheus_client.parser import text_string_to_metric_families

from loadtest.exceptions import StackError, UsageError
from loadtest.local.process import ManagedProcess, free_port
from loadtest.swarm.keys import Keys

from .conftest import ROOT

pytestmark = [pytest.mark.native, pytest.mark.timeout(120)]

SECRET = "a secret of more than thirty-two characters"  # noqa: S105
SETTLED_S = 20


@dataclass
class Master:
    """A running master, observed through its exporter, and the processes of its test."""

    folder: Path
    link_port: int
    exporter_port: int
    process: ManagedProcess | None = None

    def locust(self, name: str, *words: str, secret: str | None = SECRET) -> ManagedProcess:
        """Start a Locust process with this key, or without one."""
        kept = {name: "" for name in os.environ if name.startswith(("LOADTEST_", "LOCUST_"))}
        settings = {
            "LOADTEST_SCENARIO": "health",
            "LOADTEST_HOST": "http://127.0.0.1:9",
            "LOADTEST_EXPORTER_PORT": str(self.exporter_port),
            "LOADTEST_RUNS_DIR": str(self.folder / "runs"),
            "LOADTEST_MASTER_WAIT": "30s" if name == "worker" else "12s",
        }
        if secret is not None:
            (self.folder / name).write_text(secret)
            settings["LOADTEST_LINK_KEY_FILE"] = str(self.folder / name)
        command = [sys.executable, "-m", "locust", "-f", str(ROOT / "locust" / "locustfile.py"), *words]
        return ManagedProcess(name, command, self.folder / f"{name}.log", {**kept, **settings})

    def worker(self, name: str, secret: str | None = SECRET) -> ManagedProcess:
        """Start a worker."""
        port = str(self.link_port)
        return self.locust(name, "--worker", "--master-host", "127.0.0.1", "--master-port", port, secret=secret)

    def sample(self, family: str, **labels: str) -> float:
        """Return the sum of a family's samples with these labels; -1 while the exporter does not answer."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.exporter_port}/metrics", timeout=5) as answer:
                text = answer.read().decode()
        except OSError:
            return -1
        samples = [one for group in text_string_to_metric_families(text) for one in group.samples]
        return sum(one.value for one in samples if one.name == family and labels.items() <= one.labels.items())

    def refused(self, reason: str) -> float:
        """Return how often the link has refused a message or a peer for a reason."""
        return self.sample("loadtest_link_refused_total", reason=reason)

    def joined(self) -> float:
        """Return the number of connected workers."""
        return sum(self.sample("loadtest_workers", state=state) for state in ("ready", "spawning", "running"))


@pytest.fixture(scope="module")
def master(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Master]:
    """A master with a key and one worker that has it."""
    found = Master(tmp_path_factory.mktemp("link"), free_port(), free_port())
    link = ["--master-bind-host", "127.0.0.1", "--master-bind-port", str(found.link_port)]
    web = ["--web-host", "127.0.0.1", "--web-port", str(free_port())]
    with contextlib.ExitStack() as processes:
        found.process = found.locust("master", "--master", *link, *web)
        processes.callback(found.process.stop)
        worker = found.worker("worker")
        processes.callback(worker.stop)
        worker.wait_until(lambda: found.joined() == 1, 30)
        yield found


@contextlib.contextmanager
def peer(master: Master, identity: str, keys: Keys | None = None, own: tuple[bytes, bytes] | None = None) -> Iterator:
    """Connect as a peer that speaks the protocol: with these keys, with a key pair of its own, or in the clear."""
    context = zmq.Context()
    end = context.socket(zmq.DEALER)
    end.setsockopt(zmq.IDENTITY, identity.encode())
    end.setsockopt(zmq.LINGER, 0)
    if keys:
        end.curve_serverkey = keys.master.public
        end.curve_publickey, end.curve_secretkey = own or (keys.worker.public, keys.worker.secret)
    end.connect(f"tcp://127.0.0.1:{master.link_port}")
    try:
        yield end
    finally:
        end.close()
        context.term()


def message(kind: object, data: object, sender: object) -> bytes:
    """Return a message as workers send it."""
    packed: bytes = msgpack.packb((kind, data, sender))
    return packed


def eventually(condition, within_s: float = SETTLED_S) -> bool:
    """Return whether a condition becomes true in time."""
    until_s = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > until_s:
            return False
        time.sleep(0.1)
    return True


@pytest.mark.parametrize(("name", "secret"), [("other key", SECRET.upper()), ("no key", None)])
def test_a_worker_without_the_key_cannot_join(master: Master, name: str, secret: str | None) -> None:
    """Workers with another key, or with none, give up with a message; failed handshakes are counted.

    Which message depends on whether ZeroMQ takes the refusal for a broken connection, and so on timing.
    """
    before = master.refused("handshake")
    stranger = master.worker(name, secret)
    with contextlib.suppress(StackError, UsageError):  # it ends before it is ready, as intended
        stranger.wait_until(lambda: False, 60)
    assert stranger.exit_code not in (0, None)
    log = stranger.log.read_text()
    told = (f"no master answered at 127.0.0.1:{master.link_port} within 12 s.", "has a link key. Allowed: ")
    assert [one in log for one in told].count(True) == 1, log
    assert told[0] in log or name == "no key", log
    assert "Next: " in log
    assert "Traceback" not in log
    assert (master.joined(), master.refused("handshake") > before) == (1, True)


def test_the_key_of_the_master_alone_opens_nothing(master: Master) -> None:
    """A client with the master's public key but another key pair is refused."""
    before = master.refused("handshake")
    with peer(master, "stranger", Keys.of(SECRET), zmq.curve_keypair()) as stranger:
        stranger.send(message("client_ready", "2.47.0", "stranger"))
        assert eventually(lambda: master.refused("handshake") > before)
        assert not stranger.poll(500)
    assert master.joined() == 1


def _passed_on(source: socket.socket, sink: socket.socket, heard: bytearray) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65_536):
            heard.extend(data)
            sink.sendall(data)


@contextlib.contextmanager
def overheard(master: Master, heard: bytearray, sent: bytearray) -> Iterator[Any]:
    """A worker with the key whose connection is tapped; the recorder keeps the two directions apart."""
    with socket.create_server(("127.0.0.1", 0)) as relay, contextlib.ExitStack() as opened:
        way = replace(master, link_port=relay.getsockname()[1])
        worker = opened.enter_context(peer(way, "listened-to", Keys.of(SECRET)))
        here = opened.enter_context(relay.accept()[0])
        there = opened.enter_context(socket.create_connection(("127.0.0.1", master.link_port)))
        for source, sink, kept in ((here, there, sent), (there, here, heard)):
            threading.Thread(target=_passed_on, args=(source, sink, kept), daemon=True).start()
        yield worker


def test_who_listens_on_the_way_reads_nothing(master: Master) -> None:
    """Not even the worker's name and its first message can be read."""
    heard, sent = bytearray(), bytearray()
    with overheard(master, heard, sent) as worker:
        for kind, data, joined in (("client_ready", "2.47.0", 2), ("quit", None, 1)):
            worker.send(message(kind, data, "listened-to"))
            assert eventually(lambda joined=joined: master.joined() == joined)
    words = (b"CURVE", b"listened-to", b"client_ready", b"quit", b"DEALER")
    assert [word in heard + sent for word in words] == [True, False, False, False, False]


def test_what_somebody_recorded_says_nothing_again(master: Master) -> None:
    """A recorded connection, replayed over another one, is no handshake: the master has a new key for each one."""
    sent = bytearray()
    with overheard(master, bytearray(), sent) as worker:
        worker.send(message("client_ready", "2.47.0", "listened-to"))
        assert eventually(lambda: master.joined() == 2)
        recorded = bytes(sent)
        worker.send(message("quit", None, "listened-to"))
        assert eventually(lambda: master.joined() == 1)
    before = master.refused("handshake")
    with socket.create_connection(("127.0.0.1", master.link_port), 10) as replay, contextlib.suppress(ConnectionError):
        replay.sendall(recorded)
        while replay.recv(65_536):
            """Until the master closes it."""
    assert eventually(lambda: master.refused("handshake") > before)
    assert master.joined() == 1


FORGED = {
    "heartbeat": {"state": "missing", "current_cpu_usage": 0, "current_memory_usage": 0},
    "stats": {"user_classes_count": {"HealthUser": 1000}, "user_count": 1000},
    "loadtest_report": (0.0, [b"x"], None, None),
    "quit": None,
    "client_stopped": None,
}


@pytest.mark.parametrize("kind", FORGED)
def test_nobody_speaks_for_another_worker(master: Master, kind: str) -> None:
    """A message in another worker's name is refused and counted, even if its sender has the key."""
    before = master.refused("forged")
    name = next(words[0] for line in master.process.log.read_text().splitlines() if (words := _ready(line)) is not None)
    with peer(master, "forger", Keys.of(SECRET)) as forger:
        forger.send(message(kind, FORGED[kind], name))
        assert eventually(lambda: master.refused("forged") == before + 1)
    assert (master.joined(), master.sample("loadtest_users")) == (1, 0)


@pytest.mark.parametrize("kind", ["quit", "client_ready"])
def test_a_name_alone_takes_over_no_connection(master: Master, kind: str) -> None:
    """A peer that uses the name of a connected worker is refused and gets none of its messages; the worker stays."""
    before = master.refused("forged")
    name = next(words[0] for line in master.process.log.read_text().splitlines() if (words := _ready(line)) is not None)
    with peer(master, name, Keys.of(SECRET)) as impostor:
        impostor.send(message(kind, None if kind == "quit" else "2.47.0", name))
        assert eventually(lambda: master.refused("forged") == before + 1)
        assert not impostor.poll(2_000)
    assert eventually(lambda: master.joined() == 1)


def _ready(line: str) -> list[str] | None:
    before, found, _ = line.partition(" (index 0) reported as ready")
    return [before.rsplit(" ", 1)[1]] if found else None


NONSENSE = {
    "nothing": b"",
    "no MessagePack": b"\xc1",
    "a number": msgpack.packb(7),
    "too few parts": msgpack.packb(("stats", None)),
    "a kind that is a map": message({}, None, "odd"),
    "a bottomless nest": b"\x91" * 100_000,
    "an array of four thousand million": b"\xdd\xff\xff\xff\xff",
    "a time that is none": message("heartbeat", {"__datetime__": True, "as_str": "never"}, "odd"),
    "no UTF-8": b"\x93\xa2\xff\xfe\xc0\xa3odd",
    "a heartbeat without state": message("heartbeat", {}, "odd"),
    "a heartbeat of nothing": message("heartbeat", None, "odd"),
    "a state of one's own": message(
        "heartbeat", {"state": "x" * 9999, "current_cpu_usage": 1, "current_memory_usage": 1}, "odd"
    ),
    "users by the text": message("stats", {"user_classes_count": "many", "user_count": 1}, "odd"),
    "fewer than no users": message("stats", {"user_classes_count": {"HealthUser": -5}, "user_count": -5}, "odd"),
    "a version of no kind": message("client_ready", ["2.47.0"], "odd"),
    "a report that is none": message("loadtest_report", "x", "odd"),
    "a report with a heartbeat of one's own": message("loadtest_report", (0.0, [], {"state": []}, None), "odd"),
    "a version that commands a terminal": message("client_ready", "2.47.0\x1b[2J\nforged", "odd"),
    "an exception without words": message("exception", {"msg": 1}, "odd"),
}


def test_nonsense_is_counted_and_the_master_goes_on_listening(master: Master) -> None:
    """Malformed messages from a peer with the key are refused one by one; the next worker can still join."""
    before = master.refused("malformed")
    with peer(master, "odd", Keys.of(SECRET)) as odd:
        for number, nonsense in enumerate(NONSENSE.values(), 1):
            odd.send(nonsense)
            assert eventually(lambda number=number: master.refused("malformed") == before + number), list(NONSENSE)[
                number - 1
            ]
        odd.send(message("client_ready", "2.47.0", "odd"))
        assert eventually(lambda: master.joined() == 2)
        odd.send(message("quit", None, "odd"))
        assert eventually(lambda: master.joined() == 1)


@pytest.mark.parametrize("name", ["a\x1b]0;b\x07", "two\rlines", "x" * 201, "\u202eodd"])
def test_a_name_that_cannot_be_shown_is_refused(master: Master, name: str) -> None:
    """Worker names appear in logs, on terminals and in the web UI."""
    before = master.refused("malformed")
    with peer(master, name, Keys.of(SECRET)) as odd:
        odd.send(message("client_ready", "2.47.0", name))
        assert eventually(lambda: master.refused("malformed") == before + 1)
    assert master.joined() == 1


def test_the_clear_link_stays_on_this_machine(tmp_path: Path) -> None:
    """Without a key, a master that would listen for other machines exits with 2 and says what to do."""
    lonely = Master(tmp_path, free_port(), 0)
    web = ["--web-host", "127.0.0.1", "--web-port", str(free_port())]
    master = lonely.locust("open", "--master", "--master-bind-port", str(lonely.link_port), *web, secret=None)
    with contextlib.suppress(StackError, UsageError):
        master.wait_until(lambda: False, 30)
    log = master.log.read_text()
    assert master.exit_code == 2, log
    assert "--master-bind-host * would expose the workers' link beyond this machine" in log
    assert "LOADTEST_LINK_KEY_FILE" in log
