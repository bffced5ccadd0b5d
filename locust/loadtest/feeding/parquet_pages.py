"""Parquet pages: read the sizes that a Parquet file's pages declare, before a library allocates memory for them.

The metadata at a file's end may declare less than its pages do, and a page of a few bytes can expand to 2 GiB, or to
two thousand million equal values. So the header of each page is read, which is a struct of Thrift's compact protocol:
see "Thrift compact protocol" of Apache Thrift, and ``PageHeader`` in parquet.thrift of Apache Parquet.
"""

from __future__ import annotations

import itertools
import os
from typing import TYPE_CHECKING, Any, BinaryIO, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

VALUE_BYTES: Final = 4
"""The minimum size of a value in memory."""
MAX_PAGES: Final = 100_000
"""A file of two million rows has a few hundred; the metadata may assign the same pages to several columns."""
_HEAD_BYTES: Final = 4 * 1024
_LONGEST_HEAD_BYTES: Final = 1024 * 1024
"""A header contains the minimum and maximum value of its page, so it can be long."""
_UNPACKED, _PACKED = 2, 3
"""The header fields that are sizes in bytes."""
_KINDS: Final = (5, 7, 8)
"""The header fields with details of a data page, a dictionary page, and a data page of version 2."""
_VALUES: Final = 1
"""The field that counts values in each of these."""
_TRUE, _FALSE, _BYTE, _LONGEST_INTEGER, _DOUBLE, _BINARY, _STRUCT = 1, 2, 3, 6, 7, 8, 12
_DEEPEST: Final = 4


def extent_bytes(file: BinaryIO, metadata: Any) -> int:
    """Return the minimum size, in bytes, of all pages in memory.

    Args:
        file: the Parquet file; its position changes.
        metadata: pyarrow's, from the file's end.

    Raises:
        ValueError: when a page's header is damaged.
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
    """Yield the size in bytes and the number of values that each page of a column chunk declares."""
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
    """Return the header of the page at an offset, and its length."""
    for most_bytes in (_HEAD_BYTES, _LONGEST_HEAD_BYTES):
        file.seek(at)
        try:
            return _struct(file.read(most_bytes), 0, _DEEPEST)
        except IndexError:
            continue
    raise ValueError("the head of a page is cut off")


def _struct(data: bytes, at: int, deepest: int) -> tuple[dict[int, Any], int]:
    """Return the fields of a struct by number, and the offset after it."""
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
        if byte <= 0x7F:  # noqa: PLR2004 - the last byte
            return value, at
    raise ValueError("a number in the head of a page is too long")
