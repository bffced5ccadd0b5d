"""Parquet pages: what the pages of a Parquet file say that they hold, read before a library allocates it.

The metadata at a file's end may say less than its pages do, and a page of a few bytes may stand for 2 GiB, or for two
thousand million equal values. So the head of each page is read, which is a struct of Thrift's compact protocol: see
"Thrift compact protocol" of Apache Thrift, and ``PageHeader`` in parquet.thrift of Apache Parquet.
"""

from __future__ import annotations

import itertools
import os
from typing import TYPE_CHECKING, Any, BinaryIO, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

VALUE_BYTES: Final = 4
"""What a value takes at least, once it is read."""
MAX_PAGES: Final = 100_000
"""Those of a file of two million rows are a few hundred; several columns may be said to have the same."""
_HEAD_BYTES: Final = 4 * 1024
_LONGEST_HEAD_BYTES: Final = 1024 * 1024
"""A head holds the least and the greatest value of its page."""
_UNPACKED, _PACKED = 2, 3
"""The fields of a head that are sizes in bytes."""
_KINDS: Final = (5, 7, 8)
"""Its fields that say more of a page of data, of a dictionary, and of a page of data in version 2."""
_VALUES: Final = 1
"""The field of each of these that counts values."""
_TRUE, _FALSE, _BYTE, _LONGEST_INTEGER, _DOUBLE, _BINARY, _STRUCT = 1, 2, 3, 6, 7, 8, 12
_DEEPEST: Final = 4


def extent_bytes(file: BinaryIO, metadata: Any) -> int:
    """Return the bytes that all pages stand for, at least.

    Args:
        file: the Parquet file; its position changes.
        metadata: of pyarrow, as the file's end has it.

    Raises:
        ValueError: when a page's head is damaged.
    """
    groups = (metadata.row_group(number) for number in range(metadata.num_row_groups))
    columns = (group.column(number) for group in groups for number in range(group.num_columns))
    held = 0
    for count, (unpacked, values) in enumerate(
        itertools.chain.from_iterable(_pages(file, column) for column in columns)
    ):
        if count == MAX_PAGES:
            raise ValueError(f"it has more than {MAX_PAGES:,} pages")
        held += max(unpacked, VALUE_BYTES * values)
    return held


def _pages(file: BinaryIO, column: Any) -> Iterator[tuple[int, int]]:
    """Yield what each page of a column's chunk says that it holds: bytes and values."""
    begin = min(filter(None, (column.dictionary_page_offset, column.data_page_offset)), default=0)
    at, end = begin, begin + column.total_compressed_size
    size = file.seek(0, os.SEEK_END)
    while at < end:
        if not 0 <= at < size:
            raise ValueError("a page lies outside of it")
        head, length = _head(file, at)
        unpacked, packed = head.get(_UNPACKED), head.get(_PACKED)
        if not (isinstance(unpacked, int) and isinstance(packed, int) and unpacked >= 0 <= packed):
            raise ValueError("a page has no size")
        kinds = [head[kind] for kind in _KINDS if isinstance(head.get(kind), dict)]
        counts = [kind.get(_VALUES) for kind in kinds]
        yield unpacked, max((count for count in counts if isinstance(count, int)), default=0)
        at += length + packed


def _head(file: BinaryIO, at: int) -> tuple[dict[int, Any], int]:
    """Return the head of the page at a place, and its length."""
    for most_bytes in (_HEAD_BYTES, _LONGEST_HEAD_BYTES):
        file.seek(at)
        try:
            return _struct(file.read(most_bytes), 0, _DEEPEST)
        except IndexError:
            continue
    raise ValueError("the head of a page is cut off")


def _struct(data: bytes, at: int, deepest: int) -> tuple[dict[int, Any], int]:
    """Return the fields of a struct by their numbers, and the place after it."""
    if not deepest:
        raise ValueError("the head of a page is nested too deeply")
    fields: dict[int, Any] = {}
    number = 0
    while first := data[at]:
        at += 1
        delta, kind = first >> 4, first & 0x0F
        if delta:
            number += delta
        else:
            number, at = _integer(data, at)
        fields[number], at = _value(data, at, kind, deepest)
    return fields, at + 1


def _value(data: bytes, at: int, kind: int, deepest: int) -> tuple[Any, int]:
    if kind in {_TRUE, _FALSE}:
        return kind == _TRUE, at
    if kind == _BYTE:
        return data[at], at + 1
    if _BYTE < kind <= _LONGEST_INTEGER:
        return _integer(data, at)
    if kind == _DOUBLE:
        return None, at + 8
    if kind == _BINARY:
        length, at = _varint(data, at)
        return None, at + length
    if kind == _STRUCT:
        return _struct(data, at, deepest - 1)
    raise ValueError("the head of a page holds what none has")


def _integer(data: bytes, at: int) -> tuple[int, int]:
    value, at = _varint(data, at)
    return value >> 1 ^ -(value & 1), at


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte <= 0x7F:  # noqa: PLR2004 - the last one
            return value, at
    raise ValueError("a number in the head of a page is too long")
