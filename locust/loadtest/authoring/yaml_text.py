"""YamlText: read YAML with the core schema of YAML 1.2, as in JSON: a date is text, and so are NO and 12:30.

PyYAML follows YAML 1.1, where `[NO, SE]` is `[False, "SE"]`, `2024-01-31` an object, and `010` eight.

Tested in tests/unit/authoring/test_openapi_document.py.
"""

from __future__ import annotations

import re
from typing import Any, Final

import yaml

from loadtest.authoring.bundle import MAX_VALUES

_MERGE: Final = "tag:yaml.org,2002:merge"
_FLOAT: Final = r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
_PATTERNS: Final = {
    "bool": r"true|True|TRUE|false|False|FALSE",
    "int": r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+",
    "float": _FLOAT,
    "null": r"~|null|Null|NULL|",
    "merge": r"<<",
}


class _Loader(yaml.SafeLoader):
    yaml_implicit_resolvers: dict[str, list[Any]] = {}  # noqa: RUF012 - as PyYAML declares it
    merged = 0

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Merge mappings, up to a limit: merges of merges can grow exponentially."""
        for name, value in node.value:
            if name.tag == _MERGE:
                parts = [value] if isinstance(value, yaml.MappingNode) else value.value
                for part in filter(lambda part: isinstance(part, yaml.MappingNode), parts):
                    self.flatten_mapping(part)
                    self.merged += len(part.value)
        if self.merged > MAX_VALUES:
            raise yaml.YAMLError(f"its merges stand for more than {MAX_VALUES:,} values")
        super().flatten_mapping(node)


def _whole_number(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> int:
    text = str(loader.construct_scalar(node))
    if text.startswith("0x"):
        return int(text, 16)
    return int(text[2:], 8) if text.startswith("0o") else int(text)


for _tag, _pattern in _PATTERNS.items():  # the first match applies
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"(?:{_pattern})$"), None)
_Loader.add_constructor("tag:yaml.org,2002:int", _whole_number)


def parsed(text: bytes) -> Any:
    """Return the content of a YAML text.

    Raises:
        ValueError: when it is not YAML, needs a type that JSON does not have, or contains a number of too many digits.
        RecursionError: when it is nested too deeply.
    """
    try:
        return yaml.load(text, _Loader)  # noqa: S506 - a subclass of SafeLoader
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from error
    except (LookupError, AttributeError, ArithmeticError, TypeError) as error:  # such as for `!!bool x` or `!!float ''`
        raise ValueError(f"a value is not what its tag says ({type(error).__name__})") from error
