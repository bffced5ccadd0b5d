"""When Ctrl-C is raised, each time in a separate process that sends itself SIGINT."""

import subprocess
import sys

_PROGRAM = """
import signal, sys
import gevent
from loadtest.swarm import interrupt

def work():
    signal.raise_signal(signal.SIGINT)
    print("worked on")
    if sys.argv[1] == "twice":
        signal.raise_signal(signal.SIGINT)
        print("and on")
    gevent.sleep(0)
    print("never turned to again")

interrupt.await_turn()
try:
    gevent.joinall([gevent.spawn(work)])
except KeyboardInterrupt:
    print("interrupted")
"""


def outcome(times: str) -> tuple[int, list[str]]:
    """The exit code and the output lines of a program that is interrupted in a greenlet."""
    done = subprocess.run([sys.executable, "-c", _PROGRAM, times], check=False, capture_output=True, text=True)
    return done.returncode, done.stdout.splitlines()


def test_the_greenlet_that_runs_works_on_until_it_gives_way() -> None:
    """Ctrl-C is raised in the main greenlet, after the turn in which it arrived."""
    assert outcome("once") == (0, ["worked on", "interrupted"])


def test_a_second_one_is_raised_at_once() -> None:
    """A second Ctrl-C does not wait for a greenlet that never yields."""
    assert outcome("twice") == (0, ["worked on", "interrupted"])
