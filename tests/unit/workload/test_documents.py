"""The documents of a workload."""

from typing import Any

import orjson
import pytest

from loadtest.workload.documents import SMALLEST_BYTES, Documents


def levels(document: dict[str, Any]) -> int:
    """Return the number of levels of a document."""
    return 1 + levels(document["details"]) if "details" in document else 1


@pytest.mark.parametrize(("size", "depth"), [(200, 1), (1_000, 3), (1_200, 6), (20_000, 1), (1_000_000, 4)])
def test_a_document_has_its_size_to_the_byte(size: int, depth: int) -> None:
    """It is JSON of that depth, with a number, an array of texts and an array of objects that can be changed."""
    documents = Documents(1, (size, size), (depth, depth))
    encoded = {documents.encoded(number) for number in range(4)}
    assert len(encoded) == 4
    for document in encoded:
        value = orjson.loads(document)
        assert (len(document), levels(value)) == (size, depth)
        assert (value["visits"], len(value["tags"])) == (0, 3)
        assert size < 2_000 or len(value["entries"]) > size / depth / 200


def test_the_smallest_of_each_depth_is_what_is_said() -> None:
    """No level needs more bytes, whatever its words are."""
    for depth in (1, 7, 50):
        documents = Documents(3, (SMALLEST_BYTES * depth,) * 2, (depth, depth))
        assert {len(documents.encoded(number)) for number in range(documents.count)} == {SMALLEST_BYTES * depth}


def test_sizes_and_depths_of_a_range_are_all_met() -> None:
    """Each document has one of them, and its path leads to a text in all of them."""
    documents = Documents(1, (1_000, 3_000), (2, 4))
    values = [orjson.loads(documents.encoded(number)) for number in range(documents.count)]
    sizes = [len(documents.encoded(number)) for number in range(documents.count)]
    assert {levels(value) for value in values} == {2, 3, 4}
    assert 1_000 <= min(sizes) < 1_200
    assert 2_800 < max(sizes) <= 3_000
    assert documents.path == "$.details.name"
    assert {type(value["details"]["name"]) for value in values} == {str}


def test_the_seed_decides() -> None:
    """The same seed gives the same documents, another one others; they repeat after `count`."""
    first, again, other = (Documents(seed, (500, 500), (1, 1)) for seed in (1, 1, 2))
    assert [first.encoded(n) for n in range(9)] == [again.encoded(n) for n in range(9)]
    assert first.encoded(0) != other.encoded(0)
    assert first.encoded(first.count + 3) == first.encoded(3)


def test_a_hash_holds_the_same_document() -> None:
    """Its fields are the first-level members, as JSON."""
    documents = Documents(1, (700, 700), (2, 2))
    fields = {name: orjson.loads(value) for name, value in documents.fields(5).items()}
    assert fields == orjson.loads(documents.encoded(5))


def test_the_pool_is_bounded() -> None:
    """It has as many as fit into 8 MiB, at least four."""
    assert [Documents(1, (size, size), (1, 1)).count for size in (1_000, 100_000, 4_000_000)] == [256, 83, 4]
