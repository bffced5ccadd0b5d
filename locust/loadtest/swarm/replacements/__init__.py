"""The table of what is replaced in Locust. `install` puts the replacements in place, `restore` removes them.

Each row names an attribute of Locust's, why it is replaced, and the upstream issue if there is one. For each row, a
test in tests/unit/swarm/replacements shows what is wrong on stock Locust. The test is a strict expected failure: when a
release of Locust no longer needs the replacement, the test passes and so the suite fails.

Where Locust has a setting, the setting is used instead, as for the number and length of a worker's connection attempts.
What needs a watcher rather than a replacement is in `loadtest.swarm.rebalancing` and `expected_workers`; Ctrl-C is
handled in `interrupt`.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import urllib3.connection
import urllib3.util.connection
import urllib3.util.retry
from geventhttpclient import connectionpool, useragent
from locust import TaskSet, User, argument_parser, dispatch, env, event, runners
from locust import clients as stock
from locust.contrib import fasthttp
from locust.rpc import zmqrpc

from loadtest.swarm import listeners, sockets
from loadtest.swarm.replacements import clients, master, users, worker

if TYPE_CHECKING:
    from collections.abc import Callable

    from loadtest.settings.config import Config


@dataclass(frozen=True)
class Replacement:
    """One replaced attribute of Locust's.

    Attributes:
        owner: the class or module that has the attribute.
        name: the attribute's name.
        make: returns the replacement, given the original.
        why: what is wrong with the original here.
        upstream: Locust's issue or pull request; empty if none is known.
    """

    owner: Any
    name: str
    make: Callable[[Any], Any]
    why: str
    upstream: str = ""


TABLE = (
    Replacement(
        runners.MasterRunner,
        "handle_message",
        master.handle_message,
        "a message that is not as expected ends the greenlet that receives, and the master never hears another",
        "https://github.com/locustio/locust/issues/3515",
    ),
    Replacement(
        runners.MasterRunner,
        "_wait_for_workers_report_after_ramp_up",
        master.wait_for_workers_report_after_ramp_up,
        "when a worker comes back, the master waits up to two seconds within the greenlet that receives, for reports "
        "that only this greenlet could receive",
    ),
    Replacement(
        runners.MasterRunner,
        "update_state",
        master.update_state,
        "a run that is stopped during its ramp-up is said to be running when the ramp-up ends, and the next start is "
        "taken for a change of it",
    ),
    Replacement(
        runners.MasterRunner,
        "stop",
        master.stop,
        "a headless master whose last worker was lost stops its test and then waits for ever",
    ),
    Replacement(
        runners.WorkerNodes,
        "all",
        master.all_workers,
        "a worker that leaves while users are distributed anew for one that was lost ends the greenlet that looks for "
        "lost workers, and the master never notices another",
    ),
    Replacement(
        dispatch.UsersDispatcher,
        "__init__",
        master.begin_dispatcher,
        "a worker that has begun to end gets users of the next run, which it never starts",
    ),
    Replacement(
        dispatch.UsersDispatcher,
        "add_worker",
        master.add_worker,
        "a worker that says again that it is ready, as after a cut network, gets the share of two workers for good",
    ),
    Replacement(
        runners.Runner,
        "log_exception",
        master.log_exception,
        "every exception that differs from the others is kept until the end, whole, however many there are",
    ),
    Replacement(
        env.Environment,
        "update_worker_logs",
        master.update_worker_logs,
        "whatever a worker sends as its log is kept whole, also after the worker is gone",
    ),
    Replacement(
        runners.WorkerRunner,
        "handle_message",
        worker.handle_message,
        "users are started after their run was asked to end, and none for as long as the master's clock was set back",
    ),
    Replacement(
        runners.WorkerRunner,
        "start_worker",
        worker.start_worker,
        "it spawns users at once, where the open model makes them as arrivals need them",
    ),
    Replacement(
        runners.WorkerRunner,
        "connect_to_master",
        worker.connect_to_master,
        "a worker that finds no master ends without naming where it looked",
    ),
    Replacement(
        runners.WorkerRunner,
        "heartbeat_timeout_checker",
        worker.heartbeat_timeout_checker,
        "a worker without a master goes on making load for a minute, measured by a clock that can be set",
        "https://github.com/locustio/locust/pull/2474",
    ),
    Replacement(
        runners.WorkerRunner,
        "heartbeat",
        worker.leave_to_reports,
        "a message of its own each second costs the master more than all that is in it",
    ),
    Replacement(
        runners.WorkerRunner,
        "stats_reporter",
        worker.leave_to_reports,
        "the same, for a message every third second",
    ),
    Replacement(
        event.EventHook,
        "fire",
        listeners.fire,
        "an error of a listener is logged and forgotten, and on a worker nobody hears of it",
    ),
    Replacement(
        User,
        "run",
        users.run,
        "nobody can tell the requests of on_start from those of tasks, and a user that ends by a BaseException, such "
        "as gevent's Timeout, vanishes without a report",
    ),
    Replacement(
        User,
        "stop",
        users.stop,
        "a waiting user whose timer is due wakes before it is killed, and dies while its request is in flight",
    ),
    Replacement(
        runners.Runner,
        "user_classes_count",
        users.user_classes_count,
        "a user that still finishes its task counts as one that stays: users that are asked for meanwhile are not made",
    ),
    Replacement(
        runners.Runner,
        "stop_users",
        users.stop_users,
        "users that still finish their tasks are asked again, in the place of others, so that too many stay; and it "
        "waits for ever for a user that catches what ends it, or whose on_stop hangs",
    ),
    Replacement(
        TaskSet,
        "execute_next_task",
        users.execute_next_task,
        "nobody can tell which tasks were never begun, and which of them sent no request",
    ),
    Replacement(
        stock.HttpSession,
        "request",
        clients.request,
        "a request whose user is stopped before the answer comes is never counted, so a service that hangs looks fast; "
        "nor is one of catch_response=True without a with-block, or whose block raises",
    ),
    Replacement(
        fasthttp.FastHttpSession,
        "request",
        clients.request,
        "the same",
    ),
    Replacement(
        connectionpool.ConnectionPool,
        "get_socket",
        clients.get_socket,
        "a request that was sent again, since the service closed its connection, counts as one success",
    ),
    Replacement(
        fasthttp.LocustUserAgent,
        "_urlopen",
        clients.send,
        "the same, and a request to which a redirect led is none of these",
    ),
    Replacement(
        stock.HttpSession,
        "rebuild_auth",
        clients.rebuild_auth,
        "a service redirects users to hosts that nobody named, or to services of this machine, which trust who asks",
    ),
    Replacement(
        stock.HttpSession,
        "resolve_redirects",
        clients.resolve_redirects,
        "it prepares a request for a redirect that is not followed, too, which may be to any host",
    ),
    Replacement(
        useragent.CompatRequest,
        "redirect",
        clients.redirect,
        "the same",
    ),
    Replacement(
        urllib3.util.retry.Retry,
        "increment",
        clients.increment,
        "the same, with an adapter of the scenario's own",
    ),
    Replacement(
        connectionpool.ConnectionPool,
        "_create_socket",
        clients.open_connection,
        "nobody can tell whether connections are kept, nor how long opening them takes",
    ),
    Replacement(
        urllib3.connection.HTTPConnection,
        "_new_conn",
        clients.open_connection,
        "the same",
    ),
    Replacement(
        connectionpool.ConnectionPool,
        "_resolve",
        clients.resolve,
        "nobody can tell how long the resolver takes",
    ),
    Replacement(
        urllib3.util.connection,
        "socket",
        clients.looking_up,
        "the same",
    ),
    Replacement(
        argument_parser,
        "default_args_dict",
        functools.cache,
        "each spawn message builds the whole command-line parser dozens of times: 0.2 s in which no user runs",
    ),
)


@dataclass(frozen=True)
class Elsewhere:
    """One attribute of Locust's that is replaced where it is used, because a layer below `swarm` needs the replacement.

    Attributes:
        what: the attribute.
        where: the module that replaces it.
        why: what is wrong with the original here.
    """

    what: str
    where: str
    why: str


REPLACED_ELSEWHERE = (
    Elsewhere(
        "Environment.events.request",
        "loadtest.measuring.stock_requests",
        "its listener rounds response times to whole milliseconds or two digits",
    ),
    Elsewhere(
        "Environment.events.report_to_master, worker_report",
        "loadtest.swarm.loops",
        "their listeners send the rounded statistics to the master",
    ),
    Elsewhere(
        "Environment.events.test_start.fire, on the master",
        "loadtest.swarm.preparation",
        "an error of a listener is logged, and there is load that nothing was prepared for",
    ),
    Elsewhere(
        "User.run",
        "loadtest.users.base",
        "its loop costs as much as a request of our clients, and an iteration does not know when it was to begin",
    ),
    Elsewhere(
        "WebUI.app.view_functions['locust.swarm']",
        "loadtest.web.start_form",
        "a start knows users, spawn rate and run time only, and checks none of them",
    ),
    Elsewhere(
        "WebUI.app.view_functions['locust.stop']",
        "loadtest.web.start_form",
        "a stop while a test is prepared says that it stopped it, and then the test begins",
    ),
)


def install(config: Config) -> None:
    """Put the replacements in place in this process. A second call only updates the settings.

    Raises:
        UsageError: when the key of the link cannot be read.
    """
    zmqrpc.Server, zmqrpc.Client = sockets.ends(config)  # type: ignore[misc]
    worker.set_patience(config.master_wait)
    for row in TABLE:
        if (row.owner, row.name) not in _originals:
            original = getattr(row.owner, row.name)
            _originals[row.owner, row.name] = original
            setattr(row.owner, row.name, row.make(original))


def restore() -> None:
    """Restore stock Locust in this process."""
    while _originals:
        (owner, name), original = _originals.popitem()
        setattr(owner, name, original)
    zmqrpc.Server, zmqrpc.Client = _STOCK_ENDS  # type: ignore[misc]
    worker.set_patience(None)


_originals: dict[tuple[Any, str], Any] = {}
_STOCK_ENDS = zmqrpc.Server, zmqrpc.Client
