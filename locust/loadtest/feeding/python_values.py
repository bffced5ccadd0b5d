"""Converts Python values that JSON lacks to the form that a worker gets.

A date or a time becomes text by ISO 8601, a decimal number and a UUID become text, bytes become text by Base64.

Tested in tests/unit/feeding/test_sql_query.py.
"""

from __future__ import annotations

import base64
import datetime as dt
import decimal
import uuid
from typing import Any, Final

_KEPT: Final = frozenset((str, int, float, bool, type(None)))


def plain(value: Any) -> Any:
    """Return a value as a worker gets it."""
    if isinstance(value, dict):
        return plain_record(value)
    if isinstance(value, list | tuple):
        return [plain(member) for member in value]
    if isinstance(value, dt.date | dt.time):
        return value.isoformat()
    if isinstance(value, decimal.Decimal | uuid.UUID):
        return str(value)
    return base64.b64encode(value).decode() if isinstance(value, bytes | bytearray | memoryview) else value


def plain_record(record: dict[str, Any]) -> dict[str, Any]:
    """Return a record as a worker gets it."""
    return {name: value if type(value) in _KEPT else plain(value) for name, value in record.items()}
