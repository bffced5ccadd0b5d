"""Runs each task of a User class and of its task sets once, and returns the requests."""

from argparse import Namespace
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from locust import FastHttpUser, TaskSet, User
from locust.env import Environment
from locust.exception import InterruptTaskSet

from loadtest.clients.http import HttpUser
from loadtest.session import Session
from loadtest.swarm.messages import RunOptions
from loadtest.swarm.session import Swarm


@dataclass(frozen=True)
class Request:
    """One finished request."""

    method: str
    name: str
    path: str
    error: BaseException | None


def run_each_task_once(user_class: type[User], host: str, run_id: str = "") -> list[Request]:
    """Start a user of a run, run each of its tasks once, stop it, and return all requests in order."""
    environment = Environment(user_classes=[user_class], parsed_options=Namespace())
    RunOptions(run_id).announce(environment)
    Session.of(environment).put(Swarm, Swarm(environment))
    requests: list[Request] = []

    def listen(request_type: str, name: str, url: str, exception: BaseException | None, **_: Any) -> None:
        requests.append(Request(request_type, name, urlsplit(url).path, exception))

    environment.events.request.add_listener(listen)
    user: Any = type(user_class.__name__, (user_class,), {"host": host})(environment)
    user.on_start()
    for task in dict.fromkeys(user.tasks):
        _run(task, user)
    user.on_stop()
    if isinstance(user, FastHttpUser):
        user.client.client.clientpool.close()
    else:
        (user if isinstance(user, HttpUser) else user.client).close()
    return requests


def _run(task: Any, owner: Any) -> None:
    """Run a task, or each task of a task set."""
    if not (isinstance(task, type) and issubclass(task, TaskSet)):
        task(owner)
        return
    task_set = task(owner)
    for each in dict.fromkeys(task_set.tasks):
        try:
            _run(each, task_set)
        except InterruptTaskSet:
            continue
