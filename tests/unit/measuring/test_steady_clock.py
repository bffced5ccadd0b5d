"""The steady clock tells the time, and advances evenly even if the machine's clock is set."""

import os
import subprocess
import sys
import time
from pathlib import Path

from loadtest.measuring import steady_clock

(LIBRARY,) = Path("/usr/lib").glob("*/faketime/libfaketime.so.1")
STEP = """
import sys, time
from pathlib import Path
from loadtest.measuring import steady_clock

began_at, steady_at = time.time(), steady_clock.now()
for error in ("+1h", "-1h"):
    Path(sys.argv[1]).write_text(error)
    print(round(time.time() - began_at), round(steady_clock.now() - steady_at))
"""


def test_it_tells_the_time() -> None:
    """It agrees with the machine's clock, and never goes back."""
    times = [steady_clock.now() for _ in range(1000)]
    assert abs(times[-1] - time.time()) < 1
    assert times == sorted(times)
    before_s, began_s = steady_clock.now(), time.perf_counter()
    time.sleep(0.05)
    assert abs(steady_clock.now() - before_s - (time.perf_counter() - began_s)) < 0.01


def test_a_clock_that_is_set_moves_nothing(tmp_path: Path) -> None:
    """The machine's clock is set an hour ahead and an hour back; the steady clock is not affected."""
    clock = tmp_path / "clock"
    clock.write_text("+0")
    environment = {
        **os.environ,
        "LD_PRELOAD": str(LIBRARY),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    stepped = subprocess.run(
        [sys.executable, "-c", STEP, clock], env=environment, capture_output=True, text=True, check=True
    )
    assert stepped.stdout.splitlines() == ["3600 0", "-3600 0"]
