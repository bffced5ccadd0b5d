"""Records with observations of their processes, for the rules about the generator."""

from loadtest.judging import trust
from loadtest.measuring.health import Health, Watch
from loadtest.measuring.record import RunRecord
from loadtest.measuring.recorder import Recorder


def observed(seconds: int, users: int = 5, subject: str = "worker 3", **values: float) -> Watch:
    """A process that is the same for some seconds."""
    watch = Watch()
    for _ in range(seconds):
        watch.add(subject, Health(**values), 1.0, users)
    return watch


def record_with(
    requests: int = 1000, lag_s: float | None = None, dropped: int = 0, duration_s: float = 0.5
) -> RunRecord:
    """A record of one scenario."""
    recorder = Recorder()
    series = recorder.series("shop", "GET", "buy")
    for _ in range(requests):
        intended = 100.0
        sent = intended if lag_s is None else intended + lag_s
        series.success(intended, sent, sent + duration_s, 1)
    if dropped:
        recorder.drop_iterations("shop", dropped)
    record = RunRecord()
    record.add(recorder.take())
    return record


def rules(record: RunRecord, watch: Watch | None = None) -> list[str]:
    """The names of the rules that a record breaks."""
    return [violation.rule for violation in trust.violations(record, watch or Watch())]
