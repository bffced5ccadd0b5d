"""Runs all tests: those of real processes, in two halves, beside those of faults and lies, the soak and those that
compute; then those that need a quiet machine.

    python -m tests

The first five are pytest processes that share the machine, which mostly wait. The first is shown as it goes; the others
give way to it, and are shown when all have ended. What measures in tens of milliseconds comes last, alone. The exit
code is that of the first that failed.
"""

import contextlib
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Self

GIVE_WAY = ("nice", "-n", "5")
FOLDER = Path(__file__).parent
REAL = FOLDER / "native"
BESIDE = (FOLDER / "faults", FOLDER / "lies")
SOAK = FOLDER / "faults/test_soak.py"
QUIET = REAL / "test_open_model.py"
PYTEST = (sys.executable, "-m", "pytest")


def main() -> int:
    """Run them, and return the exit code."""
    real = [path for path in sorted(REAL.glob("test_*.py")) if path != QUIET]
    computing = [
        path for path in sorted(FOLDER.iterdir()) if path not in {REAL, *BESIDE} and next(path.rglob("test_*.py"), None)
    ]
    with contextlib.ExitStack() as ends:
        giving_way = [
            ends.enter_context(Beside(*arguments))
            for arguments in (real[1::2], [*BESIDE, f"--ignore={SOAK}"], [SOAK], computing)
        ]
        codes = [subprocess.run([*PYTEST, *real[::2]], check=False).returncode]
        codes += [beside.end() for beside in giving_way]
    return next(filter(None, codes), 0) or subprocess.run([*PYTEST, QUIET], check=False).returncode


class Beside:
    """A pytest process that gives way to others and is shown when it has ended.

    Args:
        arguments: of pytest: what it tests.
    """

    def __init__(self, *arguments: str | Path) -> None:
        self._output = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed by __exit__
        self._process = subprocess.Popen(
            [*GIVE_WAY, *PYTEST, "-p", "no:cacheprovider", *arguments], stdout=self._output, stderr=subprocess.STDOUT
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
