"""Objects stored with an Environment are found by type."""

from locust.env import Environment

from loadtest.session import Session


class Counter:
    """A part."""


def test_an_environment_has_one_session() -> None:
    """Later calls return the same one; another Environment has another."""
    environment = Environment()
    assert Session.of(environment) is Session.of(environment)
    assert Session.of(environment) is not Session.of(Environment())


def test_a_part_is_made_once() -> None:
    """The first caller makes it; later ones get the same."""
    session = Session()
    assert session.find(Counter) is None
    made = session.find_or_make(Counter, Counter)
    assert session.find_or_make(Counter, Counter) is made
    assert session.find(Counter) is made


def test_a_part_can_be_replaced() -> None:
    """The latest part is found, and None removes it."""
    session, part = Session(), Counter()
    session.put(Counter, Counter())
    session.put(Counter, part)
    assert session.find(Counter) is part
    session.put(Counter, None)
    assert session.find(Counter) is None
