"""ThinkTime: a profile's wait in place of the users' own."""

from types import SimpleNamespace

from locust import User, constant, task
from locust.env import Environment

from loadtest.profiles import think_time
from loadtest.profiles.think_time import ThinkTime


class Waiter(User):
    """Waits seven seconds."""

    wait_time = constant(7)

    @task
    def nothing(self) -> None:
        """Do nothing."""


class Busy(User):
    """Does not wait."""

    @task
    def nothing(self) -> None:
        """Do nothing."""


def test_it_is_drawn_between_its_bounds() -> None:
    """A range gives different waits inside of it."""
    waits = [ThinkTime(1.0, 3.0)() for _ in range(100)]
    assert 1 <= min(waits) < max(waits) <= 3


def test_a_run_with_think_time_imposes_it_and_the_next_without_gives_the_own_back() -> None:
    """Users with a wait of their own and without wait as the run says, and as before in a run that says nothing."""
    environment = Environment(user_classes=[Waiter, Busy])
    environment.parsed_options = SimpleNamespace()
    think_time.wire(environment)
    waits = []
    for imposed in (ThinkTime(2.0, 2.0), None, ThinkTime(3.0, 3.0), None):
        think_time.impose(environment, imposed)
        environment.events.test_start.fire(environment=environment)
        waits.append((Waiter(environment).wait_time(), Busy(environment).wait_time()))
    assert waits == [(2.0, 2.0), (7, 0), (3.0, 3.0), (7, 0)]
