"""Two curves over the number of users: a login, which costs the target CPU time, and a read, which waits for Redis.

    python -m bench.curves [--seconds S] [--realtime]

Starts a Redis and the sample target under Gunicorn as `make loadtest` does. In each step 1 to 16 users send requests
without think time for S seconds (5 by default); its first second is excluded. Prints the table and bars of
docs/scenarios.md. Takes about two minutes. --realtime keeps other work on a busy machine out of the measurement; it
needs root.
"""

import gevent.monkey

gevent.monkey.patch_all()

import argparse  # noqa: E402 - nothing may be imported before the patch
import os  # noqa: E402
import platform  # noqa: E402
import tempfile  # noqa: E402
import time  # noqa: E402
from collections.abc import Callable  # noqa: E402
from dataclasses import dataclass  # noqa: E402
from pathlib import Path  # noqa: E402

import gevent  # noqa: E402
import psutil  # noqa: E402
from locust import constant  # noqa: E402
from locust.env import Environment  # noqa: E402

from loadtest.clients.http import HttpUser  # noqa: E402
from loadtest.local import redis_server  # noqa: E402
from loadtest.local.process import ManagedProcess, free_port  # noqa: E402
from loadtest.scenarios.client_accounts import ClientUser  # noqa: E402
from target_app import seed  # noqa: E402
from tests.servers import answers  # noqa: E402

USERS = (1, 2, 4, 8, 16)
WARM_UP_S = 1.0
BAR = 30
IDLE_CPU_S, IDLE_LOOK_S = 0.02, 0.5


class Login(ClientUser):
    """Logs in with the account that it registered at the start."""

    scenario = "login"
    wait_time = constant(0)
    tasks = [ClientUser.log_in]  # noqa: RUF012

    def on_start(self) -> None:
        """Register."""
        self._account = self._registered()


class Read(HttpUser):
    """Reads a document of 15 kB."""

    scenario = "read"
    wait_time = constant(0)

    def read(self) -> None:
        """Read the document."""
        self.client.get("/api/v1/documents/document:type-small", name="read")

    tasks = [read]  # noqa: RUF012


@dataclass(frozen=True)
class Step:
    """The result for a number of users."""

    users: int
    per_s: float
    p50_ms: float
    p99_ms: float
    target_cpu: float


def until_idle(cpu_s: Callable[[], float]) -> None:
    """Wait until the target has finished abandoned requests, which would slow the next step."""
    before_s = cpu_s() - 1
    while (now_s := cpu_s()) - before_s > IDLE_CPU_S:
        before_s = now_s
        gevent.sleep(IDLE_LOOK_S)


def measure(user_class: type[HttpUser], host: str, users: int, seconds: float, cpu_s: Callable[[], float]) -> Step:
    """Let users send requests for a while, and return their results after the warm-up."""
    environment = Environment(user_classes=[user_class], host=host)
    took_ms: list[float] = []
    counting = False

    def listen(name: str, response_time: float, exception: BaseException | None, **_: object) -> None:
        if exception is not None:
            raise SystemExit(f"{name} failed: {exception}")
        if counting and not name.endswith("register"):
            took_ms.append(response_time)

    environment.events.request.add_listener(listen)
    running = [type(user_class.__name__, (user_class,), {"host": host})(environment) for _ in range(users)]
    greenlets = [gevent.spawn(user.run) for user in running]
    gevent.sleep(WARM_UP_S + users * 0.1 * (user_class is Login))  # registrations first
    counting, begin_s, begin_cpu_s = True, time.perf_counter(), cpu_s()
    gevent.sleep(seconds)
    counting, took_s = False, time.perf_counter() - begin_s
    used = (cpu_s() - begin_cpu_s) / took_s
    gevent.killall(greenlets)
    until_idle(cpu_s)
    took_ms.sort()
    count = len(took_ms)
    return Step(users, count / took_s, took_ms[count // 2], took_ms[min(count - 1, int(count * 0.99))], used)


def show(title: str, steps: list[Step]) -> None:
    """Print a table, with bars of responses per second."""
    print(f"\n{title}\n\n| users | per s | p50 ms | p99 ms | cores used by the target | |\n|--:|--:|--:|--:|--:|---|")
    highest = max(step.per_s for step in steps)
    for step in steps:
        bar = "█" * max(1, round(step.per_s / highest * BAR))
        print(
            f"| {step.users} | {step.per_s:,.0f} | {_ms(step.p50_ms)} | {_ms(step.p99_ms)} | {step.target_cpu:.2f} "
            f"| `{bar}` |"
        )


def _ms(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def main() -> None:
    """Measure both curves."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--realtime", action="store_true")
    options = parser.parse_args()
    if options.realtime:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    with tempfile.TemporaryDirectory() as name, redis_server.running(Path(name) / "redis.log", print) as redis_url:
        seed.load(redis_url, lambda _done, _total: None)
        host = f"http://127.0.0.1:{free_port()}"
        target = ManagedProcess(
            "target",
            ["gunicorn", "-c", "python:target_app.gunicorn_conf", "target_app:create_app()"],
            Path(name) / "target.log",
            {"REDIS_URL": redis_url, "TARGET_APP_BIND": host.removeprefix("http://")},
        )
        try:
            target.wait_until(lambda: answers(f"{host}/healthz/ready"), 30)

            def cpu_s() -> float:
                workers = psutil.Process(target.pid).children(recursive=True)
                return sum(sum(worker.cpu_times()[:2]) for worker in workers)

            for title, user_class in (("Login, CPU-bound", Login), ("Read, I/O-bound", Read)):
                show(title, [measure(user_class, host, users, options.seconds, cpu_s) for users in USERS])
        finally:
            target.stop()


if __name__ == "__main__":
    main()
