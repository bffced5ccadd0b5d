"""Fast: runs User classes of Locust's HTTP clients on this product's client, without changes to their file.

The two are similar, but not the same (docs/reference/http_client.md). So the source of each class is analysed, together
with the user's own modules that it imports. A class that uses features this client lacks, or whose behaviour cannot be
determined, stays on Locust's client, and a sentence names file and line. A feature that the analysis misses raises an
exception in a task, which the run counts; it does not change results.
"""

from __future__ import annotations

import ast
import functools
import importlib.util
import sys
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from locust import FastHttpUser, HttpUser
from locust.user.users import PytestUser

from loadtest.clients.http.refused import refuse_attributes
from loadtest.clients.http.stock import FastUser, SessionUser
from loadtest.exceptions import UsageError
from loadtest.scenarios._usage import Usage

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_IN_PLACE_OF: Final[dict[type[Any], type[Any]]] = {FastHttpUser: FastUser, HttpUser: SessionUser}
_INSTALLED: Final = tuple(sysconfig.get_paths()[kind] for kind in ("stdlib", "purelib", "platlib"))
_PACKAGE: Final = str(Path(__file__).parents[1])


def convert(user_classes: Iterable[type[Any]]) -> tuple[str, ...]:
    """Move stock User classes to this product's client where that does not change their behaviour.

    Args:
        user_classes: as the file defines them; they are changed.

    Returns:
        Sentences: which classes were moved, and why each of the others was not, with file and line.
    """
    bases: tuple[type[Any], ...] = (*_IN_PLACE_OF, PytestUser)
    stock = {kind: base for kind in user_classes for base in bases if issubclass(kind, base)}
    reasons = {kind: _reason_against_conversion(kind, base) for kind, base in stock.items()}
    staying = {root for kind, reason in reasons.items() if reason for root in _roots(kind, stock[kind])}
    moved, sentences = [], []
    for kind, base in stock.items():
        roots = _roots(kind, base)
        shared = [root.__name__ for root in roots if root in staying]
        reason = reasons[kind] or (f"so does another class that is made of {shared[0]}" if shared else "")
        reason = reason or _rebase(roots, base)
        if reason:
            sentences.append(f"{kind.__name__} stays on Locust's {base.__name__}: {reason}")
        else:
            moved.append(kind.__name__)
    sentences.insert(0, f"fast: {', '.join(moved) or 'no User class'} on this product's HTTP client")
    return tuple(sentences)


def _roots(kind: type[Any], stock: type[Any]) -> list[type[Any]]:
    """Return the classes in a class's hierarchy that derive directly from the stock class."""
    return [base for base in kind.__mro__ if stock in base.__bases__]


def _rebase(roots: Iterable[type[Any]], stock: type[Any]) -> str:
    """Replace the stock class by ours; return why that is impossible, or an empty text."""
    ours = _IN_PLACE_OF[stock]
    for root in roots:
        try:
            root.__bases__ = tuple(ours if base is stock else base for base in root.__bases__)
        except TypeError as error:
            return f"{root.__name__} cannot have another base ({error})"
    return ""


def _reason_against_conversion(kind: type[Any], stock: type[Any]) -> str:
    """Return why a class must keep its client; empty if it can be moved."""
    if stock is PytestUser:
        return "it is a test function"
    if any("client" in vars(base) for base in kind.__mro__):
        return "it makes its client itself"
    try:
        refuse_attributes(kind)
    except UsageError as error:
        return str(error)
    usages = {file: Usage(_tree(file), stock) for file in _sources(kind, stock)}
    for file, usage in usages.items():
        for line, what in sorted(usage.findings):
            return f"{_shown(file)}, line {line}: {what}"
    return _reason_in_verify(kind, usages)


def _reason_in_verify(kind: type[Any], usages: dict[str, Usage]) -> str:
    """Disable verification for the class if all of its calls do; return why it must stay if only some do."""
    if not any(usage.unverified for usage in usages.values()):
        return ""
    for file, usage in usages.items():
        if left := [line for line in usage.calls if line not in usage.unverified]:
            return f"{_shown(file)}, line {min(left)}: a call without verify=False, which others have"
    kind.insecure = True
    return ""


def _shown(file: str) -> str:
    path = Path(file)
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def _sources(kind: type[Any], stock: type[Any]) -> list[str]:
    """Return the files of a class: those of its bases and tasks, and the user's own modules that they import."""
    of_class = [base.__module__ for base in kind.__mro__ if base not in stock.__mro__]
    names = [*of_class, *(getattr(task, "__module__", "") for task in kind.tasks)]
    found: dict[str, None] = {}
    while names:
        name = names.pop(0)
        file = getattr(sys.modules.get(name), "__file__", None)
        if file is None or file in found or file.startswith(_PACKAGE) or not (name in of_class or _is_own(file)):
            continue
        found[file] = None
        names += _imports(file, name)
    return list(found)


def _is_own(file: str) -> bool:
    return not file.startswith(_INSTALLED)


def _imports(file: str, module: str) -> Iterator[str]:
    """Yield the names of the modules that a file may import."""
    for node in ast.walk(_tree(file)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            relative = "." * node.level + (node.module or "")
            package = sys.modules[module].__package__ or ""
            name = importlib.util.resolve_name(relative, package) if node.level else relative
            yield from (name, *(f"{name}.{alias.name}" for alias in node.names))


@functools.cache
def _tree(file: str) -> ast.Module:
    return ast.parse(Path(file).read_bytes())
