"""Documents: JSON documents of a given size and depth, reproducible from a seed.

Each level of a document is an object with texts, numbers, an array of words, an array of small objects (`entries`), and
the next level (`details`). Entries, and a text for the remainder, fill it to its exact size in bytes.
"""

from __future__ import annotations

import random
from functools import cached_property
from itertools import pairwise
from typing import Any, Final

import orjson

NAME: Final = "name"
COUNTER: Final = "visits"
ARRAY: Final = "tags"
NEXT_LEVEL: Final = "details"
SMALLEST_BYTES: Final = 200
"""The smallest size of one level."""
_POOL_BYTES: Final = 8 * 1024 * 1024
_MIN_DOCUMENTS, _MAX_DOCUMENTS = 4, 256
_ENTRIES: Final = 256
"""The number of different entries; creating one takes ten times as long as choosing one."""
_ENTRY_BYTES: Final = 120
"""The largest size of an entry, including its comma."""
_WORDS: Final = (
    "amber", "anchor", "apple", "arrow", "autumn", "basket", "beacon", "birch", "bridge", "button", "candle",
    "canyon", "carpet", "castle", "cedar", "cinder", "cloud", "coast", "copper", "corner", "cotton", "crystal",
    "desert", "dinner", "eagle", "ember", "engine", "fabric", "falcon", "feather", "field", "forest", "garden",
    "garnet", "glacier", "granite", "harbor", "hazel", "helmet", "island", "jacket", "kettle", "ladder", "lantern",
    "lemon", "market", "meadow", "mirror", "mountain", "needle", "north", "orchard", "paper", "pebble", "pepper",
    "pillow", "planet", "pocket", "quarry", "ribbon", "river", "saddle", "silver", "summer", "table", "timber",
    "tunnel", "valley", "velvet", "violet", "walnut", "window", "winter", "yellow",
)  # fmt: skip


class Documents:
    """Documents by number. There are as many different ones as fit into 8 MiB, from 4 to 256; then they repeat.

    Args:
        seed: any whole number.
        sizes: the smallest and largest size of a document in bytes; all sizes between them are equally likely. At least
            `SMALLEST_BYTES` for each level of the greatest depth.
        depths: the fewest and most levels, likewise; at least 1.
    """

    def __init__(self, seed: int, sizes: tuple[int, int], depths: tuple[int, int]) -> None:
        self._seed, self._sizes, self._depths = seed, sizes, depths
        self.count = max(_MIN_DOCUMENTS, min(_MAX_DOCUMENTS, _POOL_BYTES // sizes[1]))
        """The number of different documents."""
        self.path = "$" + f".{NEXT_LEVEL}" * (depths[0] - 1) + f".{NAME}"
        """The path to a text on the lowest level that every document has."""

    def encoded(self, number: int) -> bytes:
        """Return a document as JSON."""
        return self._encoded[number % self.count]

    def fields(self, number: int) -> dict[Any, Any]:
        """Return the same document as the fields of a hash: the members of its first level, each encoded as JSON."""
        return self._fields[number % self.count]

    def make(self) -> None:
        """Create all documents now, at a moment when that does not disturb a measurement."""
        self.fields(0)

    @cached_property
    def _encoded(self) -> list[bytes]:
        entries = _entries(random.Random(self._seed))  # noqa: S311 - test data
        return [
            self._make(random.Random(f"{self._seed}:{number}"), entries)  # noqa: S311
            for number in range(self.count)
        ]

    @cached_property
    def _fields(self) -> list[dict[Any, Any]]:
        return [
            {name: orjson.dumps(value) for name, value in orjson.loads(document).items()} for document in self._encoded
        ]

    def _make(self, chance: random.Random, entries: list[tuple[dict[str, Any], int]]) -> bytes:
        size, depth = chance.randint(*self._sizes), chance.randint(*self._depths)
        levels = [_level(chance) for _ in range(depth)]
        for outer, inner in pairwise(levels):
            outer[NEXT_LEVEL] = inner
        spare = size - len(orjson.dumps(levels[0]))
        for number, level in enumerate(levels):
            share = spare // (depth - number)
            _fill(level, share, entries, chance)
            spare -= share
        return orjson.dumps(levels[0])


def _level(chance: random.Random) -> dict[str, Any]:
    return {
        NAME: " ".join(chance.choices(_WORDS, k=2)),
        COUNTER: 0,
        "score": chance.randrange(100, 1_000) / 100,
        "active": chance.random() < 0.5,  # noqa: PLR2004 - half of them
        ARRAY: chance.choices(_WORDS, k=3),
        "entries": [],
        "notes": "",
    }


def _entries(chance: random.Random) -> list[tuple[dict[str, Any], int]]:
    """Return the small objects that fill documents, each with its size in bytes."""
    made = [
        {
            "id": chance.randrange(10**9),
            NAME: " ".join(chance.choices(_WORDS, k=3)),
            "price": chance.randrange(10**5) / 100,
            "in_stock": chance.random() < 0.8,  # noqa: PLR2004 - most of them
        }
        for _ in range(_ENTRIES)
    ]
    return [(entry, len(orjson.dumps(entry)) + 1) for entry in made]  # with the comma


def _fill(level: dict[str, Any], size: int, entries: list[tuple[dict[str, Any], int]], chance: random.Random) -> None:
    """Enlarge a level by this many bytes."""
    while size > 2 * _ENTRY_BYTES:
        entry, taken = chance.choice(entries)
        size -= taken
        level["entries"].append(entry)
    level["notes"] = _text(size + bool(level["entries"]), chance)  # the first entry has no comma


def _text(length: int, chance: random.Random) -> str:
    return " ".join(chance.choices(_WORDS, k=length // 5 + 1))[:length]
