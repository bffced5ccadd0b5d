"""ThinkTime: a profile's wait instead of the users' own."""

from locust import User, constant, task
from locust.env import Environment

from loadtest.profiles.think_time import ThinkTime, WaitTimes


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
    """A range gives different waits within it."""
    waits = [ThinkTime(1.0, 3.0)() for _ in range(100)]
    assert 1 <= min(waits) < max(waits) <= 3


def test_users_get_their_own_waits_back() -> None:
    """Users with and without a wait of their own wait as a run says, and as before if it says nothing."""
    environment, wait_times, waits = Environment(user_classes=[Waiter, Busy]), WaitTimes(), []
    for bounds_s in ((2.0, 2.0), None, (3.0, 3.0), None):
        wait_times.replace(environment.user_classes, bounds_s)
        waits.append((Waiter(environment).wait_time(), Busy(environment).wait_time()))
    assert waits == [(2.0, 2.0), (7, 0), (3.0, 3.0), (7, 0)]
