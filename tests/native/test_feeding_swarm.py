"""The feeder between real Locust processes: each item once, while workers join and leave."""

import http.server
import json
import re
import signal
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.endings import ended_well
from tests.native.conftest import Stack
from tests.native.measuring_processes import PATIENCE_S, Processes, wait_until

pytestmark = [pytest.mark.native, pytest.mark.timeout(180)]

LOCUSTFILE = Path(__file__).with_name("feeding_locustfile.py")
ITEMS = 4_000


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    """Processes that are ended after the test."""
    processes = Processes(tmp_path, LOCUSTFILE, FEEDING_ITEMS=str(ITEMS))
    yield processes
    processes.end()


def used(processes: Processes, *some: subprocess.Popen[bytes]) -> list[int]:
    """The items that these processes, by default all, logged before they used them."""
    files = [f"used-{process.pid}" for process in some] or [file.name for file in processes.folder.glob("used-*")]
    found = [processes.folder / name for name in files]
    return [int(line.split()[0]) for file in found if file.exists() for line in file.read_text().splitlines()]


def promised(processes: Processes, killed: subprocess.Popen[bytes]) -> int:
    """How many items of a killed worker may be in doubt: 8, or twice the most that its users took within 50 ms."""
    taken_s = [float(line.split()[1]) for line in (processes.folder / f"used-{killed.pid}").read_text().splitlines()]
    return max(8, 2 * max(sum(0 <= later - first <= 0.0501 for later in taken_s) for first in taken_s))


def test_each_item_is_used_once_whoever_comes_and_goes(processes: Processes) -> None:
    """One worker is killed, one scaled away, one stopped for a while, one joins: no item comes twice.

    The items that the killed one may have used stay within the documented bound.
    """
    master = processes.master("--enable-rebalancing", workers=4, users=12)
    killed, leaving, halted, staying = (processes.worker() for _ in range(4))
    wait_until(lambda: len(used(processes, killed)) > 50, "the first worker uses items")
    joining = processes.worker()
    killed.send_signal(signal.SIGKILL)
    wait_until(lambda: " is lost: its items " in processes.logs(), "the killed one is missed")
    in_doubt = int(re.findall(r" go to the others, except (\d+) that may have been used", processes.logs())[0])
    assert in_doubt <= promised(processes, killed)
    halted.send_signal(signal.SIGSTOP)
    leaving.send_signal(signal.SIGTERM)
    wait_until(lambda: len(used(processes, joining)) > 50, "the new worker uses items")
    wait_until(lambda: processes.logs().count(" is lost: its items ") >= 2, "the stopped one is missed")
    halted.send_signal(signal.SIGCONT)
    master.wait(PATIENCE_S)
    ended = (processes.folder / "ended").read_text()
    counts = Counter(used(processes))
    assert [item for item, count in counts.items() if count > 1] == [], ended
    missing = set(range(ITEMS)) - set(counts)
    in_doubt = int(ended.split(" in doubt")[0].split()[-1]) if " in doubt" in ended else 0
    assert len(missing) <= in_doubt <= 40, ended
    assert ended.startswith("every item of Reader.feeder was used: "), ended
    assert len(used(processes, staying)) > 100


def test_ids_of_a_program_come_once_to_a_service_of_ones_own(stack: Stack, tmp_path: Path) -> None:
    """A program's output is read once; two workers send each id once, and the run ends and gives the reason."""
    ids = [f"customer-{number}" for number in range(40)]
    (tmp_path / "ids.jsonl").write_text("\n".join(json.dumps({"id": each}) for each in [*ids, ids[0]]))
    program = subprocess.Popen(["cat", tmp_path / "ids.jsonl"], stdout=subprocess.PIPE)
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"])))["user_id"])
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    feed = ["--feed", "-.jsonl", "--feed-policy", "unique_then_stop"]
    host = f"http://127.0.0.1:{server.server_port}"
    code, output = stack.start(
        "--scenario", "coin_queue", "--workers", "2", "--host", host, *feed, stdin=program.stdout
    ).end()
    program.stdout.close()
    program.wait()
    server.shutdown()
    server.server_close()
    assert sorted(asked) == sorted(ids), output
    assert ended_well(code, output), output
    assert "40 items from" in output and "(1 duplicates left out)" in output, output
    assert "ended        every item of CoinQueueUser.feeder was used: 40\n" in output
    document = json.loads((stack.run_dir() / "record.json").read_text())
    assert "every item of CoinQueueUser.feeder was used: 40" in [event["text"] for event in document["events"]]
