"""The scratch keys of users."""

from locust.env import Environment

from loadtest.scenarios._scratch import Scratch


def test_users_of_one_process_never_share_a_scratch_key() -> None:
    """Living users have different keys; a released slot is reused, so keys stay few."""
    environment = Environment()
    first, second = Scratch(environment), Scratch(environment)
    assert second.key("simple") != first.key("simple")
    first.release()
    first.release()
    third, fourth = Scratch(environment), Scratch(environment)
    assert third.name == first.name
    assert len({second.name, third.name, fourth.name}) == 3
    for scratch in (second, third, fourth):
        scratch.release()
