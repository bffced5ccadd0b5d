"""A soak: random faults and operations on a running stack, with counts checked by the referee after each run.

    python -m tests.faults.soak [SECONDS] [SEED]

A master with a web UI, workers that join, leave, hang and die, a network that is cut, and a target, Redis and
Prometheus that restart: real processes, for an hour by default. Half of the users send HTTP to one referee, half send
RESP to another one in front of the Redis. After each run, the record must count the requests that the referees
answered, except those that it reports as lost; these are at most the requests that the affected workers sent since the
reported second. Prometheus must hold the same counts as the record. The seed, which is printed, determines the events
and durations.
"""

import contextlib
import json
import math
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from math import inf
from pathlib import Path
from typing import Any

import gevent

from loadtest.local.process import free_port
from tests.faults.referee import Line, Part, Referee
from tests.faults.swarm import FaultySwarm
from tests.faults.worker import Cable, Worker
from tests.stack.compose import PROMETHEUS_IMAGE, docker

SCENARIO = '''
"""Asks often, in two ways, and says who asks."""

import contextlib
import itertools
import os

import redis
from locust import between, task

from loadtest.clients.http import HttpUser
from loadtest.clients.redis import RedisJsonUser
from loadtest.scenarios import Scenario

NUMBERS = itertools.count()
PROCESS = os.getpid()


class Asker(HttpUser):
    scenario = "asker"
    wait_time = between(0.02, 0.3)

    def on_start(self):
        self.fields = {"X-User": f"{PROCESS}-{next(NUMBERS)}"}

    @task(3)
    def look(self):
        self.client.get("/look", headers=self.fields)

    @task
    def write(self):
        self.client.post("/write", json={"text": "much"}, headers=self.fields)


class Keeper(RedisJsonUser):
    scenario = "asker"
    wait_time = between(0.02, 0.3)

    def on_start(self):
        self.key = f"loadtest:user:{PROCESS}-{next(NUMBERS)}"

    @task(3)
    def read(self):
        with contextlib.suppress(redis.RedisError):
            self.client.get(self.key)

    @task
    def write(self):
        with contextlib.suppress(redis.RedisError):
            self.client.set(self.key, "much")


requests = (("GET", "/look"), ("POST", "/write"), ("GET", "GET"), ("SET", "SET"))
scenario = Scenario("asker", (Asker, Keeper), requests)
'''
OF_REDIS = ("GET GET", "SET SET")
COUNTED = "loadtest_requests_total"
PROMETHEUS_CONFIG = """
global: {{scrape_interval: 1s, scrape_timeout: 1s}}
scrape_configs: [{{job_name: locust_master, static_configs: [{{targets: ["127.0.0.1:{port}"]}}]}}]
"""
NOTED_WITHIN_S = 5.0
"""The record has a restart of Redis that was so long before the end of the run."""
NOTED_AFTER_S = 4.0
"""It also has one of a Redis that was killed after the load began: it is away for up to 2 s, and not asked before."""
MAX_WORKERS = 5
KILLED_MASTER_LOSES_S = 2.5
"""The last 2 s, and the moment that the signal takes."""
CLOCKS_S = 0.5
"""How far the times of record and journal may be apart."""


@dataclass
class Soak:
    """A stack, and its random events.

    Args:
        folder: the folder for logs, journal and records.
        seed: determines the events.
        prometheus: the program; None if there is none, and then its counts are not checked.
        say: is called with a line for every event.
    """

    folder: Path
    seed: int
    prometheus: Path | None = None
    say: Callable[[str], None] = print
    workers: list[Worker] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Start the stack."""
        self.random = random.Random(self.seed)
        self.began_s = time.monotonic()
        (self.folder / "asker.py").write_text(SCENARIO)
        self.start()

    def start(self) -> None:
        """Start all but the workers."""
        self.redis = Part(["redis-server", "--port", str(port := free_port()), "--bind", "127.0.0.1", "--save", ""])
        self.referee = Referee(self.folder, free_port(), delay_s=0.01)
        self.referee_of_redis = Referee(self.folder, free_port(), upstream=port, kind="redis")
        settings = {"LOADTEST_SCENARIO": str(self.folder / "asker.py"), "REDIS_URL": f"redis://127.0.0.1:{port}/0"}
        self.swarm = FaultySwarm(self.folder, self.referee.url, variables=settings)
        self.master = self.start_master()
        self.watcher = self._start_prometheus(self.prometheus) if self.prometheus else None

    def _start_prometheus(self, program: Path) -> Part:
        (config := self.folder / "prometheus.yml").write_text(PROMETHEUS_CONFIG.format(port=self.swarm.exporter))
        self.watcher_port = free_port()
        return Part([
            str(program), f"--config.file={config}", f"--storage.tsdb.path={self.folder / 'prometheus'}",
            f"--web.listen-address=127.0.0.1:{self.watcher_port}", "--log.level=error",
        ])  # fmt: skip

    def tell(self, text: str) -> None:
        """Log an event, with its time."""
        self.say(f"{time.monotonic() - self.began_s:7.1f} s  {text}")

    def problem(self, text: str) -> None:
        """Note a problem."""
        self.tell(f"PROBLEM  {text}")
        self.problems.append(f"seed {self.seed}: {text}")

    # What people do ---------------------------------------------------------------------------------------------------

    def living(self, *, whole: bool = False) -> list[Worker]:
        """The running workers; with ``whole``, only those that are not paused or cut off at present."""
        return [one for one in self.workers if one.alive and not (whole and one.hurt_until == inf)]

    def join(self) -> None:
        """Start a worker."""
        if len(self.living()) >= MAX_WORKERS:
            return
        self.workers.append(worker := self.new_worker())
        self.tell(f"worker {worker.process.pid} starts")

    def new_worker(self) -> Worker:
        """Start a worker with a cable of its own."""
        cable = Cable(self.swarm.port)
        return Worker(self.swarm.worker(master_port=cable.port, REDIS_URL=self.referee_of_redis.url), cable)

    def leave(self) -> None:
        """Tell one worker or several to leave; one stays."""
        able = self.living()[1:]
        for worker in self.random.sample(able, self.random.randint(min(1, len(able)), len(able))):
            worker.leaving = True
            worker.signal(signal.SIGTERM)
            self.tell(f"worker {worker.process.pid} is told to end")

    def kill(self) -> None:
        """Kill a worker; one stays."""
        if len(self.living()) > 1:
            worker = self.random.choice(self.living())
            worker.killed_at, worker.leaving = time.time(), True
            worker.process.kill()
            self.tell(f"worker {worker.process.pid} is killed")

    def pause(self) -> None:
        """Stop a worker's process for some seconds."""
        if worker := self._whole_one():
            duration_s = self.random.choice((1.0, 3.0, 5.0, 8.0, 15.0))
            worker.pause(duration_s)
            self._later(duration_s, worker.heal)
            self.tell(f"worker {worker.process.pid} is paused for {duration_s:g} s")

    def cut(self) -> None:
        """Cut a worker's cable for some seconds."""
        if worker := self._whole_one():
            duration_s = self.random.choice((1.0, 3.0, 6.0, 10.0, 15.0))
            worker.hurt_until = inf
            worker.cable.cut()
            self._later(duration_s, worker.heal)
            self.tell(f"worker {worker.process.pid} is cut off for {duration_s:g} s")

    def restart_target(self) -> None:
        """Kill the target and start it again."""
        away_s = self.random.choice((0.0, 0.5, 2.0))
        self.tell(f"the target is killed, and starts again after {away_s:g} s")
        self.referee.restart(away_s)

    def restart_redis(self) -> None:
        """Kill Redis and start it again, without its data."""
        away_s = self.random.choice((0.0, 0.5, 2.0))
        self.tell(f"Redis is killed, and starts again after {away_s:g} s")
        self.redis.restart(away_s)
        self.redis_restarted_at = time.time()

    def restart_prometheus(self) -> None:
        """Kill Prometheus, perhaps in the middle of a scrape, and start it again."""
        if self.watcher is not None:
            away_s = self.random.choice((0.0, 2.0, 5.0))
            self.tell(f"Prometheus is killed, and starts again after {away_s:g} s")
            self.watcher.restart(away_s)

    def scrape(self) -> None:
        """Scrape the exporter and disconnect in the middle."""
        self.tell("a scraper goes away in the middle")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.swarm.exporter), 5) as scraper:
            scraper.sendall(b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            scraper.recv(100)

    def change(self) -> None:
        """Change the number of users."""
        users = self.random.randint(4, 30)
        if self.is_closed_model and self._ask("/swarm", {"user_count": str(users), "spawn_rate": "30"}):
            self.tell(f"the number of users is changed to {users}")

    def _whole_one(self) -> Worker | None:
        able = self.living(whole=True)
        return self.random.choice(able) if len(able) > 1 else None

    def _later(self, seconds: float, act: Callable[[], None]) -> None:
        self.healing.append(gevent.spawn_later(seconds, act))

    # A run ------------------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """One run, from its start to the comparison with the referee."""
        self.healing: list[gevent.Greenlet[..., None]] = []
        self.master_ended = False
        self._until(self._has_two_ready, "two workers are ready")
        after, earlier = (self.referee.size, self.referee_of_redis.size), self._runs()
        self.redis_restarted_at = self.counted_before = 0.0
        if sight := self.swarm.look():
            self.counted_before = sight.value(COUNTED)
        self.is_closed_model = self.random.random() < 0.7
        self._start_run()
        self.tell(f"RUN, {'closed' if self.is_closed_model else 'open'} model")
        until_s = time.monotonic() + self.random.uniform(8.0, 30.0)
        acts = [self.join, self.join, self.leave, self.kill, self.pause, self.cut, self.scrape, self.change]
        acts.append(self.restart_prometheus)
        self.away = {restart for restart in (self.restart_target, self.restart_redis) if self.random.random() < 0.5}
        acts += sorted(self.away, key=lambda act: act.__name__)
        while time.monotonic() < until_s:
            gevent.sleep(self.random.uniform(0.2, 4.0))
            self.random.choice(acts)()
        killed_at = self._end_run()
        for one in self.healing:
            one.kill()
        for worker in self.workers:
            worker.heal()
        self._wait_for_silence()
        lines = self.referee.lines(after[0]) + self.referee_of_redis.lines(after[1])
        self._judge(lines, self._runs() - earlier, killed_at)
        self._clear_away()

    def _has_two_ready(self) -> bool:
        """Replace missing workers, also those that ended with a master, and return whether two are ready."""
        while len(self.living()) < 2:
            self.join()
        sight = self.swarm.look()
        return sight is not None and sight.value("loadtest_workers", 'state="ready"') >= 2

    def _start_run(self) -> None:
        users, rate = self.random.randint(4, 30), self.random.randint(10, 60)
        form = {"user_count": str(users), "spawn_rate": "30", "load_profile": "as-entered"}
        if not self.is_closed_model:
            form |= {"load_profile": "constant-arrival-rate", "arrival_rate": str(rate)}
        self._until(lambda: self._ask("/swarm", form), "a start")

    def _end_run(self) -> float | None:
        """End the run in one of the ways; return when the master was killed, if it was."""
        how = self.random.random()
        if how < 0.7:
            self.tell("the run is stopped")
            self._until(lambda: self._ask("/stop", {}), "a stop")
            return None
        self.master_ended, killed_at = True, None
        if how < 0.85:
            self.tell("the master is told to end")
            self.master.send_signal(signal.SIGTERM)
            self.master.wait(150)
        else:
            self.tell("the master is killed")
            self.master.kill()
            killed_at = time.time()
        self.master.wait(5)
        self.master = self.start_master()
        return killed_at

    def start_master(self) -> subprocess.Popen[bytes]:
        """Start a master."""
        return self.swarm.master_with_web_ui()

    def _wait_for_silence(self) -> None:
        """Wait until nothing has been sent for two seconds."""

        def silent() -> bool:
            sizes = self.referee.size, self.referee_of_redis.size
            gevent.sleep(2.0)
            return sizes == (self.referee.size, self.referee_of_redis.size)

        self._until(silent, "silence after the run")

    def _clear_away(self) -> None:
        """Check that the processes that were stopped have ended, and that no other one has failed."""
        for worker in list(self.workers):
            code = worker.process.poll()
            if worker.leaving:
                code = worker.process.wait(60)
            if code is not None:
                worker.cable.close()
                self.workers.remove(worker)
                if not (worker.leaving or self.master_ended):
                    self.problem(f"worker {worker.process.pid} ended by itself, with exit code {code}")
            worker.hurt_until = 0.0

    # The comparison ---------------------------------------------------------------------------------------------------

    def _runs(self) -> set[Path]:
        """The folders of runs; that of a run whose master was killed during its preparation may be empty."""
        return {file.parent for file in self.swarm.runs.glob("*/record.stream")}

    def _judge(self, lines: list[Line], folders: set[Path], killed_at: float | None) -> None:
        """Compare; there are several folders if all workers were lost for a moment, which ends a run."""
        if killed_at is not None:
            for folder in folders:
                command = [Path(sys.executable).with_name("loadtest"), "report", folder]
                subprocess.run(command, capture_output=True, check=False)
        records = [json.loads((folder / "record.json").read_text()) for folder in sorted(folders)]
        gaps = [(gap, record) for record in records for gap in record["delivery"]["missing"]]
        sure_until = inf if killed_at is None else killed_at - KILLED_MASTER_LOSES_S
        for name in sorted({line.name for line in lines}):
            mine = [line for line in lines if line.name == name]
            answered = sum(line.answered for line in mine)
            received = len(mine) - answered
            was_away = (self.restart_redis if name in OF_REDIS else self.restart_target) in self.away
            # A client that finds its kept connection closed sends the request again: its count is then uncertain.
            sure = sum(line.answered is was_away and line.at < sure_until for line in mine)
            series = [one for record in records for one in record["series"] if f"{one['method']} {one['name']}" == name]
            requests, failures = sum(one["requests"] for one in series), sum(one["failures"] for one in series)
            lost = sum(self._most_lost(gap, record, mine) for gap, record in gaps)
            sentence = (
                f"{name}: received {received}, answered {answered}, {sure} of them surely counted; counted {requests}, "
                f"{failures} of them as failed; named as lost at most {lost}"
            )
            self.tell(sentence)
            never_received = failures if was_away else 0
            if not (requests - failures <= answered and sure - lost <= requests <= received + never_received):
                self.problem(f"{sentence}; {[gap for gap, _ in gaps]} in {', '.join(map(str, folders))}")
        if not self.master_ended:
            self._ask_watchers(records)

    def _ask_watchers(self, records: list[dict[str, Any]]) -> None:
        """Exporter and Prometheus count what the records count; a restart of Redis is noted."""
        total = self.counted_before + sum(one["requests"] for record in records for one in record["series"])
        sight = self.swarm.look()
        if sight is None or sight.value(COUNTED) != total:
            self.problem(f"the records come to {total:.0f} requests, the exporter to {sight and sight.value(COUNTED)}")
        if self.watcher is not None:
            with contextlib.suppress(AssertionError):
                self._until(lambda: self._in_prometheus() == total, "the same in Prometheus")
            if self._in_prometheus() != total:
                self.problem(f"the records come to {total:.0f} requests, Prometheus to {self._in_prometheus()}")
        for record in records:  # a run ends when all its workers have left, and a change of users then begins another
            began_at = datetime.fromisoformat(record["started_at"]).timestamp()
            loads = [event["second"] for event in record["events"] if event["kind"] == "start"]
            from_at = math.floor(began_at) + min(loads, default=inf) + NOTED_AFTER_S
            is_due = from_at < self.redis_restarted_at < began_at + record["duration_s"] - NOTED_WITHIN_S
            if is_due and not any(event["kind"] == "redis" for event in record["events"]):
                self.problem(f"a restart of Redis is not in the record: {record['events']}")

    def _in_prometheus(self) -> float | None:
        """The count in Prometheus; None while it has none."""
        query = urllib.parse.urlencode({"query": f"sum({COUNTED})"})
        try:
            with urllib.request.urlopen(
                f"http://127.0.0.1:{self.watcher_port}/api/v1/query?{query}", timeout=5
            ) as told:
                result = json.load(told)["data"]["result"]
        except (OSError, ValueError, KeyError):
            return None
        return float(result[0]["value"][1]) if result else None

    def _most_lost(self, gap: dict[str, Any], record: dict[str, Any], lines: list[Line]) -> int:
        """The largest loss that one gap may mean: the requests of the busiest worker in the affected period."""
        epoch = float(math.floor(datetime.fromisoformat(record["started_at"]).timestamp()))
        most = 0
        for worker in self.workers:
            start_at, end_at = worker.may_lack(epoch + gap["start_s"] - CLOCKS_S, epoch + record["duration_s"])
            if gap["end_s"] is not None:
                end_at = min(end_at, epoch + gap["end_s"] + CLOCKS_S)
            pid = str(worker.process.pid)
            most = max(
                most, sum(one.process == pid and not one.answered and start_at <= one.at <= end_at for one in lines)
            )
        return most

    # Small things -----------------------------------------------------------------------------------------------------

    def _ask(self, path: str, form: dict[str, str]) -> bool:
        try:
            return self.swarm.ask(path, **form)
        except (OSError, ValueError):
            return False

    def _until(self, holds: Callable[[], object], what: str, patience_s: float = 300.0) -> None:
        until_s = time.monotonic() + patience_s
        while not holds():
            if time.monotonic() > until_s:
                raise AssertionError(f"it never came to be: {what}\n{self.swarm.logs()}")
            gevent.sleep(0.2)

    def end(self) -> None:
        """End everything."""
        for worker in self.workers:
            worker.heal()
            worker.cable.close()
        self.swarm.__exit__()
        for part in filter(None, (self.referee, self.referee_of_redis, self.redis, self.watcher)):
            part.kill()


def program_of_prometheus(folder: Path) -> Path | None:
    """Return Prometheus' program: the machine's own, or that of the stack's image; None if there is neither."""
    if found := shutil.which("prometheus"):
        return Path(found)
    try:
        container = docker("create", PROMETHEUS_IMAGE).strip()
        docker("cp", f"{container}:/bin/prometheus", str(folder))
        docker("rm", container)
    except (OSError, subprocess.CalledProcessError):
        return None
    return folder / "prometheus"


def soak(folder: Path, seconds: float, seed: int, say: Callable[[str], None] = print) -> list[str]:
    """Run the soak for this many seconds, and return the problems found."""
    (programs := folder / "programs").mkdir()
    prometheus = program_of_prometheus(programs)
    say(f"Prometheus is {prometheus or 'NOT to be had: it is not tested'}")
    return go_on(Soak(folder, seed, prometheus, say), seconds)


def go_on(going: Soak, seconds: float) -> list[str]:
    """Make runs for this many seconds, at least one, end the stack, and return the problems found."""
    going.say(f"seed {going.seed}")
    try:
        going.run()
        while time.monotonic() < going.began_s + seconds:
            going.run()
    finally:
        going.end()
    return going.problems
