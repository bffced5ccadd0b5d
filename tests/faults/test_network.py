"""The network between the master and a worker is cut: for three seconds, for longer, and permanently.

The worker runs in a separate network namespace, with one virtual link to the master and another to the target.
"""

import os
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import gevent
import pytest

from .swarm import USERS, FaultySwarm, Witness, end

pytestmark = [pytest.mark.native, pytest.mark.timeout(240)]

LONG_CUT_S = float(os.environ.get("FAULTS_LONG_CUT_S", "11"))
WORKER_WAITS_S = int(LONG_CUT_S) + 1


class Cables:
    """Two virtual cables into a network namespace; they vanish with it.

    Args:
        name: of the namespace; no other process has one of that name.
        network: the first half of the addresses.
    """

    def __init__(self, name: str = "faults", network: str = "10.99") -> None:
        """Lay them."""
        number = os.getpid() % 250
        self.space = f"{name}{number}"
        self.link, self.way = f"link-{name[0]}{number}", f"way-{name[0]}{number}"
        self.hosts = {self.link: f"{network}.{number}.1", self.way: f"{network}.{number}.17"}
        self.far_end = f"{network}.{number}.2"
        self.guest = f"{network}.{number}.18"
        ip("netns", "add", self.space)
        for cable, host in self.hosts.items():
            inside = host.rsplit(".", 1)[0] + f".{int(host.rsplit('.', 1)[1]) + 1}"
            ip("link", "add", cable, "type", "veth", "peer", "name", f"in-{cable}", "netns", self.space)
            ip("addr", "add", f"{host}/28", "dev", cable)
            ip("link", "set", cable, "up")
            ip("-n", self.space, "addr", "add", f"{inside}/28", "dev", f"in-{cable}")
            ip("-n", self.space, "link", "set", f"in-{cable}", "up")
        ip("-n", self.space, "link", "set", "lo", "up")

    def cut(self) -> None:
        """Cut the cable to the master."""
        ip("link", "set", self.link, "down")

    def restore(self) -> None:
        """Restore it."""
        ip("link", "set", self.link, "up")

    def remove(self) -> None:
        """Remove both."""
        ip("netns", "del", self.space)


def ip(*arguments: str) -> None:
    """Run ``ip``."""
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


@dataclass
class History:
    """What happened, as seen from outside."""

    during_short_cut: int
    after_stop: int
    dealt_after_s: float
    back_after_s: float
    left_exit_code: int
    gave_up_after_s: float
    witnessed: int
    record: dict[str, Any]
    logs: str


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Iterator[History]:
    """Run it; this needs root, as continuous integration has."""
    cables = Cables()
    witness = Witness(cables.hosts[cables.way])
    folder = tmp_path_factory.mktemp("network")
    key = folder / "link-key"
    key.write_text("a secret of this test alone, long enough\n")
    key.chmod(0o600)
    variables = {"LOADTEST_LINK_KEY_FILE": str(key), "LOADTEST_MASTER_WAIT": f"{WORKER_WAITS_S}s"}
    try:
        with FaultySwarm(folder, witness.url, host=cables.hosts[cables.link], variables=variables) as swarm:
            yield run(swarm, cables, witness)
    finally:
        witness.close()
        cables.remove()


def run(swarm: FaultySwarm, cables: Cables, witness: Witness) -> History:
    """Cut and restore."""
    master = swarm.master()
    near, far = swarm.worker(), swarm.worker(before=("ip", "netns", "exec", cables.space))
    swarm.wait_for_load()

    began_s = time.monotonic()
    cables.cut()
    gevent.sleep(3.0)
    cables.restore()
    during_short_cut = witness.between(began_s + 1.0, began_s + 3.0, cables.guest)
    gevent.sleep(4.0)

    began_s = time.monotonic()
    cables.cut()
    dealt_after_s = swarm.wait_for_load(workers=1).at_s - began_s
    gevent.sleep(max(0.0, began_s + LONG_CUT_S - time.monotonic()))
    after_stop = witness.between(began_s + 8.5, began_s + LONG_CUT_S, cables.guest)
    cables.restore()
    back_after_s = swarm.wait_for_load().at_s - began_s - LONG_CUT_S
    gevent.sleep(2.0)

    cables.cut()
    began_s = time.monotonic()
    with gevent.Timeout(WORKER_WAITS_S + 20):
        left_exit_code = far.wait()
    gave_up_after_s = time.monotonic() - began_s
    end(master)
    near.wait()
    return History(
        during_short_cut, after_stop, dealt_after_s, back_after_s, left_exit_code, gave_up_after_s,
        len(witness.requests), swarm.record(), swarm.logs(),
    )  # fmt: skip


def test_three_seconds_cost_nothing(history: History) -> None:
    """A worker that is disconnected for 3 s continues, and its measurements arrive when the network is back."""
    assert history.during_short_cut >= USERS // 2
    gaps = history.record["delivery"]["missing"]
    assert [gap for gap in gaps if gap["end_s"] is not None] == [], history.logs


def test_a_long_cut_moves_the_users(history: History) -> None:
    """After a longer cut the worker has stopped its users and the others run them, until it reconnects."""
    assert history.after_stop == 0, history.logs
    assert history.dealt_after_s < 10
    assert history.back_after_s < 10


def test_a_worker_that_is_cut_off_for_good_gives_up(history: History) -> None:
    """The worker ends with exit code 1 after looking for its master for the set time, and the run names the loss."""
    assert history.left_exit_code == 1, history.logs
    assert WORKER_WAITS_S <= history.gave_up_after_s < WORKER_WAITS_S + 15
    (gap,) = history.record["delivery"]["missing"]
    assert gap["end_s"] is None
    requests = sum(series["requests"] for series in history.record["series"])
    # The worker's measurements after the last cut, for at most 8 s, and its requests in flight.
    assert 0 <= history.witnessed - requests <= 8 * 2 * USERS
