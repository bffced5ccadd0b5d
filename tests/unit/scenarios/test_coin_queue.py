"""The coin queue scenario."""

from locust.env import Environment

from loadtest import scenarios
from loadtest.scenarios import coin_queue
from loadtest.seeding.stores import RedisStore
from target_app.store import KEY_PREFIX
from tests.journeys import run_each_task_once


def test_its_users_find_what_it_seeds(target_url: str, redis_url: str) -> None:
    """After the data is loaded, the one task makes the declared request, for a user that the target knows."""
    shown: list[tuple[int, int]] = []
    with RedisStore(redis_url) as store:  # this run would not remove what another test left there
        store.unlink(list(store.keys(f"{KEY_PREFIX}coin-queue*")))
    coin_queue.load_data(redis_url, lambda done, total: shown.append((done, total)))
    scenario = scenarios.load("coin_queue")
    requests = run_each_task_once(scenario.user_classes[0], target_url)
    assert [(each.method, each.name, each.error) for each in requests] == [(*pair, None) for pair in scenario.requests]
    assert shown[-1] == (coin_queue.USERS, coin_queue.USERS)
    assert coin_queue.remove_data(redis_url, "") == coin_queue.USERS + 1


def test_users_of_one_process_get_different_ids(target_url: str) -> None:
    """Users of one class share its feeder: each gets the next id."""
    user_class = scenarios.load("coin_queue").user_classes[0]
    environment = Environment(user_classes=[user_class])
    users = [type("User", (user_class,), {"host": target_url})(environment) for _ in range(3)]
    assert [user.feeder.next() for _ in range(2) for user in users] == coin_queue.sample_ids()[:6]
    for user in users:
        user.close()
