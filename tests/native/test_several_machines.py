"""Two machines, as in docs/several_machines.md: the master on one, workers on the other, a key file on both.

The master's machine is a network namespace, with a virtual link to this one.
"""

import json
import os
import re
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from tests.endings import ended_well
from tests.faults.swarm import Witness
from tests.faults.test_network import Cables

from .conftest import ROOT

pytestmark = [pytest.mark.native, pytest.mark.timeout(240)]

PAGE = (ROOT / "docs" / "several_machines.md").read_text()
SETTINGS, MASTER, WORKER = re.findall(r"^\$ ((?:export|\.venv/bin/locust) .+)$", PAGE, re.MULTILINE)
WORKERS = 2
SERVICE_LINK = "tcp://10.96.0.7:8089"
"""What Kubernetes makes of a Service locust-web, and Locust would take for the port of its web UI."""


def test_the_commands_of_the_page_make_a_run(tmp_path: Path) -> None:
    """The workers' machine generates the load, the master's has the result, and both count the same."""
    cables = Cables("machines", "10.98")
    machine = cables.hosts[cables.way]
    witness = Witness(machine)
    key = tmp_path / "link_key"
    key.write_text(os.urandom(32).hex())
    key.chmod(0o600)
    here = {"link_key": str(key), "http://shop.example.com:8080": witness.url, "10.0.0.1": cables.far_end}
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LOADTEST_", "LOCUST_"))}
    variables = kept | {
        "LOADTEST_ALLOWED_HOSTS": "10.98.0.0/16", "LOADTEST_PROFILE": "smoke", "LOADTEST_USERS": "4",
        "LOADTEST_SPAWN_RATE": "4", "LOADTEST_RUN_TIME": "3s", "LOADTEST_RUNS_DIR": str(tmp_path),
        "LOADTEST_RUN_ID": "machines", "LOCUST_WEB_PORT": SERVICE_LINK,
    }  # fmt: skip

    def typed(command: str, *before: str) -> subprocess.Popen[str]:
        text = f"{SETTINGS}\nexec {command}"
        for shown, real in here.items():
            text = text.replace(shown, real)
        return subprocess.Popen(
            [*before, "sh", "-c", text], cwd=ROOT, env=variables, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    processes = []
    try:
        processes = [typed(MASTER, "ip", "netns", "exec", cables.space), *(typed(WORKER) for _ in range(WORKERS))]
        output = [process.communicate(timeout=200)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
        witness.close()
        cables.remove()
    assert ended_well(processes[0].returncode, output[0]), "\n".join(output)
    record = json.loads((tmp_path / "machines" / "record.json").read_text())
    assert Counter(address for _, address in witness.requests) == {machine: record["total"]["requests"]}
    assert (record["total"]["failures"], len(record["workers"])) == (0, WORKERS + 1)  # and the master
