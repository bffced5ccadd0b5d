"""Usage: finds features of Locust's HTTP clients in Python sources that this product's client lacks or handles
differently.

The source is parsed, not run. Names of clients and responses are followed through assignments in the same source;
parameters are recognised by their usual names.

Tested in tests/unit/scenarios/test_fast.py.
"""

from __future__ import annotations

import ast
import sys
from typing import TYPE_CHECKING, Any, Final

from locust import FastHttpUser, HttpUser
from locust.clients import HttpSession, ResponseContextManager
from locust.contrib.fasthttp import FastHttpSession, FastResponse

from loadtest.clients.http.client import HttpClient
from loadtest.clients.http.response import CaughtResponse
from loadtest.clients.http.stock import NOT_SET, SessionClient

if TYPE_CHECKING:
    from collections.abc import Iterator

_CALLS: Final = {"get": 1, "post": 3, "put": 2, "patch": 2, "delete": 1, "options": 1, "head": 1, "request": 3}
"""The calls of a client, and how many arguments may be positional."""
_REST: Final = ("rest", "rest_")
_ARGUMENTS: Final = frozenset(
    (
        *("method", "url", "name", "data", "json", "files", "params", "headers", "auth", "timeout", "allow_redirects"),
        *("catch_response", "context", "expect"),
    )
)
_COOKIES: Final = frozenset({"get", "clear", "update", "pop", "items", "keys", "values"})
_LIBRARIES: Final = ("requests", "urllib3", "geventhttpclient", "locust.clients", "locust.contrib")
_CLIENTS: Final = frozenset({"client", "session"})
_RESPONSES: Final = frozenset({"response", "resp", "res", "rsp", "r"})


def _public(*kinds: type) -> set[str]:
    return {name for kind in kinds for name in dir(kind) if not name.startswith("_")}


_MISSING: Final[dict[type[Any], tuple[set[str], set[str]]]] = {
    HttpUser: (
        (_public(HttpSession) | NOT_SET) - _public(SessionClient),
        (_public(ResponseContextManager) | {"raw"}) - _public(CaughtResponse) | {"iter_content", "iter_lines"},
    ),
    FastHttpUser: (
        (_public(FastHttpSession) | {"client"}) - _public(HttpClient),
        _public(FastResponse) - _public(CaughtResponse),
    ),
}
"""For each stock class, the features of its client and its responses that ours lack or handle differently."""


class Usage:
    """The features that a source uses.

    Args:
        tree: the source.
        stock: the Locust class whose client it was written for.

    Attributes:
        findings: line and description of each feature that requires that client.
        calls: the lines with calls of a client.
        unverified: those of them with verify=False.
    """

    def __init__(self, tree: ast.Module, stock: type[Any]) -> None:
        self.findings: list[tuple[int, str]] = []
        self.calls: list[int] = []
        self.unverified: list[int] = []
        self._is_session = stock is HttpUser
        self._arguments = _ARGUMENTS if self._is_session else _ARGUMENTS | {"stream"}
        self._stock = stock.__name__
        self._of_client, self._of_response = _MISSING[stock]
        self._origins: dict[str, str] = {}
        self._clients, self._responses = set(_CLIENTS), set(_RESPONSES)
        self._parents = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
        for node in ast.walk(tree):
            self._learn(node)
        as_type = {inner for node in ast.walk(tree) for part in _types(node) for inner in ast.walk(part)}
        for node in ast.walk(tree):
            if node not in as_type:
                self._look(node)

    def _learn(self, node: ast.AST) -> None:
        """Resolve the names of the source."""
        match node:
            case ast.Import(names):
                for alias in names:
                    self._origins[alias.asname or alias.name.partition(".")[0]] = (
                        alias.name if alias.asname else alias.name.partition(".")[0]
                    )
            case ast.ImportFrom(module, names):
                self._origins |= {alias.asname or alias.name: f"{module}.{alias.name}" for alias in names}
            case ast.Assign([target], value) | ast.NamedExpr(target, value):
                self._hold(target, value)
            case ast.withitem(value, ast.expr() as target):
                self._hold(target, value)

    def _hold(self, target: ast.expr, value: ast.expr) -> None:
        name = target.id if isinstance(target, ast.Name) else getattr(target, "attr", None)
        if name is not None and self._is_call(value):
            self._responses.add(name)
        elif name is not None and self._is_client(value):
            self._clients.add(name)

    def _look(self, node: ast.AST) -> None:
        """Record features in a part of the source that our client lacks."""
        match node:
            case ast.Call():
                self._look_at_call(node)
            case ast.Attribute(value, attr):
                self._look_at_attribute(node, value, attr)
            case ast.Assign([ast.Attribute(_, "client")]):
                self._find(node, "a client of its own")
            case ast.Assign([ast.Attribute(value, attr)], given) if self._is_session and self._is_client(value):
                self._look_at_setting(node, attr, given)
            case ast.Try(body, handlers) if not self._is_of_library(body):
                for handler in filter(None, (handler.type for handler in handlers)):
                    self._look_for_library(handler, "catches")
            case ast.Import([ast.alias(module), *_]) | ast.ImportFrom(str(module)) if self._is_in_function(node):
                if module not in sys.modules and module.partition(".")[0] not in sys.stdlib_module_names:
                    self._find(node, f"imports {module} later")
        origin = self._origin(node)
        if origin.startswith("locust.") and origin.endswith(f".{self._stock}"):
            self._find(node, f"{self._stock} as a value")

    def _look_at_call(self, call: ast.Call) -> None:
        if self._is_call(call):
            self._look_at_request(call)
            return
        match call:
            case ast.Call(ast.Attribute(value, "json"), args, keywords) if self._is_response(value) and args + keywords:
                self._find(call, "json() with arguments")
            case ast.Call(ast.Name("getattr" | "setattr"), [held, name, *_]) if not isinstance(name, ast.Constant):
                if self._is_client(held) or self._is_response(held):
                    self._find(call, "getattr() of a client or a response")
            case ast.Call(ast.Name("isinstance" | "issubclass"), [_, kinds]):
                self._look_for_library(kinds, "asks for")

    def _look_at_request(self, call: ast.Call) -> None:
        self.calls.append(call.lineno)
        name: str = call.func.attr  # type: ignore[attr-defined]
        if any(isinstance(each, ast.Starred) for each in call.args) or len(call.args) > _CALLS.get(name, 2):
            self._find(call, f"{name}() with further arguments by position")
        for keyword in call.keywords:
            match keyword:
                case ast.keyword(None):
                    self._find(call, f"{name}() with arguments that are not in sight")
                case ast.keyword("verify", ast.Constant(False)) if self._is_session:
                    self.unverified.append(call.lineno)
                case ast.keyword("auth", value) if not isinstance(value, ast.Tuple | ast.Constant):
                    self._find(keyword, f"{name}() with auth other than a pair")
                case ast.keyword(argument) if argument not in self._arguments:
                    self._find(keyword, f"{name}() with {argument}")

    def _look_at_attribute(self, node: ast.Attribute, value: ast.expr, name: str) -> None:
        if self._is_client(value) and name in self._of_client:
            self._find(node, f"client.{name}")
        if self._is_response(value) and name in self._of_response:
            self._find(node, f"{name} of a response")
        if self._is_session and name == "cookies" and (self._is_client(value) or self._is_response(value)):
            match self._parents[node]:
                case ast.Attribute(_, attr) if attr in _COOKIES:
                    pass
                case ast.Subscript() | ast.Compare():
                    pass
                case _:
                    self._find(node, "cookies as a whole")

    def _look_at_setting(self, node: ast.AST, name: str, value: ast.expr) -> None:
        is_same = {
            "auth": isinstance(value, ast.Tuple) or (isinstance(value, ast.Constant) and value.value is None),
            "trust_env": isinstance(value, ast.Constant) and value.value is False,
            "verify": isinstance(value, ast.Constant) and isinstance(value.value, bool),
        }
        if not is_same.get(name, True):
            self._find(node, f"client.{name} = {ast.unparse(value)}")

    def _look_for_library(self, node: ast.expr, how: str) -> None:
        for part in ast.walk(node):
            if self._origin(part).startswith(_LIBRARIES):
                self._find(node, f"{how} {ast.unparse(part)}")
                return

    def _find(self, node: Any, what: str) -> None:
        self.findings.append((node.lineno, what))

    def _is_client(self, node: ast.AST) -> bool:
        """Whether an expression is a client."""
        match node:
            case ast.Name(name) | ast.Attribute(_, name):
                return name in self._clients
        return False

    def _is_call(self, node: ast.AST) -> bool:
        """Whether an expression is a call of a client, and so a response."""
        match node:
            case ast.Call(ast.Attribute(value, name)):
                return name in _REST or (name in _CALLS and self._is_client(value))
        return False

    def _is_response(self, node: ast.AST) -> bool:
        match node:
            case ast.Name(name) | ast.Attribute(_, name):
                return name in self._responses
        return self._is_call(node)

    def _origin(self, node: ast.AST) -> str:
        """Return the dotted name under which an expression was imported; empty if it was not."""
        match node:
            case ast.Name(name):
                return self._origins.get(name, "")
            case ast.Attribute(value, name):
                origin = self._origin(value)
                return origin and f"{origin}.{name}"
        return ""

    def _is_of_library(self, body: list[ast.stmt]) -> bool:
        """Whether statements call the library requests itself, and no client."""
        inner = [part for statement in body for part in ast.walk(statement)]
        if any(isinstance(part, ast.Attribute) and part.attr in {"client", *_REST} for part in inner):
            return False
        return any(isinstance(part, ast.Call) and self._origin(part.func).startswith("requests.") for part in inner)

    def _is_in_function(self, node: ast.AST) -> bool:
        while node in self._parents:
            node = self._parents[node]
            if isinstance(node, ast.FunctionDef | ast.Lambda):
                return True
        return False


def _types(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the parts of a node that name types: bases of a class, and annotations."""
    match node:
        case ast.ClassDef(bases=bases):
            yield from bases
        case ast.FunctionDef(returns=ast.expr() as returns):
            yield returns
        case ast.arg(annotation=ast.expr() as annotation) | ast.AnnAssign(annotation=annotation):
            yield annotation
