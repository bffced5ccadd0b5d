"""LocalStack: Redis, the sample target, a Locust master and its workers as processes on this machine.

Tested in tests/native/test_local_stack.py.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from typing import IO, TYPE_CHECKING, Self
from urllib.parse import urlsplit

from prometheus_client.parser import text_string_to_metric_families

from loadtest import atomic_file
from loadtest.exceptions import ExitCode, StackError, UsageError
from loadtest.feeding.file_formats import is_standard_input
from loadtest.local import locust_options as of_locust
from loadtest.local import redis_server
from loadtest.local.process import ManagedProcess, free_port
from loadtest.local.sample_target import SampleTarget, status
from loadtest.progress import Steps
from loadtest.run_folder import RunFolder
from loadtest.settings import hosts, shipped
from loadtest.settings.config import Config, default_workers
from loadtest.settings.fetching import fetch
from loadtest.settings.hosts import check_open
from loadtest.users.target import redis_target_of, target_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

_MASTER_TIMEOUT_S = 120.0  # a few seconds, unless its imports wait for a core
_WORKERS_TIMEOUT_S = 60.0
_DRAIN_S = 30.0  # for a master, after SIGTERM, to stop its users and write the report
_POLL_S = 0.2
_LISTENER = "127.0.0.1"


class LocalStack:
    """The whole stack: a context manager that starts the parts in order and stops them in reverse.

    Args:
        config: the settings; with `host` set, no sample target is started.
        logs: the folder of the processes' logs; made when it is missing.
        say: called with the name and a description of each part when it is ready.
        screen: where the master prints its progress and summary.
        hosts_of_classes: the host of each User class that has one, loaded where `host` is not set; None: the sample
            target is started there.
        needs_redis: whether the scenario itself uses the Redis of REDIS_URL.
        loads_only_redis: whether it uses only that; then no sample target is started either.
        locust_options: further options of Locust's, for the master and the workers.

    Attributes:
        notices: sentences to repeat when the figures of the run are shown.

    Raises:
        StackError: on entering, when a part does not become ready.
        UsageError: on entering, when a port is in use or the host does not respond.
    """

    def __init__(
        self,
        config: Config,
        logs: Path,
        say: Callable[[str, str], None],
        screen: IO[str] = sys.stdout,
        hosts_of_classes: Mapping[str, str] | None = None,
        *,
        needs_redis: bool = True,
        loads_only_redis: bool = False,
        locust_options: Sequence[str] = (),
    ) -> None:
        self._config = config
        self._say = say
        self._screen = screen
        self._logs = logs
        self._hosts_of_classes = hosts_of_classes or {}
        self._needs_redis = needs_redis
        self._loads_only_redis = loads_only_redis
        self._locust_options = locust_options
        self._takes_sample_target = hosts_of_classes is None and not config.host
        self._parts = contextlib.ExitStack()
        self._started: list[ManagedProcess] = []
        self._watched: list[ManagedProcess] = []
        self.notices: list[str] = []
        self._master: ManagedProcess | None = None

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as parts:
            sample, redis_url = self._start_service(parts)
            self._start_swarm(parts, sample, redis_url)
            self._parts = parts.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Nothing may interrupt the shutdown; each part has its own time limit.
        for signal_number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(signal_number, signal.SIG_IGN)
        self._parts.__exit__(kind, error, trace)

    @contextlib.contextmanager
    def service(self) -> Iterator[dict[str, str]]:
        """Start only the users' target, and yield the environment of a process that loads it.

        Raises:
            StackError: when a part does not become ready.
            UsageError: when a port is in use or the host does not respond.
        """
        with contextlib.ExitStack() as parts:
            sample, redis_url = self._start_service(parts)
            yield self._config.model_copy(update={"sample_target": sample, "redis_url": redis_url}).environment()

    def kill(self) -> None:
        """Kill every part."""
        for part in self._started:
            part.kill()

    def wait(self) -> int:
        """Wait until the master ends, and return its exit code.

        Raises:
            StackError: when another part ended that should not; the master is stopped first, so that it reports.
        """
        master = self._running_master()
        while (code := master.exit_code) is None:
            for part in list(self._watched):
                if part.exit_code is not None:
                    self._watched.remove(part)
                    self._on_loss(part)
            time.sleep(_POLL_S)
        has_reported = RunFolder(self._logs.parent).record.exists()  # then a locustfile may have set the code
        if code not in tuple(ExitCode) and not (has_reported and code > 0):
            raise StackError(
                f"the master ended with exit code {code}: {master.last_log_line()} Full log: {master.log}. "
                "Next: fix the cause and run again."
            )
        return code

    def drain(self, signal_number: int = signal.SIGTERM) -> int:
        """Send the master a signal, which it names in its report, to stop its users; return its exit code."""
        master = self._running_master()
        master.terminate(signal_number)
        deadline = time.monotonic() + _DRAIN_S
        while master.exit_code is None and time.monotonic() < deadline:
            time.sleep(_POLL_S)
        return ExitCode.ERROR if master.exit_code is None else master.exit_code

    def _running_master(self) -> ManagedProcess:
        if self._master is None:
            raise StackError("the stack is not running. Next: use it as a context manager.")
        return self._master

    def _on_loss(self, part: ManagedProcess) -> None:
        if part.name.startswith("worker"):
            if part.exit_code != 0:  # 0: the master told it to quit
                self._say("worker lost", f"{part.name} ended with exit code {part.exit_code}; its log: {part.log}")
            return
        what = f"{part.name} ended during the run with exit code {part.exit_code}"
        with contextlib.suppress(OSError):  # a full disk: the report then names the signal alone
            atomic_file.replace(RunFolder(self._logs.parent).cause, what.encode())
        self.drain()
        raise StackError(
            f"{what}: {part.last_log_line()} "
            f"Full log: {part.log}. Next: fix the cause and run again; the report shows the run until then."
        )

    def _start_service(self, parts: contextlib.ExitStack) -> tuple[str | None, str | None]:
        """Start the users' target and its dependencies; cheap checks come first.

        Returns:
            The URL of the sample target, None where another is loaded; and that of Redis, None where neither the
            scenario nor the target needs one.
        """
        check_ports_free(self._config, own_target=self._takes_sample_target)
        if not self._takes_sample_target:
            self._check_target()
        self._logs.mkdir(parents=True, exist_ok=True)
        needs_redis = self._needs_redis or self._takes_sample_target
        redis_url = self._start_redis(parts) if needs_redis else self._config.redis_url
        if redis_url is None or not self._takes_sample_target:
            return None, redis_url
        return self._start_target(parts, redis_url), redis_url

    def _start_redis(self, parts: contextlib.ExitStack) -> str:
        if self._config.redis_url:
            redis_server.check_given(self._config.redis_url)
            self._say("redis", "the one of REDIS_URL")
            return self._config.redis_url
        return parts.enter_context(redis_server.running(self._logs / "redis.log", self._say_redis))

    def _say_redis(self, text: str) -> None:
        if text.startswith(redis_server.IMITATION_NOTICE):
            self.notices.append(text)
        self._say("redis", text)

    def _check_target(self) -> None:
        """Report the target, and check that it is allowed and answers."""
        find = redis_target_of if self._loads_only_redis else target_of
        target = find(self._config.host, self._hosts_of_classes, self._config)
        hosts.open_allowed(self._config.allowed_hosts)
        for host in filter(hosts.is_http, target.hosts):
            check_open(host)
            check_host_answers(host)
        self._say("target", target.sentence)

    def _start_target(self, parts: contextlib.ExitStack, redis_url: str) -> str:
        """Start the sample target, and return its base URL."""
        target = SampleTarget(redis_url, self._logs / "target_app.log", self._config.target_port)
        parts.callback(target.stop)
        self._started.append(target)
        took_s = target.wait_until_ready()
        self._watched.append(target)
        self._say("target", f"the sample target under Gunicorn, {target.url} ({took_s:.1f} s)")
        return target.url

    def _start_swarm(self, parts: contextlib.ExitStack, sample: str | None, redis_url: str | None) -> None:
        link_port, exporter_port = free_port(), self._config.exporter_port or free_port()
        web_port = self._config.web_port or free_port()
        workers = self._config.workers or default_workers()
        settings = {
            "sample_target": sample, "redis_url": redis_url, "exporter_port": exporter_port, "workers": workers
        }  # fmt: skip
        environment = {
            **self._config.model_copy(update=settings).environment(),
            **of_locust.environment(self._config),
        }
        mode = ["--web-host", _LISTENER, "--web-port", str(web_port)] if self._config.ui else ["--headless"]
        link = ["--master-bind-host", _LISTENER, "--master-bind-port", str(link_port)]
        waiting = ["--expect-workers", str(workers), "--expect-workers-max-wait", f"{_WORKERS_TIMEOUT_S:.0f}"]
        master = ManagedProcess(
            "master",
            [*_locust(), "--master", *link, *waiting, *mode, *self._locust_options],
            self._logs / "master.log",
            environment,
            stdout=self._screen,
            stdin=None if self._config.feed and is_standard_input(self._config.feed) else subprocess.DEVNULL,
        )
        self._master = master
        parts.callback(master.stop)
        self._started.append(master)
        self._start_workers(parts, workers, link_port, environment)  # they load while the master does, then wait for it
        exporter = f"http://{_LISTENER}:{exporter_port}"
        took_s = master.wait_until(lambda: status(f"{exporter}/healthz") == http.client.OK, _MASTER_TIMEOUT_S)
        self._say("master", f"metrics on {exporter}/metrics ({took_s:.1f} s)")
        with Steps("workers", self._screen) as steps:
            took_s = master.wait_until(lambda: self._complete(exporter, steps), _WORKERS_TIMEOUT_S)
        self._say("workers", f"{connected_workers(exporter)[0]} of {workers} connected ({took_s:.1f} s)")
        if self._config.ui:
            self._say("web UI", f"http://{_LISTENER}:{web_port} until Ctrl-C")

    def _start_workers(
        self, parts: contextlib.ExitStack, count: int, link_port: int, environment: dict[str, str]
    ) -> None:
        link = ["--worker", "--master-host", _LISTENER, "--master-port", str(link_port)]
        own = of_locust.for_worker(self._locust_options)
        for number in range(1, count + 1):
            worker = ManagedProcess(
                f"worker {number}", [*_locust(), *link, *own], self._logs / f"worker_{number}.log", environment
            )
            parts.callback(worker.stop)
            self._started.append(worker)
            self._watched.append(worker)

    def _complete(self, exporter: str, steps: Steps) -> bool:
        """Return whether every expected worker is connected; raise at once when one has ended."""
        for part in self._watched:
            if part.exit_code is not None and not self._config.fewer_workers:
                part.wait_until(lambda: False, 0)
        connected, expected = connected_workers(exporter)
        if expected:
            steps.show(connected, expected)
        return connected >= expected > 0


def connected_workers(exporter: str) -> tuple[int, int]:
    """Return how many workers are connected to the master of an exporter, and how many it expects."""
    try:
        text = fetch(f"{exporter}/metrics", 5).body.decode()
    except OSError:
        return 0, 0
    families = {family.name: family for family in text_string_to_metric_families(text)}
    states = families["loadtest_workers"].samples
    (expected,) = families["loadtest_workers_expected"].samples
    return int(sum(sample.value for sample in states if sample.labels["state"] != "missing")), int(expected.value)


def check_ports_free(config: Config, *, own_target: bool) -> None:
    """Check the ports that a run listens on.

    Args:
        config: its ports.
        own_target: whether the sample target is started.

    Raises:
        UsageError: with every port in use and the setting that changes it.
    """
    wanted = {"EXPORTER_PORT": config.exporter_port}
    if own_target:
        wanted["TARGET_PORT"] = config.target_port
    if config.ui:
        wanted["WEB_PORT"] = config.web_port
    problems = []
    for name, port in wanted.items():
        try:
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((_LISTENER, port))
        except OSError as error:
            problems.append(
                f"{name}={port} is not available on {_LISTENER} ({error.strerror}). Allowed: a free port. "
                f"Next: stop what uses it, or set {name} to another port, or to 0 for any free one."
            )
    if problems:
        raise UsageError("\n".join(problems))


def check_host_answers(host: str) -> None:
    """Check that something accepts connections at the base URL.

    Raises:
        UsageError: when nothing does.
    """
    url = urlsplit(host)
    port = url.port or (443 if url.scheme == "https" else 80)
    try:
        socket.create_connection((url.hostname, port), timeout=5).close()
    except OSError as error:
        raise UsageError(
            f"HOST={host} does not accept connections ({error.strerror or error}). Allowed: the base URL of a "
            "running service. Next: start it, or correct the address."
        ) from error


def show_by_locust(config: Config, options: Sequence[str]) -> int:
    """Let Locust print the output of options such as --list, and return its exit code."""
    environment = {**os.environ, **config.environment()}
    return subprocess.run([*_locust(), *options], env=environment, check=False).returncode  # noqa: S603


def _locust() -> list[str]:
    options = shipped.own_or_shipped(shipped.CONF_DIR / "locust.conf")
    # The flags are in that file too, but the user's own --config replaces it.
    flags = ["--config", str(options), "--enable-rebalancing", "--only-summary"]
    return [sys.executable, "-m", "locust", "-f", str(shipped.LOCUSTFILE), *flags]
