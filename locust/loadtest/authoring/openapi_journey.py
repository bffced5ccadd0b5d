"""OpenApiJourney: group the operations of a document into tasks, order them, and pass values from one to another.

The operations on a resource form one task: create, change, read and delete it. Its key comes from the response to its
creation (POST), or is new each time if the client chooses it (PUT). A sign-up uses a new name each time, the sign-in
after it uses the same name, and operations with a bearer token use the token of a sign-in.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from loadtest.authoring import code_text
from loadtest.authoring.schema_example import example, fits, members

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from loadtest.authoring.openapi_document import Node, OpenApiDocument

METHODS: Final = ("post", "put", "patch", "get", "head", "options", "trace", "delete")
"""OpenAPI's methods, in the order of a resource's life."""
UNIQUE: Final = "unique"
"""The task variable that holds twelve letters and digits, different each time."""
_CREATES, _CHANGES, _READS, _DELETES = range(4)
_RANKS: Final = {"post": _CHANGES, "put": _CHANGES, "patch": _CHANGES, "delete": _DELETES}
_PARAMETER: Final = re.compile(r"\{([^{}]*)\}")
_KEYS: Final = ("id", "uuid", "guid", "key", "slug", "name", "code", "number")
_TOKENS: Final = ("accesstoken", "access", "token", "jwt", "idtoken", "authtoken", "bearer", "bearertoken")
_SIGN_UP: Final = re.compile(r"sign.?up|regist|create|users?/?$|accounts?/?$|customers?/?$|join", re.IGNORECASE)
_MAX_SIGN_INS: Final = 20
"""A limit, because each sign-in is compared with all operations."""
_UNIQUE_NAMES: Final = ("email", "mail", "username", "login", "user", "account", "name")


@dataclass(frozen=True)
class Step:
    """One operation of a journey.

    Attributes:
        path: its path.
        method: in lower case.
        item: the node of its path.
        values: texts with marks that replace examples, by place (path, body) and name.
        kept: values that are kept from its response: the members that lead to each, by variable.
    """

    path: str
    method: str
    item: Node
    values: dict[tuple[str, str], str] = field(default_factory=dict)
    kept: dict[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def operation(self) -> Node:
        """The node of the operation."""
        found: Node = self.item[self.method]
        return found


@dataclass(frozen=True)
class SignIn:
    """The way in which a user gets a token.

    Attributes:
        steps: a sign-up and a sign-in.
        token: the members of the last response that lead to the token.
        lifetime: the members that lead to its lifetime in seconds; empty if the document does not show them.
    """

    steps: tuple[Step, ...]
    token: tuple[str, ...]
    lifetime: tuple[str, ...]


@dataclass
class Journeys:
    """The tasks of a draft's users.

    Attributes:
        tasks: the steps of each task.
        sign_in: the way in which they get a token; None if the document does not show it.
    """

    tasks: list[list[Step]]
    sign_in: SignIn | None = None


def journeys_of(document: OpenApiDocument, steps: Iterable[Step]) -> Journeys:
    """Arrange the operations of a document into tasks.

    Raises:
        LookupError, TypeError, ValueError, AttributeError: when a part is malformed in a way that reading the document
            did not detect.
    """
    steps = list(steps)
    ups = [step for step in steps if _is_sign_up(document, step)]
    found_ins = (found for step in steps if (found := _sign_in(document, step, ups)))
    sign_ins = list(itertools.islice(found_ins, _MAX_SIGN_INS))
    taken: set[int] = set()
    accounts: list[list[Step]] = []
    for found in sign_ins:
        task = [*found.steps, *_refreshes(document, found.steps[-1], steps)]
        if not taken & set(map(_identity, task)):
            taken |= set(map(_identity, task))
            accounts.append(task)
    others = _groups(step for step in steps if _identity(step) not in taken)
    tasks = [*accounts, *(_life(document, group) for group in others)]
    secured = [step for step in steps if _is_secured(document, step)]
    best = max(sign_ins, key=lambda one: _shared(one.steps[-1], secured), default=None) if secured else None
    return Journeys(tasks, best)


def _identity(step: Step) -> int:
    return id(step.operation)


def keys_of_examples(document: OpenApiDocument, step: Step) -> list[str]:
    """Return the names of the keys in an operation's path and body that no other operation provides."""
    of_path = [found[1] for found in _PARAMETER.finditer(step.path)]
    of_body = [name for name in _fields(document, step) if re.search(r"[^A-Z]I[dD]$|_id$", name)]
    places = [*(("path", name) for name in of_path), *(("body", name) for name in of_body)]
    return [name for place, name in places if (place, name) not in step.values]


# --- Resources


def _groups(steps: Iterable[Step]) -> list[list[Step]]:
    """Group operations by the path before their first parameter."""
    groups: dict[str, list[Step]] = {}
    with_parameter = set()
    for step in steps:
        begin, brace, _ = step.path.partition("{")
        groups.setdefault(begin.rstrip("/"), []).append(step)
        with_parameter |= {begin.rstrip("/")} if brace else set()
    return [
        part
        for begin, group in groups.items()
        for part in ([group] if begin in with_parameter else [[step] for step in group])
    ]


def _life(document: OpenApiDocument, group: list[Step]) -> list[Step]:
    """Sort the operations on a resource, and set its keys in them."""
    by_place = {(step.path.rstrip("/"), step.method): step for step in group}
    creators: list[int] = []
    for prefix, name in dict.fromkeys(_keys(group)):
        creator = by_place.get((prefix.rpartition("/")[0].rstrip("/"), "post"))
        chosen = by_place.get((prefix, "put"))
        value = _given_key(document, creator, name, prefix) or (
            _chosen_key(document, chosen, name) if chosen and creator is None else None
        )
        if value is None:
            continue
        creators += [_identity(each) for each in (creator or chosen,) if each]
        for step in group:
            if step.path.startswith(prefix):
                step.values["path", name] = value
    return sorted(group, key=lambda step: _order(step, creators))


def _keys(group: list[Step]) -> Iterable[tuple[str, str]]:
    """Yield each prefix of a path whose last segment is a parameter alone, with the parameter's name."""
    for step in sorted(group, key=lambda step: len(step.path)):
        for found in _PARAMETER.finditer(step.path):
            if step.path[found.start() - 1] == "/" and step.path[found.end() : found.end() + 1] in ("", "/"):
                yield step.path[: found.end()], found[1]


def _order(step: Step, creators: list[int]) -> tuple[int, int]:
    if _identity(step) in creators:
        return _CREATES, len(step.path)
    rank = _RANKS.get(step.method, _READS)
    return rank, -len(step.path) if rank == _DELETES else 0


def _given_key(document: OpenApiDocument, creator: Step | None, name: str, prefix: str) -> str | None:
    """Return the mark of a key that the response to a creation contains."""
    if creator is None:
        return None
    plain = _plain(name)
    wanted = [plain, *(ending for ending in _KEYS if plain.endswith(ending)), "id"]
    found = _member(_answer(document, creator), wanted, document)
    if not found:
        return None
    variable = f"{_variable(name)}_{prefix.count('{')}" if prefix.count("{") > 1 else _variable(name)
    creator.kept[variable] = found
    return code_text.mark(variable)


def _chosen_key(document: OpenApiDocument, step: Step, name: str) -> str | None:
    """Return a text that is a different key each time, if the schema allows one."""
    declared = map(document.resolved, (*step.item.get("parameters", ()), *step.operation.get("parameters", ())))
    schema = next(({**each.get("schema", {}), **_examples(each)} for each in declared if each.get("name") == name), {})
    return unique_text(schema, document)


def _examples(parameter: Node) -> dict[str, Any]:
    return {"example": parameter["example"]} if "example" in parameter else {}


def unique_text(schema: Node, document: OpenApiDocument) -> str | None:
    """Return a text with the mark of `UNIQUE` that the schema allows, similar to its example; None if there is none."""
    schema = document.resolved(schema)
    try:
        near = example(schema, document)
    except ValueError:
        return None
    if not isinstance(near, str):
        return None
    unique = code_text.mark(UNIQUE)
    at, host = near.partition("@")[::2]
    nearest = f"{at}-{unique}@{host}" if host else f"{near}-{unique}"
    choices = (nearest, f"{near}{unique}", unique, f"00000000-0000-4000-8000-{unique}")
    return next((text for text in choices if fits(code_text.sample(text, "0123456789ab"), schema)), None)


# --- Accounts


def _sign_in(document: OpenApiDocument, step: Step, sign_ups: list[Step]) -> SignIn | None:
    """Return how users sign up and sign in, if this operation returns a token for a password; otherwise None."""
    fields = _fields(document, step)
    answer = _answer(document, step)
    token = _member(answer, _TOKENS, document)
    if step.method != "post" or not token or not _passwords(fields) or _is_secured(document, step):
        return None
    ups = (each for each in sign_ups if each is not step)
    up = max(ups, key=lambda each: _shared(each, [step]), default=None)
    if up is None:
        return None
    of_up = _fields(document, up)
    unique = {
        name: text
        for name, schema in of_up.items()
        if _plain(name) in _UNIQUE_NAMES[:-1] and (text := unique_text(schema, document))
    }
    if not unique:
        return None
    first = next(iter(unique.values()))
    passwords = _passwords(of_up)
    password = str(example(of_up[passwords[0]], document, is_secret=True))
    up_values = {("body", name): text for name, text in unique.items()}
    in_values = {("body", name): unique.get(name, first) for name in fields if _plain(name) in _UNIQUE_NAMES}
    up_values |= {("body", name): password for name in passwords}
    in_values |= {("body", name): password for name in _passwords(fields)}
    lifetime = _member(answer, ("expiresin", "expiresins", "expires", "lifetime", "ttl"), document)
    pair = (Step(up.path, up.method, up.item, up_values), Step(step.path, step.method, step.item, in_values))
    return SignIn(pair, token, lifetime)


def _is_sign_up(document: OpenApiDocument, step: Step) -> bool:
    is_named = _SIGN_UP.search(step.path) or _SIGN_UP.search(str(step.operation.get("operationId", "")))
    makes_one = step.method == "post" and not _is_secured(document, step) and _passwords(_fields(document, step))
    return bool(is_named and makes_one and not _PARAMETER.search(step.path))


def _refreshes(document: OpenApiDocument, sign_in: Step, steps: list[Step]) -> list[Step]:
    """Return the operations that exchange a token from the sign-in's response, and have the sign-in keep that token."""
    answer = _answer(document, sign_in)
    found = []
    for step in steps:
        names = [name for name in _fields(document, step) if "refresh" in _plain(name)]
        kept = _member(answer, [_plain(name) for name in names[:1]], document)
        if step.method == "post" and kept and not _PARAMETER.search(step.path):
            variable = _variable(names[0])
            sign_in.kept[variable] = kept
            found.append(Step(step.path, step.method, step.item, {("body", names[0]): code_text.mark(variable)}))
    return found


def _passwords(fields: Mapping[str, Node]) -> list[str]:
    return [name for name in fields if _plain(name).startswith(("password", "passwd")) or _plain(name) == "pwd"]


def _shared(step: Step, others: Iterable[Step]) -> int:
    """Return how similar an operation's tags and path are to those of others."""
    tags = set(map(str, step.operation.get("tags", ())))
    return sum(
        100 * bool(tags & set(map(str, other.operation.get("tags", ())))) + _common(step.path, other.path)
        for other in others
    )


def _common(first: str, second: str) -> int:
    return next((at for at, pair in enumerate(zip(first, second, strict=False)) if pair[0] != pair[1]), 0)


def _is_secured(document: OpenApiDocument, step: Step) -> bool:
    alternatives = step.operation.get("security", document.root.get("security")) or []
    return bool(alternatives) and all(alternatives)


# --- What goes in and comes out


def _fields(document: OpenApiDocument, step: Step) -> dict[str, Node]:
    """Return the members of the body, by name."""
    content = document.resolved(step.operation.get("requestBody", {})).get("content", {})
    return next((found for each in content.values() if (found := members(each.get("schema", {}), document))), {})


def _answer(document: OpenApiDocument, step: Step) -> dict[str, Node]:
    """Return the members of the response to a successful request, by name."""
    for status, answer in step.operation.get("responses", {}).items():
        if str(status).startswith("2"):
            for media_type, each in document.resolved(answer).get("content", {}).items():
                if "json" in media_type or "*" in media_type:
                    return members(each.get("schema", {}), document)
    return {}


def _member(answer: Mapping[str, Node], wanted: Iterable[str], document: OpenApiDocument) -> tuple[str, ...]:
    """Return the names that lead to the first of the wanted members, in the response or in an object within it."""
    wanted = list(wanted)
    for plain in wanted:
        for name in answer:
            if _plain(name) == plain and not members(answer[name], document):
                return (name,)
    for name, inner in answer.items():
        for plain in wanted:
            for member in members(inner, document):
                if _plain(member) == plain:
                    return name, member
    return ()


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", str(name).lower())


def _variable(name: str) -> str:
    return f"the_{re.sub(r'[^a-z0-9]+', '_', name.lower()).strip('_') or 'key'}"[:60]
