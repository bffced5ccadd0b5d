"""Runs all tests: those of real processes beside those of faults and lies, the soak and those that compute; then those
that need a quiet machine.

    python -m tests

The first four are pytest processes that share the machine, which mostly wait. The first is shown as it goes; the others
give way to it, and are shown when all have ended. What measures in tens of milliseconds comes last, alone. The exit
code is that of the first that failed.
"""

import contextlib
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Self

FIRST = ("native",)
BESIDE = ("faults", "lies")
SOAK = "faults/test_soak.py"
QUIET = ("native/test_open_model.py",)
GIVE_WAY = ("nice", "-n", "5")
FOLDER = Path(__file__).parent
PYTEST = (sys.executable, "-m", "pytest")


def main() -> int:
    """Run them, and return the exit code."""
    first, beside, soak, quiet = ([str(FOLDER / name) for name in names] for names in (FIRST, BESIDE, (SOAK,), QUIET))
    computing = sorted(
        str(path)
        for path in FOLDER.iterdir()
        if path.name not in FIRST + BESIDE and next(path.rglob("test_*.py"), None)
    )
    without_soak, without_quiet = [f"--ignore={path}" for path in soak], [f"--ignore={path}" for path in quiet]
    with contextlib.ExitStack() as ends:
        giving_way = [ends.enter_context(Beside(paths)) for paths in (soak, [*beside, *without_soak], computing)]
        codes = [subprocess.run([*PYTEST, *first, *without_quiet], check=False).returncode]
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
