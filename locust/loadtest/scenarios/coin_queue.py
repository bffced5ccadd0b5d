"""The coin queue: users take places in it, each user once per round over the whole swarm.

For the sample target, the master generates the users and opens a new queue before each run. For your own service,
LOADTEST_FEED names the file or store with the ids of its users.
"""

from collections.abc import Callable

from locust import between, task

from loadtest.feeding.feed import Feed
from loadtest.scenarios import Scenario
from loadtest.scenarios._users import HttpUser
from loadtest.seeding.shared_data import SharedData
from loadtest.seeding.stores import RedisStore
from loadtest.seeding.users import Users
from target_app.coin_queue import QUEUE_KEY, user_key
from target_app.store import KEY_PREFIX

NAME = "coin_queue"
USERS = 10_000
"""The number of users of the sample target; a repeated request for a user is answered with the same place."""

_PATH = "/api/quickie/user/coin-queue/pre-purchase"
_USERS = Users(seed=42)


def sample_ids() -> list[str]:
    """Return the ids of the sample target's users."""
    return _USERS.ids(USERS)


class CoinQueueUser(HttpUser):
    """Takes places in the queue, for one user after another."""

    scenario = NAME
    wait_time = between(0.1, 0.5)
    feeder = Feed(sample_ids, ids_only=True)

    @task
    def pre_purchase(self) -> None:
        """Take a place in the queue for the next user."""
        user_id = self.feeder.next()
        self.client.post(_PATH, json={"user_id": user_id}, name="coin_queue/pre_purchase")


def load_data(redis_url: str, progress: Callable[[int, int], None]) -> None:
    """Write the missing users, and open a new queue.

    Raises:
        StackError: Redis is unreachable, or has no RedisJSON.
    """
    done = 0
    with RedisStore(redis_url) as store:
        SharedData(store, NAME).claim([KEY_PREFIX + key for key in (QUEUE_KEY, *map(user_key, sample_ids()))])
        for batch in _USERS.batches(USERS):
            store.write(batch)
            done += len(batch)
            progress(done, USERS)
        store.open_queue()


def remove_data(redis_url: str, run_id: str) -> int:  # noqa: ARG001 - the users create nothing else
    """Remove the users and the queue that were made for a run, and return the number of keys.

    Raises:
        StackError: Redis is unreachable.
    """
    with RedisStore(redis_url) as store:
        return SharedData(store, NAME).release()


scenario = Scenario(
    name=NAME,
    user_classes=(CoinQueueUser,),
    requests=(("POST", "coin_queue/pre_purchase"),),
    load_data=load_data,
    remove_data=remove_data,
)
