"""PackedItems: the items of a source, in the form sent from master to workers.

Two million Python objects take more than half a gigabyte, their bytes a tenth of that. Items that cannot be sent fail
here, when they are read, and not when a worker waits for them.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Any, Final, overload

import msgpack  # type: ignore[import-untyped]
import numpy as np

LARGEST_BYTES: Final = 256 * 1024
"""The largest item."""
MAX_ITEMS: Final = 10_000_000
"""The maximum number of items of one source; a small file that expands to very many would fill the master's memory."""
DEEPEST: Final = 32
"""The deepest nesting of lists and mappings in an item."""
_BARE: Final = -1
_AT_ONCE: Final = 65_536
_NESTS: Final = (dict, list, tuple)
_PLAIN: Final = frozenset((str, int, float, bool, type(None)))
_RESERVED: Final = (b"__datetime__", b"__ObjectId__")
"""Names of members that Locust's link replaces by something else."""


class PackedItems(Sequence[Any]):
    """Items in order; a mapping is a record, and its column names are stored once.

    If all records have the same single column, its values are the items.
    """

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._ends = array("I", [0])
        self._shapes = array("h")
        self._hashes = array("q")
        self._columns: dict[tuple[Any, ...], int] = {}
        self._names: list[tuple[Any, ...]] = []
        self._pack = msgpack.Packer().pack

    @property
    def columns(self) -> tuple[Any, ...]:
        """The columns of the records, in order of appearance; empty without records."""
        return tuple(dict.fromkeys(name for names in self._names for name in names))

    @property
    def largest_bytes(self) -> int:
        """The size of the largest item, including its column names."""
        of_names = np.array([*(sum(len(name) + 1 for name in names) for names in self._names), 0])
        largest = 0
        for start in range(0, len(self), _AT_ONCE):  # all at once would take as much memory as their places
            sizes = np.diff(np.array(self._ends[start : start + _AT_ONCE + 1], np.int64))
            sizes += of_names[np.array(self._shapes[start : start + _AT_ONCE])]  # a bare item's is the last
            largest = max(largest, int(sizes.max()))
        return largest

    def append(self, item: Any) -> None:
        """Add an item.

        Raises:
            ValueError: it cannot be sent; the message says why.
        """
        try:
            if isinstance(item, dict):
                names = tuple(item)
                shape = self._columns.get(names, _BARE)
                shape = self._shape_of(names) if shape == _BARE else shape
                members = list(item.values())
            else:
                shape, members = _BARE, item
            packed = self._pack(members)
        except (OverflowError, ValueError, TypeError, RecursionError) as error:
            raise ValueError(_reason(error)) from error
        if len(packed) > LARGEST_BYTES:
            raise ValueError(f"it takes {len(packed):,} bytes, and at most {LARGEST_BYTES:,} can be sent")
        if len(self) == MAX_ITEMS:
            raise ValueError(f"it is one more than the {MAX_ITEMS:,} items that a source may hold")
        if (shape != _BARE or isinstance(members, _NESTS)) and not _PLAIN.issuperset(map(type, members)):
            _check_nesting(members, packed)
        self._add(packed, shape)

    def without_duplicates(self) -> PackedItems:
        """Return the distinct items, or this object if there are no duplicates; add nothing afterwards."""
        again = self._duplicates()
        del self._hashes
        if not again.any():
            return self
        kept = PackedItems()
        kept._columns, kept._names = self._columns, self._names
        for index in map(int, np.flatnonzero(~again)):
            kept._add(self._packed(index), self._shapes[index])
        return kept

    def _duplicates(self) -> Any:
        """Return whether each item is a duplicate; in arrays, since a set of millions takes a gigabyte."""
        hashes = np.frombuffer(self._hashes, np.int64)
        order = np.argsort(hashes, kind="stable")
        again = np.zeros(len(self), bool)
        first = last = _BARE
        for place in map(int, np.flatnonzero(hashes[order[1:]] == hashes[order[:-1]])):
            first = first if place == last + 1 and last != _BARE else int(order[place])
            index, last = int(order[place + 1]), place
            again[index] = self._shapes[first] == self._shapes[index] and self._packed(first) == self._packed(index)
        return again

    def _packed(self, index: int) -> bytes:
        return bytes(self._bytes[self._ends[index] : self._ends[index + 1]])

    def __len__(self) -> int:
        return len(self._shapes)

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> list[Any]: ...
    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return [self[each] for each in range(*index.indices(len(self)))]
        place = range(len(self))[index]
        packed = memoryview(self._bytes)[self._ends[place] : self._ends[place + 1]]
        value = msgpack.unpackb(packed, raw=False, strict_map_key=False)
        shape = self._shapes[place]
        if shape == _BARE:
            return value
        return value[0] if self._is_single else dict(zip(self._names[shape], value, strict=True))

    @property
    def _is_single(self) -> bool:
        return len(self._names) == 1 and len(self._names[0]) == 1

    def _shape_of(self, names: tuple[Any, ...]) -> int:
        self._pack(names)
        if not all(isinstance(name, str) for name in names):
            raise TypeError("a column whose name is not text")
        _check_names(b"".join(map(str.encode, names)))
        self._names.append(names)
        self._columns[names] = len(self._names) - 1
        return self._columns[names]

    def _add(self, packed: bytes, shape: int) -> None:
        self._bytes += packed
        try:
            self._ends.append(len(self._bytes))
        except OverflowError:  # 4 GiB
            self._ends = array("q", (*self._ends, len(self._bytes)))
        try:
            self._shapes.append(shape)
        except OverflowError:  # 32,768 kinds of records
            self._shapes = array("i", (*self._shapes, shape))
        self._hashes.append(hash(packed))


def _reason(error: Exception) -> str:
    if isinstance(error, OverflowError):
        return "a whole number of more than 64 bits cannot be sent to the workers"
    if isinstance(error, UnicodeEncodeError):
        return f"half a surrogate pair, U+{ord(error.object[error.start]):04X}, is not text"
    if isinstance(error, TypeError):
        return f"{error}; only text, numbers, lists and mappings can be sent to the workers"
    return f"it is nested more than {DEEPEST} levels deep" if "recursion" in str(error) else str(error)


def _check_names(packed: bytes) -> None:
    if any(name in packed for name in _RESERVED):
        raise ValueError("a member __datetime__ or __ObjectId__, which Locust's link replaces")


def _check_nesting(level: Sequence[Any], packed: bytes) -> None:
    for depth in range(DEEPEST):
        level = [each for each in level if isinstance(each, _NESTS)]
        if not level:
            return
        if depth == 0:
            _check_names(packed)
        level = [each for one in level for each in (one.values() if isinstance(one, dict) else one)]
    raise ValueError(f"it is nested more than {DEEPEST} levels deep")
