"""Scenario: the declaration that every scenario makes, built-in or in a file.

Tested in tests/unit/scenarios/test_registry.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from loadtest.users.target import each_side, speaking_http

if TYPE_CHECKING:
    from collections.abc import Callable

    from locust import LoadTestShape, User
    from locust.env import Environment

    from loadtest.estimating.looks import Look


@dataclass(frozen=True)
class Scenario:
    """A named user journey: its users, its requests, and the data it needs.

    Attributes:
        name: The module's name.
        user_classes: Locust User classes whose `scenario` is that name.
        requests: Every (method, name) that the users may record, so that each is known before load begins; empty if
            they are added as they occur.
        load_data: Loads the data that the users read, given a Redis URL and a progress callback (done, total); None if
            there is nothing to load. May return a list of sentences for reports. Raises StackError on failure.
        remove_data: Removes the loaded data and everything that the users created, at the end, given a Redis URL and
            the run's id, and returns the number of keys; None if there is nothing to remove. Raises StackError on
            failure.
        shapes: The LoadTestShapes of its file, of which Locust uses the first; empty if the load profile determines the
            users.
        is_locustfile: Whether it is an ordinary locustfile, which was not written for the sample target.
        setup: Called once per run with Locust's Environment, on the master, before the users start. It may take 300 s;
            an exception prevents the start.
        teardown: Called once per run, on the master, after the users have stopped, if `setup` was complete. It may take
            20 s; an exception makes the exit code 1.
        notes: Sentences about its User classes for reports.
        streams: The requests whose answers are read with `client.stream()`.
        look: Tells whether the document of the run so far decides its question, which ends the run; None for a run of
            fixed length.
        looks_s: When to check that, in seconds of load.
    """

    name: str
    user_classes: tuple[type[User], ...]
    requests: tuple[tuple[str, str], ...] = ()
    load_data: Callable[[str, Callable[[int, int], None]], object] | None = None
    shapes: tuple[type[LoadTestShape], ...] = ()
    is_locustfile: bool = False
    setup: Callable[[Environment], object] | None = None
    teardown: Callable[[Environment], object] | None = None
    remove_data: Callable[[str, str], int] | None = None
    notes: tuple[str, ...] = ()
    streams: tuple[tuple[str, str], ...] = ()
    look: Callable[[dict[str, Any]], Look] | None = None
    looks_s: tuple[float, ...] = ()

    @property
    def classes(self) -> dict[str, type]:
        """The classes that Locust must find in its locustfile, by name."""
        return {one.__name__: one for one in (*self.user_classes, *self.shapes)}

    @property
    def takes_sample_target(self) -> bool:
        """Whether the sample target is the default target."""
        return not (self.is_locustfile or self.hosts or self.loads_only_redis)

    @property
    def hosts(self) -> dict[str, str]:
        """The hosts of User classes that set one, by class name.

        Those of built-in classes are the usual address of the sample target, which the local stack starts on another
        one.
        """
        return {
            one.__name__: host
            for one in each_side(self.user_classes)
            if (host := (self.loads_only_redis and getattr(one, "redis_url", None)) or one.host)
            and one.__module__.rpartition(".")[0] != __package__
        }

    @property
    def redis_urls_of_sides(self) -> tuple[str, ...]:
        """The Redis URLs of a duet's users, by side; empty for other scenarios, and for sides without a Redis."""
        sides = (side for kind in self.user_classes for side in getattr(kind, "sides", ()))
        return tuple(dict.fromkeys(url for side in sides if (url := vars(side).get("redis_url"))))

    @property
    def loads_only_redis(self) -> bool:
        """Whether all of its users use a Redis, and none a service."""
        from loadtest.clients.redis import RedisJsonUser  # noqa: PLC0415 - as in `needs_redis`

        kinds = each_side(self.user_classes)
        return all(issubclass(one, RedisJsonUser) for one in kinds) and not speaking_http(kinds) and bool(kinds)

    @property
    def needs_redis(self) -> bool:
        """Whether its users, or the data that it loads, need the Redis of REDIS_URL."""
        from loadtest.clients.redis import RedisJsonUser  # noqa: PLC0415 - imports Locust, see `_files`

        return self.load_data is not None or any(
            issubclass(one, RedisJsonUser) and one.own_url() is None for one in each_side(self.user_classes)
        )
