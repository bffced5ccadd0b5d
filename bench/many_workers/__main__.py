"""The cost of a thousand workers to one master, in a pod with one core.

    python -m bench.many_workers [workers] [seconds]

On kubectl's current cluster, which must have the images (`make images`): the Job of deploy/kubernetes with a CPU limit
of 1, and the Deployment of the workers, whose pods simulate the requested number of workers over the encrypted link:
see `players`. Every worker reports 20 names and 20 requests per second, equal to ten users. It prints how many of the
requests that the players counted are in the record, its completeness, and the master's CPU usage. The exit code is 1 if
a request is missing.
"""

import json
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.kubernetes.namespace import Namespace
from tests.stack.compose import eventually

PODS = 4
USERS_PER_WORKER = 10
REQUESTS_PER_REPORT = 20
MIB = 1 << 20
PATIENCE_S = 900.0
PLAYERS = Path(__file__).with_name("players.py")


def kustomization(workers: int, seconds: int) -> dict[str, Any]:
    """Return the changes to deploy/kubernetes/base."""
    users = USERS_PER_WORKER * workers
    settings = {
        "LOADTEST_SCENARIO": "health",
        "LOADTEST_HOST": "http://none:80",
        "LOADTEST_PROFILE": "smoke",
        "LOADTEST_USERS": users,
        "LOADTEST_SPAWN_RATE": users,
        "LOADTEST_RUN_TIME": f"{seconds}s",
        "LOADTEST_RUN_ID": "many",
    }
    container = "/spec/template/spec/containers/0"
    master = [
        {"op": "replace", "path": f"{container}/env/0/value", "value": str(workers)},
        {"op": "add", "path": f"{container}/resources/limits/cpu", "value": "1"},
        {"op": "replace", "path": f"{container}/resources/requests/cpu", "value": "500m"},
    ]
    command = ["python", f"scenarios/{PLAYERS.name}", "locust-master", str(workers // PODS), str(REQUESTS_PER_REPORT)]
    players = [
        {"op": "remove", "path": "/spec/template/spec/initContainers"},
        {"op": "replace", "path": f"{container}/command", "value": command},
        {"op": "replace", "path": f"{container}/resources/requests/cpu", "value": "300m"},
    ]
    return {
        "replicas": [{"name": "locust-worker", "count": PODS}],
        "configMapGenerator": [
            {
                "name": "loadtest-settings",
                "behavior": "merge",
                "literals": [f"{name}={value}" for name, value in settings.items()],
            },
            {"name": "loadtest-scenarios", "behavior": "merge", "files": [PLAYERS.name]},
        ],
        "patches": [
            {"target": {"kind": "Job"}, "patch": json.dumps(master)},
            {"target": {"kind": "Deployment"}, "patch": json.dumps(players)},
        ],
    }


def counted(namespace: Namespace) -> list[int]:
    """Return the counts of the players' pods, as soon as they print them."""
    return [
        int(number)
        for pod in namespace.pods("locust-worker")
        for number in re.findall(r"^counted (\d+)", namespace.kubectl("logs", pod["metadata"]["name"]), re.MULTILINE)
    ]


def main(workers: int, seconds: int) -> int:
    """Run, print the results, and return the exit code."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        namespace = Namespace("loadtest-many-workers", folder)
        namespace.create()
        try:
            (folder / "base").mkdir()
            (folder / "base" / PLAYERS.name).write_bytes(PLAYERS.read_bytes())
            made = namespace.kustomize("base", kustomization(workers, seconds))
            namespace.kubectl("apply", "--server-side", "--kustomize", str(made))
            eventually("the run has ended", lambda: bool(namespace.conditions()), True, PATIENCE_S)
            eventually("the players have ended", lambda: len(counted(namespace)), PODS, 180)
            played = sum(counted(namespace))
            namespace.fetch(folder / "runs")
            record = json.loads((folder / "runs" / "many" / "record.json").read_text())
        finally:
            namespace.remove()
    return shown(record, played, workers)


def shown(record: dict[str, Any], played: int, workers: int) -> int:
    """Print the run's figures, and return the exit code."""
    (master,) = [one for one in record["workers"] if one["subject"] == "master"]
    mean, highest = master["mean"], master["highest"]
    recorded, completeness = record["total"]["requests"], record["delivery"]["completeness"]
    reports_per_s = recorded / REQUESTS_PER_REPORT / master["seconds"]
    print(
        f"{workers:,} workers, {reports_per_s:,.0f} reports/s of {REQUESTS_PER_REPORT} requests "
        f"for {master['seconds']:.0f} s"
    )
    print(f"counted by the workers {played:,}, in the record {recorded:,}, completeness {completeness:.2%}")
    print(f"the master: {mean['cpu_ratio']:.2f} cores (highest {highest['cpu_ratio']:.2f}), throttled for "
          f"{mean['throttled_ratio']:.1%} of the time, waiting for a core for {mean['run_delay_ratio']:.1%}, "
          f"{highest['memory_bytes'] / MIB:.0f} MiB")  # fmt: skip
    print(f"verdict: {record['verdict']['name']} {'; '.join(record['verdict']['reasons'])}")
    return int(recorded != played or completeness < 1)


if __name__ == "__main__":
    given = [int(word) for word in sys.argv[1:]]
    sys.exit(main(*(given + [1000, 60][len(given) :])))
