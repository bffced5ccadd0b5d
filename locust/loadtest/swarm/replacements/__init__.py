"""The table of Locust attributes that are replaced. `install` installs the replacements, `restore` removes them.

Each row names an attribute, why it is replaced, and the upstream issue if there is one. For each row, a test in
tests/unit/swarm/replacements reproduces the problem on stock Locust. The test is a strict expected failure: when a
release of Locust no longer needs the replacement, the test passes and so the suite fails.

Where Locust has a setting, the setting is used instead, for example for the number and length of a worker's connection
attempts. Problems that need a watcher rather than a replacement are handled in `loadtest.swarm.rebalancing` and
`expected_workers`, and Ctrl-C in `interrupt`.
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
    """One replaced attribute of Locust.

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
        "an unexpected message kills the receiving greenlet, and the master never receives another message",
        "https://github.com/locustio/locust/issues/3515",
    ),
    Replacement(
        runners.MasterRunner,
        "_wait_for_workers_report_after_ramp_up",
        master.wait_for_workers_report_after_ramp_up,
        "when a worker reconnects, the receiving greenlet waits up to two seconds for reports that only this greenlet "
        "could receive",
    ),
    Replacement(
        runners.MasterRunner,
        "update_state",
        master.update_state,
        "a run that is stopped during its ramp-up is marked as running when the ramp-up ends, and the next start is "
        "treated as a change to it",
    ),
    Replacement(
        runners.MasterRunner,
        "stop",
        master.stop,
        "a headless master that loses its last worker stops its test and then waits for ever",
    ),
    Replacement(
        runners.WorkerNodes,
        "all",
        master.all_workers,
        "a worker that leaves while the users of a lost worker are redistributed kills the greenlet that detects lost "
        "workers, and the master never notices another loss",
    ),
    Replacement(
        dispatch.UsersDispatcher,
        "__init__",
        master.begin_dispatcher,
        "a worker that is shutting down is assigned users of the next run, which it never starts",
    ),
    Replacement(
        dispatch.UsersDispatcher,
        "add_worker",
        master.add_worker,
        "a worker that reports ready a second time, for example after a network failure, permanently gets the share of "
        "two workers",
    ),
    Replacement(
        runners.Runner,
        "log_exception",
        master.log_exception,
        "every distinct exception is kept in full until the end, so memory is unbounded",
    ),
    Replacement(
        env.Environment,
        "update_worker_logs",
        master.update_worker_logs,
        "a worker's log is kept in full, whatever its size, even after the worker has left",
    ),
    Replacement(
        runners.WorkerRunner,
        "handle_message",
        worker.handle_message,
        "users are started after their run was told to end; and after the master's clock is set back by some seconds, "
        "none are started for that long",
    ),
    Replacement(
        runners.WorkerRunner,
        "start_worker",
        worker.start_worker,
        "it spawns users immediately, but the open model creates them as arrivals need them",
    ),
    Replacement(
        runners.WorkerRunner,
        "connect_to_master",
        worker.connect_to_master,
        "a worker that finds no master exits without naming the address that it tried",
    ),
    Replacement(
        runners.WorkerRunner,
        "heartbeat_timeout_checker",
        worker.heartbeat_timeout_checker,
        "a worker without a master keeps generating load for a minute, measured by a clock that can be set",
        "https://github.com/locustio/locust/pull/2474",
    ),
    Replacement(
        runners.WorkerRunner,
        "heartbeat",
        worker.leave_to_reports,
        "a separate message each second costs the master more than handling its contents",
    ),
    Replacement(
        runners.WorkerRunner,
        "stats_reporter",
        worker.leave_to_reports,
        "the same, for a message every three seconds",
    ),
    Replacement(
        event.EventHook,
        "fire",
        listeners.fire,
        "a listener's exception is only logged, on a worker only in the worker's log",
    ),
    Replacement(
        User,
        "run",
        users.run,
        "requests of on_start cannot be told from those of tasks, and a user that a BaseException ends, such as "
        "gevent's Timeout, disappears without a report",
    ),
    Replacement(
        User,
        "stop",
        users.stop,
        "a waiting user whose timer is due wakes before it is killed, and is killed while its request is in flight",
    ),
    Replacement(
        runners.Runner,
        "user_classes_count",
        users.user_classes_count,
        "a stopping user that is still finishing its task counts as active, so too few users are created",
    ),
    Replacement(
        runners.Runner,
        "stop_users",
        users.stop_users,
        "it may choose users that are already stopping, so too many stay; and it waits for ever for a user that "
        "catches GreenletExit or whose on_stop hangs",
    ),
    Replacement(
        TaskSet,
        "execute_next_task",
        users.execute_next_task,
        "it does not count which tasks never began or sent no request",
    ),
    Replacement(
        stock.HttpSession,
        "request",
        clients.request,
        "a request whose user is stopped before the response arrives is never counted, so a hanging service looks "
        "fast; nor is a request with catch_response=True that has no with-block, or whose block raises",
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
        "a request that was retried because the service closed its connection counts as one success",
    ),
    Replacement(
        fasthttp.LocustUserAgent,
        "_urlopen",
        clients.send,
        "the same; and a request that follows a redirect must not count as a retry",
    ),
    Replacement(
        stock.HttpSession,
        "rebuild_auth",
        clients.rebuild_auth,
        "a service can redirect users to hosts that the run does not name, or to services on this machine that trust "
        "local clients",
    ),
    Replacement(
        stock.HttpSession,
        "resolve_redirects",
        clients.resolve_redirects,
        "it also prepares a request, possibly to any host, for a redirect that is not followed",
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
        "the same, for adapters of the scenario's own",
    ),
    Replacement(
        connectionpool.ConnectionPool,
        "_create_socket",
        clients.open_connection,
        "it does not report whether connections are reused, or how long it takes to open them",
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
        "it does not report how long DNS look-ups take",
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
        "each spawn message builds the whole command-line parser dozens of times, which blocks all users for 0.2 s",
    ),
)


@dataclass(frozen=True)
class Elsewhere:
    """An attribute of Locust that is replaced in another module because a layer below `swarm` needs the replacement.

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
        "a listener's exception is only logged, and the load starts without the preparation",
    ),
    Elsewhere(
        "User.run",
        "loadtest.users.base",
        "its loop costs as much as a request of the built-in clients, and an iteration does not know its intended "
        "start",
    ),
    Elsewhere(
        "WebUI.app.view_functions['locust.swarm']",
        "loadtest.web.start_form",
        "its start form has only users, spawn rate and run time, and validates none of them",
    ),
    Elsewhere(
        "WebUI.app.view_functions['locust.stop']",
        "loadtest.web.start_form",
        "a stop during a test's preparation reports success, and then the test begins",
    ),
)


def install(config: Config) -> None:
    """Install the replacements in this process. A second call only updates the settings.

    Raises:
        UsageError: when the link key cannot be read.
    """
    zmqrpc.Server, zmqrpc.Client = sockets.ends(config)  # type: ignore[misc]
    worker.set_connect_timeout(config.master_wait)
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
    worker.set_connect_timeout(None)


_originals: dict[tuple[Any, str], Any] = {}
_STOCK_ENDS = zmqrpc.Server, zmqrpc.Client
