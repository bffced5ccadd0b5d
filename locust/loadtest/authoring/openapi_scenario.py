"""OpenApiScenario: a scenario with one task for each resource of an OpenAPI document, using its examples.

All text from the document becomes a Python literal or a one-line comment, so a document cannot inject code into the
scenario.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from loadtest import untrusted
from loadtest.authoring import code_text, parameter_style
from loadtest.authoring.drafted_secrets import is_field, is_named_header
from loadtest.authoring.openapi_access import HELPERS, Access, access_of
from loadtest.authoring.openapi_body import body_of, value_given
from loadtest.authoring.openapi_journey import METHODS, UNIQUE, Journeys, SignIn, Step, journeys_of, keys_of_examples
from loadtest.authoring.schema_example import example, without_secrets

if TYPE_CHECKING:
    from collections.abc import Iterator

    from loadtest.authoring.openapi_document import Node, OpenApiDocument
    from loadtest.exceptions import UsageError

_OWN_CALLS = {"get", "put", "post", "delete", "options", "head", "patch"}
_OWN_HEADERS = {"accept", "content-type", "authorization"}
"""Headers that a document declares elsewhere; parameters with these names are ignored, as OpenAPI requires."""
_MAX_REASONS = 5
_SWITCHING = "101"
_VARIABLE = re.compile(r"\{([^{}]*)\}")
"""A variable in a server's URL. A value may look like another variable, but is not expanded again."""
_WIDTH = 200

_HEAD = '''\
"""{title}: one task per resource, with the example values of its OpenAPI document.

All tasks run equally often, in random order. Add weights, merge tasks that belong together, and replace example values
in paths and bodies with data that exists. Operations that need a token or an API key use TOKEN_FILE; those that need a
user name and a password use the first account in ACCOUNTS_FILE.
"""

{modules}from locust import between, task

from loadtest.clients.http import HttpUser
from loadtest.scenarios import {imports}

NAME = {name!r}


class ApiUser(HttpUser):
    """Calls every operation."""

    scenario = NAME
    wait_time = between(0.5, 1.5)
'''
_SIGN_IN = '''
    def on_start(self):
        """Sign in before the load begins."""
        self.renew_at_s = 0.0
        self.bearer()

    def bearer(self):
        """Return the Authorization header, with the token from TOKEN_FILE or, without one, that of a new account."""
        if not bearer_headers() and time.monotonic() > self.renew_at_s:
            self.sign_in()
        return bearer_headers() or self.token

    def sign_in(self):
        """Create an account and sign in. This is repeated before the token expires, and 10 s after a failure."""
        self.token, self.renew_at_s = {{}}, time.monotonic() + 10.0
{calls}        self.token = {{"Authorization": f"Bearer {{answer.json(){token}}}"}}
        self.renew_at_s = {renew_at}
'''


@dataclass(frozen=True)
class _Operation:
    """One operation as a task calls it.

    Attributes:
        method: in upper case.
        name: the last part of the request name.
        summary: one line, may be empty.
        url: path and query, without the host.
        headers: in addition to those of `access`.
        arguments: further arguments of the call, as Python code.
        access: the credentials that it needs.
        kept: values that are kept from its response: the members that lead to each, by variable.
    """

    method: str
    name: str
    summary: str
    url: str
    headers: dict[str, str]
    arguments: tuple[str, ...]
    access: Access
    kept: dict[str, tuple[str, ...]]


@dataclass
class Draft:
    """The draft of a scenario.

    Attributes:
        text: the content of its file.
        notes: what could not be drafted, and why.
        checks: the data that must exist for its requests to succeed.
    """

    text: str = ""
    notes: list[str] = field(default_factory=list)
    checks: list[str] = field(default_factory=list)


_MAX_OPERATIONS = 2_000
_LONGEST_CHARS = 2_000_000


def draft(document: OpenApiDocument, name: str) -> Draft:
    """Draft a scenario.

    Raises:
        UsageError: when references are circular, the document is too large, or no operation can be drafted.
    """
    drafting = _Drafting(document)
    tasks = "".join(drafting.tasks())
    if not drafting.requests:
        reason = "; ".join(drafting.notes[:_MAX_REASONS]) or "its paths have none"
        raise document.refusal(f"none of its operations can be drafted ({reason})", "validate it, and correct it")
    title = _line(document.title).replace('"', "'").replace("\\", "/")
    imports = ", ".join(["Scenario", *(helper for helper in HELPERS if f"{helper}(" in tasks)])
    modules = ["import time\n"] if "time.monotonic" in tasks else []
    modules += ["from uuid import uuid4\n"] if "uuid4" in tasks else []
    pairs = "".join(f'    ("{method}", f"{{NAME}}/{each}"),\n' for method, each in drafting.requests)
    text = (
        _HEAD.format(title=title or name, name=name, imports=imports, modules="".join(modules) + "\n" * bool(modules))
        + tasks
        + f"\n\nREQUESTS = (\n{pairs})\n"
        + "scenario = Scenario(name=NAME, user_classes=(ApiUser,), requests=REQUESTS)\n"
    )
    return Draft(text, drafting.notes, drafting.checks)


class _Drafting:
    """The draft of one document.

    Attributes:
        requests: method and name of each drafted operation.
        notes: see `Draft`.
        checks: see `Draft`.
    """

    def __init__(self, document: OpenApiDocument) -> None:
        self._document = document
        self._names: dict[int, str] = {}
        self._task_names: set[str] = set()
        self._length = 0
        self._keys: list[str] = []
        self.requests: list[tuple[str, str]] = []
        self.notes: list[str] = []

    @property
    def checks(self) -> list[str]:
        """The data that must exist, in one line."""
        shown = ", ".join(self._keys[:_MAX_REASONS]) + ", …" * (len(self._keys) > _MAX_REASONS)
        return [_line(f"the document's examples must exist as data of the service: {shown}")] if self._keys else []

    def tasks(self) -> Iterator[str]:
        """Yield the source of the sign-in, then of each task."""
        steps = list(itertools.islice(_steps(self._document, self.notes), _MAX_OPERATIONS + 1))
        if len(steps) > _MAX_OPERATIONS:
            raise self._too_large()
        try:
            journeys = journeys_of(self._document, steps)
        except untrusted.WRONG_FORM:  # malformed parts are noted below
            journeys = Journeys([[step] for step in steps])
        drafted = [[made for step in task if (made := self._made(step))] for task in journeys.tasks]
        sign_in = journeys.sign_in and self._sign_in(journeys.sign_in)
        if sign_in:
            yield sign_in
        for task, operations in zip(journeys.tasks, drafted, strict=True):
            if operations:
                begin = task[0].path.partition("{")[0]
                text = operations[0].name if len(operations) == 1 else begin
                yield _task(_named(text, self._task_names), operations, bearer="self.bearer()" if sign_in else None)

    def _made(self, step: Step) -> _Operation | None:
        """Return an operation, or note why it cannot be drafted."""
        where = f"{step.method.upper()} {step.path}"
        try:
            made = _operation(self._document, step, self.notes)
            self._keys += [f"{name} of {where}" for name in keys_of_examples(self._document, step)]
        except (*untrusted.WRONG_FORM, SyntaxError) as error:
            reason = str(error) if type(error) is ValueError else f"it is malformed ({type(error).__name__})"
            self.notes.append(_line(f"{where}: {reason}"))
            return None
        identity = id(step.operation)
        if identity not in self._names:
            self._names[identity] = _named(made.name, set(self._names.values()))
            self.requests.append((made.method, self._names[identity]))
        self._length += len(made.url) + sum(map(len, made.arguments))
        if self._length > _LONGEST_CHARS:
            raise self._too_large()
        return replace(made, name=self._names[identity])

    def _too_large(self) -> UsageError:
        return self._document.refusal(
            f"its scenario would have over {_MAX_OPERATIONS:,} requests or {_LONGEST_CHARS:,} characters",
            "cut it down to the part that you want to load",
        )

    def _sign_in(self, found: SignIn) -> str:
        operations = [made for step in found.steps if (made := self._made(step))]
        if len(operations) < len(found.steps):
            return ""
        operations = [replace(made, kept={"answer": ()}) for made in operations]
        member = "".join(f"[{name!r}]" for name in found.lifetime)
        valid_s = f"time.monotonic() + 0.9 * answer.json(){member}" if found.lifetime else 'float("inf")'
        token = "".join(f"[{name!r}]" for name in found.token)
        return _SIGN_IN.format(calls=_calls(operations), token=token, renew_at=valid_s)


def host_of(document: OpenApiDocument) -> str | None:
    """Return the base URL of the document's first server, without credentials; None if it has no server."""
    url = urlsplit(_server(document.root))
    place = url.netloc.rpartition("@")[2]
    return f"{url.scheme}://{place}" if url.scheme in {"http", "https"} and place else None


def _server(*holders: Node) -> str:
    """Return the first server's URL from the first holder that has servers, with the defaults of its variables."""
    server: Node = next((holder["servers"][0] for holder in holders if holder.get("servers")), {})
    variables = server.get("variables", {})
    return _VARIABLE.sub(
        lambda found: str(variables[found[1]].get("default", "")) if found[1] in variables else found[0],
        str(server.get("url", "")),
    )


def _steps(document: OpenApiDocument, notes: list[str]) -> Iterator[Step]:
    for path, found in document.root["paths"].items():
        try:
            item = document.resolved(found)
            methods = [method for method in METHODS if method in item]
            for method in methods:
                if not isinstance(item[method], dict):
                    notes.append(_line(f"{method.upper()} {path}: it is malformed (not an object)"))
                elif _SWITCHING in map(str, item[method].get("responses") or ()):
                    notes.append(_line(f"{method.upper()} {path}: it opens another protocol; see WebSocketUser"))
                else:
                    yield Step(path, method, item)
        except untrusted.WRONG_FORM as error:
            notes.append(_line(f"{path}: it is malformed ({type(error).__name__})"))


def _operation(document: OpenApiDocument, step: Step, notes: list[str]) -> _Operation:
    operation = step.operation
    server = urlsplit(_server(operation, step.item, document.root))
    where = f"{step.method.upper()} {step.path}"
    if server.netloc != urlsplit(_server(document.root)).netloc:
        notes.append(_line(f"{where}: it is drafted for HOST, but its own server is {server.netloc}"))
    sent = _Parameters.of(document, step)
    body = body_of(document, operation, {name: text for (place, name), text in step.values.items() if place == "body"})
    access = access_of(document, operation, sent.cookies)
    if access.note:
        notes.append(_line(f"{where}: {access.note}"))
    if sent.cookies and not access.has_cookie:
        sent.headers["Cookie"] = "; ".join(sent.cookies)
    return _Operation(
        step.method.upper(),
        operation.get("operationId") or f"{step.method} {step.path}",
        _line(str(operation.get("summary") or operation.get("description") or "")),
        server.path.rstrip("/") + sent.path + ("?" if sent.query else "") + "&".join(map("=".join, sent.query)),
        sent.headers | ({"Content-Type": body.media_type} if body.media_type else {}),
        body.arguments,
        access,
        step.kept,
    )


@dataclass
class _Parameters:
    """The parameters of an operation, serialised."""

    path: str
    query: list[tuple[str, str]] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    cookies: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, document: OpenApiDocument, step: Step) -> _Parameters:
        declared = map(document.resolved, (*step.item.get("parameters", ()), *step.operation.get("parameters", ())))
        sent = cls(step.path)
        for (place, name), parameter in {(each["in"], each["name"]): each for each in declared}.items():
            if place == "path" or parameter.get("required") or _has_example(document, parameter):
                sent._add(place, name, step.values.get((place, name)) or _value(document, parameter), parameter)
        if missing := re.search(r"\{[^{}]*\}", sent.path):
            raise ValueError(f"no parameter declares {missing.group()} in its path")
        return sent

    def _add(self, place: str, name: str, value: Any, parameter: Node) -> None:
        style = parameter.get("style", parameter_style.DEFAULT[place])
        explode = parameter.get("explode", style in ("form", "deepObject"))
        if place == "path":
            written = parameter_style.in_path(name, value, style, explode=explode)
            self.path = self.path.replace(f"{{{name}}}", written)
        elif place == "header" and name.lower() not in _OWN_HEADERS:
            self.headers[name] = parameter_style.in_header(value, explode=explode)
        elif place in ("query", "cookie"):
            pairs = parameter_style.query_pairs(name, value, style, explode=explode)
            if place == "query":
                self.query += pairs
            else:
                self.cookies += map("=".join, pairs)


def _has_example(document: OpenApiDocument, parameter: Node) -> bool:
    """Return whether a parameter or its schema has a value of its own, not counting defaults and enums."""
    schema = document.resolved(parameter.get("schema") or {})
    return any(value_given(document, _without_default(each))[0] for each in (parameter, schema))


def _without_default(holder: Node) -> Node:
    return {name: value for name, value in holder.items() if name not in ("default", "enum")}


def _value(document: OpenApiDocument, parameter: Node) -> Any:
    """Return a parameter's value; if it has a media type of its own, as JSON."""
    content = parameter.get("content", {})
    holder = next(iter(content.values()), parameter)
    found, value = value_given(document, {**holder, **parameter})
    schema, name = holder.get("schema", {}), str(parameter["name"])
    is_secret = is_field(name) or (parameter["in"] in ("header", "cookie") and is_named_header(name))
    value = (
        without_secrets(value, schema, document, is_secret=is_secret)
        if found
        else example(schema, document, is_secret=is_secret)
    )
    return parameter_style.text_of(value) if content else value


def _task(name: str, operations: list[_Operation], bearer: str | None) -> str:
    return f"\n    @task\n    def call_{name}(self):\n{_calls(operations, bearer)}"


def _calls(operations: list[_Operation], bearer: str | None = None) -> str:
    """Return the source of several requests; a failed request whose response is needed ends the task."""
    lines = []
    for operation in operations:
        lines.append(_call(operation, bearer, "answer = " if operation.kept else ""))
        if operation.kept:
            lines.append("        if not answer.ok:\n            return\n")
            lines += [
                f"        {variable} = answer.json()" + "".join(f"[{name!r}]" for name in path) + "\n"
                for variable, path in operation.kept.items()
                if path
            ]
    source = "".join(lines)
    return f"        {UNIQUE} = uuid4().hex[:12]\n{source}" if f"{{{UNIQUE}}}" in source else source


def _call(operation: _Operation, bearer: str | None, kept: str) -> str:
    own = operation.method.lower() in _OWN_CALLS
    access = [bearer if bearer and each == "bearer_headers()" else each for each in operation.access.headers]
    headers = " | ".join([*access, *([code_text.filled(repr(operation.headers))] if operation.headers else [])])
    arguments = [
        *([] if own else [repr(operation.method)]),
        code_text.filled(repr(operation.url)),
        *(code_text.filled_argument(argument) for argument in operation.arguments),
        *([f"params={operation.access.params}"] if operation.access.params else []),
        *([f"headers={headers}"] if headers else []),
        f'name=f"{{NAME}}/{operation.name}"',
    ]
    lines = ",\n".join(f"            {argument}" for argument in arguments)
    comment = f"        # {operation.summary}\n" if operation.summary else ""
    method = operation.method.lower() if own else "request"
    return f"{comment}        {kept}self.client.{method}(\n{lines},\n        )\n"


def _named(text: str, taken: set[str]) -> str:
    """Return a unique name for an operation."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", text)
    name = re.sub(r"[^a-z0-9]+", "_", words.lower()).strip("_")[:60] or "operation"
    unique, number = name, 2
    while unique in taken:
        unique, number = f"{name}_{number}", number + 1
    taken.add(unique)
    return unique


def _line(text: str) -> str:
    """Return a text as one line of printable characters."""
    return "".join(character for character in " ".join(text.split()) if character.isprintable())[:_WIDTH]
