"""A key-value workload on Redis, described by the file of WORKLOAD_FILE: see `loadtest.workload`.

Its users speak to the Redis of REDIS_URL only, and load no service.
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
        UsageError: the file cannot be read, or holds wrong values.
    """
    return Workload.read(Config.load().workload_file)


class KeyValueUser(RedisJsonUser):
    """Does one operation after the other."""

    scenario = NAME
    # A user thinks 0.1 s on average, so ten of them send 100 requests a second: the default run shows Redis' own times.
    wait_time = between(0.05, 0.15)

    def on_start(self) -> None:
        """Begin a series of accesses of its own."""
        self.accesses = workload().accesses(self)

    @task
    def access(self) -> None:
        """Do the next operation."""
        self.accesses.next()


def __getattr__(name: str) -> Scenario:
    """Make the scenario when it is asked for: its requests are those that the file describes."""
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
