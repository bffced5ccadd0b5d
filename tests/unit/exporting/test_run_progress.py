"""RunProgress: the stages of a run, by the clock."""

from loadtest.exporting.run_progress import RunProgress
from loadtest.judging.outcome import decide
from loadtest.measuring.record import RunRecord
from loadtest.profiles.curve import Stage
from loadtest.profiles.profile import LoadProfile


def progress(*lengths_s: float) -> RunProgress:
    """A run from second 1,000 on, with stages of these lengths."""
    profile = LoadProfile("mine", "closed", tuple(Stage(length_s, 5.0) for length_s in lengths_s))
    return RunProgress(lambda: decide(RunRecord(), []), profile, 1_000.0)


def test_each_later_stage_has_its_begin() -> None:
    """The first begins with the load, the others when their predecessors have ended."""
    assert progress(10, 20, 5).later_stages() == [(2, 1_010.0), (3, 1_030.0)]
    assert progress(10).later_stages() == []
    assert RunProgress(progress(1).verdict, None, 0.0).later_stages() == []
