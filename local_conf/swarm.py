"""Write the stack file of a run on Docker Swarm: master and workers of the Compose file, without the sample target.

The settings are those of the environment, as for Compose. Features that a swarm does not support are omitted:
dependencies, ports on 127.0.0.1, and health checks, since a swarm kills a container that fails one.
"""

# ruff: noqa: INP001 -- a program of its own

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from loadtest import __version__
from loadtest.settings.hosts import leads_here

FILE = Path("dist") / "swarm.json"
FILES = ("--file", "docker-compose.yml", "--file", "docker/secrets.yml")
COMPOSE = ("docker", "compose", *FILES, "config", "--format", "json")
SAME = ("user", "init", "read_only", "cap_drop", "stop_grace_period", "logging")
IN_IMAGE = "local_conf"
SCENARIOS, RUNS = "/app/scenarios", "/app/runs"
NETWORK = "load"


def main() -> None:
    """Write the stack file."""
    host, workers = os.environ.get("LOADTEST_HOST", ""), os.environ.get("LOADTEST_WORKERS", "2")
    if not host or leads_here(host):
        sys.exit(
            f"error: HOST={host} is not an address that all nodes can reach. Allowed: the URL of the service under test. "
            "Next: name it, such as make swarm HOST=http://shop.example.com:8080."
        )
    if not workers.isdecimal() or int(workers) < 1:
        sys.exit(f"error: WORKERS={workers} is not a number of workers. Allowed: 1 or more. Next: give one.")
    done = subprocess.run(COMPOSE, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.exit(done.returncode)
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_text(json.dumps(stack(json.loads(done.stdout), int(workers)), indent=1), encoding="utf-8")
    print(f"wrote {FILE}. Next: docker stack deploy --compose-file {FILE} loadtest")


def stack(compose: dict[str, Any], workers: int) -> dict[str, Any]:
    """Return the stack for a resolved Compose file."""
    services = compose["services"]
    master, worker = (service(services[name], services) for name in ("locust_master", "locust_worker"))
    master["command"] += ["--headless"]
    master["environment"] |= {"LOCUST_EXPECT_WORKERS": str(workers), "LOCUST_EXPECT_WORKERS_MAX_WAIT": "600"}
    worker["environment"] |= {"LOADTEST_MASTER_WAIT": "1h"}
    # Results are on the manager that had the run; a run is never retried.
    master["deploy"] |= {"placement": {"constraints": ["node.role == manager"]}}
    master["deploy"] |= {"restart_policy": {"condition": "none"}}
    worker["deploy"] |= {"replicas": workers}
    return {
        "version": "3.9",
        "services": {"locust_master": master, "locust_worker": worker},
        "networks": {NETWORK: {"driver": "overlay"}},
        "volumes": {"runs": {}},
        "secrets": {"link_key": {"file": compose["secrets"]["link_key"]["file"]}},
        "configs": {config["source"]: {"file": file} for config, file in scenarios(services["locust_master"])},
    }


def service(of_compose: dict[str, Any], services: dict[str, Any]) -> dict[str, Any]:
    """Return a Compose service as one of a swarm."""
    environment = {
        name: value
        for name, value in of_compose["environment"].items()
        # Others can reach this network, and the sample target and its Redis are not in it.
        if value is not None and name not in {"LOADTEST_PRIVATE_NETWORK", "LOADTEST_WEB_PASSWORD_FILE"}
        and urlsplit(value).hostname not in services
    }
    limits = {"memory": str(of_compose["mem_limit"]), "pids": of_compose["pids_limit"]}
    runs = [mount for mount in of_compose["volumes"] if mount["target"] == RUNS]
    return {name: of_compose[name] for name in SAME} | {
        "image": f"loadtest:{__version__}",
        "command": list(of_compose["command"]),
        "environment": environment,
        "networks": [NETWORK],
        "secrets": ["link_key"],
        "configs": [config for config, _ in scenarios(of_compose)],
        "volumes": [
            *({name: mount[name] for name in ("type", "source", "target")} for mount in runs),
            *({"type": "tmpfs", "target": folder} for folder in of_compose["tmpfs"]),
        ],
        # Names resolve to the containers themselves.
        "deploy": {"endpoint_mode": "dnsrr", "resources": {"limits": limits}},
    }


def scenarios(of_compose: dict[str, Any]) -> list[tuple[dict[str, Any], str]]:
    """Return the files of the scenarios' folder, as configs and their paths; a changed file is a new config."""
    (folder,) = [Path(mount["source"]) for mount in of_compose["volumes"] if mount["target"] == SCENARIOS]
    files = [] if folder.name == IN_IMAGE else sorted(file for file in folder.iterdir() if file.is_file())
    return [
        (
            {
                "source": hashlib.sha256(file.name.encode() + b"\0" + file.read_bytes()).hexdigest()[:16],
                "target": f"{SCENARIOS}/{file.name}",
            },
            str(file),
        )
        for file in files
    ]


if __name__ == "__main__":
    main()
