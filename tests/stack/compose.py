"""A Compose project of this repository's docker-compose.yml, isolated from others on the machine."""

from __future__ import annotations

import contextlib
import http.cookiejar
import itertools
import json
import os
import subprocess
import time
import urllib.parse
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.faults.referee import Line, read

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

ROOT = Path(__file__).parents[2]
SERVICES = ("redis", "target_app", "locust_master", "locust_worker", "prometheus", "redis_exporter")
"""All but Grafana, whose image is not to be had everywhere; its files are checked by the contract tests."""
ANY_PORT = dict.fromkeys(("TARGET_PORT", "WEB_PORT", "EXPORTER_PORT", "PROMETHEUS_PORT", "GRAFANA_PORT"), "0")
SETTLED_S = 120.0
REFEREES = ("referee", "redis_referee")
"""The services of `WITH_REFEREES`: what stands between the workers and the target, and between them and Redis."""
WITH_REFEREES = "tests/stack/referee.yml"
PROMETHEUS_IMAGE = "prom/prometheus:v3.13.0"
WINDOW = "10s"
"""Stands for Grafana's $__rate_interval, which is at least four scrapes of 2 s."""


class Project:
    """One project: its containers, networks and volumes go by its name.

    Args:
        name: the project's name.
        compose: the arguments that begin a Compose command.
        folder: of the Compose file; None: this repository, without a developer's own choice of files.
        settings: variables of the Compose file.

    Attributes:
        folder: where commands are typed.
        environment: the variables of the shell in which they are typed.
    """

    def __init__(
        self, name: str, compose: Sequence[str] = ("docker", "compose"), folder: Path | None = None, **settings: str
    ) -> None:
        self.name = name
        self.folder = folder or ROOT
        self.separator = "_" if compose[0] == "docker-compose" else "-"
        """What this Compose puts between the project's name and a service's in the name of an image."""
        self._compose = [*compose, "-p", name]
        ours = ("LOADTEST_", "LOCUST_", "COMPOSE_", "REDIS_")
        kept = {key: value for key, value in os.environ.items() if not key.startswith(ours)}
        plain = {} if folder else {"COMPOSE_FILE": "docker-compose.yml"}
        self.environment = {**kept, **ANY_PORT, **plain, **settings}
        self._cookies = http.cookiejar.CookieJar()
        self._opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self._cookies))
        self._open = self._opener.open
        self._ports: dict[tuple[str, int], int] = {}  # a call of Compose takes a tenth of a second

    def run(self, *words: str, timeout_s: float = 120) -> str:
        """Run a Compose command in the project's folder and return what it printed.

        Raises:
            AssertionError: when it fails, with its output.
        """
        if words[0] not in {"port", "ps", "logs", "exec", "cp"}:
            self._ports.clear()  # a container that starts may get another one
        command = [*self._compose, *words]
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
        return done.stdout

    def up(self, workers: int, *options: str) -> None:
        """Start the services, or scale to this number of workers."""
        self.run("up", "-d", *options, "--scale", f"locust_worker={workers}", *SERVICES)

    def down(self) -> None:
        """Remove everything that belongs to the project except its images."""
        self.run("down", "--volumes", "--remove-orphans", "--timeout", "5")

    @contextlib.contextmanager
    def told(self) -> Iterator[None]:
        """Add the services' last log lines to a failing assertion."""
        try:
            yield
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.run('logs', '--no-color', '--tail', '25')}") from None

    def containers(self) -> list[dict[str, Any]]:
        """Return the engine's description of the project's containers."""
        label = f"label=com.docker.compose.project={self.name}"
        ids = docker("ps", "--all", "--quiet", "--filter", label).split()
        inspected: list[dict[str, Any]] = json.loads(docker("inspect", *ids)) if ids else []
        return inspected

    def port(self, service: str, inside: int) -> int:
        """Return the host port that publishes a service's port."""
        if (service, inside) not in self._ports:
            self._ports[service, inside] = int(self.run("port", service, str(inside)).rpartition(":")[2])
        return self._ports[service, inside]

    def get(self, service: str, inside: int, path: str, form: dict[str, str] | None = None) -> Any:
        """Send a GET to a published port and return its JSON; a form makes it a POST."""
        data = None if form is None else urllib.parse.urlencode(form).encode()
        try:
            with self._open(f"http://127.0.0.1:{self.port(service, inside)}{path}", data, 30) as answer:
                return json.load(answer)
        except OSError:
            self._ports.clear()  # the container may have restarted
            raise

    def judged(self) -> list[Line]:
        """Return the requests that the referees have received and answered so far, in order of time."""
        journals = [read(self.run("exec", "-T", referee, "cat", "/journal/lines")) for referee in REFEREES]
        return sorted(itertools.chain(*journals), key=lambda line: line.at)

    def log_in(self, password: str) -> None:
        """Log in to the web UI; later calls of `get` use the session."""
        data = urllib.parse.urlencode({"password": password}).encode()
        form = f"http://127.0.0.1:{self.port('locust_master', 8089)}/login"
        as_browser = urllib.request.Request(form, data, {"Accept": "text/html"})  # as the page that follows requires
        with self._open(as_browser, timeout=30) as answer:
            token = answer.url.partition("#loadtest=")[2]
        self._opener.addheaders.append(("X-Loadtest-Token", token))

    @property
    def cookie(self) -> str:
        """The cookies of the session, as a browser sends them to every port of the host."""
        return "; ".join(f"{one.name}={one.value}" for one in self._cookies)

    def query(self, expression: str, at_s: float | None = None) -> list[dict[str, Any]]:
        """Return Prometheus' response to a query, now or at a moment in the past."""
        asked = {"query": expression} | ({} if at_s is None else {"time": str(at_s)})
        answer = self.get("prometheus", 9090, f"/api/v1/query?{urllib.parse.urlencode(asked)}")
        assert answer["status"] == "success", answer
        result: list[dict[str, Any]] = answer["data"]["result"]
        return result

    def value(self, expression: str) -> float | None:
        """Return the only value of a query's response; None when there is none."""
        result = self.query(expression)
        return float(result[0]["value"][1]) if len(result) == 1 else None


def filled(expression: str, window: str = WINDOW, chosen: Mapping[str, str] | None = None) -> str:
    """Return a dashboard's query as Grafana would send it, by default with everything selected."""
    stand_ins = {"$__rate_interval": window, "$__interval": window, "$__range": "10m", "$run": ".*"}
    stand_ins |= {"$scenario": ".*", "$name": ".*", "$quantile": "0.95", "$before": ".*", "${shift}": "0"}
    for variable, value in (stand_ins | dict(chosen or {})).items():
        expression = expression.replace(variable, value)
    assert "$" not in expression
    return expression


def docker(*words: str) -> str:
    """Run a docker command and return what it printed."""
    return subprocess.run(["docker", *words], capture_output=True, text=True, check=True, timeout=120).stdout


def eventually(what: str, seen: Callable[[], object], expected: object, within_s: float = SETTLED_S) -> None:
    """Wait until a value is as expected; if a service does not respond in time, the request is repeated.

    Raises:
        AssertionError: when the time is over, with the last value.
    """

    def look() -> object:
        try:
            return seen()
        except OSError as error:
            return error

    until_s = time.monotonic() + within_s
    while (last := look()) != expected:
        assert time.monotonic() < until_s, f"{what}: expected {expected!r}, after {within_s:.0f} s it is {last!r}"
        time.sleep(0.5)
