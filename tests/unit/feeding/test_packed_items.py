"""Items as they are kept: in few bytes, however many and however different they are."""

from array import array

from loadtest.feeding.packed_items import PackedItems


def test_records_of_very_many_kinds_are_kept() -> None:
    """More kinds than the narrow numbers hold by which they are known at first."""
    items = PackedItems()
    for number in range(40_000):
        items.append({f"column {number}": number})
    assert [items[0], items[-1]] == [{"column 0": 0}, {"column 39999": 39_999}]
    assert items.largest_bytes == len("column 39999") + 1 + len(b"\x91\xcd\x9c\x3f")


def test_places_beyond_the_narrow_numbers_are_kept() -> None:
    """As beyond 4 GiB: here the numbers are a byte wide."""
    items = PackedItems()
    items._ends = array("B", items._ends)
    texts = [f"{number:060}" for number in range(50_000)]
    for text in (*texts, texts[0]):
        items.append(text)
    assert (len(items), items[40_000], items.largest_bytes) == (50_001, texts[40_000], 62)
    assert [*items.without_duplicates()] == texts
