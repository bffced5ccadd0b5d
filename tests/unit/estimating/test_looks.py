"""Looks: their times are fixed before the run, and they share its error rate."""

import pytest

from loadtest.estimating import looks


@pytest.mark.parametrize(
    ("run_time_s", "moments"),
    [(120, [20, 30, 45, 67.5, 101.25, 120]), (30, [20, 30]), (20, [20]), (5, [5])],
)
def test_the_looks_end_with_the_run(run_time_s: float, moments: list[float]) -> None:
    """From 20 s on, each is half as long again after the start; each may use the same part of the error rate."""
    assert list(looks.within(run_time_s)) == moments
    assert looks.share(run_time_s) * len(moments) == pytest.approx(1)


def test_a_long_run_has_few_looks() -> None:
    """There are thirteen in half an hour."""
    assert len(looks.within(1_800)) == 13
