"""The disk is full until after the end of a test started in the web UI: the master survives, and writes later."""

import json
import os
import subprocess
from pathlib import Path

import gevent
import pytest

from loadtest.local.process import free_port

from .referee import Referee
from .soak import SCENARIO
from .swarm import FaultySwarm

pytestmark = [
    pytest.mark.native,
    pytest.mark.timeout(300),
    pytest.mark.skipif(os.geteuid() != 0, reason="a file system of one's own takes root"),
]


def test_a_living_master_writes_the_run_when_there_is_room(tmp_path: Path) -> None:
    """The record that could not be written has every request once the disk has space again."""
    (scenario := tmp_path / "asker.py").write_text(SCENARIO.replace("(Asker, Keeper)", "(Asker,)"))
    settings = {"LOADTEST_SCENARIO": str(scenario)}
    with Referee(tmp_path, free_port()) as referee, FaultySwarm(tmp_path, referee.url, variables=settings) as swarm:
        swarm.runs.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o"]
        subprocess.run([*mount, "size=64k", "tmpfs", swarm.runs], check=True)
        try:
            swarm.master_with_web_ui()
            swarm.worker()
            swarm.wait_for(lambda s: s.value("loadtest_workers", 'state="ready"') == 1, "a ready worker")
            (swarm.runs / "ballast").write_bytes(bytes(56 * 1024))
            assert swarm.ask("/swarm", user_count="8", spawn_rate="8", load_profile="as-entered")
            swarm.wait_for_load(workers=1)
            gevent.sleep(3.0)
            assert swarm.ask("/stop")
            swarm.wait_for(lambda _: "record.json could not be written" in swarm.logs(), "a full disk")
            assert list(swarm.runs.glob("*/record.json")) == []
            subprocess.run([*mount, "remount,size=8m", "tmpfs", swarm.runs], check=True)
            swarm.wait_for(lambda _: "is complete" in swarm.logs(), "room on the disk")
            (record,) = (json.loads(file.read_text()) for file in swarm.runs.glob("*/record.json"))
            assert record["total"]["requests"] == sum(not line.answered for line in referee.lines()) > 0
        finally:
            subprocess.run(["umount", "--lazy", swarm.runs], check=True)
