"""`python -m loadtest.local`: installs and downloads the dependencies of runs on this machine, so that they need no
network."""

import sys

from loadtest.exceptions import StackError
from loadtest.local import redis_server


def _say(text: str) -> None:
    sys.stdout.write(f"redis        {text}\n")


if __name__ == "__main__":
    try:
        redis_server.prepare(_say)
    except StackError as error:
        _say(f"{error}: runs that need Redis will use an imitation, and report it")
