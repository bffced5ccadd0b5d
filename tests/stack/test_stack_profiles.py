"""A run of every load profile on the stack, with the referees; it changes the stack, and so is its last test."""

import json
from pathlib import Path
from typing import Any

from loadtest.profiles.profile import all_profiles
from tests.faults.referee import by_method, counted
from tests.stack.compose import Project, eventually
from tests.stack.evidence import Evidence, aggregated, copied

PROFILES = sorted(all_profiles(None))


def test_every_profile_is_counted(evidence: Evidence, tmp_path: Path) -> None:
    """A run of each is stopped once it has load: the records count what the referees received."""
    project, before = evidence.project, len(evidence.project.judged())
    for profile in PROFILES:
        form = {"user_count": "4", "spawn_rate": "4", "load_profile": profile}
        eventually(f"{profile}: a start", lambda form=form: _asked(project, "/swarm", form)["success"], True)
        eventually(f"{profile}: load", lambda: aggregated(_asked(project, "/stats/requests"))["num_requests"] > 0, True)
        assert _asked(project, "/stop", {})["success"]
    known = {evidence.record["run_id"], evidence.second["run_id"]}

    def records() -> list[dict[str, Any]]:
        return [json.loads(file.read_text()) for file in copied(project, tmp_path) if file.parent.name not in known]

    eventually("records", lambda: sorted(one["configuration"]["profile"] for one in records()), PROFILES)
    runs = records()
    assert all(one["total"]["requests"] for one in runs)
    received = by_method(line for line in project.judged()[before:] if not line.answered)
    requests, failures = (counted(runs, figure) for figure in ("requests", "failures"))
    assert requests - failures <= received <= requests  # requests cut off at the end may not have been sent yet


def _asked(project: Project, path: str, form: dict[str, str] | None = None) -> Any:
    return project.get("locust_master", 8089, path, form)
