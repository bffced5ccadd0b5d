"""Bundle: merge an OpenAPI document that is split over several files into one.

Each file that a reference names becomes a member of the first document, and the references are rewritten to point
there. Files are resolved relative to the one that names them; from a URL, only files on the same server are read.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote, urljoin, urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable

DATA: Final = frozenset({"example", "examples", "default", "enum", "const", "value"})
"""Members whose value is data of the service, not a part of the document."""
MAX_VALUES: Final = 1_000_000
OTHERS: Final = "x-other-documents"
_NAMED: Final = frozenset({"properties", "patternProperties", "schemas", "$defs"})
"""Members whose own members are named by the service, so a name such as `example` among them does not mark data."""
_MAX_DOCUMENTS: Final = 200


def bundle(root: dict[str, Any], source: str, read: Callable[[str], object]) -> None:
    """Embed the other files that a document refers to, in place.

    References that lead nowhere, or to something that must not be read, are left as they are.

    Args:
        root: the parsed document.
        source: its file or URL.
        read: returns the content of another file or URL.

    Raises:
        UsageError: when a file or URL cannot be read.
        ValueError: when there are more than 200 documents, or too many values.
    """
    begin = _location(source, os.path.basename(source.partition("#")[0]))  # noqa: PTH119 - a source is text
    pointers = {begin: "#"}
    others: dict[str, object] = {}
    seen: set[int] = set()
    values = 0
    waiting: list[tuple[Any, str, bool]] = [(root, begin, False)]
    while waiting:
        node, where, is_named = waiting.pop()
        if not isinstance(node, dict | list) or id(node) in seen:  # a YAML alias is the same node again
            continue
        seen.add(id(node))
        values += len(node)
        if values > MAX_VALUES:
            raise ValueError(f"it has more than {MAX_VALUES:,} values")
        if isinstance(node, dict) and isinstance(reference := node.get("$ref"), str):
            found = _location(where, reference)
            if found and found not in pointers:
                if len(others) == _MAX_DOCUMENTS:
                    raise ValueError(f"it refers to more than {_MAX_DOCUMENTS} other documents")
                pointers[found] = f"#/{OTHERS}/{len(others)}"
                others[str(len(others))] = content = read(found)
                waiting.append((content, found, False))
            node["$ref"] = pointers[found] + reference.partition("#")[2].rstrip("/") if found else reference
        children = node.items() if isinstance(node, dict) else enumerate(node)
        waiting.extend((child, where, name in _NAMED) for name, child in children if is_named or name not in DATA)
    if others:
        root[OTHERS] = others


def _location(where: str, reference: str) -> str:
    """Return the file or URL that a reference in another one leads to; empty if it must not be read."""
    file = reference.partition("#")[0]
    if not file:
        return where
    if where.startswith(("http://", "https://")):
        url = urljoin(where, file)
        return url if urlsplit(url)[:2] == urlsplit(where)[:2] else ""
    if urlsplit(file).scheme or file.startswith("/"):
        return ""
    return os.path.normpath(os.path.join(os.path.dirname(where), unquote(file)))  # noqa: PTH118, PTH120 - a source is text
