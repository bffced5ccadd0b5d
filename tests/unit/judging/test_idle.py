"""Iterations that sent no request."""

import pytest

from loadtest.judging import idle
from loadtest.measuring.record import RunRecord


def record_of(sent_none: int, model: str, begun: int = 1_000) -> RunRecord:
    """A record of some iterations."""
    key = ("shop", "Shopper.buy")
    return RunRecord(context={"plan": {"model": model}}, tasks={key: begun}, idle={key: sent_none})


@pytest.mark.parametrize(
    ("sent_none", "model", "expected"),
    [
        (9, "closed", []),
        (10, "closed", [False]),
        (499, "closed", [False]),
        (500, "closed", [True]),
        (49, "open", [False]),
        (50, "open", [True]),
    ],
)
def test_they_are_noted_and_then_break_their_rule(sent_none: int, model: str, expected: list[bool]) -> None:
    """In the open model they count like missing arrivals; in the closed one a task may only wait."""
    assert [found.is_broken for found in idle.find(record_of(sent_none, model))] == expected


def test_a_few_iterations_show_nothing() -> None:
    """Fewer than twenty are ignored."""
    assert list(idle.find(record_of(19, "open", begun=19))) == []


def test_the_tasks_are_named_with_their_numbers() -> None:
    """The sentence names them."""
    [found] = idle.find(record_of(600, "closed"))
    assert "600 of 1,000 iterations of scenario shop sent no request (600 of Shopper.buy)" in found.sentence
