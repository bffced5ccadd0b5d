"""OpenApiDocument: an OpenAPI 3.0 or 3.1 document, from a file or a URL, without broken references.

One of Swagger 2.0 is converted first.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

import orjson

from loadtest import untrusted
from loadtest.authoring import swagger
from loadtest.authoring.bundle import DATA, MAX_VALUES, bundle
from loadtest.exceptions import UsageError
from loadtest.settings.fetching import LARGEST_BYTES, fetch

_TIMEOUT_S = 30.0
"""The time limit, in seconds, for all files of a document together."""
_MAX_BROKEN = 20
_MAX_STEPS = 32
"""The longest chain of references to references."""
_SWAGGER: Final = "2.0"
_SUCCESS: Final = range(200, 300)

Node = Mapping[str, Any]


class OpenApiDocument:
    """A checked document.

    Attributes:
        root: its root object.
    """

    def __init__(self, root: Node, source: str) -> None:
        """Check a document.

        Raises:
            UsageError: when its version is unsupported, or it has no paths or broken references, all of which
                are named.
        """
        self._source = source
        version = str(root.get("openapi", ""))
        if "swagger" in root:
            root = _converted(root, source)
            version = "3.0"
        if not version.startswith(("3.0", "3.1")):
            raise _refusal(source, f"its openapi version is {version or 'missing'}", "convert it to OpenAPI 3.0 or 3.1")
        if not isinstance(root.get("paths"), dict) or not root["paths"]:
            raise _refusal(source, "it has no paths", "use the document of a service with operations")
        try:
            lost = ((where, reference) for where, reference in _references(root) if not _has(root, reference))
            broken = [
                f"{'/'.join(map(str, where))} refers to {reference!r}"
                for where, reference in itertools.islice(lost, _MAX_BROKEN)
            ]
            self.root: Node = _stated(root, itertools.count())
        except (ValueError, RecursionError) as error:
            raise _refusal(source, str(error), "use a smaller part of it") from error
        if broken:
            raise _refusal(
                source, f"{'; '.join(broken)}, which is not in it", "add what is missing, or bundle it first"
            )

    @classmethod
    def read(cls, source: str) -> OpenApiDocument:
        """Read a document, including its parts in other files.

        Args:
            source: a URL that begins with http:// or https://, or a file's path.

        Raises:
            UsageError: when it cannot be read, is neither JSON nor YAML, or is not valid.
        """
        files = _Files()
        root = files.read(source)
        if not isinstance(root, dict):
            raise _refusal(source, "it is not an object", "use an OpenAPI document")
        if "openapi" in root:
            try:
                bundle(root, source, files.read)
            except ValueError as error:
                raise _refusal(source, str(error), "use a smaller part of it") from error
        return cls(root, source)

    @property
    def title(self) -> str:
        """The name of the service; may be empty."""
        information = self.root.get("info")
        return str(information.get("title", "")) if isinstance(information, dict) else ""

    def resolved(self, node: Node) -> Node:
        """Return the node itself, or the target of its reference.

        Raises:
            UsageError: when references are circular.
        """
        for _ in range(_MAX_STEPS):
            reference = node.get("$ref")
            if not isinstance(reference, str):
                return node
            node = _at(self.root, reference)
        raise _refusal(self._source, f"the reference {reference!r} is circular", "break the circle")

    def refusal(self, reason: str, advice: str) -> UsageError:
        """Return the error for a document that cannot be used, with advice."""
        return _refusal(self._source, reason, advice)


def _converted(root: Node, source: str) -> Node:
    if str(root["swagger"]) != _SWAGGER:
        raise _refusal(source, f"its swagger version is {root['swagger']}", f"convert it to Swagger {_SWAGGER}")
    try:
        return swagger.converted(_stated(root, itertools.count()))
    except untrusted.WRONG_FORM as error:
        what = str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
        raise _refusal(source, f"its form is not that of Swagger {_SWAGGER} ({what})", "validate it") from error


def _has(root: Node, reference: str) -> bool:
    try:
        _at(root, reference)
    except (LookupError, ValueError, TypeError):
        return False
    return True


def _at(root: Node, reference: str) -> Node:
    """Return the target of a JSON pointer (RFC 6901) in a fragment."""
    if reference != "#" and not reference.startswith("#/"):
        raise LookupError(reference)
    node: Any = root
    for part in reference[1:].split("/")[1:]:
        name = unquote(part).replace("~1", "/").replace("~0", "~")
        node = node[int(name)] if isinstance(node, list) else node[name]
    if not isinstance(node, dict):
        raise TypeError(reference)
    return node


def _stated(node: Any, budget: Iterator[int], *, is_data: bool = False) -> Any:
    """Return a part of a document without meaningless values: nulls outside data, and numbers that JSON lacks.

    YAML yields a null for a name with nothing after it.

    Raises:
        ValueError: when it has too many values; with YAML's aliases, a short text can have many.
        RecursionError: when it is nested too deeply, or in itself.
    """
    if next(budget) > MAX_VALUES:
        raise ValueError(f"it has more than {MAX_VALUES:,} values")
    if isinstance(node, list):
        return [_stated(each, budget, is_data=is_data) for each in node if _states(each, is_data=is_data)]
    if not isinstance(node, dict):
        return node
    return {
        _text_of(name): _stated(child, budget, is_data=is_data or name in DATA)
        for name, child in node.items()
        if _states(child, is_data=is_data or name in DATA)
    }


def _text_of(name: Any) -> str:
    return name if isinstance(name, str) else orjson.dumps(name, default=str).decode()


def _states(node: Any, *, is_data: bool) -> bool:
    return math.isfinite(node) if isinstance(node, float) else is_data or node is not None


def _references(root: object) -> Iterator[tuple[tuple[object, ...], str]]:
    """Yield the location and text of each reference; examples are data, even when they contain `$ref`.

    Raises:
        ValueError: when there are too many values (with YAML's aliases, a short text can have many) or too many levels.
    """
    waiting: list[tuple[object, tuple[object, ...]]] = [(root, ("#",))]
    values = 0
    while waiting:
        node, where = waiting.pop()
        children = [*node.items()] if isinstance(node, dict) else [*enumerate(node)] if isinstance(node, list) else []
        values += len(children)
        if values > MAX_VALUES or len(where) > untrusted.DEEPEST + 1:
            raise ValueError(f"it has more than {MAX_VALUES:,} values, or is nested over {untrusted.DEEPEST} times")
        found: list[tuple[object, tuple[object, ...]]] = []
        for name, child in children:
            if name == "$ref" and isinstance(child, str):
                yield where, child
            elif name not in DATA:
                found.append((child, (*where, name)))
        waiting.extend(reversed(found))


class _Files:
    """Reads the files of a document, with a limit on their total time and size."""

    def __init__(self) -> None:
        self._until_s = time.monotonic() + _TIMEOUT_S
        self._left_bytes = LARGEST_BYTES

    def read(self, source: str) -> object:
        """Return the content of a file or URL.

        Raises:
            UsageError: when it cannot be read, or is neither JSON nor YAML.
        """
        is_url = source.startswith(("http://", "https://"))
        text = self._fetched(source) if is_url else self._of_file(source)
        self._left_bytes -= len(text)
        return _parsed(text, source)

    def _fetched(self, url: str) -> bytes:
        headers = {"Accept": "application/json, application/yaml, */*"}
        left_s = max(0.0, self._until_s - time.monotonic())
        try:
            answer = fetch(url, left_s, headers=headers, most_bytes=self._left_bytes)
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", error)
            advice = "start the service, or correct the address"
            raise _refusal(url, f"it cannot be fetched ({reason})", advice) from error
        if answer.status not in _SUCCESS:
            raise _refusal(url, f"its server answers with status {answer.status}", "correct the address")
        return answer.body

    def _of_file(self, path: str) -> bytes:
        try:
            return untrusted.read_file(Path(path), self._left_bytes)
        except OSError as error:
            raise _refusal(path, f"it cannot be read ({error.strerror})", "correct the path") from error


def _parsed(text: bytes, source: str) -> object:
    """Parse JSON, or else YAML."""
    try:
        if text.lstrip()[:1] in {b"{", b"["}:
            untrusted.check_json(text, MAX_VALUES)
        return orjson.loads(text)
    except ValueError as error:
        if text.lstrip()[:1] in {b"{", b"["}:
            raise _refusal(source, f"it is not valid JSON: {error}", "fix it there") from error
    from loadtest.authoring import yaml_text  # noqa: PLC0415 - PyYAML is loaded only if it is used

    try:
        return yaml_text.parsed(text)
    except (ValueError, RecursionError) as error:
        raise _refusal(source, f"it is neither JSON nor YAML: {error}", "fix it there") from error


def _refusal(source: str, reason: str, advice: str) -> UsageError:
    return UsageError(
        f"--openapi {source} cannot be used: {reason}. Allowed: the URL or file of an OpenAPI document, "
        f"version 3.0 or 3.1, or Swagger 2.0. Next: {advice}. Nothing was written."
    )
