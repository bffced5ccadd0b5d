"""Users: realistic users, generated quickly and reproducibly from a seed.

Faker takes about half a millisecond per user. So it only fills pools of names, streets and cities, once, and a seeded
random generator combines them. Users are generated in blocks of `BLOCK`, each with its own generator: user 70,000 is
the same whether 70,001 or a million are generated. The same version of Faker and the same seed yield the same users.

Tested in tests/unit/seeding/test_commands.py.
"""

from __future__ import annotations

import random
from datetime import date, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

BLOCK: Final = 1_000
"""The number of users that share a random generator."""
_NAMES: Final = 600
_PLACES: Final = 300
_BORN: Final = (date(1940, 1, 1), 24_000)  # the first day, and the number of days
_SIGNED_UP: Final = (date(2020, 1, 1), 2_000)
_UUID_BITS: Final = 128


class Users:
    """The users that belong to a seed.

    Args:
        seed: any whole number.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def ids(self, count: int) -> list[str]:
        """Return the ids of the first ``count`` users, in order, without generating the users."""
        return [user_id for start in range(0, count, BLOCK) for user_id in self._block_ids(start)][:count]

    def batches(self, count: int) -> Iterator[list[dict[str, Any]]]:
        """Yield the first ``count`` users, in order, at most `BLOCK` at a time."""
        for start in range(0, count, BLOCK):
            yield self._block(start)[: count - start]

    def _block_ids(self, start: int) -> list[str]:
        bits = random.Random(f"{self._seed}:id:{start}").getrandbits  # noqa: S311 - test data
        texts = [f"{bits(_UUID_BITS):032x}" for _ in range(BLOCK)]
        return [f"{text[:8]}-{text[8:12]}-4{text[13:16]}-a{text[17:20]}-{text[20:]}" for text in texts]  # UUID 4

    def _block(self, start: int) -> list[dict[str, Any]]:
        pools = self._pools
        choices = random.Random(f"{self._seed}:user:{start}").choices  # noqa: S311 - test data
        columns: tuple[Sequence[Any], ...] = (
            range(start, start + BLOCK),
            self._block_ids(start),
            choices(pools.first_names, k=BLOCK),
            choices(pools.last_names, k=BLOCK),
            choices(pools.domains, k=BLOCK),
            choices(range(10**7), k=BLOCK),
            choices(pools.births, k=BLOCK),
            choices(range(1, 10_000), k=BLOCK),
            choices(pools.streets, k=BLOCK),
            choices(pools.cities, k=BLOCK),
            choices(pools.companies, k=BLOCK),
            choices(pools.sign_ups, k=BLOCK),
            choices(range(10_000), k=BLOCK),
        )
        return [
            {
                "id": user_id,
                "name": f"{first} {last}",
                "email": f"{first}.{last}.{number}@{domain}".lower(),
                "phone": f"+1 555 {phone:07}",
                "born": born,
                "address": {"street": f"{house} {street}", "city": city},
                "company": company,
                "signed_up": signed_up,
                "coins": coins,
                "coin_queue": None,
            }
            for (
                number,
                user_id,
                first,
                last,
                domain,
                phone,
                born,
                house,
                street,
                city,
                company,
                signed_up,
                coins,
            ) in zip(*columns, strict=True)
        ]

    @cached_property
    def _pools(self) -> _Pools:
        return _Pools(self._seed)


class _Pools:
    """Pools of distinct words from Faker."""

    def __init__(self, seed: int) -> None:
        from faker import Faker  # noqa: PLC0415 - takes half a second, needed only to generate users

        fake = Faker("en_US")
        fake.seed_instance(seed)

        def pool(make: Callable[[], str], size: int) -> list[str]:
            return list(dict.fromkeys(make() for _ in range(size)))

        self.first_names = pool(fake.first_name, _NAMES)
        self.last_names = pool(fake.last_name, _NAMES)
        self.domains = pool(lambda: f"{fake.domain_word()}.example", _PLACES)  # .example is reserved (RFC 2606)
        self.streets = pool(fake.street_name, _PLACES)
        self.cities = pool(fake.city, _PLACES)
        self.companies = pool(fake.company, _PLACES)
        self.births, self.sign_ups = _days(*_BORN), _days(*_SIGNED_UP)


def _days(first: date, count: int) -> list[str]:
    return [(first + timedelta(day)).isoformat() for day in range(count)]
