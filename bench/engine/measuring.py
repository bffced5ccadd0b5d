"""How fast is a load generator? Requests that the server counted, per second of CPU that the generator used.

A generator runs as a process of its own, pinned to one core; the server is pinned to another. After a warm-up the
server's own counter and the CPU time of the generator and its children are read twice, some seconds apart; what lies
between is the sample. This excludes start-up, spawning and shutdown of every generator. Per CPU
second and not per second, because a machine may have other things to do; the CPU that the kernel spends on the
generator's behalf counts as the generator's.
"""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Protocol

import psutil

GENERATOR_CORE, SERVER_CORE = 0, (os.cpu_count() or 1) - 1
WINDOW_S = 4.0
START_LIMIT_S = 60.0


class Server(Protocol):
    """A server under load."""

    environment: Mapping[str, str]
    """Variables that tell the generators where it is."""

    def served(self) -> int:
        """Requests served so far, this question not included."""


@dataclass(frozen=True)
class Subject:
    """One load generator doing one kind of work.

    Attributes:
        name: Who it is, as the tables say it.
        command: What to run; ``{NAME}`` is replaced by the server's variable NAME.
        environment: Further variables.
        is_ours: Whether it is this product.
        warm_up_s: How long to wait after the first request.
    """

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    is_ours: bool = False
    warm_up_s: float = 2.5

    def command_for(self, server: Server) -> list[str]:
        """The command with the server's variables filled in."""
        return [part.format(**server.environment) if "{" in part else part for part in self.command]


@dataclass(frozen=True)
class Comparison:
    """Subjects that do the same work on the same server.

    Attributes:
        key: Its short name, for the command line and the tables' marks.
        title: What is done.
        unit: What the server counts.
        subjects: Who does it.
        server: Starts the server.
        floors: By subject: the least ratio (ours to theirs) that is required, and the one aimed at.
        note: What a reader must know.
    """

    key: str
    title: str
    unit: str
    subjects: Sequence[Subject]
    server: Callable[[], AbstractContextManager[Server]]
    floors: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True)
class Sample:
    """One window of one subject.

    Attributes:
        per_cpu_s: Requests per CPU second of the generator.
        per_s: Requests per second.
        cpu: Share of one core that the generator used.
    """

    per_cpu_s: float
    per_s: float
    cpu: float


@dataclass(frozen=True)
class Result:
    """All windows of one subject.

    Attributes:
        subject: Who.
        samples: Its windows, in order.
    """

    subject: Subject
    samples: Sequence[Sample]

    @property
    def per_cpu_s(self) -> float:
        """The median."""
        return median(sample.per_cpu_s for sample in self.samples)

    @property
    def per_s(self) -> float:
        """The median."""
        return median(sample.per_s for sample in self.samples)

    @property
    def spread(self) -> tuple[float, float]:
        """The least and the greatest."""
        values = [sample.per_cpu_s for sample in self.samples]
        return min(values), max(values)


def tool(name: str) -> str | None:
    """Where a program is: below .cache/bench, where ``go install`` and ``npm install`` may put it, or on PATH."""
    folder = Path(__file__).parents[2] / ".cache" / "bench"
    for place in (folder / "bin", folder / "npm" / "node_modules" / ".bin"):
        if (place / name).exists():
            return str(place / name)
    return shutil.which(name)


def pinned(core: int) -> Callable[[], None]:
    """What pins a child process to a core; for ``preexec_fn``."""
    return lambda: os.sched_setaffinity(0, {core})


@contextmanager
def generator(subject: Subject, server: Server) -> Iterator[psutil.Process]:
    """A running generator; ended on leaving."""
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            subject.command_for(server),
            env={**os.environ, **server.environment, **subject.environment},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=Path(__file__).parents[2],
            start_new_session=True,
            preexec_fn=pinned(GENERATOR_CORE),  # noqa: PLW1509 -- no thread runs yet in this process
        )
        try:
            yield psutil.Process(process.pid)
            if process.poll() is not None:
                log.seek(0)
                raise SystemExit(f"{subject.name} ended early:\n{log.read().decode(errors='replace')[-2000:]}")
        finally:
            end(process)


def end(process: "subprocess.Popen[bytes]") -> None:
    """Terminate a process and its children, by force if they do not listen."""
    try:
        family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        family = []
    for member in family:
        with suppress(psutil.NoSuchProcess):  # children often end with their parent
            member.terminate()
    for member in psutil.wait_procs(family, timeout=10)[1]:
        with suppress(psutil.NoSuchProcess):
            member.kill()
    process.wait()


def cpu_s(process: psutil.Process) -> float:
    """CPU seconds of a process and its children, the ended ones included."""
    times = process.cpu_times()
    used = times.user + times.system + times.children_user + times.children_system
    for child in process.children(recursive=True):
        child_times = child.cpu_times()
        used += child_times.user + child_times.system
    return float(used)


def sample(subject: Subject, server: Server, window_s: float = WINDOW_S) -> Sample:
    """Run a subject and take one window of it."""
    before = server.served()
    with generator(subject, server) as process:
        deadline = time.monotonic() + START_LIMIT_S
        while server.served() <= before:
            if time.monotonic() > deadline or not process.is_running():
                break
            time.sleep(0.1)
        time.sleep(subject.warm_up_s)
        start_s, start_cpu_s, start_served = time.perf_counter(), cpu_s(process), server.served()
        time.sleep(window_s)
        end_cpu_s, served, end_s = cpu_s(process), server.served(), time.perf_counter()
    used_s = end_cpu_s - start_cpu_s
    if served <= start_served or used_s <= 0:
        raise SystemExit(f"{subject.name} served nothing within {window_s} s of {used_s:.2f} CPU seconds")
    count = served - start_served
    return Sample(count / used_s, count / (end_s - start_s), used_s / (end_s - start_s))


def compare(comparison: Comparison, rounds: int, say: Callable[[str], None]) -> list[Result]:
    """Take windows of all subjects in turns, so that what changes on the machine meets all of them."""
    samples: dict[str, list[Sample]] = {subject.name: [] for subject in comparison.subjects}
    with comparison.server() as server:
        for number in range(rounds):
            shift = number % len(comparison.subjects)
            for subject in [*comparison.subjects[shift:], *comparison.subjects[:shift]]:
                taken = sample(subject, server)
                samples[subject.name].append(taken)
                say(
                    f"{comparison.key} {number + 1}/{rounds} {subject.name}: {taken.per_cpu_s:,.0f} per CPU second, "
                    f"{taken.per_s:,.0f} per second at {taken.cpu:.0%} of a core"
                )
    return [Result(subject, samples[subject.name]) for subject in comparison.subjects]
