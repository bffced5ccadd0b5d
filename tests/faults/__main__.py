"""The soak alone: see `tests.faults.soak`; with COMPOSE=1, that of `tests.stack.soak`.

python -m tests.faults [SECONDS] [SEED]
"""

import gevent.monkey

gevent.monkey.patch_all()

import argparse  # noqa: E402 - nothing may be imported before the patch
import os  # noqa: E402 - nothing may be imported before the patch
import random  # noqa: E402 - nothing may be imported before the patch
import shutil  # noqa: E402 - nothing may be imported before the patch
import sys  # noqa: E402 - nothing may be imported before the patch
import tempfile  # noqa: E402 - nothing may be imported before the patch
from pathlib import Path  # noqa: E402 - nothing may be imported before the patch

from tests.faults.soak import soak  # noqa: E402 - nothing may be imported before the patch
from tests.stack.soak import compose_soak  # noqa: E402 - nothing may be imported before the patch


def main() -> int:
    """Run it, for an hour by default, and return the exit code."""
    parser = argparse.ArgumentParser(description="At random, do to a running stack what people do.")
    parser.add_argument("seconds", nargs="?", type=float, default=3600.0)
    parser.add_argument("seed", nargs="?", type=int, default=random.randrange(10**6))
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="soak-"))
    conduct = compose_soak if os.environ.get("COMPOSE") else soak
    problems = conduct(folder, options.seconds, options.seed)
    if not problems:
        shutil.rmtree(folder)
    sys.stdout.write("\n".join(problems or ["every request was counted"]) + "\n")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
