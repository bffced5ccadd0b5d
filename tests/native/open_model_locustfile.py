"""An open-model run of `test_open_model`: every start is written to a file with its intended start.

Environment: STARTS_DIR, the folder for one file per worker; RATE_PER_S and RUN_S, the profile.
"""

import os
import time
from pathlib import Path
from typing import TextIO

import gevent
from locust import events, task
from locust.env import Environment
from locust.runners import MasterRunner

from loadtest.pacing import service as pacing
from loadtest.profiles.curve import Stage
from loadtest.profiles.profile import LoadProfile
from loadtest.settings.config import Config
from loadtest.swarm import replacements, session
from loadtest.users.base import LoadUser

STARTS_DIR = Path(os.environ["STARTS_DIR"])
RATE_PER_S, RUN_S = float(os.environ["RATE_PER_S"]), float(os.environ["RUN_S"])
files: list[TextIO] = []
replacements.install(Config())


class Job(LoadUser):
    """Records its intended and its actual start, and takes some milliseconds."""

    @task
    def work(self) -> None:
        """Write both times."""
        files[0].write(f"{self.intended_start_s!r} {time.perf_counter()!r}\n")
        gevent.sleep(0.005)


@events.init.add_listener
def wire(environment: Environment, runner: object, **_: object) -> None:
    """Conduct the profile on the master, follow it on a worker."""
    if isinstance(runner, MasterRunner):
        profile = LoadProfile("test", "open", (Stage(RUN_S, RATE_PER_S, "step"),), max_users=2000)
        environment.events.test_start.add_listener(lambda **_: pacing.prepare(environment, profile, runner.quit))
    else:
        files.append((STARTS_DIR / str(os.getpid())).open("w", buffering=1, encoding="ascii"))
    session.start(environment, pacing.service)
