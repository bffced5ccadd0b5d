"""redis-py's methods, on this product's connections.

Each method of ``RedisCommands`` and ``JsonCommands`` is redis-py's own: it builds the arguments, and calls our
``execute_command``. The few commands that make up most of a load are encoded more directly here, into the same bytes.

Tested in tests/unit/clients/redis/test_replies.py.
"""

import json
from abc import abstractmethod
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, Literal

import hiredis
from redis.commands import CoreCommands
from redis.commands.json.commands import JSONCommands
from redis.connection import Encoder  # type: ignore[attr-defined] # redis-py names no exports
from redis.exceptions import DataError

from loadtest.clients.json_codec import encode_json
from loadtest.clients.redis.replies import DEFAULT_DECODER, Callback, Decoder, json_callbacks

if TYPE_CHECKING:
    from loadtest.clients.redis.settings import RedisSettings

_GET: Final = b"*2\r\n$3\r\nGET\r\n$%d\r\n%b\r\n"
_HGET: Final = b"*3\r\n$4\r\nHGET\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n"
_JSON_GET_ROOT: Final = b"*3\r\n$8\r\nJSON.GET\r\n$%d\r\n%b\r\n$1\r\n.\r\n"
_JSON_GET: Final = b"*3\r\n$8\r\nJSON.GET\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n"
_JSON_SET: Final = b"*4\r\n$8\r\nJSON.SET\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n"

# After these, a connection no longer sends one reply per command, or loses its handshake state.
_REFUSED: Final = frozenset(
    ("SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE", "MONITOR", "SYNC", "PSYNC", "CLIENT REPLY", "HELLO", "RESET")
)
_REFUSED_ARGUMENTS: Final = ("('REPLY',)", "(B'REPLY',)")  # CLIENT REPLY as two arguments
ENCODER: Final = Encoder("utf-8", "strict", False)


def pack(command: tuple[Any, ...]) -> bytes:
    """Encode a command; a name of two words, such as CLIENT SETNAME, counts as two arguments.

    Raises:
        DataError: An argument is not bytes, a string or a number.
    """
    name = command[0]
    if " " in name:
        command = (*name.split(), *command[1:])
    try:
        data: bytes = hiredis.pack_command(command)
    except TypeError as error:
        raise DataError(str(error)) from error
    return data


@lru_cache(maxsize=8192)
def whole_read(name: str) -> bytes:
    """Encode JSON.GET of a whole document.

    Cached for all users: many loads mostly read whole documents with known keys.
    """
    key = name.encode()
    return _JSON_GET_ROOT % (len(key), key)


class RedisCommands(CoreCommands):
    """The commands of Redis, for both the client and pipelines.

    Attributes:
        settings: How to reach Redis.
    """

    _is_async_client: Literal[False] = False  # how redis-py distinguishes its two kinds of clients
    _event_dispatcher: Any = None  # of redis-py's pool, which this client does not have

    settings: "RedisSettings"
    callbacks: Mapping[str, Callback]
    _json: "JsonCommands | None" = None

    @abstractmethod
    def submit(self, command: str, data: bytes, callback: Callback | None, options: dict[str, Any] | None) -> Any:
        """Send a command, or queue it.

        Args:
            command: Its name.
            data: The command, encoded.
            callback: Turns the reply into the value; None leaves it unchanged.
            options: The options that redis-py's method passes to the callback; None if the reply None stays None.

        Returns:
            The value, or the pipeline that has queued the command.
        """

    @abstractmethod
    def pipeline(self, transaction: bool = True, shard_hint: Any = None) -> Any:
        """A pipeline on the same connection."""

    def execute_command(self, *args: Any, **options: Any) -> Any:
        """Send any command, by its name and arguments.

        Raises:
            redis.exceptions.RedisError: The request failed.
            DataError: An argument is not bytes, a string or a number, or the command cannot be sent by this client.
        """
        name = args[0]
        if type(name) is bytes:
            name = name.decode()
        command = name.upper()
        if command in _REFUSED or (command == "CLIENT" and str(args[1:2]).upper() in _REFUSED_ARGUMENTS):
            raise DataError(
                f"{command} changes how a connection answers, so this client does not send it; use a connection of "
                "your own, such as redis-py's, for it"
            )
        if options:
            options.pop("keys", None)  # meant for redis-py's cache
            options.pop("NEVER_DECODE", None)  # nothing is decoded here
        return self.submit(name, pack((name, *args[1:])), self.callbacks.get(command), options)

    def get(self, name: Any) -> Any:
        """Return the string at a key, or None."""
        if type(name) is not str:
            return super().get(name)
        key = name.encode()
        return self.submit("GET", _GET % (len(key), key), None, None)

    def hget(self, name: Any, key: Any) -> Any:
        """Return one field of the hash at a key, or None."""
        if type(name) is not str or type(key) is not str:
            return super().hget(name, key)
        hash_key, field = name.encode(), key.encode()
        return self.submit("HGET", _HGET % (len(hash_key), hash_key, len(field), field), None, None)

    def json(self, encoder: json.JSONEncoder | None = None, decoder: Decoder = DEFAULT_DECODER) -> "JsonCommands":
        """The commands of RedisJSON.

        Args:
            encoder: Writes documents with ``encode()``; by default orjson.
            decoder: Reads documents with ``decode()``; by default orjson. ``RAW`` and ``LAZY`` do not parse.
        """
        if encoder is not None or decoder is not DEFAULT_DECODER:
            return JsonCommands(self, encoder, decoder)
        if self._json is None:
            self._json = JsonCommands(self, None, DEFAULT_DECODER)
        return self._json

    def get_encoder(self) -> Any:
        """redis-py's encoder of arguments, which its scripts use."""
        return ENCODER

    def get_connection_kwargs(self) -> dict[str, Any]:
        """How redis-py's connections decode replies, which some of its methods check: not at all."""
        return {"decode_responses": False}


class JsonCommands(JSONCommands):
    """The commands of RedisJSON, for both the client and pipelines."""

    _is_async_client: Literal[False] = False

    def __init__(self, owner: RedisCommands, encoder: json.JSONEncoder | None, decoder: Decoder) -> None:
        """Send commands over the owner's connection."""
        self.client = owner
        self._submit = owner.submit
        self._encode: Callable[[Any], bytes | str] = encode_json if encoder is None else encoder.encode
        self._callbacks, self._read_document = json_callbacks(owner.settings.protocol, decoder)

    def execute_command(self, *args: Any, **options: Any) -> Any:
        """Send any command of RedisJSON; as RedisCommands.execute_command."""
        name = args[0]
        options.pop("keys", None)
        return self._submit(name, pack(args), self._callbacks.get(name.upper()), options)

    def pipeline(self, transaction: bool = True, shard_hint: Any = None) -> Any:
        """A pipeline with RedisJSON's commands as its own methods, as in redis-py."""
        return self.client.pipeline(transaction, shard_hint).as_json()

    def get(self, name: Any, *args: Any, no_escape: bool | None = False) -> Any:
        """Return the document at a key, or the values at its paths.

        Args:
            name: The key.
            args: Paths; by default the root.
            no_escape: Ask RedisJSON not to escape characters.
        """
        if type(name) is not str or no_escape or len(args) > 1:
            return super().get(name, *args, no_escape=no_escape)
        if not args:
            data = whole_read(name)
        else:
            key, path = name.encode(), str(args[0]).encode()
            data = _JSON_GET % (len(key), key, len(path), path)
        return self._submit("JSON.GET", data, self._read_document, None)

    def set(  # noqa: PLR0917 -- redis-py's signature
        self,
        name: Any,
        path: Any,
        obj: Any,
        nx: bool | None = False,
        xx: bool | None = False,
        decode_keys: bool | None = False,
        fpha: Any = None,
    ) -> Any:
        """Write a value at a path, like redis-py's method."""
        if type(name) is not str or nx or xx or decode_keys or fpha is not None:
            return super().set(name, path, obj, nx, xx, decode_keys, fpha)
        key, where, document = name.encode(), str(path).encode(), self._encode(obj)
        if type(document) is str:
            document = document.encode()
        data = _JSON_SET % (len(key), key, len(where), where, len(document), document)
        return self._submit("JSON.SET", data, self._callbacks["JSON.SET"], {})

    def nummultby(self, name: Any, path: Any, number: Any) -> Any:
        """Multiply the number at a path, like redis-py's method, without its warning at each call."""
        path = str(path)
        return self.execute_command("JSON.NUMMULTBY", name, path, self._encode(number), _json_path=path)
