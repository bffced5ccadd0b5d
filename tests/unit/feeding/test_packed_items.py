"""The storage of items: few bytes, however many and however different they are."""

import tracemalloc
from array import array

import pytest

from loadtest.feeding import packed_items
from loadtest.feeding.packed_items import PackedItems


def test_records_of_very_many_kinds_are_kept() -> None:
    """There are more kinds than the narrow ids used at first can number."""
    items = PackedItems()
    for number in range(40_000):
        items.append({f"column {number}": number})
    assert [items[0], items[-1]] == [{"column 0": 0}, {"column 39999": 39_999}]
    assert items.largest_bytes == len("column 39999") + 1 + len(b"\x91\xcd\x9c\x3f")


def test_places_beyond_the_narrow_numbers_are_kept() -> None:
    """This stands for offsets beyond 4 GiB: here they are one byte wide."""
    items = PackedItems()
    items._ends = array("B", items._ends)
    texts = [f"{number:060}" for number in range(50_000)]
    for text in (*texts, texts[0]):
        items.append(text)
    assert (len(items), items[40_000], items.largest_bytes) == (50_001, texts[40_000], 62)
    assert [*items.without_duplicates()] == texts


def test_each_is_kept_once_and_in_its_place() -> None:
    """Records of other columns with the same values, and duplicates, are among them."""
    items = PackedItems()
    given = [3, {"a": 1, "b": 2}, 1, 3, {"c": 1, "d": 2}, 2, 1, {"a": 1, "b": 2}, 3, 1, "3"]
    for item in given:
        items.append(item)
    assert [*items.without_duplicates()] == [3, {"a": 1, "b": 2}, 1, {"c": 1, "d": 2}, 2, "3"]


def test_items_of_one_hash_are_distinguished() -> None:
    """Equal hashes alone do not make a duplicate."""
    items = PackedItems()
    for item in ("a", "b", "a"):
        items.append(item)
    items._hashes = array("q", [7, 7, 7])
    assert [*items.without_duplicates()] == ["a", "b"]


def test_many_duplicates_take_little_memory() -> None:
    """A file of a few megabytes may hold hundreds of thousands; each takes less than a Python object."""
    items = PackedItems()
    for number in (*range(100_000), *range(100_000)):
        items.append(number)
    tracemalloc.start()
    kept = items.without_duplicates()
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (len(kept), peak_bytes < 100_000 * 80) == (100_000, True)


def test_a_source_holds_so_many_items(monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit matters because a compressed file of two megabytes can contain 200 million."""
    monkeypatch.setattr(packed_items, "MAX_ITEMS", 3)
    items = PackedItems()
    for number in range(3):
        items.append(number)
    with pytest.raises(ValueError, match="one more than the 3 items"):
        items.append(3)
