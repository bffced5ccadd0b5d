"""The machine's clock is set during a run: an hour ahead, then an hour back."""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import gevent
import pytest

from loadtest.exceptions import ExitCode

from .swarm import FaultySwarm, Witness

pytestmark = [pytest.mark.native, pytest.mark.timeout(120)]

RUN_TIME_S = 12
(LIBRARY,) = Path("/usr/lib").glob("*/faketime/libfaketime.so.1")


@dataclass
class History:
    """What happened, as seen from outside."""

    lasted_s: float
    exit_code: int
    witnessed: int
    record: dict[str, Any]
    logs: str


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Iterator[History]:
    """Run it: every process of the swarm reads its clock's error from a file."""
    folder = tmp_path_factory.mktemp("clock")
    clock, witness = folder / "clock", Witness()
    clock.write_text("+0")
    variables = {
        "LD_PRELOAD": str(LIBRARY),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    with FaultySwarm(folder, witness.url, variables=variables) as swarm:
        master = swarm.master(workers=1, run_time_s=RUN_TIME_S)
        worker = swarm.worker()
        swarm.wait_for_load(workers=1)
        began_s = min(at_s for at_s, _ in witness.requests)
        for error in ("+1h", "-1h"):
            gevent.sleep(3.0)
            clock.write_text(error)
        exit_code = master.wait()
        lasted_s = max(at_s for at_s, _ in witness.requests) - began_s
        worker.wait()
        yield History(lasted_s, exit_code, len(witness.requests), swarm.record(), swarm.logs())
    witness.close()


def test_the_run_keeps_its_length(history: History) -> None:
    """Load is generated for the requested run time, whatever the clock shows."""
    assert RUN_TIME_S - 2 < history.lasted_s < RUN_TIME_S + 2, history.logs


def test_the_record_keeps_its_durations(history: History) -> None:
    """Every request is in the record, which lasts as long as the run and holds no time but its own."""
    assert sum(series["requests"] for series in history.record["series"]) == history.witnessed
    assert abs(history.record["duration_s"] - RUN_TIME_S) <= 2
    assert max(series["response_time"]["max_s"] for series in history.record["series"]) < RUN_TIME_S
    assert abs(datetime.fromisoformat(history.record["started_at"]).timestamp() - time.time()) < 300


def test_the_run_is_not_trustworthy(history: History) -> None:
    """The steps violate a trust check, since times cannot be compared with other clocks."""
    assert history.exit_code == ExitCode.NOT_TRUSTWORTHY, history.logs
    assert "clock_step" in json.dumps(history.record)
