"""The soak in Compose: like `tests.faults.soak`, with the containers of the stack instead of processes.

Workers join and leave by `docker compose up --scale`, and are stopped, killed, paused and disconnected from their
networks; referee, Redis, Prometheus and master are killed and restarted, all by `docker`.
"""

from __future__ import annotations

import os
import signal
import subprocess
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING

import gevent

from tests.faults.referee import Referee
from tests.faults.soak import Soak, go_on
from tests.faults.swarm import FaultySwarm
from tests.faults.worker import Worker
from tests.stack.compose import WITH_REFEREES, Project, docker, eventually

if TYPE_CHECKING:
    from pathlib import Path

_COMMANDS = {signal.SIGTERM: "stop", signal.SIGSTOP: "pause", signal.SIGCONT: "unpause"}
STOPPED = 0.3
"""The share of the workers that leave by `docker stop`; the others are scaled away."""
_KINDS = {"http": "referee", "redis": "redis_referee"}
_TO_THE_MASTER = ("edge", "data")
"""The networks that a worker shares with the master. It has the service under test on another one."""


class Container:
    """A container, in the place of a process; its users name it by the first digits of its id, as its host name."""

    def __init__(self, name: str) -> None:
        self._id = docker("inspect", "--format", "{{.Id}}", name).strip()
        self.pid = self._id[:12]

    def poll(self) -> int | None:
        """Return its exit code; None while it runs or restarts."""
        format_ = "{{.State.Status}} {{.State.ExitCode}}"
        done = subprocess.run(["docker", "inspect", "--format", format_, self._id], capture_output=True, check=False)
        if done.returncode:
            return 0  # it is removed
        status, code = done.stdout.decode().split()
        return int(code) if status in ("exited", "dead") else None

    def wait(self, patience_s: float = 60.0) -> int | None:
        """Wait for its end."""
        eventually(f"the end of {self.pid}", lambda: self.poll() is not None, True, patience_s)
        return self.poll()

    def send_signal(self, number: signal.Signals) -> None:
        """Apply a signal's effect on a process to the container; nothing if there is none."""
        self._tell(_COMMANDS[number])

    def kill(self) -> None:
        """End it at once."""
        self._tell("kill")

    def restart(self, away_s: float = 0.0) -> None:
        """Kill it, and start it again after a while."""
        self.kill()
        gevent.sleep(away_s)
        self.start()

    def start(self) -> None:
        """Start it again."""
        docker("start", self._id)

    def _tell(self, command: str) -> None:
        subprocess.run(["docker", command, self._id], capture_output=True, check=False)


class Journal(Referee):
    """The referee of one container."""

    def __init__(self, folder: Path, kind: str, container: str) -> None:
        self._journal = folder / f"journal of {kind}"
        self._journal.touch()
        self._journal.chmod(0o666)
        self._container = container

    def restart(self, away_s: float = 0.0) -> None:
        """Kill it, and start it again after a while."""
        Container(self._container).restart(away_s)

    def kill(self) -> None:
        """It ends with the stack."""


class Way:
    """The networks between a worker and the master."""

    def __init__(self, project: str, container: str) -> None:
        self._networks = [f"{project}_{name}" for name in _TO_THE_MASTER]
        self._container = container
        self._is_cut = False

    def cut(self) -> None:
        """Disconnect the worker from them."""
        self._is_cut = True
        self._do("disconnect")

    def mend(self) -> None:
        """Reconnect it."""
        if self._is_cut:
            self._is_cut = False
            self._do("connect")

    def close(self) -> None:
        """They end with the stack."""

    def _do(self, what: str) -> None:
        for network in self._networks:
            subprocess.run(["docker", "network", what, network, self._container], capture_output=True, check=False)


@dataclass
class ComposeSwarm(FaultySwarm):
    """Master and workers of a project, and the services that they load."""

    name: str = ""

    def __post_init__(self) -> None:
        """Start all but the workers."""
        super().__post_init__()
        owner = os.getuid() or 12345
        self.runs.mkdir()
        os.chown(self.runs, owner, -1)
        self.folder.chmod(0o777)  # the referees write here, and the workers read
        self.project = Project(
            self.name,
            COMPOSE_FILE=f"docker-compose.yml:{WITH_REFEREES}:tests/stack/soak.yml",
            LOADTEST_HOST=self.target, LOADTEST_SCENARIO="scenarios/asker.py", SCENARIOS_DIR=str(self.folder),
            RUNS_DIR=str(self.runs), RUN_AS=f"{owner}:{owner}", SOAK_DIR=str(self.folder),
            WEB_PORT=str(self.web), EXPORTER_PORT=str(self.exporter), PROMETHEUS_PORT=str(self.port),
        )  # fmt: skip
        try:
            self.project.run("up", "-d", "referee", "redis_referee", "locust_master", "prometheus", timeout_s=300)
        except BaseException:
            self.project.down()
            raise

    def container(self, service: str) -> Container:
        """Return the only container of a service."""
        return Container(f"{self.name}-{service}-1")

    def workers(self) -> set[str]:
        """Return the names of the workers' containers; those that have ended are removed."""
        self.project.run("rm", "--force", "locust_worker")
        ours = f"label=com.docker.compose.project={self.name}"
        service = "label=com.docker.compose.service=locust_worker"
        return set(docker("ps", "-a", "--filter", ours, "--filter", service, "--format", "{{.Names}}").split())

    def scale(self, workers: int) -> None:
        """Scale to this many workers."""
        options = ("-d", "--no-recreate", "--no-deps", "--scale", f"locust_worker={workers}")
        self.project.run("up", *options, "locust_worker", timeout_s=300)

    def new_worker(self) -> str:
        """Scale to one more, and return its container's name."""
        before = self.workers()
        self.scale(len(before) + 1)
        (name,) = self.workers() - before
        return name

    def logs(self) -> str:
        """Return the latest output of all containers."""
        return self.project.run("logs", "--no-color", "--tail", "25")

    def __exit__(self, *_: object) -> None:
        self.project.down()


@dataclass
class ComposeSoak(Soak):
    """The stack in Compose, and what happens to it.

    Args:
        name: of the project, whose images are built.
    """

    name: str = ""

    def start(self) -> None:
        """Start all but the workers."""
        scenario = self.folder / "asker.py"
        scenario.write_text(scenario.read_text().replace("os.getpid()", "os.uname().nodename"))
        journals = [Journal(self.folder, kind, f"{self.name}-{service}-1") for kind, service in _KINDS.items()]
        self.referee, self.referee_of_redis = journals
        self.swarm = ComposeSwarm(self.folder, "http://referee:5000", name=self.name)
        self.redis = self.swarm.container("redis")
        self.watcher, self.watcher_port = self.swarm.container("prometheus"), self.swarm.port
        self.master = self.swarm.container("locust_master")

    def new_worker(self) -> Worker:
        """Start a worker."""
        name = self.swarm.new_worker()
        return Worker(Container(name), Way(self.name, name))

    def start_master(self) -> Container:
        """Start the master again."""
        self.master.start()
        return self.master

    def join(self) -> None:
        """Scale up; Compose cannot while a worker is paused."""
        if self._is_whole():
            super().join()

    def leave(self) -> None:
        """Stop single workers, or scale down."""
        able = self.living()
        if not self._is_whole() or len(able) < 2:
            return
        if self.random.random() < STOPPED:
            super().leave()
            return
        self.swarm.scale(stay := self.random.randint(1, len(able) - 1))
        self.tell(f"scaled to {stay}")
        for worker in able:
            worker.leaving = worker.process.poll() is not None

    def cut(self) -> None:
        """Disconnect a worker from the networks to the master, one of which also leads to Redis."""
        super().cut()
        self.away.add(self.restart_redis)

    def _is_whole(self) -> bool:
        return not any(worker.hurt_until == inf for worker in self.workers)


def compose_soak(folder: Path, seconds: float, seed: int) -> list[str]:
    """Build the images, run the soak for this many seconds, and return the problems found."""
    name = f"loadtest-soak-{seed}"
    Project(name).run("build", timeout_s=300)
    return go_on(ComposeSoak(folder, seed, name=name), seconds)
