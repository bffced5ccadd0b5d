"""The errors of Redis requests: the exceptions raised and the classes counted.

The exceptions are redis-py's, so that ``except redis.exceptions.ResponseError`` and the like mean the same with either
client. They are also Locust's ``RescheduleTask``: a failed request whose exception is not caught ends its task as
``return`` would. It has already been counted; a traceback for each would count it twice, and a Redis that is out of
memory would flood the log.

Each failed request is counted under one class:

=====================  ======================================================================================
class                  what happened
=====================  ======================================================================================
dns, connect, tls,     no connection; the exception is ``redis.exceptions.ConnectionError`` or ``TimeoutError``
timeout_connect
timeout_read           no reply in time; the connection is given up
generator              a limit of the load generator itself: files, ports or memory
reset, closed          the connection broke with an error, or the server closed it, before the reply
protocol               what came was not RESP, or more than was asked for, or too large a reply, or leads nowhere
redis_auth             NOAUTH, WRONGPASS, NOPERM
redis_loading          LOADING
redis_moved            MOVED, ASK: the URL does not say that it is a cluster, or nodes redirect for ever
redis_cluster_down     CLUSTERDOWN: no node serves the slot; or the nodes know of none that serves any
redis_noscript         NOSCRIPT
redis_oom              OOM: over ``maxmemory``
redis_wrongtype        WRONGTYPE, and RedisJSON's messages for the same
redis_missing          nothing was found, where the scenario says that there is something
redis_error            any other error reply
unfinished             the user was stopped before the reply; the time until then counts
exception              an error of the call itself, before or after the exchange
=====================  ======================================================================================

Tested in tests/unit/clients/redis/test_faults.py.
"""

from typing import TYPE_CHECKING, cast

import gevent
from locust.exception import RescheduleTask
from redis import exceptions
from redis.connection import DefaultParser
from redis.crc import REDIS_CLUSTER_HASH_SLOTS

from loadtest.measuring.error_classes import NO_ANSWER, UNFINISHED

if TYPE_CHECKING:
    from collections.abc import Callable

    from loadtest.clients.transport.stream import TransportError

_CODES = {
    "LOADING": "redis_loading",
    "MOVED": "redis_moved",
    "ASK": "redis_moved",
    "CLUSTERDOWN": "redis_cluster_down",
    "NOAUTH": "redis_auth",
    "WRONGPASS": "redis_auth",
    "NOPERM": "redis_auth",
    "NOSCRIPT": "redis_noscript",
    "OOM": "redis_oom",
    "WRONGTYPE": "redis_wrongtype",
}
_WRONG_TYPE_MESSAGES = ("Existing key has wrong Redis type", "wrong type of path value")

_ENDING_TASK: dict[type[Exception], type[Exception]] = {}
_parse_error = cast("Callable[[str], Exception]", DefaultParser.parse_error)


class ConnectionBroken(exceptions.ConnectionError, RescheduleTask):
    """No connection, or it ended before the reply."""

    def __init__(self, error_class: str, message: str) -> None:
        """Keep the class together with the text."""
        super().__init__(message)
        self.error_class = error_class


class RequestTimeout(exceptions.TimeoutError, RescheduleTask):
    """Redis did not answer, or could not be connected to, in time."""

    def __init__(self, error_class: str, message: str) -> None:
        """Keep the class together with the text."""
        super().__init__(message)
        self.error_class = error_class


class Missing(exceptions.RedisError, RescheduleTask):
    """Redis has no such key, or nothing at the path."""

    error_class = "redis_missing"

    def __init__(self, command: str) -> None:
        """Name the command that found nothing."""
        super().__init__(f"{command.upper()} found nothing: the key, or the value at the path, does not exist")


class RedirectedTooOften(exceptions.ResponseError, RescheduleTask):
    """A command was redirected too often, or its node did not become ready."""

    error_class = "redis_moved"

    def __init__(self, last: Exception, hops: int) -> None:
        """Keep the number of redirections, and the last answer."""
        super().__init__(f"given up after {hops} redirections, the last of which was: {str(last).partition(': ')[0]}")


class Unfinished(exceptions.ConnectionError):
    """The user was stopped before the reply; it is passed to listeners of Locust's events, and never raised."""

    error_class = UNFINISHED


def interruption(cause: BaseException) -> Exception:
    """The exception for a request whose wait was ended from outside.

    Args:
        cause: GreenletExit when the user was stopped, gevent's Timeout when the scenario set a time limit of its own.
    """
    if isinstance(cause, gevent.Timeout):
        return RequestTimeout("timeout_read", f"no reply within the scenario's own limit of {cause.seconds} s")
    return Unfinished(NO_ANSWER)


def connect_error(error: "TransportError") -> ConnectionBroken | RequestTimeout:
    """The exception for a connection that could not be opened, or whose TLS broke."""
    kind = RequestTimeout if error.error_class == "timeout_connect" else ConnectionBroken
    return kind(error.error_class, str(error))


def reply_error(text: str) -> Exception:
    """The exception for an error reply, as redis-py would raise it, with its error class.

    For a redirection of a cluster the text also says what to do.
    """
    code, _, message = text.partition(" ")
    error_class = _CODES.get(code, "redis_error")
    try:
        error = _parse_error(text)
        is_right = not isinstance(error, exceptions.AskError) or _leads_somewhere(error)
    except ValueError:
        is_right = False
    if not is_right:
        error, error_class = exceptions.ResponseError(f"{text}: this names no slot or no node"), "protocol"
    elif error_class == "redis_moved":
        error.args = (f"{text}: another node has the key; cluster=true in the URL follows, except after WATCH",)
    elif any(excerpt in text for excerpt in _WRONG_TYPE_MESSAGES):
        error_class = "redis_wrongtype"
    elif "without any password configured" in message:
        error_class = "redis_auth"
    kind = type(error)
    error.__class__ = _ENDING_TASK.get(kind) or _end_task(kind)
    error.error_class = error_class  # type: ignore[attr-defined]
    return error


def _leads_somewhere(error: exceptions.AskError) -> bool:
    """Whether the slot and the port can exist."""
    return 0 <= error.slot_id < REDIS_CLUSTER_HASH_SLOTS and 0 < error.port < 1 << 16


def _end_task(kind: type[Exception]) -> type[Exception]:
    """Derive an exception from redis-py's, with its name, and from Locust's RescheduleTask."""
    attributes = {"__module__": kind.__module__, "__doc__": kind.__doc__}
    both = _ENDING_TASK[kind] = type(kind.__name__, (kind, RescheduleTask), attributes)
    return both


def error_class_of(error: BaseException) -> str:
    """The class under which an exception is counted."""
    return getattr(error, "error_class", "exception")
