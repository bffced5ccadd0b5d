"""Runs to report on, made by the recorder and the record that real runs use."""

from random import Random

from loadtest.judging.judge import Judge
from loadtest.judging.outcome import decide
from loadtest.judging.threshold_parser import parse
from loadtest.judging.violation import Violation
from loadtest.measuring.evidence import Evidence
from loadtest.measuring.labels import (
    CHECK,
    CONNECTION_PHASES,
    ENDED_BY,
    EVENT_GAP,
    FIRST_BYTE,
    FIRST_EVENT,
    ITERATION,
    LOAD,
    SETUP,
    TRANSACTION,
)
from loadtest.measuring.record import RunRecord
from loadtest.measuring.recorder import Recorder
from loadtest.profiles.profile import read_profiles
from loadtest.reporting import document, provenance

HOSTILE = "</script><img src=x onerror=alert(1)>\"'&\n|`\u2028=1+1"
EVIDENCE = Evidence(f"POST https://a.example/buy\n\n{HOSTILE}", f"503 Service Unavailable\n\n```\n{HOSTILE}")


def record(
    seconds: int = 20,
    names: tuple[str, ...] = ("a", "b"),
    per_s: int = 20,
    *,
    slower: float = 1.0,
    failing: str = "",
    streamed: str = "",
    seed: int = 1,
) -> RunRecord:
    """A run in which every name has this many requests per second, some of them sent late.

    The responses of ``streamed`` come in three events, 10 ms apart from 50 ms on; each second the user leaves one.
    """
    made = RunRecord(
        "run-1",
        1_700_000_000.25,
        {"scenario": "documents", "profile": "quick", "host": None},
        {
            "plan": provenance.plan(read_profiles()["quick"]),
            "versions": provenance.versions(),
            "host": provenance.host(),
            "target": {"hosts": ["https://a.example"], "sentence": "https://a.example (HOST, <b> of A)"},
            "source": None,
        },
    )
    recorder, random = Recorder(), Random(seed)
    made.note(0.25, "start", "load begins")
    for second in range(seconds):
        for number, name in enumerate(names):
            series = recorder.series("documents", "GET", name)
            for request in range(per_s):
                took_s = slower * 0.010 * (1 + number) * (1 + random.random())
                if name == failing and request % 5 == 0:
                    series.failure(0.0, 0.001, took_s, 0, "status_5xx", f"503 from {HOSTILE}", lambda: EVIDENCE)
                else:
                    series.success(0.0, 0.001, took_s, 100)
                if name == streamed:
                    stream(recorder, name, "user" if request == 0 else "server")
        made.add(recorder.take(), second)
        made.timeline.set_users(second, 10)
    made.load_s = made.counted_s = float(seconds)
    made.ended = True
    made.workers = (
        {"subject": "worker 0", "seconds": 1.0, "mean": {"cpu_ratio": 0.2}, "highest": {"cpu_ratio": 0.95}},
    )
    return made


def add_steps(made: RunRecord) -> RunRecord:
    """Add 100 transactions, of which 20 failed, and 400 checks, of which one was not met."""
    recorder = Recorder()
    for number in range(100):
        buy = recorder.series("documents", "", "check out", TRANSACTION)
        if number % 5:
            buy.success(0.0, 0.0, 0.5, 0)
        else:
            buy.failure(0.0, 0.0, 0.5, 0, "other", "a part failed")
    check = recorder.series("documents", "", HOSTILE, CHECK)
    for _ in range(399):
        check.success(0.0, 0.0, 0.0, 0)
    check.failure(0.0, 0.0, 0.0, 0, "check", "not met")
    made.add(recorder.take(), 1)
    return made


def add_iterations(made: RunRecord, many: int = 400) -> RunRecord:
    """Add iterations of a quarter of a second, and seven that were dropped."""
    recorder = Recorder()
    for _ in range(many):
        recorder.series("documents", "", "", ITERATION).success(0.0, 0.0, 0.25, 0)
    recorder.drop_iterations("documents", 7)
    made.add(recorder.take(), 1)
    return made


def everything(seconds: int, per_s: int = 20) -> RunRecord:
    """A run in which each second has a sample of each kind.

    A fifth of all samples that can fail did, and took twice as long; as many iterations were dropped.
    """
    made = record(seconds, ())
    recorder, random = Recorder(), Random(7)
    labels = {LOAD: ("GET", "a"), SETUP: ("GET", "a"), TRANSACTION: ("", "buy"), CHECK: ("", "total")}
    never_fail = {ITERATION: ("", "")} | dict.fromkeys((FIRST_BYTE, FIRST_EVENT, EVENT_GAP), ("GET", "a"))
    never_fail |= dict.fromkeys(CONNECTION_PHASES, ("", "a:80"))
    for second in range(seconds):
        for request in range(per_s + second % 3):
            for phase, (method, name) in (labels | never_fail).items():
                series = recorder.series("documents", method, name, phase)
                took_s, lag_s = 0.010 * (1 + random.random() / 4), 0.001 * (1 + random.random())
                if phase in labels and request % 5 == 0:
                    series.failure(0.0, lag_s, lag_s + 2 * took_s, 0, "other", "no")
                else:
                    series.success(0.0, lag_s, lag_s + took_s, 10)
        recorder.drop_iterations("documents", 3 + second % 3)
        made.add(recorder.take(), second)
    return made


def stream(recorder: Recorder, name: str, ended_by: str) -> None:
    """Count the phases of a streamed response."""
    times_s = {FIRST_BYTE: [0.02], FIRST_EVENT: [0.05], EVENT_GAP: [0.01, 0.01], ENDED_BY[ended_by]: [0.07]}
    for phase, durations_s in times_s.items():
        for duration_s in durations_s:
            recorder.series("documents", "GET", name, phase).success(0.0, 0.0, duration_s, 10)


def run_document(
    run: RunRecord | None = None, violations: tuple[Violation, ...] = (), rules: str = "p99 < 1s, p50 < 1us"
) -> document.Document:
    """The document of a run that kept one rule and broke another."""
    run = run or record()
    results = Judge(parse(rules, "here"), run).final_results()
    return document.of(run, decide(run, violations, results))
