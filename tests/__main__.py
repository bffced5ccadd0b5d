"""Runs all tests: those of real processes together with those that compute and the soak, then those that need a quiet
machine.

    python -m tests

The first three are pytest processes that share the machine. The first mostly waits, and is shown as it goes; the others
give way to it, and are shown when all have ended. What measures in tens of milliseconds comes last, alone. The exit
code is that of the first that failed.
"""

import contextlib
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Self

WAITING = ("native", "faults")
SOAK = "faults/test_soak.py"
QUIET = ("native/test_open_model.py",)
GIVE_WAY = ("nice", "-n", "5")
FOLDER = Path(__file__).parent
PYTEST = (sys.executable, "-m", "pytest")


def main() -> int:
    """Run them, and return the exit code."""
    waiting = [str(FOLDER / name) for name in WAITING]
    soak = str(FOLDER / SOAK)
    quiet = [str(FOLDER / name) for name in QUIET]
    left_out = [f"--ignore={path}" for path in (soak, *quiet)]
    computing = sorted(
        str(path) for path in FOLDER.iterdir() if path.name not in WAITING and next(path.rglob("test_*.py"), None)
    )
    with contextlib.ExitStack() as ends:
        giving_way = [ends.enter_context(Beside(paths)) for paths in ([soak], computing)]
        codes = [subprocess.run([*PYTEST, *waiting, *left_out], check=False).returncode]
        codes += [beside.end() for beside in giving_way]
    return next(filter(None, codes), 0) or subprocess.run([*PYTEST, *quiet], check=False).returncode


class Beside:
    """A pytest process that gives way to others and is shown when it has ended.

    Args:
        paths: what it tests.
    """

    def __init__(self, paths: list[str]) -> None:
        self._output = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed by __exit__
        self._process = subprocess.Popen(
            [*GIVE_WAY, *PYTEST, "-p", "no:cacheprovider", *paths], stdout=self._output, stderr=subprocess.STDOUT
        )

    def end(self) -> int:
        """Wait for its end, show its output, and return its exit code."""
        code = self._process.wait()
        self._output.seek(0)
        sys.stdout.write(self._output.read())
        return code

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._output.close()


if __name__ == "__main__":
    sys.exit(main())
