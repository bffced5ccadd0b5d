"""Runs all tests: those of real processes together with those that compute, then those that need a quiet machine.

    python -m tests

The first two are pytest processes that share the machine. The first mostly waits, and is shown as it goes; the second
gives way to it, and is shown when both have ended. What measures in tens of milliseconds comes last, alone. The exit
code is that of the first that failed.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

WAITING = ("native", "faults")
QUIET = ("native/test_open_model.py",)
GIVE_WAY = ("nice", "-n", "5")
FOLDER = Path(__file__).parent
PYTEST = (sys.executable, "-m", "pytest")


def main() -> int:
    """Run both, and return the exit code."""
    waiting = [str(FOLDER / name) for name in WAITING]
    quiet = [str(FOLDER / name) for name in QUIET]
    left_out = [f"--ignore={path}" for path in quiet]
    computing = sorted(
        str(path) for path in FOLDER.iterdir() if path.name not in WAITING and next(path.rglob("test_*.py"), None)
    )
    with tempfile.TemporaryFile("w+") as output:
        computing = subprocess.Popen(
            [*GIVE_WAY, *PYTEST, "-p", "no:cacheprovider", *computing],
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            first = subprocess.run([*PYTEST, *waiting, *left_out], check=False).returncode
            second = computing.wait()
        finally:
            computing.terminate()
        output.seek(0)
        sys.stdout.write(output.read())
    return first or second or subprocess.run([*PYTEST, *quiet], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
