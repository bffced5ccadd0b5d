"""Runs all tests: those that wait for real processes, and beside them those that compute.

    python -m tests

Two pytest processes share the machine. The first mostly waits, and is shown as it goes; the second gives way to it, and
is shown when both have ended. The exit code is that of the first that failed.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

WAITING = ("native", "faults")
GIVE_WAY = ("nice", "-n", "5")
FOLDER = Path(__file__).parent
PYTEST = (sys.executable, "-m", "pytest")


def main() -> int:
    """Run both, and return the exit code."""
    waiting = [str(FOLDER / name) for name in WAITING]
    rest = sorted(str(path.parent) for path in FOLDER.glob("*/test_*.py") if path.parent.name not in WAITING)
    computing = list(dict.fromkeys(rest))
    with tempfile.TemporaryFile("w+") as output:
        beside = subprocess.Popen(
            [*GIVE_WAY, *PYTEST, "-p", "no:cacheprovider", *computing], stdout=output, stderr=subprocess.STDOUT
        )
        try:
            first = subprocess.run([*PYTEST, *waiting], check=False).returncode
            second = beside.wait()
        finally:
            beside.terminate()
        output.seek(0)
        sys.stdout.write(output.read())
    return first or second


if __name__ == "__main__":
    sys.exit(main())
