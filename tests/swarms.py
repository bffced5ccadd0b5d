"""Processes that are part of a swarm, as the composition root makes them."""

from collections.abc import Callable

from locust.env import Environment

from loadtest.session import Session
from loadtest.swarm.record_keeper import RecordKeeper
from loadtest.swarm.service import Service
from loadtest.swarm.session import Swarm, start


def started(environment: Environment, *services: Callable[[Swarm], Service | None]) -> Swarm:
    """Make an Environment's process part of a swarm, on first use."""
    return Session.of(environment).find(Swarm) or start(environment, *services)


def record_keeper(environment: Environment) -> RecordKeeper:
    """Return the record keeper of a master, or of a process that runs alone; it is started on first use."""
    started(environment)
    return RecordKeeper.of(environment)
