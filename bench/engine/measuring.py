"""The speed of a load generator: requests counted by the server, per CPU second of the generator.

A generator runs as a separate process, pinned to one core; the server is pinned to another. After a warm-up the
server's own counter and the CPU time of the generator and its children are read twice, some seconds apart; the
difference is the sample. This excludes start-up, spawning and shutdown of every generator. The unit is per CPU second
because a machine may have other work; CPU time that the kernel spends for the generator counts as the generator's.
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
    """Variables with its address for the generators."""

    def served(self) -> int:
        """Return the number of requests served so far, excluding this query."""


@dataclass(frozen=True)
class Subject:
    """One load generator doing one kind of work.

    Attributes:
        name: Its name in the tables.
        command: The command line; ``{NAME}`` is replaced by the server's variable NAME.
        environment: Additional variables.
        is_ours: Whether it is this product.
        warm_up_s: Seconds to wait after the first request.
    """

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    is_ours: bool = False
    warm_up_s: float = 2.5

    def command_for(self, server: Server) -> list[str]:
        """Return the command with the server's variables substituted."""
        return [part.format(**server.environment) if "{" in part else part for part in self.command]


@dataclass(frozen=True)
class Comparison:
    """Subjects that do the same work on the same server.

    Attributes:
        key: Its short name, for the command line and the tables' marks.
        title: The work.
        unit: The unit that the server counts.
        subjects: The generators.
        server: Starts the server.
        floors: By subject: the minimum ratio (ours to theirs), and the target ratio.
        note: Information that readers need.
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
        subject: The generator.
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
        """Return the minimum and the maximum."""
        values = [sample.per_cpu_s for sample in self.samples]
        return min(values), max(values)


def tool(name: str) -> str | None:
    """Return the path of a program: below .cache/bench, for ``go install`` and ``npm install``, or on PATH."""
    folder = Path(__file__).parents[2] / ".cache" / "bench"
    for place in (folder / "bin", folder / "npm" / "node_modules" / ".bin"):
        if (place / name).exists():
            return str(place / name)
    return shutil.which(name)


def pinned(core: int) -> Callable[[], None]:
    """Return a function that pins a child process to a core; for ``preexec_fn``."""
    return lambda: os.sched_setaffinity(0, {core})


@contextmanager
def generator(subject: Subject, server: Server) -> Iterator[psutil.Process]:
    """Run a generator; it ends with the context."""
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
    """Terminate a process and its children; kill those that do not end."""
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
    """Return the CPU seconds of a process and its children, including those that ended."""
    times = process.cpu_times()
    used = times.user + times.system + times.children_user + times.children_system
    for child in process.children(recursive=True):
        child_times = child.cpu_times()
        used += child_times.user + child_times.system
    return float(used)


def sample(subject: Subject, server: Server, window_s: float = WINDOW_S) -> Sample:
    """Run a subject and measure one window."""
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
    """Measure all subjects alternately, so that changes on the machine affect all of them."""
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
