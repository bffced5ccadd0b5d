"""RedisJSON documents, through the target's API and directly over RESP, beside hashes and plain strings.

Both users do the same operations, `documents/read_whole` through the API and `documents/resp/read_whole` over RESP, so
that the report shows what the API costs on top of Redis, and what a document costs or saves against a hash and a
string. Reads go to the seeded data; each user writes only its own scratch keys, which it makes when it starts and
rewrites before they have grown much.
"""

import random
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import orjson
import redis
from locust import between, tag, task

from loadtest.clients.redis import RAW, RedisJsonClient
from loadtest.clients.redis.commands import JsonCommands
from loadtest.exceptions import StackError
from loadtest.scenarios import Scenario
from loadtest.scenarios._scratch import Scratch
from loadtest.scenarios._users import HttpUser, RedisJsonUser
from target_app import seed
from target_app.store import KEY_PREFIX

NAME = "documents"

# A user thinks 0.3 s on average, so ten of them ask for some 35 requests a second. That is a few percent of a core
# for the generator and for the target: the default run shows the service's own times, not a queue's.
_WAIT_TIME = between(0.1, 0.5)

_SIMPLE = tuple(seed.basic_user(number) for number in range(20))
_COMPLEX = tuple(seed.advanced_user(number) for number in range(20))
_NESTED_PATHS = ("$.generation.name", "$.names[0].language.name", "$.damage_relations.double_damage_to[*].name")
_MORE = " and more"
_MOST_APPENDS = 50
"""How often a user appends to a scratch array or string before it writes the whole document anew."""


class _Turns:
    """What one user has to remember: its scratch keys, its random choices, how much its documents have grown."""

    def __init__(self, scratch: Scratch) -> None:
        self.scratch = scratch
        self.random = random.Random(scratch.name)  # noqa: S311 - the same user chooses the same in every run
        self.array_appends = 0
        self.string_appends = 0
        self.factor = 0.5

    def number(self) -> int:
        """Return the number of a seeded user."""
        return self.random.randrange(seed.USERS)

    def next_factor(self) -> float:
        """Return 2 and 0.5 in turns, so that a product stays where it is."""
        self.factor = 1 / self.factor
        return self.factor


class DocumentsHttpUser(HttpUser):
    """Uses the documents through the target's API."""

    scenario = NAME
    host = "http://127.0.0.1:5000"
    wait_time = _WAIT_TIME
    _turns: _Turns

    def on_start(self) -> None:
        """Take scratch keys and write each of them."""
        self._turns = _Turns(Scratch(self.environment))
        for write in (self.write_simple, self.write_complex, self.write_hash, self.write_string):
            write()

    def on_stop(self) -> None:
        """Give the scratch keys back."""
        self._turns.scratch.release()

    def _scratch(self, collection: str, use: str) -> str:
        return f"/api/v1/{collection}/{self._turns.scratch.key(use)}"

    @tag("read", "document")
    @task(10)
    def read_whole(self) -> None:
        """Read the document of 15 kB."""
        self.client.get("/api/v1/documents/document:type-small", name="documents/read_whole")

    @tag("read", "document")
    @task(4)
    def read_whole_large(self) -> None:
        """Read the document of 55 kB."""
        self.client.get("/api/v1/documents/document:type-large", name="documents/read_whole_large")

    @tag("read", "document")
    @task(10)
    def read_field(self) -> None:
        """Read one field of a user."""
        url = f"/api/v1/documents/document:user-basic-{self._turns.number()}/value?path=$.email"
        self.client.get(url, name="documents/read_field")

    @tag("read", "document")
    @task(6)
    def read_nested(self) -> None:
        """Read a nested path of the large document."""
        path = quote(self._turns.random.choice(_NESTED_PATHS), safe="$.")
        self.client.get(f"/api/v1/documents/document:type-large/value?path={path}", name="documents/read_nested")

    @tag("read", "document")
    @task(3)
    def list_object_keys(self) -> None:
        """List the member names of a nested user."""
        url = f"/api/v1/documents/document:user-advanced-{self._turns.number()}/keys?path=$.address"
        self.client.get(url, name="documents/list_object_keys")

    @tag("write", "document")
    @task(4)
    def write_simple(self) -> None:
        """Write a flat document."""
        body = self._turns.random.choice(_SIMPLE)
        self.client.put(self._scratch("documents", "simple"), json=body, name="documents/write_simple")
        self._turns.string_appends = 0

    @tag("write", "document")
    @task(3)
    def write_complex(self) -> None:
        """Write a nested document."""
        body = self._turns.random.choice(_COMPLEX)
        self.client.put(self._scratch("documents", "complex"), json=body, name="documents/write_complex")
        self._turns.array_appends = 0

    @tag("write", "document")
    @task(4)
    def update_field(self) -> None:
        """Replace one field."""
        url = self._scratch("documents", "simple") + "/value?path=$.city"
        self.client.put(url, json=self._turns.random.choice(_SIMPLE)["city"], name="documents/update_field")

    @tag("write", "document")
    @task(4)
    def increment(self) -> None:
        """Add to a number."""
        url = self._scratch("documents", "simple") + "/increment"
        self.client.post(url, json={"path": "$.visits", "by": 1}, name="documents/increment")

    @tag("write", "document")
    @task(2)
    def multiply(self) -> None:
        """Multiply a number, by 2 and by 0.5 in turns."""
        url = self._scratch("documents", "simple") + "/multiply"
        body = {"path": "$.score", "by": self._turns.next_factor()}
        self.client.post(url, json=body, name="documents/multiply")

    @tag("write", "document")
    @task(2)
    def append_to_array(self) -> None:
        """Append to an array; after many times write the document anew."""
        self._turns.array_appends += 1
        if self._turns.array_appends > _MOST_APPENDS:
            self.write_complex()
            return
        url = self._scratch("documents", "complex") + "/append-to-array"
        self.client.post(url, json={"path": "$.tags", "values": ["new"]}, name="documents/append_to_array")

    @tag("write", "document")
    @task(2)
    def append_to_string(self) -> None:
        """Append to a string; after many times write the document anew."""
        self._turns.string_appends += 1
        if self._turns.string_appends > _MOST_APPENDS:
            self.write_simple()
            return
        url = self._scratch("documents", "simple") + "/append-to-string"
        self.client.post(url, json={"path": "$.bio", "text": _MORE}, name="documents/append_to_string")

    @tag("write", "document", "delete")
    @task(2)
    def delete(self) -> None:
        """Write a document and delete it."""
        url = self._scratch("documents", "deleted")
        self.client.put(url, json=_SIMPLE[0], name="documents/write_simple")
        self.client.delete(url, name="documents/delete")

    @tag("read", "hash")
    @task(4)
    def read_hash(self) -> None:
        """Read a whole hash, the same 15 kB."""
        self.client.get("/api/v1/hashes/hash:type-small", name="documents/hash_read_whole")

    @tag("read", "hash")
    @task(4)
    def read_hash_field(self) -> None:
        """Read one field of a hash."""
        url = f"/api/v1/hashes/hash:user-basic-{self._turns.number()}/fields/email"
        self.client.get(url, name="documents/hash_read_field")

    @tag("write", "hash")
    @task(2)
    def write_hash(self) -> None:
        """Write a whole hash."""
        body = self._turns.random.choice(_SIMPLE)
        self.client.put(self._scratch("hashes", "hash"), json=body, name="documents/hash_write")

    @tag("write", "hash")
    @task(2)
    def update_hash_field(self) -> None:
        """Set one field of a hash."""
        url = self._scratch("hashes", "hash") + "/fields/city"
        self.client.put(url, json=self._turns.random.choice(_SIMPLE)["city"], name="documents/hash_update_field")

    @tag("write", "hash", "delete")
    @task(1)
    def delete_hash(self) -> None:
        """Write a hash and delete it."""
        url = self._scratch("hashes", "deleted-hash")
        self.client.put(url, json=_SIMPLE[0], name="documents/hash_write")
        self.client.delete(url, name="documents/hash_delete")

    @tag("read", "string")
    @task(4)
    def read_string(self) -> None:
        """Read a whole string, the same 15 kB."""
        self.client.get("/api/v1/strings/string:type-small", name="documents/string_read_whole")

    @tag("read", "string")
    @task(4)
    def read_string_field(self) -> None:
        """Read one field of a string; the target parses all of it."""
        url = f"/api/v1/strings/string:user-basic-{self._turns.number()}/fields/email"
        self.client.get(url, name="documents/string_read_field")

    @tag("write", "string")
    @task(2)
    def write_string(self) -> None:
        """Write a whole string."""
        body = self._turns.random.choice(_SIMPLE)
        self.client.put(self._scratch("strings", "string"), json=body, name="documents/string_write")

    @tag("write", "string")
    @task(2)
    def update_string_field(self) -> None:
        """Set one field of a string; the target rewrites all of it."""
        url = self._scratch("strings", "string") + "/fields/city"
        self.client.put(url, json=self._turns.random.choice(_SIMPLE)["city"], name="documents/string_update_field")

    @tag("write", "string", "delete")
    @task(1)
    def delete_string(self) -> None:
        """Write a string and delete it."""
        url = self._scratch("strings", "deleted-string")
        self.client.put(url, json=_SIMPLE[0], name="documents/string_write")
        self.client.delete(url, name="documents/string_delete")


class DocumentsRespUser(RedisJsonUser):
    """Does the same directly over RESP, at the Redis that REDIS_URL names."""

    scenario = NAME
    wait_time = _WAIT_TIME
    _turns: _Turns
    _plain: dict[str, RedisJsonClient]
    _json: dict[str, JsonCommands]

    def on_start(self) -> None:
        """Require the data, take scratch keys and write each of them.

        Raises:
            StackError: the data that a run reads is not there.
        """
        operations = {name for _, name in _RESP_REQUESTS}
        self._plain = {name: self.client.labelled(f"{NAME}/resp/{name}") for name in operations}
        self._json = {name: view.json(decoder=RAW) for name, view in self._plain.items()}
        if self._json["read_whole"].get(_key("document:type-small")) is None:
            raise StackError(
                f"The key {_key('document:type-small')!r} is not in the Redis that REDIS_URL names. A run's master "
                "loads the data before the users start; let it and the workers have the same REDIS_URL."
            )
        self._turns = _Turns(Scratch(self.environment))
        for write in (self.write_simple, self.write_complex, self.write_hash, self.write_string):
            write()

    def on_stop(self) -> None:
        """Give the scratch keys back."""
        self._turns.scratch.release()

    def _scratch(self, use: str) -> str:
        return _key(self._turns.scratch.key(use))

    @tag("read", "document")
    @task(10)
    def read_whole(self) -> None:
        """Read the document of 15 kB."""
        self._json["read_whole"].get(_key("document:type-small"))

    @tag("read", "document")
    @task(4)
    def read_whole_large(self) -> None:
        """Read the document of 55 kB."""
        self._json["read_whole_large"].get(_key("document:type-large"))

    @tag("read", "document")
    @task(10)
    def read_field(self) -> None:
        """Read one field of a user."""
        self._json["read_field"].get(_key(f"document:user-basic-{self._turns.number()}"), "$.email")

    @tag("read", "document")
    @task(6)
    def read_nested(self) -> None:
        """Read a nested path of the large document."""
        self._json["read_nested"].get(_key("document:type-large"), self._turns.random.choice(_NESTED_PATHS))

    @tag("read", "document")
    @task(3)
    def list_object_keys(self) -> None:
        """List the member names of a nested user."""
        self._json["list_object_keys"].objkeys(_key(f"document:user-advanced-{self._turns.number()}"), "$.address")

    @tag("write", "document")
    @task(4)
    def write_simple(self) -> None:
        """Write a flat document."""
        self._json["write_simple"].set(self._scratch("simple"), "$", self._turns.random.choice(_SIMPLE))
        self._turns.string_appends = 0

    @tag("write", "document")
    @task(3)
    def write_complex(self) -> None:
        """Write a nested document."""
        self._json["write_complex"].set(self._scratch("complex"), "$", self._turns.random.choice(_COMPLEX))
        self._turns.array_appends = 0

    @tag("write", "document")
    @task(4)
    def update_field(self) -> None:
        """Replace one field."""
        city = self._turns.random.choice(_SIMPLE)["city"]
        self._json["update_field"].set(self._scratch("simple"), "$.city", city, xx=True)

    @tag("write", "document")
    @task(4)
    def increment(self) -> None:
        """Add to a number."""
        self._json["increment"].numincrby(self._scratch("simple"), "$.visits", 1)

    @tag("write", "document")
    @task(2)
    def multiply(self) -> None:
        """Multiply a number, by 2 and by 0.5 in turns."""
        self._json["multiply"].nummultby(self._scratch("simple"), "$.score", self._turns.next_factor())

    @tag("write", "document")
    @task(2)
    def append_to_array(self) -> None:
        """Append to an array; after many times write the document anew."""
        self._turns.array_appends += 1
        if self._turns.array_appends > _MOST_APPENDS:
            self.write_complex()
            return
        self._json["append_to_array"].arrappend(self._scratch("complex"), "$.tags", "new")

    @tag("write", "document")
    @task(2)
    def append_to_string(self) -> None:
        """Append to a string; after many times write the document anew."""
        self._turns.string_appends += 1
        if self._turns.string_appends > _MOST_APPENDS:
            self.write_simple()
            return
        self._json["append_to_string"].strappend(self._scratch("simple"), _MORE, "$.bio")

    @tag("write", "document", "delete")
    @task(2)
    def delete(self) -> None:
        """Write a document and delete it."""
        self._json["write_simple"].set(self._scratch("deleted"), "$", _SIMPLE[0])
        self._json["delete"].delete(self._scratch("deleted"))

    @tag("read", "hash")
    @task(4)
    def read_hash(self) -> None:
        """Read a whole hash, the same 15 kB."""
        self._plain["hash_read_whole"].hgetall(_key("hash:type-small"))

    @tag("read", "hash")
    @task(4)
    def read_hash_field(self) -> None:
        """Read one field of a hash."""
        self._plain["hash_read_field"].hget(_key(f"hash:user-basic-{self._turns.number()}"), "email")

    @tag("write", "hash")
    @task(2)
    def write_hash(self) -> None:
        """Write a whole hash."""
        self._plain["hash_write"].hset(self._scratch("hash"), mapping=_fields(self._turns.random.choice(_SIMPLE)))

    @tag("write", "hash")
    @task(2)
    def update_hash_field(self) -> None:
        """Set one field of a hash."""
        city = orjson.dumps(self._turns.random.choice(_SIMPLE)["city"])
        self._plain["hash_update_field"].hset(self._scratch("hash"), "city", city)

    @tag("write", "hash", "delete")
    @task(1)
    def delete_hash(self) -> None:
        """Write a hash and delete it."""
        self._plain["hash_write"].hset(self._scratch("deleted-hash"), mapping=_fields(_SIMPLE[0]))
        self._plain["hash_delete"].delete(self._scratch("deleted-hash"))

    @tag("read", "string")
    @task(4)
    def read_string(self) -> None:
        """Read a whole string, the same 15 kB."""
        self._plain["string_read_whole"].get(_key("string:type-small"))

    @tag("read", "string")
    @task(4)
    def read_string_field(self) -> None:
        """Read one field of a string; all of it comes over the wire and is parsed here."""
        text = self._plain["string_read_field"].get(_key(f"string:user-basic-{self._turns.number()}"))
        orjson.loads(text)["email"]

    @tag("write", "string")
    @task(2)
    def write_string(self) -> None:
        """Write a whole string."""
        self._plain["string_write"].set(self._scratch("string"), orjson.dumps(self._turns.random.choice(_SIMPLE)))

    @tag("write", "string")
    @task(2)
    def update_string_field(self) -> None:
        """Set one field of a string: read, change and write back all of it."""
        view, key = self._plain["string_update_field"], self._scratch("string")
        document = orjson.loads(view.get(key))
        document["city"] = self._turns.random.choice(_SIMPLE)["city"]
        view.set(key, orjson.dumps(document))

    @tag("write", "string", "delete")
    @task(1)
    def delete_string(self) -> None:
        """Write a string and delete it."""
        self._plain["string_write"].set(self._scratch("deleted-string"), orjson.dumps(_SIMPLE[0]))
        self._plain["string_delete"].delete(self._scratch("deleted-string"))


def load_data(redis_url: str, progress: Callable[[int, int], None]) -> None:
    """Load the documents that the users read; doing it again changes nothing.

    Raises:
        StackError: Redis is away or has no RedisJSON.
    """
    try:
        seed.load(redis_url, progress)
    except redis.RedisError as error:
        raise StackError(
            f"The scenario's data cannot be loaded: {error}. REDIS_URL must name a Redis with RedisJSON that takes "
            "writes under loadtest:. Start one, or correct REDIS_URL."
        ) from error


def _key(name: str) -> str:
    return KEY_PREFIX + name


def _fields(document: dict[str, Any]) -> dict[Any, Any]:
    return {name: orjson.dumps(value) for name, value in document.items()}


_HTTP_REQUESTS = (
    ("GET", "read_whole"),
    ("GET", "read_whole_large"),
    ("GET", "read_field"),
    ("GET", "read_nested"),
    ("GET", "list_object_keys"),
    ("PUT", "write_simple"),
    ("PUT", "write_complex"),
    ("PUT", "update_field"),
    ("POST", "increment"),
    ("POST", "multiply"),
    ("POST", "append_to_array"),
    ("POST", "append_to_string"),
    ("DELETE", "delete"),
    ("GET", "hash_read_whole"),
    ("GET", "hash_read_field"),
    ("PUT", "hash_write"),
    ("PUT", "hash_update_field"),
    ("DELETE", "hash_delete"),
    ("GET", "string_read_whole"),
    ("GET", "string_read_field"),
    ("PUT", "string_write"),
    ("PUT", "string_update_field"),
    ("DELETE", "string_delete"),
)
_RESP_REQUESTS = (
    ("JSON.GET", "read_whole"),
    ("JSON.GET", "read_whole_large"),
    ("JSON.GET", "read_field"),
    ("JSON.GET", "read_nested"),
    ("JSON.OBJKEYS", "list_object_keys"),
    ("JSON.SET", "write_simple"),
    ("JSON.SET", "write_complex"),
    ("JSON.SET", "update_field"),
    ("JSON.NUMINCRBY", "increment"),
    ("JSON.NUMMULTBY", "multiply"),
    ("JSON.ARRAPPEND", "append_to_array"),
    ("JSON.STRAPPEND", "append_to_string"),
    ("JSON.DEL", "delete"),
    ("HGETALL", "hash_read_whole"),
    ("HGET", "hash_read_field"),
    ("HSET", "hash_write"),
    ("HSET", "hash_update_field"),
    ("DEL", "hash_delete"),
    ("GET", "string_read_whole"),
    ("GET", "string_read_field"),
    ("SET", "string_write"),
    ("GET", "string_update_field"),
    ("SET", "string_update_field"),
    ("DEL", "string_delete"),
)

scenario = Scenario(
    name=NAME,
    user_classes=(DocumentsHttpUser, DocumentsRespUser),
    requests=(
        *((method, f"{NAME}/{operation}") for method, operation in _HTTP_REQUESTS),
        *((command, f"{NAME}/resp/{operation}") for command, operation in _RESP_REQUESTS),
    ),
    load_data=load_data,
)
