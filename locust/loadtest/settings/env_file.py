"""The file local_conf/loadtest.env: lines of NAME=value. Tested in tests/unit/settings/test_config.py."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from loadtest import untrusted
from loadtest.exceptions import UsageError

if TYPE_CHECKING:
    from pathlib import Path

_LONGEST_FILE_BYTES = 1024 * 1024


def read(file: Path) -> dict[str, str]:
    """Read lines of NAME=value; # begins a comment line.

    Raises:
        UsageError: a line has another form.
    """
    try:
        lines = untrusted.read_file(file, _LONGEST_FILE_BYTES).decode("utf-8-sig").split("\n")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise UsageError(
            f"{file} cannot be read ({reason}). Allowed: a text file of NAME=value. Next: correct it, or remove it."
        ) from error
    values = {}
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        name, separator, value = text.partition("=")
        if not separator or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            raise UsageError(
                f"{file}, line {number}: {text!r} is not a setting. Allowed: NAME=value, or a comment after #. "
                "Next: correct the line, or remove it."
            )
        values[name] = value
    return values
