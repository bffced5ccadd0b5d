"""Pipelines and transactions, with redis-py's methods.

One ``execute()`` is one request: its commands share one send and one wait, so none of them has a time of its own.
It is recorded with the method ``PIPELINE``, or ``MULTI`` for a transaction, and fails if any of its commands fails,
under the class of the first error. The commands between WATCH and MULTI are sent at once and recorded like any
other.
"""

import contextlib
from typing import TYPE_CHECKING, Any, Self

import hiredis
from redis.exceptions import ConnectionError, RedisError, ResponseError, TimeoutError, WatchError  # noqa: A004 -- redis-py's
from redis.utils import safe_str, truncate_text

from loadtest.clients.json_codec import encode_json
from loadtest.clients.redis.commands import JsonCommands, RedisCommands, pack, whole_read
from loadtest.clients.redis.errors import ConnectionBroken
from loadtest.clients.redis.replies import DEFAULT_DECODER, Decoder, is_nothing, json_callbacks, parse_document
from loadtest.measuring.tallies import MISS

if TYPE_CHECKING:
    import json
    from collections.abc import Mapping
    from types import TracebackType

    from loadtest.clients.redis.connection import RespConnection
    from loadtest.clients.redis.replies import Callback
    from loadtest.clients.redis.session import RedisSession
    from loadtest.clients.routes import Route

_MULTI = pack(("MULTI",))
_EXEC = pack(("EXEC",))
_UNWATCH = pack(("UNWATCH",))
_DOCUMENT = (parse_document, None)  # the step of commands without their own
_UNWATCHING = frozenset(("UNWATCH", "DISCARD", "EXEC"))


class RedisPipeline(RedisCommands):
    """Commands that are queued and sent together.

    Attributes:
        transaction: Whether they are wrapped in MULTI and EXEC.
        watching: Whether a key is watched, so that commands are sent at once until ``multi()``.
        explicit_transaction: Whether ``multi()`` was called.
    """

    def __init__(
        self, session: "RedisSession", label: str | None, callbacks: Any, transaction: bool, may_miss: bool
    ) -> None:
        """Begin an empty pipeline; ``may_miss`` means that its commands may find nothing."""
        self.settings = session.settings
        self.callbacks = callbacks
        self.transaction = transaction
        self.watching = False
        self.explicit_transaction = False
        self._session = session
        self._label = label
        self._may_miss = may_miss
        self._connection: RespConnection | None = None
        self._packed: list[bytes] = []
        # The functions that turn replies into values, by position in the queue; without one, the reply is a document.
        self._steps: dict[int, tuple[Callback | None, dict[str, Any] | None]] = {}

    def __enter__(self) -> Self:
        """Use the pipeline as a context that resets it at the end."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: "TracebackType | None"
    ) -> None:
        """Clear the queue and end the watch."""
        self.reset()

    def __len__(self) -> int:
        """How many commands are queued."""
        return len(self._packed)

    def __bool__(self) -> bool:
        """A pipeline is always true, even with an empty queue."""
        return True

    def submit(self, command: str, data: bytes, callback: "Callback | None", options: dict[str, Any] | None) -> Any:
        """Queue a command, or send it at once between WATCH and MULTI."""
        if (self.watching or command == "WATCH") and not self.explicit_transaction:
            return self._send_now(command, data, callback, options)
        if callback is not parse_document:
            self._steps[len(self._packed)] = callback, options
        self._packed.append(data)
        return self

    def pipeline(self, transaction: bool = True, shard_hint: Any = None) -> "RedisPipeline":  # noqa: ARG002 -- redis-py's
        """Another pipeline, empty."""
        return RedisPipeline(self._session, self._label, self.callbacks, transaction, self._may_miss)

    def as_json(self) -> "JsonPipeline":
        """This pipeline, with RedisJSON's commands taking precedence."""
        return JsonPipeline(self)

    def json(self, encoder: "json.JSONEncoder | None" = None, decoder: Decoder = DEFAULT_DECODER) -> JsonCommands:
        """The commands of RedisJSON, queued; see RedisCommands.json."""
        if encoder is not None or decoder is not DEFAULT_DECODER:
            return JsonCommands(self, encoder, decoder)
        if self._json is None:
            self._json = QueuedJsonCommands(self)
        return self._json

    def watch(self, *names: Any) -> Any:
        """Watch keys; the transaction will fail with WatchError if one of them changes.

        Raises:
            RedisError: ``multi()`` has already been called.
        """
        if self.explicit_transaction:
            raise RedisError("Cannot issue a WATCH after a MULTI")
        return self.execute_command("WATCH", *names)

    def unwatch(self) -> Any:
        """End the watch."""
        return (self.watching and self.execute_command("UNWATCH")) or True

    def multi(self) -> None:
        """Queue from now on, after WATCH.

        Raises:
            RedisError: It has already been called, or commands are queued.
        """
        if self.explicit_transaction:
            raise RedisError("Cannot issue nested calls to MULTI")
        if self._packed:
            raise RedisError("Commands without an initial WATCH have already been issued")
        self.explicit_transaction = True

    def discard(self) -> None:
        """Send DISCARD, as redis-py does."""
        self.execute_command("DISCARD")

    def execute(self, raise_on_error: bool = True) -> list[Any]:
        """Send the queue and return the values, in order.

        Args:
            raise_on_error: Raise the first error reply; otherwise exceptions are returned among the values.

        Raises:
            WatchError: A watched key has changed; nothing was executed.
            redis.exceptions.RedisError: A command failed, or there are no replies.
        """
        if not self._packed and not self.watching:
            return []
        try:
            self._check_watch()
            route = self._route("MULTI" if self.transaction or self.explicit_transaction else "PIPELINE")
            replies, error = self._exchange(route)
            if not self._may_miss and replies and is_nothing(replies[0]) and all(map(is_nothing, replies)):
                route.series.tally(MISS)
            if error is not None:
                self._check_replies(replies, raise_on_error)
            return self._values(replies)
        except (ConnectionError, TimeoutError) as error:
            raise self._watch_broken(error) from error
        finally:
            self.reset()

    def reset(self) -> None:  # type: ignore[override] # redis-py's pipeline gives RESET's name to this too
        """Clear the queue and end the watch."""
        self._packed, self._steps = [], {}
        self._json = None  # or both would keep everything until the garbage collector runs
        self.explicit_transaction = False
        connection, self._connection = self._connection, None
        if connection is None:
            return
        watching, self.watching = self.watching, False
        if watching and connection.is_open:
            with contextlib.suppress(RedisError):
                self._session.request_many(self._route("UNWATCH"), _UNWATCH, 1, connection)
        connection.release()

    close = reset

    def _send_now(self, command: str, data: bytes, callback: "Callback | None", options: dict[str, Any] | None) -> Any:
        """Send a command between WATCH and MULTI, on the connection that watches."""
        if self._connection is None:
            self._connection = self._session.reserve(self._route(command))
        try:
            self._check_watch()
            replies, refusal = self._session.request_many(self._route(command), data, 1, self._connection)
            if refusal is not None:
                raise refusal
        except (ConnectionError, TimeoutError) as error:
            broken = self._watch_broken(error)
            self.reset()
            raise broken from error
        self.watching = command == "WATCH" or (self.watching and command not in _UNWATCHING)
        return replies[0] if callback is None else callback(replies[0], **(options or {}))

    def _route(self, command: str) -> "Route":
        """Where a command is recorded in the user's current phase."""
        return self._session.routes[self._label][command]

    def _check_watch(self) -> None:
        """Check that the watching connection is still open.

        A new one would execute the transaction as if nothing had changed.

        Raises:
            ConnectionBroken: The server has closed it since.
        """
        if self.watching and self._connection is not None and not self._connection.is_open:
            raise ConnectionBroken("closed", "the connection that watches was closed")

    def _watch_broken(self, error: Exception) -> Exception:
        """The error for a lost connection: during a watch, the transaction must be retried."""
        if not self.watching:
            return error
        return WatchError(f"A {type(error).__name__} occurred while watching one or more keys")

    def _exchange(self, route: "Route") -> tuple[list[Any], Exception | None]:
        """Send the queue, and return the replies of its commands."""
        if route.method == "MULTI":
            return self._exchange_transaction(route)
        return self._session.request_many(route, b"".join(self._packed), len(self._packed), self._connection)

    def _exchange_transaction(self, route: "Route") -> tuple[list[Any], Exception | None]:
        """Send the queue between MULTI and EXEC, and return the replies of EXEC."""
        data = b"".join((_MULTI, *self._packed, _EXEC))
        replies, error = self._session.request_many(route, data, len(self._packed) + 2, self._connection)
        self.watching = False  # EXEC ends the watch, whatever its outcome
        outcome = replies.pop()
        if isinstance(outcome, Exception):
            del replies[0]  # MULTI's own
            self._check_replies(replies, raise_on_error=True)
            raise outcome
        if outcome is None:
            raise WatchError("Watched variable changed.")
        return outcome, error

    def _check_replies(self, replies: list[Any], raise_on_error: bool) -> None:
        """Raise the first error, with its command; connection errors are always raised."""
        for number, reply in enumerate(replies, start=1):
            if isinstance(reply, ResponseError) and raise_on_error:
                reply.args = (self._explained(number, reply), *reply.args[1:])
                raise reply
            if isinstance(reply, ConnectionError):
                raise reply

    def _explained(self, number: int, error: ResponseError) -> str:
        """An error's text with the command that caused it, worded as in redis-py."""
        reader = hiredis.Reader()
        reader.feed(self._packed[number - 1])
        command = truncate_text(" ".join(map(safe_str, reader.gets())))
        return f"Command # {number} ({command}) of pipeline caused error: {error.args[0]}"

    def _values(self, replies: list[Any]) -> list[Any]:
        """Turn the replies into values; error replies stay as they are."""
        values: list[Any] = []
        if not self._steps:
            try:  # parsing ten documents as one array costs two thirds of parsing them one by one
                values = parse_document(b"[" + b",".join(replies) + b"]")
            except TypeError:  # a reply is not a document: None, or an error
                pass
            else:
                if len(values) == len(replies):
                    return values
                values = []
        for place, reply in enumerate(replies):
            callback, options = self._steps.get(place, _DOCUMENT)
            if callback is None or isinstance(reply, Exception):
                values.append(reply)
            elif options is None:
                values.append(None if reply is None else callback(reply))
            else:
                values.append(callback(reply, **options))
        return values


class QueuedJsonCommands(JsonCommands):
    """RedisJSON's commands on a pipeline, with a shortcut into the queue for the most frequent ones.

    It always has the default coders, so one per pipeline is cheap.
    """

    client: RedisPipeline
    _encode = staticmethod(encode_json)
    _read_document = staticmethod(parse_document)

    def __init__(self, pipeline: RedisPipeline) -> None:
        """Queue into a pipeline."""
        self.client = pipeline
        self._submit = pipeline.submit

    @property
    def _callbacks(self) -> "Mapping[str, Callback]":  # type: ignore[override] # never set
        return json_callbacks(self.client.settings.protocol, DEFAULT_DECODER)[0]

    def get(self, name: Any, *args: Any, no_escape: bool | None = False) -> Any:
        """Queue a read of a document, like JsonCommands.get."""
        pipeline = self.client
        if args or no_escape or type(name) is not str or pipeline.watching:
            return super().get(name, *args, no_escape=no_escape)
        pipeline._packed.append(whole_read(name))
        return pipeline


class JsonPipeline(QueuedJsonCommands):
    """The equivalent of redis-py's ``json().pipeline()``: RedisJSON's commands, and otherwise the pipeline's."""

    def __getattr__(self, name: str) -> Any:
        """The pipeline's own methods: execute, watch, incr, …"""
        return getattr(self.client, name)

    def __enter__(self) -> Self:
        """Use the pipeline as a context that resets it at the end."""
        return self

    def __exit__(self, *_: object) -> None:
        """Clear the queue and end the watch."""
        self.client.reset()

    def __len__(self) -> int:
        """How many commands are queued."""
        return len(self.client)

    def __bool__(self) -> bool:
        """A pipeline is always true, even with an empty queue."""
        return True
