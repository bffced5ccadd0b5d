"""The command line during the import of its modules."""

import subprocess
import sys

import pytest


def test_the_command_line_does_without_locust() -> None:
    """Importing Locust would replace sockets and processes with gevent's, which a stack's supervisor must avoid."""
    code = "import sys, loadtest.cli; print('locust' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout.strip(), done.stderr) == ("False", "")


IMPORTED = """
import signal, sys, types
class Raising(types.ModuleType):
    def __getattr__(self, name): signal.raise_signal(signal.{signal})
sys.modules["loadtest.cli"] = Raising("loadtest.cli")
from loadtest.__main__ import main
main()
"""
RUNNING = """
import signal, sys
from loadtest import __main__, cli
@cli.main.command()
def wait(): signal.raise_signal(signal.{signal})
sys.argv = ["loadtest", "wait"]
__main__.main()
"""


@pytest.mark.parametrize(
    ("code", "name", "called"),
    [
        (IMPORTED, "SIGINT", "Ctrl-C"),
        (IMPORTED, "SIGTERM", "SIGTERM"),
        (IMPORTED, "SIGHUP", "SIGHUP"),
        (RUNNING, "SIGTERM", "SIGTERM"),
    ],
)
def test_a_signal_ends_the_command_line_with_a_sentence(code: str, name: str, called: str) -> None:
    """From the first import on there is no traceback, and the exit code is that of an interrupted run."""
    command = [sys.executable, "-c", code.format(signal=name)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.strip()) == (130, f"interrupted by {called} before it was done")
