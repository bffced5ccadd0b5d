"""Users that run until they stop themselves, with a log of their actions."""

import gevent
from gevent.pool import Group
from locust.env import Environment
from locust.exception import StopUser

from loadtest.users.base import LoadUser


def started(user_class: type[LoadUser], **environment) -> tuple[LoadUser, gevent.Greenlet]:
    """A user of a fresh environment, running."""
    user = user_class(Environment(user_classes=[user_class], **environment))
    return user, user.start(Group())


def run_until_stopped(user_class: type[LoadUser], **environment) -> LoadUser:
    """A user that has run until it raised StopUser, at most ten seconds."""
    user, greenlet = started(user_class, **environment)
    greenlet.join(timeout=10)
    assert greenlet.ready()
    return user


class Stopping(LoadUser):
    """Counts its tasks in ``log`` and stops after ``limit`` of them."""

    abstract = True
    limit = 1000

    def __init__(self, environment):
        super().__init__(environment)
        self.log = []

    def note(self, what):
        """Remember what ran."""
        self.log.append(what)
        if len(self.log) >= self.limit:
            raise StopUser
