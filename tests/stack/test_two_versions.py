"""A duet of two containers, as documented. It stops the stack, so it is the last test in this folder."""

import json
import subprocess
from pathlib import Path

from loadtest.exceptions import ExitCode
from tests.stack.compose import Project, docker
from tests.stack.evidence import Evidence

DUET = ("--profile", "duet", "up", "--build", "--exit-code-from", "duet", "duet")


def test_two_versions_are_compared_in_containers(evidence: Evidence, tmp_path: Path) -> None:
    """Every request has its pair in the other version; the exit code is that of a run too short for a verdict."""
    of_stack = evidence.project
    settings = {**of_stack.environment, "LOADTEST_RATE": "20", "LOADTEST_RUN_TIME": "4s"}
    settings["LOADTEST_RUN_ID"] = "duet"
    project = Project(of_stack.name, **settings)
    command = ["docker", "compose", "-p", project.name, *DUET]
    typed = {"cwd": project.folder, "env": project.environment, "capture_output": True, "text": True}
    try:
        done = subprocess.run(command, timeout=300, check=False, **typed)
        project.run("--profile", "duet", "cp", "duet:/app/runs/duet/.", str(tmp_path))
    finally:
        project.run("--profile", "duet", "rm", "--stop", "--force", "duet", "target_base")
        docker("image", "rm", "--force", *(f"{project.name}-{service}" for service in ("duet", "target_base")))
    assert done.returncode in {ExitCode.NO_DATA, ExitCode.NOT_TRUSTWORTHY}, done.stdout[-4000:]
    comparison = json.loads((tmp_path / "comparison.json").read_text())
    assert (comparison["base"], comparison["new"]) == ("http://target_base:5000", "http://target_app:5000")
    pairs = comparison["pairs"]
    assert pairs.pop("both_succeeded") > 0, pairs
    assert pairs["base_failed"] == pairs["new_failed"] == pairs["both_failed"] == 0
