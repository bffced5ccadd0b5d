"""The removal at the end of a run: everything that its users created, and nothing else."""

import pytest
import redis

from loadtest import scenarios
from loadtest.seeding.stores import RedisStore
from tests.journeys import run_each_task_once


@pytest.mark.parametrize("name", ["documents", "education", "client_accounts"])
def test_what_the_users_of_a_run_created_is_removed(
    name: str, redis_url: str, target_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Accounts with their sessions, threads and letters, and scratch keys are removed; those of another run stay."""
    monkeypatch.setenv("REDIS_URL", redis_url)
    scenario = scenarios.load(name)
    assert scenario.remove_data is not None
    with redis.Redis.from_url(redis_url, protocol=2) as direct:
        run_each_task_once(scenario.user_classes[0], target_url, "first")  # the target creates its library
        assert scenario.remove_data(redis_url, "first") > 1
        before = set(direct.keys())
        made = {}
        for run_id in ("mine", "another"):
            known = set(direct.keys())
            for user_class in scenario.user_classes:
                run_each_task_once(user_class, target_url, run_id)
            made[run_id] = set(direct.keys()) - known
        assert len(made["mine"]) >= 2
        assert scenario.remove_data(redis_url, "mine") == len(made["mine"])
        assert set(direct.keys()) == before | made["another"]
        assert scenario.remove_data(redis_url, "another") == len(made["another"])
        assert set(direct.keys()) == before


def test_a_run_of_the_coin_queue_removes_its_users_and_its_queue(redis_url: str) -> None:
    """Those that existed before stay."""
    scenario = scenarios.load("coin_queue")
    with redis.Redis.from_url(redis_url, protocol=2) as direct:
        before = set(direct.keys())
        scenario.load_data(redis_url, lambda _done, _total: None)
        made = set(direct.keys()) - before
        assert scenario.remove_data(redis_url, "mine") == len([key for key in made if b"~" not in key])
        assert set(direct.keys()) == before


def test_users_that_somebody_seeds_meanwhile_stay(redis_url: str) -> None:
    """`loadtest seed users` takes over a run's users, which the run would otherwise remove."""
    scenario = scenarios.load("coin_queue")
    with redis.Redis.from_url(redis_url, protocol=2) as direct, RedisStore(redis_url) as store:
        before = set(direct.keys())
        scenario.load_data(redis_url, lambda _done, _total: None)
        store.finish()
        assert scenario.remove_data(redis_url, "mine") == 0
        kept = set(direct.keys()) - before
        assert store.unlink([*kept]) == len(kept)
