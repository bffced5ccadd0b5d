"""OpenApiScenario: a scenario with one task for each operation of an OpenAPI document, with its examples.

All text from the document becomes a Python literal or a one-line comment, so that a document cannot put code into the
scenario.
"""

from __future__ import annotations

import pprint
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode, urlsplit

from loadtest.authoring.schema_example import example, given

if TYPE_CHECKING:
    from loadtest.authoring.openapi_document import Node, OpenApiDocument

_METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
_OWN_CALLS = {"get", "put", "post", "delete", "options", "head", "patch"}
_FORM = "application/x-www-form-urlencoded"
_WIDTH = 100

_HEAD = '''\
"""{title}: a task for each of its operations, with the examples of its OpenAPI document.

All tasks run equally often, in random order: add weights, combine tasks that belong together, and change paths and
bodies to existing data. Operations that need a token send the one of TOKEN_FILE.
"""

from locust import between, task

from loadtest.clients.http import HttpUser
from loadtest.scenarios import Scenario, bearer_headers

NAME = {name!r}


class ApiUser(HttpUser):
    """Calls each operation."""

    scenario = NAME
    wait_time = between(0.5, 1.5)
'''


@dataclass(frozen=True)
class _Operation:
    """One operation, as its task calls it.

    Attributes:
        method: in capital letters.
        name: the last part of the request name; the task is called `call_NAME`, to avoid clashes with methods of User.
        summary: one line, may be empty.
        url: path and query, without the host.
        headers: in addition to that of the token.
        arguments: further arguments of the call, as Python code.
        signed_in: whether it needs a token.
    """

    method: str
    name: str
    summary: str
    url: str
    headers: dict[str, str] = field(default_factory=dict)
    arguments: tuple[str, ...] = ()
    signed_in: bool = False


_MOST_OPERATIONS = 2_000
_LONGEST_CHARS = 2_000_000


def source(document: OpenApiDocument, name: str) -> str:
    """Return the text of a scenario's file.

    Raises:
        UsageError: when references of the document form a circle, it is too large, or a part of it has the wrong form.
    """
    try:
        return _source(document, name)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        reason = f"a part of it has the wrong form ({type(error).__name__}: {str(error)[:200]})"
        raise document.refusal(reason, "validate it, and correct it") from error


def _source(document: OpenApiDocument, name: str) -> str:
    operations: list[_Operation] = []
    length = 0
    for operation in _operations(document):
        operations.append(operation)
        length += len(operation.url) + sum(map(len, operation.arguments))
        if len(operations) > _MOST_OPERATIONS or length > _LONGEST_CHARS:
            raise document.refusal(
                f"its scenario would have over {_MOST_OPERATIONS:,} requests or {_LONGEST_CHARS:,} characters",
                "use the part of it that you want to load",
            )
    title = _line(document.title).replace('"', "'").replace("\\", "/")
    parts = [_HEAD.format(title=title or name, name=name)]
    parts += [_task(operation) for operation in operations]
    pairs = "".join(f'    ("{each.method}", f"{{NAME}}/{each.name}"),\n' for each in operations)
    parts.append(f"\n\nREQUESTS = (\n{pairs})\n")
    parts.append("scenario = Scenario(name=NAME, user_classes=(ApiUser,), requests=REQUESTS)\n")
    return "".join(parts)


def host_of(document: OpenApiDocument) -> str | None:
    """Return the base URL of the document's first server; None without one."""
    url = urlsplit(_server(document))
    return f"{url.scheme}://{url.netloc}" if url.scheme in {"http", "https"} and url.netloc else None


def _server(document: OpenApiDocument) -> str:
    """Return the first server's URL, with the defaults of its variables."""
    servers = document.root.get("servers") or [{"url": ""}]
    url = str(servers[0].get("url", ""))
    for name, variable in servers[0].get("variables", {}).items():
        url = url.replace(f"{{{name}}}", str(variable.get("default", "")))
    return url


def _operations(document: OpenApiDocument) -> Iterator[_Operation]:
    taken: set[str] = set()
    base = urlsplit(_server(document)).path.rstrip("/")
    for path, item in document.root["paths"].items():
        shared = document.resolved(item)
        for method in _METHODS:
            if method in shared:
                yield _operation(document, base + path, method, shared, taken)


def _operation(document: OpenApiDocument, path: str, method: str, item: Node, taken: set[str]) -> _Operation:
    operation = item[method]
    declared = [document.resolved(each) for each in (*item.get("parameters", ()), *operation.get("parameters", ()))]
    parameters = {(each["in"], each["name"]): each for each in declared}  # those of the operation take precedence
    query = {}
    headers = {}
    for (place, name), parameter in parameters.items():
        value = _value(document, parameter)
        if place == "path":
            path = path.replace(f"{{{name}}}", quote(str(value), safe=":"))
        elif place == "query" and (parameter.get("required") or given(parameter)[0]):
            query[name] = value
        elif place == "header" and parameter.get("required"):
            headers[name] = str(value)
    arguments, media_type = _body(document, operation)
    return _Operation(
        method.upper(),
        _named(operation.get("operationId") or f"{method} {path}", taken),
        _line(str(operation.get("summary") or operation.get("description") or "")),
        path + (f"?{urlencode(query, doseq=True)}" if query else ""),
        headers | ({"Content-Type": media_type} if media_type else {}),
        arguments,
        bool(operation.get("security", document.root.get("security"))),
    )


def _value(document: OpenApiDocument, parameter: Node) -> Any:
    found, value = given(parameter)
    return value if found else example(parameter.get("schema", {}), document)


def _body(document: OpenApiDocument, operation: Node) -> tuple[tuple[str, ...], str | None]:
    """Return the argument for the body, and its media type where the client would not set it."""
    content = document.resolved(operation.get("requestBody", {})).get("content", {})
    if not content:
        return (), None
    chosen = next((each for each in content if each.partition(";")[0].endswith(("/json", "+json"))), None)
    media_type = chosen or (_FORM if _FORM in content else next(iter(content)))
    found, value = given(content[media_type])
    value = value if found else example(content[media_type].get("schema", {}), document)
    if chosen is not None:
        return (f"json={_literal(value)}",), None if chosen == "application/json" else chosen
    if isinstance(value, Mapping) and media_type == _FORM:
        return (f"data={_literal(value)}",), None
    return (f"data={str(value)!r}",), media_type


def _task(operation: _Operation) -> str:
    call = (
        f"self.client.{operation.method.lower()}(" if operation.method.lower() in _OWN_CALLS else "self.client.request("
    )
    first = [] if operation.method.lower() in _OWN_CALLS else [repr(operation.method)]
    headers = repr(operation.headers)
    if operation.signed_in:
        headers = f"bearer_headers() | {headers}" if operation.headers else "bearer_headers()"
    arguments = [
        *first,
        repr(operation.url),
        *operation.arguments,
        *([f"headers={headers}"] if operation.headers or operation.signed_in else []),
        f'name=f"{{NAME}}/{operation.name}"',
    ]
    lines = ",\n".join(f"            {argument}" for argument in arguments)
    comment = f"        # {operation.summary}\n" if operation.summary else ""
    return f"\n    @task\n    def call_{operation.name}(self):\n{comment}        {call}\n{lines},\n        )\n"


def _literal(value: object) -> str:
    return pprint.pformat(value, width=_WIDTH, sort_dicts=False).replace("\n", "\n            ")


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
