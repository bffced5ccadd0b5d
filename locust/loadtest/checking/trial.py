"""Trial: each task of each User class of a scenario once, without waiting, with every request and exception shown.

The order is Locust's: `init`, `test_start`, of each user `on_start`, its tasks and those of its TaskSets, `on_stop`,
and `test_stop`. The load shape and weights are ignored.
"""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING, Any, Final, cast

import gevent
import locust
from locust import TaskSet, log
from locust.argument_parser import get_parser
from locust.env import Environment
from locust.exception import InterruptTaskSet, RescheduleTask, RescheduleTaskImmediately, StopTest, StopUser
from locust.user.task import LOCUST_STATE_RUNNING, DefaultTaskSet

from loadtest import scenarios
from loadtest.exceptions import described
from loadtest.feeding import service as feeding
from loadtest.measuring.recorder import Recorder
from loadtest.progress import counted, one_line
from loadtest.settings import credentials, hosts
from loadtest.settings.shipped import CONF_DIR, own_or_shipped
from loadtest.swarm import session
from loadtest.swarm.hooks import Hooks
from loadtest.swarm.messages import NO_RUN
from loadtest.swarm.session import ControllingSwarm
from loadtest.users.target import check_hosts

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from locust import User

    from loadtest.settings.config import Config

TASK_LIMIT_S: Final = 60.0
LONGEST_LINE: Final = 2_000
"""The maximum number of characters of a line to show, since errors may contain a service's answer."""
_STEERING: Final = (InterruptTaskSet, RescheduleTask, RescheduleTaskImmediately, StopUser)


class Trial:
    """One iteration of each task.

    Args:
        config: its `scenario`, `host`, `redis_url`, `feed` and credentials.
        arguments: options of Locust and of the scenario's own.

    Raises:
        UsageError: when the scenario cannot be loaded, or has no host.
    """

    def __init__(self, config: Config, arguments: Sequence[str]) -> None:
        credentials.check(config)
        hosts.open_allowed(config.allowed_hosts)
        self._config = config
        self._scenario = scenarios.load(config.scenario, fast=config.fast)
        parser: Any = get_parser(default_config_files=[str(own_or_shipped(CONF_DIR / "locust.conf"))])
        options = parser.parse_args([*arguments])
        options.host = config.host or config.sample_target
        check_hosts(self._scenario.user_classes, options.host)
        self._environment = Environment(
            user_classes=[*self._scenario.user_classes],
            events=locust.events,
            host=options.host,
            tags=options.tags,
            exclude_tags=options.exclude_tags,
            parsed_options=options,
        )
        self._where = ""
        self._tasks = self._requests = self._failures = self._problems = 0

    def run(self) -> bool:
        """Run it, and return whether everything worked."""
        environment, events = self._environment, cast("Any", self._environment.events)
        runner = environment.create_local_runner()
        environment._filter_tasks_by_tags()
        events.request.add_listener(self._on_request)
        events.init.fire(environment=environment, runner=runner, web_ui=None)
        session.start(environment, feeding.service)
        ControllingSwarm.of(environment).make_run = lambda: _Data(self._config, self._scenario, environment)
        self._where = "test_start"
        try:
            events.test_start.fire(environment=environment)
        except StopTest:  # its reason was printed
            return False
        for user_class in environment.user_classes:
            user_class.host = environment.host or user_class.host  # as Locust does when it starts users
            self._live(user_class)
        for error in Recorder.of(environment).take().exceptions:  # those of tasks are caught where they are called
            self._problem("a greenlet", f"{error.exception}: {error.message} ({error.place})")
        self._where = "test_stop"
        events.test_stop.fire(environment=environment)
        events.quitting.fire(environment=environment, reverse=True)
        return self._conclude()

    def _conclude(self) -> bool:
        if log.unhandled_greenlet_exception:
            self._problem("a listener", "raised an exception: see above")
        if not self._requests:
            self._problem("the scenario", "made no request")
        worked = not (self._failures or self._problems)
        failed = f"{counted(self._failures, 'failed request')}, {counted(self._problems, 'other problem')}"
        result = "all worked" if worked else failed
        done = f"{counted(self._tasks, 'task')}, {counted(self._requests, 'request')}"
        self._say(f"{'checked' if worked else 'failed':12} {done}: {result}")
        return worked

    def _live(self, user_class: type[User]) -> None:
        """Run a user's life cycle, in its own greenlet, by which the recorder identifies it."""
        name = user_class.__name__
        user: Any = self._try(f"{name}.__init__", lambda: user_class(self._environment))
        if user is not None:
            gevent.spawn(self._visit, user).join()

    def _visit(self, user: Any) -> None:
        name = type(user).__name__
        user._state = LOCUST_STATE_RUNNING
        user._taskset_instance = DefaultTaskSet(user)  # where its wait() looks it up
        if self._succeeds(f"{name}.on_start", user.on_start):
            self._each_task(user, name)
            self._succeeds(f"{name}.on_stop", user.on_stop)

    def _each_task(self, owner: Any, name: str, outer: tuple[type, ...] = ()) -> None:
        """Run each task of a User or a TaskSet once."""
        if not owner.tasks:
            self._problem(name, "has no task")
        for task in dict.fromkeys(owner.tasks):
            if not (isinstance(task, type) and issubclass(task, TaskSet)):
                self._try_task(f"{name}.{getattr(task, '__name__', type(task).__name__)}", partial(task, owner))
            elif task not in outer:
                self._visit_task_set(task, owner, f"{name}.{task.__name__}", (*outer, task))

    def _try_task(self, where: str, task: Callable[[], object]) -> None:
        self._tasks += 1
        requests = self._requests
        if self._succeeds(where, task) and self._requests == requests:
            self._say(f"{where:32} made no request")

    def _visit_task_set(self, kind: type[TaskSet], owner: Any, name: str, path: tuple[type, ...]) -> None:
        task_set: Any = self._try(f"{name}.__init__", lambda: kind(owner))
        if task_set is not None and self._succeeds(f"{name}.on_start", task_set.on_start):
            self._each_task(task_set, name, path)
            self._succeeds(f"{name}.on_stop", task_set.on_stop)

    def _succeeds(self, where: str, work: Callable[[], object]) -> bool:
        """Return whether a call of the scenario's code succeeded."""
        problems = self._problems
        self._try(where, work)
        return self._problems == problems

    def _try(self, where: str, work: Callable[[], Any]) -> Any:
        """Return the result of a call of the scenario's code; None if it raises."""
        self._where = where
        limit = gevent.Timeout(TASK_LIMIT_S)
        try:
            with limit:
                return work()
        except _STEERING:
            return None
        except gevent.Timeout as timeout:
            if timeout is not limit:
                raise
            self._problem(where, f"did not end within {TASK_LIMIT_S:g} s")
        except StopTest as error:
            self._problem(where, str(error))
        except (Exception, SystemExit) as error:  # an exit of the scenario does not end this process
            self._problem(where, described(error))
        return None

    def _on_request(self, request_type: str, name: str, **request: Any) -> None:
        """Show a finished request."""
        self._requests += 1
        exception, time_ms = request.get("exception"), request.get("response_time")
        status = getattr(request.get("response"), "status_code", None) or "-"
        time = "-" if time_ms is None else f"{time_ms:.1f} ms"
        size = f"{request.get('response_length') or 0:,} B"
        self._failures += bool(exception)
        outcome = f"failed: {exception}" if exception else "ok"
        self._say(f"{self._where:32} {f'{request_type} {name}':36} {status:>4} {time:>10} {size:>11}  {outcome}")

    def _problem(self, where: str, sentence: str) -> None:
        self._problems += 1
        self._say(f"{where:32} {sentence}")

    @staticmethod
    def _say(line: str) -> None:
        shown = one_line(line[:LONGEST_LINE])
        sys.stdout.write(f"{shown}{' …' if len(line) > LONGEST_LINE else ''}\n")
        sys.stdout.flush()


class _Data:
    """The preparations of a run's controller before the services begin: the scenario's data, and the users' test
    data."""

    def __init__(self, config: Config, scenario: scenarios.Scenario, environment: Environment) -> None:
        self._config = config
        self._scenario = scenario
        self._environment = environment
        self._hooks = Hooks(environment, scenario.setup, scenario.teardown)

    def prepare(self) -> None:
        """Load the data."""
        redis_url = self._config.redis_url
        if redis_url is not None and (remove_data := self._scenario.remove_data) is not None:
            self._hooks.removals.append(lambda _: remove_data(redis_url, NO_RUN))
        if redis_url is not None and self._scenario.load_data is not None:
            self._scenario.load_data(redis_url, lambda _done, _total: None)
        feeding.of(self._environment).prepare(self._config.feed, self._config.feed_policy, lambda _reason: None)
        self._hooks.set_up()

    def begin(self) -> None:
        """Do nothing more."""

    def end(self) -> None:
        """Remove the created data."""
        self._hooks.tear_down()

    stopping = begin
