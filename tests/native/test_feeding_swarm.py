"""The feeder between real Locust processes: each item once, whoever comes and goes."""

import signal
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.native.measuring_processes import PATIENCE_S, Processes, wait_until

pytestmark = [pytest.mark.native, pytest.mark.timeout(180)]

LOCUSTFILE = Path(__file__).with_name("feeding_locustfile.py")
ITEMS = 3_000


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    """Processes that are ended after the test."""
    processes = Processes(tmp_path, LOCUSTFILE, FEEDING_ITEMS=str(ITEMS))
    yield processes
    processes.end()


def used(processes: Processes, *some: subprocess.Popen[bytes]) -> list[int]:
    """The items that these processes, or all, wrote down before they used them."""
    files = [f"used-{process.pid}" for process in some] or [file.name for file in processes.folder.glob("used-*")]
    found = [processes.folder / name for name in files]
    return [int(line) for file in found if file.exists() for line in file.read_text().splitlines()]


def test_each_item_is_used_once_whoever_comes_and_goes(processes: Processes) -> None:
    """One worker is killed, one scaled away, one stopped for a while, one joins: no item comes twice."""
    master = processes.master("--enable-rebalancing", workers=4, users=12)
    killed, leaving, halted, staying = (processes.worker() for _ in range(4))
    wait_until(lambda: len(used(processes, killed)) > 50, "the first worker uses items")
    joining = processes.worker()
    killed.send_signal(signal.SIGKILL)
    halted.send_signal(signal.SIGSTOP)
    leaving.send_signal(signal.SIGTERM)
    wait_until(lambda: len(used(processes, joining)) > 50, "the new worker uses items")
    wait_until(lambda: processes.logs().count(" is lost: its items ") >= 2, "both are missed")
    halted.send_signal(signal.SIGCONT)
    master.wait(PATIENCE_S)
    ended = (processes.folder / "ended").read_text()
    counts = Counter(used(processes))
    assert [] == [item for item, count in counts.items() if count > 1], ended
    missing = set(range(ITEMS)) - set(counts)
    in_doubt = int(ended.split(" in doubt")[0].split()[-1]) if " in doubt" in ended else 0
    assert len(missing) <= in_doubt <= 40, ended
    assert ended.startswith("every item of Reader.feeder was used: "), ended
    assert len(used(processes, staying)) > 100
