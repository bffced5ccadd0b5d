"""A run of WebSocket sessions: what the record counts is what the target counts."""

import re
import urllib.request
from pathlib import Path

import pytest

from tests.endings import ended_well
from tests.faults.swarm import PATIENCE_S, FaultySwarm
from tests.servers import target

pytestmark = [pytest.mark.native, pytest.mark.timeout(180)]


def test_the_record_counts_what_the_target_counts(redis_url: str, tmp_path: Path) -> None:
    """Sessions, round trips and events, to the last that was answered; users who are stopped in a session end it."""
    swarm_folder = tmp_path / "swarm"
    swarm_folder.mkdir()
    with (
        target(redis_url, tmp_path) as url,
        FaultySwarm(swarm_folder, url, users=20, variables={"LOADTEST_SCENARIO": "notifications"}) as swarm,
    ):
        master = swarm.master(workers=1, run_time_s=6)
        swarm.worker()
        code = master.wait(PATIENCE_S)
        record = swarm.record()
        with urllib.request.urlopen(f"{url}/metrics", timeout=20) as answer:
            text = answer.read().decode()
    assert ended_well(code, swarm.logs()), swarm.logs()
    counted = {one["method"]: (one["requests"], one["failures"]) for one in record["series"]}
    opened, received, pushed = (
        int(float(re.search(rf"^target_app_{name} (\S+)$", text, re.MULTILINE)[1]))
        for name in (
            r'requests_total\{method="GET",route="/api/notifications/session",status="1xx"\}',
            r'messages_total\{kind="received"\}',
            r'messages_total\{kind="pushed"\}',
        )
    )
    (stream,) = record["streams"]
    for method, seen in (("GET", opened), ("MESSAGE", received)):
        requests, failures = counted[method]
        assert requests - failures <= seen <= requests, (method, counted)
    assert sum(stream["ended_by"].values()) == counted["GET"][0] - counted["GET"][1]
    assert 0 < stream["events"] <= pushed
    assert pushed - stream["events"] <= 20  # one that came when its user was stopped
    assert opened >= 20
    assert received > opened
