"""Documents: JSON documents of a size and a depth, the same for the same seed.

Each level of a document is an object with texts, numbers, an array of words, an array of small objects (`entries`), and
the next level (`details`). Entries, and a text for what remains, fill it to its size, to the byte.
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
"""Of each level of depth."""
_POOL_BYTES: Final = 8 * 1024 * 1024
_MIN_DOCUMENTS, _MAX_DOCUMENTS = 4, 256
_ENTRIES: Final = 256
"""So many different ones: to make one takes ten times as long as to choose one."""
_ENTRY_BYTES: Final = 120
"""What an entry takes at most, with its comma."""
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
    """Documents by number; there are so many different ones as fit into 8 MiB, from 4 to 256, and then they repeat.

    Args:
        seed: any whole number.
        sizes: the fewest and the most bytes of a document; each size between is equally likely. At least
            `SMALLEST_BYTES` for each level of the greatest depth.
        depths: the fewest and the most levels, likewise; at least 1.
    """

    def __init__(self, seed: int, sizes: tuple[int, int], depths: tuple[int, int]) -> None:
        self._seed, self._sizes, self._depths = seed, sizes, depths
        self.count = max(_MIN_DOCUMENTS, min(_MAX_DOCUMENTS, _POOL_BYTES // sizes[1]))
        """How many different ones there are."""
        self.path = "$" + f".{NEXT_LEVEL}" * (depths[0] - 1) + f".{NAME}"
        """Leads to a text on the lowest level that every document has."""

    def encoded(self, number: int) -> bytes:
        """Return a document as JSON."""
        return self._encoded[number % self.count]

    def fields(self, number: int) -> dict[Any, Any]:
        """Return the same document as the fields of a hash: the members of its first level, each as JSON."""
        return self._fields[number % self.count]

    def make(self) -> None:
        """Make all of them now, where that does not disturb."""
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
        "active": chance.random() < 0.5,  # noqa: PLR2004 - a coin
        ARRAY: chance.choices(_WORDS, k=3),
        "entries": [],
        "notes": "",
    }


def _entries(chance: random.Random) -> list[tuple[dict[str, Any], int]]:
    """Return what fills documents: small objects, each with the bytes that it takes."""
    made = [
        {
            "id": chance.randrange(10**9),
            NAME: " ".join(chance.choices(_WORDS, k=3)),
            "price": chance.randrange(10**5) / 100,
            "in_stock": chance.random() < 0.8,  # noqa: PLR2004 - most
        }
        for _ in range(_ENTRIES)
    ]
    return [(entry, len(orjson.dumps(entry)) + 1) for entry in made]  # with the comma


def _fill(level: dict[str, Any], size: int, entries: list[tuple[dict[str, Any], int]], chance: random.Random) -> None:
    """Make a level larger by so many bytes."""
    while size > 2 * _ENTRY_BYTES:
        entry, taken = chance.choice(entries)
        size -= taken
        level["entries"].append(entry)
    level["notes"] = _text(size + bool(level["entries"]), chance)  # the first has no comma


def _text(length: int, chance: random.Random) -> str:
    return " ".join(chance.choices(_WORDS, k=length // 5 + 1))[:length]
