"""OpenApiScenario: a scenario with one task for each operation of an OpenAPI document, with its examples.

All text from the document becomes a Python literal or a one-line comment, so that a document cannot put code into the
scenario.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from loadtest.authoring import parameter_style
from loadtest.authoring.openapi_access import HELPERS, Access, access_of
from loadtest.authoring.openapi_body import body_of, value_given
from loadtest.authoring.schema_example import example

if TYPE_CHECKING:
    from collections.abc import Iterator

    from loadtest.authoring.openapi_document import Node, OpenApiDocument

_METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
_OWN_CALLS = {"get", "put", "post", "delete", "options", "head", "patch"}
_OWN_HEADERS = {"accept", "content-type", "authorization"}
"""What a document declares elsewhere; as parameters they are ignored, as OpenAPI says."""
_MOST_REASONS = 5
_WIDTH = 200

_HEAD = '''\
"""{title}: a task for each of its operations, with the examples of its OpenAPI document.

All tasks run equally often, in random order: add weights, combine tasks that belong together, and change paths and
bodies to existing data. Operations that need a token or a key send the one of TOKEN_FILE,
those that need a name and a password the first account of ACCOUNTS_FILE.
"""

from locust import between, task

from loadtest.clients.http import HttpUser
from loadtest.scenarios import {imports}

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
        headers: in addition to those of its access.
        arguments: further arguments of the call, as Python code.
        access: what it needs to be let in.
    """

    method: str
    name: str
    summary: str
    url: str
    headers: dict[str, str]
    arguments: tuple[str, ...]
    access: Access


@dataclass
class Draft:
    """A scenario's draft.

    Attributes:
        text: of its file.
        notes: what could not be drafted, and why.
    """

    text: str = ""
    notes: list[str] = field(default_factory=list)


_MOST_OPERATIONS = 2_000
_LONGEST_CHARS = 2_000_000


def draft(document: OpenApiDocument, name: str) -> Draft:
    """Draft a scenario.

    Raises:
        UsageError: when references of the document form a circle, it is too large, or no operation can be drafted.
    """
    found = Draft()
    operations: list[_Operation] = []
    length = 0
    for operation in _operations(document, found.notes):
        operations.append(operation)
        length += len(operation.url) + sum(map(len, operation.arguments))
        if len(operations) > _MOST_OPERATIONS or length > _LONGEST_CHARS:
            raise document.refusal(
                f"its scenario would have over {_MOST_OPERATIONS:,} requests or {_LONGEST_CHARS:,} characters",
                "use the part of it that you want to load",
            )
    if not operations:
        reason = "; ".join(found.notes[:_MOST_REASONS]) or "its paths have none"
        raise document.refusal(f"no operation of it can be drafted ({reason})", "validate it, and correct it")
    title = _line(document.title).replace('"', "'").replace("\\", "/")
    tasks = "".join(_task(operation) for operation in operations)
    imports = ", ".join(["Scenario", *(helper for helper in HELPERS if f"{helper}(" in tasks)])
    pairs = "".join(f'    ("{each.method}", f"{{NAME}}/{each.name}"),\n' for each in operations)
    found.text = (
        _HEAD.format(title=title or name, name=name, imports=imports)
        + tasks
        + f"\n\nREQUESTS = (\n{pairs})\n"
        + "scenario = Scenario(name=NAME, user_classes=(ApiUser,), requests=REQUESTS)\n"
    )
    return found


def host_of(document: OpenApiDocument) -> str | None:
    """Return the base URL of the document's first server; None without one."""
    url = urlsplit(_server(document.root))
    return f"{url.scheme}://{url.netloc}" if url.scheme in {"http", "https"} and url.netloc else None


def _server(*holders: Node) -> str:
    """Return the first server's URL of the first that has servers, with the defaults of its variables."""
    server: Node = next((holder["servers"][0] for holder in holders if holder.get("servers")), {})
    url = str(server.get("url", ""))
    for name, variable in server.get("variables", {}).items():
        url = url.replace(f"{{{name}}}", str(variable.get("default", "")))
    return url


def _operations(document: OpenApiDocument, notes: list[str]) -> Iterator[_Operation]:
    taken: set[str] = set()
    for path, found in document.root["paths"].items():
        item = found
        for method in _METHODS:
            try:
                item = document.resolved(found)
                if method not in item:
                    continue
                operation = _operation(document, path, method, item, notes)
            except (LookupError, TypeError, ValueError, AttributeError, RecursionError) as error:
                reason = str(error) if isinstance(error, ValueError) else f"its form is wrong ({type(error).__name__})"
                notes.append(_line(f"{method.upper()} {path}: {reason}"))
                if item is found:
                    break
                continue
            yield replace(operation, name=_named(operation.name, taken))


def _operation(document: OpenApiDocument, path: str, method: str, item: Node, notes: list[str]) -> _Operation:
    operation = item[method]
    declared = [document.resolved(each) for each in (*item.get("parameters", ()), *operation.get("parameters", ()))]
    parameters = {(each["in"], each["name"]): each for each in declared}  # those of the operation take precedence
    server = urlsplit(_server(operation, item, document.root))
    if server.netloc != urlsplit(_server(document.root)).netloc:
        notes.append(_line(f"{method.upper()} {path}: it is drafted for HOST, but its own server is {server.netloc}"))
    url = path
    query: list[tuple[str, str]] = []
    headers, cookies = {}, []
    for (place, name), parameter in parameters.items():
        value = _value(document, parameter)
        style = parameter.get("style", parameter_style.DEFAULT[place])
        explode = parameter.get("explode", style in ("form", "deepObject"))
        is_sent = parameter.get("required") or value_given(document, parameter)[0]
        if place == "path":
            url = url.replace(f"{{{name}}}", parameter_style.in_path(name, value, style, explode=explode))
        elif place == "query" and is_sent:
            query += parameter_style.query_pairs(name, value, style, explode=explode)
        elif place == "header" and is_sent and name.lower() not in _OWN_HEADERS:
            headers[name] = parameter_style.in_header(value, explode=explode)
        elif place == "cookie" and is_sent:
            cookies += ["=".join(pair) for pair in parameter_style.query_pairs(name, value, style, explode=explode)]
    if missing := re.search(r"\{[^{}]*\}", url):
        raise ValueError(f"no parameter says what {missing.group()} in its path is")
    body = body_of(document, operation)
    access = access_of(document, operation, cookies)
    if access.note:
        notes.append(_line(f"{method.upper()} {path}: {access.note}"))
    if cookies and not access.has_cookie:
        headers["Cookie"] = "; ".join(cookies)
    return _Operation(
        method.upper(),
        operation.get("operationId") or f"{method} {path}",
        _line(str(operation.get("summary") or operation.get("description") or "")),
        server.path.rstrip("/") + url + ("?" if query else "") + "&".join("=".join(pair) for pair in query),
        headers | ({"Content-Type": body.media_type} if body.media_type else {}),
        body.arguments,
        access,
    )


def _value(document: OpenApiDocument, parameter: Node) -> Any:
    """Return a parameter's value; one with a media type of its own is written as JSON."""
    content = parameter.get("content", {})
    holder = next(iter(content.values()), parameter)
    found, value = value_given(document, {**holder, **parameter})
    value = value if found else example(holder.get("schema", {}), document)
    return parameter_style.text_of(value) if content else value


def _task(operation: _Operation) -> str:
    call = (
        f"self.client.{operation.method.lower()}(" if operation.method.lower() in _OWN_CALLS else "self.client.request("
    )
    first = [] if operation.method.lower() in _OWN_CALLS else [repr(operation.method)]
    headers = " | ".join([*operation.access.headers, *([repr(operation.headers)] if operation.headers else [])])
    arguments = [
        *first,
        repr(operation.url),
        *operation.arguments,
        *([f"params={operation.access.params}"] if operation.access.params else []),
        *([f"headers={headers}"] if headers else []),
        f'name=f"{{NAME}}/{operation.name}"',
    ]
    lines = ",\n".join(f"            {argument}" for argument in arguments)
    comment = f"        # {operation.summary}\n" if operation.summary else ""
    return f"\n    @task\n    def call_{operation.name}(self):\n{comment}        {call}\n{lines},\n        )\n"


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
