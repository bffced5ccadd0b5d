"""A key-value workload on Redis, described by the file of WORKLOAD_FILE: see `loadtest.workload`.

Its users load only the Redis of REDIS_URL, and no service.
"""

from functools import cache

from locust import between, task

from loadtest.scenarios import Scenario
from loadtest.scenarios._users import RedisJsonUser
from loadtest.settings.config import Config
from loadtest.workload.key_value import Workload

NAME = "key_value"


@cache
def workload() -> Workload:
    """Return the workload of WORKLOAD_FILE.

    Raises:
        UsageError: the file cannot be read, or contains wrong values.
    """
    return Workload.read(Config.load().workload_file)


class KeyValueUser(RedisJsonUser):
    """Runs one operation after the other."""

    scenario = NAME
    # The average think time is 0.1 s, so ten users send 100 requests a second: the default run shows Redis' own times.
    wait_time = between(0.05, 0.15)

    def on_start(self) -> None:
        """Begin the user's own series of accesses."""
        self.accesses = workload().accesses(self)

    @task
    def access(self) -> None:
        """Run the next operation."""
        self.accesses.next()


def __getattr__(name: str) -> Scenario:
    """Create the scenario on first use, since its requests depend on the file."""
    if name != "scenario":
        raise AttributeError(name)
    described = workload()
    return Scenario(
        name=NAME,
        user_classes=(KeyValueUser,),
        requests=described.requests(NAME),
        load_data=described.load,
        remove_data=described.remove,
        notes=(f"workload: {described}",),
    )
