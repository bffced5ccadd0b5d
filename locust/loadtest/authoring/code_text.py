"""CodeText: text in a draft that contains values which exist only during a run, such as a value from a response.

Such a text has a mark in each place. It passes through escaping and encoding like any text; at the end, the Python
strings that contain marks become f-strings. A mark is random, so no document can contain one.

Tested in tests/unit/authoring/test_openapi_journey.py.
"""

from __future__ import annotations

import ast
import re
import secrets

_MARK = f"v{secrets.token_hex(8)}"
_MARKED = re.compile(rf"{_MARK}x([0-9a-f]*)x")


def mark(name: str) -> str:
    """Return the mark of a variable or attribute, like `answer_id` or `self.email`: only ASCII letters and digits."""
    return f"{_MARK}x{name.encode().hex()}x"


def filled(source: str) -> str:
    """Return a Python expression with f-strings in place of strings with marks; a lone mark becomes the variable."""
    if _MARK not in source:
        return source
    return ast.unparse(_Filler().visit(ast.parse(source, mode="eval")))


def filled_argument(source: str) -> str:
    """Return an argument of a call with its value treated as by `filled`."""
    name, equals, value = source.partition("=")
    return f"{name}={filled(value)}" if equals and name.isidentifier() else filled(source)


def sample(text: str, value: str) -> str:
    """Return a text with a value in place of each mark."""
    return _MARKED.sub(value, text)


class _Filler(ast.NodeTransformer):
    def visit_Constant(self, node: ast.Constant) -> ast.expr:
        """Replace a string that contains marks by an f-string."""
        if not isinstance(node.value, str) or _MARK not in node.value:
            return node
        parts = _MARKED.split(node.value)
        names = [ast.parse(bytes.fromhex(name).decode(), mode="eval").body for name in parts[1::2]]
        if parts == ["", parts[1], ""]:
            return names[0]
        values: list[ast.expr] = []
        for text, name in zip(parts[::2], [*names, None], strict=True):
            values += [ast.Constant(text)] if text else []
            values += [ast.FormattedValue(name, -1)] if name is not None else []
        return ast.JoinedStr(values)
