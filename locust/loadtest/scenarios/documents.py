"""RedisJSON documents, through the target's API and directly over RESP, compared with hashes and plain strings.

Both users do the same operations, `documents/read_whole` through the API and `documents/resp/read_whole` over RESP, so
that the report shows what the API costs on top of Redis, and what a document costs or saves compared with a hash or a
string. Reads use the seeded data; each user writes only its own scratch keys, which it creates when it starts and
rewrites before they grow much.

A new operation is one row of `OPERATIONS`: both users' tasks and the declared requests are made from it.

The sample target needs a single server. If REDIS_URL is that of a cluster or a Sentinel, and HOST names no other
target, only the RESP users run.
"""

import random
from abc import abstractmethod
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple
from urllib.parse import quote

import orjson
import redis
from locust import User, between, tag

from loadtest.clients.redis import RAW, Missing
from loadtest.exceptions import StackError
from loadtest.scenarios import Scenario
from loadtest.scenarios._scratch import Scratch
from loadtest.scenarios._users import HttpUser, RedisJsonUser
from loadtest.seeding.shared_data import SharedData
from loadtest.seeding.stores import RedisStore
from loadtest.settings.config import Config
from loadtest.settings.redis_url import client_of, is_one_server
from target_app import seed
from target_app.store import KEY_PREFIX

NAME = "documents"

_SIMPLE = tuple(seed.basic_user(number) for number in range(20))
_COMPLEX = tuple(seed.advanced_user(number) for number in range(20))
_LOADING_TIMEOUT_S = 10.0
_MAX_APPENDS = 50
"""How often a user appends to a scratch array or string before it rewrites the whole document."""


_NESTED_PATHS = ("$.generation.name", "$.names[0].language.name", "$.damage_relations.double_damage_to[*].name")


class Choices:
    """The state of one user: its scratch keys, its random choices, and the growth of its documents.

    Attributes:
        scratch: the keys that only this user writes.
        appends: how often the user has appended to a document, by the operation that rewrites the document.
    """

    def __init__(self, scratch: Scratch) -> None:
        self.scratch = scratch
        self.appends: Counter[str] = Counter()
        self._random = random.Random(scratch.user)  # noqa: S311 - the same user chooses the same in every run
        self._factor = 0.5

    def number(self) -> int:
        """Return the number of a seeded user."""
        return self._random.randrange(seed.USERS)

    def simple(self) -> dict[str, Any]:
        """Return a flat document."""
        return self._random.choice(_SIMPLE)

    def complex(self) -> dict[str, Any]:
        """Return a nested document."""
        return self._random.choice(_COMPLEX)

    def city(self) -> str:
        """Return the city of a flat document."""
        city: str = self.simple()["city"]
        return city

    def nested_path(self) -> str:
        """Return a path into the large document."""
        return self._random.choice(_NESTED_PATHS)

    def factor(self) -> float:
        """Return 2 and 0.5 alternately, so that the product stays constant."""
        self._factor = 1 / self._factor
        return self._factor


def _nothing(_: Choices) -> None:
    """Choose no value."""


def _always(value: Any) -> Callable[[Choices], Any]:
    return lambda _: value


def _scratch(use: str) -> Callable[[Choices], str]:
    return lambda choices: choices.scratch.key(use)


def _any_user(users: str) -> Callable[[Choices], str]:
    return lambda choices: f"{users}-{choices.number()}"


def _whole(value: Any) -> Any:
    return value


class _Http(NamedTuple):
    """An operation as a request to the API: the path below /api/v1 of a key and a value, and the body of a value."""

    method: str
    path: Callable[[str, Any], str]
    body: Callable[[Any], Any] | None = None


class _Resp(NamedTuple):
    """An operation as a Redis client's call with a key and a value, and the commands that the call sends.

    For an operation on a document, the client is the one for JSON commands.
    """

    commands: tuple[str, ...]
    call: Callable[[Any, str, Any], Any]


@dataclass(frozen=True)
class Operation:
    """One operation: a task of both users.

    Attributes:
        name: names the task and, after the scenario, its requests.
        weight: its frequency relative to the other operations.
        tags: read or write; document, hash or string; delete if it does.
        key: chooses the key, without the prefix of all keys.
        http: its form through the API.
        resp: its form over RESP.
        value: chooses the value to write, or its path.
        written_by: the operation that writes the key first, with the same value.
        rewritten_by: the operation to run instead once the document has grown enough.
    """

    name: str
    weight: int
    tags: tuple[str, ...]
    key: Callable[[Choices], str]
    http: _Http
    resp: _Resp
    value: Callable[[Choices], Any] = _nothing
    written_by: str | None = None
    rewritten_by: str | None = None


def _read_string_field(client: Any, key: str, _: object) -> Any:
    """Read one field of a string; the whole string is transferred and parsed here."""
    return orjson.loads(client.get(key))["email"]


def _update_string_field(client: Any, key: str, city: str) -> None:
    """Set one field of a string: read, change and write back the whole string."""
    document = orjson.loads(client.get(key))
    document["city"] = city
    client.set(key, orjson.dumps(document))


def _fields(document: dict[str, Any]) -> dict[Any, Any]:
    return {name: orjson.dumps(value) for name, value in document.items()}


# fmt: off
OPERATIONS = {operation.name: operation for operation in (
    Operation("read_whole", 10, ("read", "document"), _always("document:type-small"),
              _Http("GET", lambda key, _: f"documents/{key}"),
              _Resp(("JSON.GET",), lambda json, key, _: json.get(key))),
    Operation("read_whole_large", 4, ("read", "document"), _always("document:type-large"),
              _Http("GET", lambda key, _: f"documents/{key}"),
              _Resp(("JSON.GET",), lambda json, key, _: json.get(key))),
    Operation("read_field", 10, ("read", "document"), _any_user("document:user-basic"),
              _Http("GET", lambda key, _: f"documents/{key}/value?path=$.email"),
              _Resp(("JSON.GET",), lambda json, key, _: json.get(key, "$.email"))),
    Operation("read_nested", 6, ("read", "document"), _always("document:type-large"),
              _Http("GET", lambda key, path: f"documents/{key}/value?path={quote(path, safe='$.')}"),
              _Resp(("JSON.GET",), lambda json, key, path: json.get(key, path)),
              value=Choices.nested_path),
    Operation("list_object_keys", 3, ("read", "document"), _any_user("document:user-advanced"),
              _Http("GET", lambda key, _: f"documents/{key}/keys?path=$.address"),
              _Resp(("JSON.OBJKEYS",), lambda json, key, _: json.objkeys(key, "$.address"))),
    Operation("write_simple", 4, ("write", "document"), _scratch("simple"),
              _Http("PUT", lambda key, _: f"documents/{key}", _whole),
              _Resp(("JSON.SET",), lambda json, key, document: json.set(key, "$", document)),
              value=Choices.simple),
    Operation("write_complex", 3, ("write", "document"), _scratch("complex"),
              _Http("PUT", lambda key, _: f"documents/{key}", _whole),
              _Resp(("JSON.SET",), lambda json, key, document: json.set(key, "$", document)),
              value=Choices.complex),
    Operation("update_field", 4, ("write", "document"), _scratch("simple"),
              _Http("PUT", lambda key, _: f"documents/{key}/value?path=$.city", _whole),
              _Resp(("JSON.SET",), lambda json, key, city: json.set(key, "$.city", city, xx=True)),
              value=Choices.city),
    Operation("increment", 4, ("write", "document"), _scratch("simple"),
              _Http("POST", lambda key, _: f"documents/{key}/increment", lambda by: {"path": "$.visits", "by": by}),
              _Resp(("JSON.NUMINCRBY",), lambda json, key, by: json.numincrby(key, "$.visits", by)),
              value=_always(1)),
    Operation("multiply", 2, ("write", "document"), _scratch("simple"),
              _Http("POST", lambda key, _: f"documents/{key}/multiply", lambda by: {"path": "$.score", "by": by}),
              _Resp(("JSON.NUMMULTBY",), lambda json, key, by: json.nummultby(key, "$.score", by)),
              value=Choices.factor),
    Operation("append_to_array", 2, ("write", "document"), _scratch("complex"),
              _Http("POST", lambda key, _: f"documents/{key}/append-to-array",
                    lambda tag: {"path": "$.tags", "values": [tag]}),
              _Resp(("JSON.ARRAPPEND",), lambda json, key, tag: json.arrappend(key, "$.tags", tag)),
              value=_always("new"), rewritten_by="write_complex"),
    Operation("append_to_string", 2, ("write", "document"), _scratch("simple"),
              _Http("POST", lambda key, _: f"documents/{key}/append-to-string",
                    lambda text: {"path": "$.bio", "text": text}),
              _Resp(("JSON.STRAPPEND",), lambda json, key, text: json.strappend(key, text, "$.bio")),
              value=_always(" and more"), rewritten_by="write_simple"),
    Operation("delete", 2, ("write", "document", "delete"), _scratch("deleted"),
              _Http("DELETE", lambda key, _: f"documents/{key}"),
              _Resp(("JSON.DEL",), lambda json, key, _: json.delete(key)),
              value=_always(_SIMPLE[0]), written_by="write_simple"),
    Operation("hash_read_whole", 4, ("read", "hash"), _always("hash:type-small"),
              _Http("GET", lambda key, _: f"hashes/{key}"),
              _Resp(("HGETALL",), lambda client, key, _: client.hgetall(key))),
    Operation("hash_read_field", 4, ("read", "hash"), _any_user("hash:user-basic"),
              _Http("GET", lambda key, _: f"hashes/{key}/fields/email"),
              _Resp(("HGET",), lambda client, key, _: client.hget(key, "email"))),
    Operation("hash_write", 2, ("write", "hash"), _scratch("hash"),
              _Http("PUT", lambda key, _: f"hashes/{key}", _whole),
              _Resp(("HSET",), lambda client, key, document: client.hset(key, mapping=_fields(document))),
              value=Choices.simple),
    Operation("hash_update_field", 2, ("write", "hash"), _scratch("hash"),
              _Http("PUT", lambda key, _: f"hashes/{key}/fields/city", _whole),
              _Resp(("HSET",), lambda client, key, city: client.hset(key, "city", orjson.dumps(city))),
              value=Choices.city),
    Operation("hash_delete", 1, ("write", "hash", "delete"), _scratch("deleted-hash"),
              _Http("DELETE", lambda key, _: f"hashes/{key}"),
              _Resp(("DEL",), lambda client, key, _: client.delete(key)),
              value=_always(_SIMPLE[0]), written_by="hash_write"),
    Operation("string_read_whole", 4, ("read", "string"), _always("string:type-small"),
              _Http("GET", lambda key, _: f"strings/{key}"),
              _Resp(("GET",), lambda client, key, _: client.get(key))),
    Operation("string_read_field", 4, ("read", "string"), _any_user("string:user-basic"),
              _Http("GET", lambda key, _: f"strings/{key}/fields/email"),
              _Resp(("GET",), _read_string_field)),
    Operation("string_write", 2, ("write", "string"), _scratch("string"),
              _Http("PUT", lambda key, _: f"strings/{key}", _whole),
              _Resp(("SET",), lambda client, key, document: client.set(key, orjson.dumps(document))),
              value=Choices.simple),
    Operation("string_update_field", 2, ("write", "string"), _scratch("string"),
              _Http("PUT", lambda key, _: f"strings/{key}/fields/city", _whole),
              _Resp(("GET", "SET"), _update_string_field),
              value=Choices.city),
    Operation("string_delete", 1, ("write", "string", "delete"), _scratch("deleted-string"),
              _Http("DELETE", lambda key, _: f"strings/{key}"),
              _Resp(("DEL",), lambda client, key, _: client.delete(key)),
              value=_always(_SIMPLE[0]), written_by="string_write"),
)}
# fmt: on


def _task(operation: Operation) -> Callable[["_DocumentsUser"], None]:
    @tag(*operation.tags)
    def task(user: "_DocumentsUser") -> None:
        user.do(operation)

    task.__name__ = operation.name
    return task


class _DocumentsUser(User):
    """The common base of both users: the tasks, and the scratch keys from start to stop."""

    abstract = True
    scenario = NAME
    # The average think time is 0.3 s, so ten users send about 35 requests a second. That is a few percent of a core for
    # the generator and for the target: the default run shows the service's own times, not a queue's.
    wait_time = between(0.1, 0.5)
    tasks = {  # type: ignore[assignment]  # noqa: RUF012 - Locust makes a list of it
        _task(operation): operation.weight for operation in OPERATIONS.values()
    }
    choices: Choices

    def on_start(self) -> None:
        """Reserve scratch keys and write each of them."""
        self.choices = Choices(Scratch(self.environment))
        for name in ("write_simple", "write_complex", "hash_write", "string_write"):
            self.do(OPERATIONS[name])

    def on_stop(self) -> None:
        """Release the scratch keys."""
        self.choices.scratch.release()

    def do(self, operation: Operation) -> None:
        """Run an operation with a key and a value chosen by this user."""
        appends = self.choices.appends
        if operation.rewritten_by is None:
            appends.pop(operation.name, None)  # a rewritten document starts to grow again
        else:
            appends[operation.rewritten_by] += 1
            if appends[operation.rewritten_by] > _MAX_APPENDS:
                self.do(OPERATIONS[operation.rewritten_by])
                return
        key, value = operation.key(self.choices), operation.value(self.choices)
        if operation.written_by is not None:
            self.send(OPERATIONS[operation.written_by], key, value)
        self.send(operation, key, value)

    @abstractmethod
    def send(self, operation: Operation, key: str, value: Any) -> None:
        """Send the requests of an operation, in this user's form."""


class DocumentsHttpUser(_DocumentsUser, HttpUser):
    """Uses the documents through the target's API."""

    _requests: dict[str, Callable[..., object]]

    def on_start(self) -> None:
        """Bind each operation's name to its request, then continue as in the base class."""
        self._requests = {
            name: partial(getattr(self.client, operation.http.method.lower()), name=f"{NAME}/{name}")
            for name, operation in OPERATIONS.items()
        }
        super().on_start()

    def send(self, operation: Operation, key: str, value: Any) -> None:
        """Send the request of an operation."""
        _, path, body = operation.http
        url, request = f"/api/v1/{path(key, value)}", self._requests[operation.name]
        if body is None:
            request(url)
        else:
            request(url, json=body(value))


class DocumentsRespUser(_DocumentsUser, RedisJsonUser):
    """Does the same directly over RESP, with the Redis of REDIS_URL."""

    _clients: dict[str, Any]

    def on_start(self) -> None:
        """Check the data, reserve scratch keys and write each of them.

        Raises:
            StackError: the data that a run reads is missing.
        """
        self._clients = {name: self._client(operation) for name, operation in OPERATIONS.items()}
        key = f"{KEY_PREFIX}document:type-small"
        try:
            self._clients["read_whole"].get(key)
        except Missing as error:
            raise StackError(
                f"The key {key!r} is not in the Redis that REDIS_URL names. A run's master loads the data before the "
                "users start; let it and the workers have the same REDIS_URL."
            ) from error
        super().on_start()

    def send(self, operation: Operation, key: str, value: Any) -> None:
        """Send the commands of an operation."""
        operation.resp.call(self._clients[operation.name], KEY_PREFIX + key, value)

    def _client(self, operation: Operation) -> Any:
        """Return the client that records requests under an operation's name."""
        client = self.client.labelled(f"{NAME}/resp/{operation.name}", must_exist=True)
        return client.json(decoder=RAW) if "document" in operation.tags else client


def load_data(redis_url: str, progress: Callable[[int, int], None]) -> None:
    """Load the documents that the users read; repeating it changes nothing.

    Raises:
        StackError: Redis is unreachable or has no RedisJSON.
    """
    with RedisStore.of(redis_url) as store:
        SharedData(store, NAME).claim([*map(KEY_PREFIX.__add__, seed.keys())])
    try:
        with client_of(redis_url, _LOADING_TIMEOUT_S) as client:
            seed.load_through(client, progress)
    except (redis.RedisError, redis.exceptions.RedisClusterException) as error:
        raise StackError(
            f"The scenario's data cannot be loaded: {error}. REDIS_URL must name a Redis with RedisJSON that takes "
            "writes under loadtest:. Start one, or correct REDIS_URL."
        ) from error


def remove_data(redis_url: str, run_id: str) -> int:
    """Remove the scratch keys of a run and the data loaded for it; return the number of keys.

    Raises:
        StackError: Redis is unreachable.
    """
    with RedisStore.of(redis_url) as store:
        return Scratch.remove(store, run_id) + SharedData(store, NAME).release()


def __getattr__(name: str) -> Scenario:
    """Create the scenario on first use, since its users depend on the settings."""
    if name != "scenario":
        raise AttributeError(name)
    config = Config.load()
    is_resp_only = config.host is None and not is_one_server(config.redis_url or "")
    through_api = ((operation.http.method, f"{NAME}/{name}") for name, operation in OPERATIONS.items())
    over_resp = (
        (command, f"{NAME}/resp/{name}")
        for name, operation in OPERATIONS.items()
        for command in operation.resp.commands
    )
    return Scenario(
        name=NAME,
        user_classes=(DocumentsRespUser,) if is_resp_only else (DocumentsHttpUser, DocumentsRespUser),
        requests=(*(() if is_resp_only else through_api), *over_resp),
        load_data=load_data,
        remove_data=remove_data,
        notes=("users over RESP alone: the sample target does not use the Redis of REDIS_URL",) if is_resp_only else (),
    )
