"""Workload: a key-value workload, described in a TOML file, for the scenario `key_value` and for scenarios of your own.

    CACHE = Workload.read("cache.toml")

    class Reader(RedisJsonUser):
        def on_start(self):
            self.accesses = CACHE.accesses(self)

        @task
        def access(self):
            self.accesses.next()

    scenario = Scenario(
        "shop", (Reader,), requests=CACHE.requests("shop"), load_data=CACHE.load, remove_data=CACHE.remove
    )

Tested in tests/unit/scenarios/test_key_value.py.
"""

from __future__ import annotations

import hashlib
import itertools
import random
from collections import defaultdict, deque
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from loadtest.exceptions import StackError
from loadtest.seeding.shared_data import SharedData
from loadtest.seeding.stores import RedisStore
from loadtest.workload import description as descriptions
from loadtest.workload.accesses import Accesses
from loadtest.workload.documents import Documents
from loadtest.workload.operations import OPERATIONS, written
from target_app.store import KEY_PREFIX

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from loadtest.clients.redis import RedisJsonUser
    from loadtest.workload.description import Description
    from loadtest.workload.operations import Command, Form

_BATCH_BYTES: Final = 1024 * 1024
_BATCH_KEYS: Final = 1_000
_SAMPLED: Final = 100


class _Batch(NamedTuple):
    """Documents that are written together.

    Attributes:
        form: what their keys hold.
        numbers: those of the keys.
        are_copies: whether Redis copies them.
    """

    form: Form
    numbers: Sequence[int]
    are_copies: bool = False


class Workload:
    """A workload.

    Its keys begin with a digest of the data's description, so that runs with the same description share them, and runs
    with another one do not.

    Args:
        description: the parsed description.

    Attributes:
        description: the same.
    """

    def __init__(self, description: Description) -> None:
        self.description = description
        keys, values = description.keys, description.values
        of_data = description.seed, keys.pattern, keys.size, keys.filled, keys.ttl, values.size_bytes, values.depth
        self._name = f"key_value:{hashlib.blake2b(repr(of_data).encode(), digest_size=4).hexdigest()}"
        self._prefix = f"{KEY_PREFIX}{self._name}:"
        self._documents = Documents(description.seed, values.size_bytes, values.depth)
        self._users: defaultdict[type, Iterator[int]] = defaultdict(itertools.count)

    @classmethod
    def read(cls, file: str | Path) -> Workload:
        """Read a workload from its TOML file.

        Raises:
            UsageError: when it cannot be read, or holds wrong values, all of which are named.
        """
        return cls(descriptions.read(Path(file)))

    def __str__(self) -> str:
        """Describe it in a few words."""
        keys, values = self.description.keys, self.description.values
        shares = self.description.shares
        reads = sum(share for name, share in shares.items() if OPERATIONS[name].effect == "read")
        size, depth = (low if low == high else f"{low} to {high}" for low, high in (values.size_bytes, values.depth))
        return (
            f"{keys.size:,} keys, {keys.fill:.0%} of them there from the beginning, accessed by {keys.distribution}, "
            f"{reads / sum(shares.values()):.0%} of it reads; documents of {size} bytes and depth {depth}"
        )

    def requests(self, scenario: str) -> tuple[tuple[str, str], ...]:
        """Return the method and name of every request that users make in a scenario."""
        expires = self.description.keys.ttl is not None
        found = ((name, OPERATIONS[name]) for name in self.description.shares)
        return tuple(
            ("PIPELINE" if expires and one.call is None and one.form != "string" else one.command, f"{scenario}/{name}")
            for name, one in found
        )

    def accesses(self, user: RedisJsonUser) -> Accesses:
        """Return a user's accesses: the n-th user of its class in a worker does the same in each run.

        The first time it makes the documents, which takes up to half a second: call it in ``on_start``.
        """
        self._documents.make()
        worker = getattr(user.environment.runner, "worker_index", 0)
        seed = f"{worker}:{next(self._users[type(user)])}"
        return Accesses(self.description, self._documents, self._prefix, user, seed)

    def load(self, redis_url: str, progress: Callable[[int, int], None]) -> list[str]:
        """Write the initial documents; repeating it changes nothing.

        Args:
            redis_url: the Redis to write to.
            progress: called with the number of written keys, and of all keys.

        Returns:
            Sentences for reports: the memory per document.

        Raises:
            StackError: Redis is unreachable, has no RedisJSON, or is out of memory.
        """
        done, total = 0, self.description.keys.filled * len(self.description.forms)
        with RedisStore.of(redis_url) as store:
            SharedData(store, self._name).claim()
            sent: deque[_Batch] = deque()
            uncopied: list[_Batch] = []
            for replies in store.ask_ahead(self._batches(sent, may_copy=store.is_one_server)):
                batch = sent.popleft()
                if batch.are_copies and not all(replies):  # what was to be copied was evicted
                    left = [number for number, reply in zip(batch.numbers, replies, strict=True) if not reply]
                    uncopied.append(batch._replace(numbers=left))
                done += len(batch.numbers)
                progress(done, total)
            for batch in uncopied:
                store.ask(*self._written(batch, itertools.repeat(None)))
            return self._memory(store)

    def _memory(self, store: RedisStore) -> list[str]:
        """Return the memory per document in Redis, from a sample of each form; empty if Redis does not report it.

        The sample contains written documents only: a copy may take less.
        """
        keys, taken = self.description.keys, []
        written = min(keys.filled, self._documents.count)
        numbers = np.unique(np.linspace(0, written - 1, _SAMPLED).round().astype(int)) if written else ()
        for form in self.description.forms:
            name = keys.namer(f"{self._prefix}{form}:")
            try:
                found = store.ask(*(("MEMORY", "USAGE", name(int(number)), "SAMPLES", 0) for number in numbers))
            except StackError:
                return []
            if there := [size for size in found if size is not None]:
                taken.append(f"{sum(there) / len(there):,.0f} bytes as {form}")
        size = sum(len(self._documents.encoded(int(number))) for number in numbers) / max(1, len(numbers))
        return [f"a document of {size:,.0f} bytes takes in Redis {', '.join(taken)} (mean of {len(numbers)})"] * bool(
            taken
        )

    def remove(self, redis_url: str, run_id: str) -> int:  # noqa: ARG002 - the keys are no single run's
        """Remove all keys, unless another run uses them, and return their number.

        Raises:
            StackError: Redis is unreachable.
        """
        with RedisStore.of(redis_url) as store:
            return SharedData(store, self._name).release(f"{self._prefix}*")

    def _batches(self, sent: deque[_Batch], *, may_copy: bool) -> Iterator[list[Command]]:
        """Yield the commands that write the documents, in batches of bounded size.

        Args:
            sent: what each batch writes is appended to it.
            may_copy: whether all keys are on one server. It copies a document in half the time of parsing it again.
        """
        keys, documents = self.description.keys, self._documents
        per_batch = max(1, min(_BATCH_KEYS, _BATCH_BYTES // self.description.values.size_bytes[1]))
        copies = may_copy and keys.ttl is None  # a key that expires may be gone before it is copied
        first_copy = min(keys.filled, documents.count) if copies else keys.filled
        ttls_ms = keys.ttls_ms(random.Random(self.description.seed))  # noqa: S311 - test data
        for form in self.description.forms:
            name = keys.namer(f"{self._prefix}{form}:")
            for numbers in _divided(range(first_copy), per_batch):
                sent.append(_Batch(form, numbers))
                yield self._written(sent[-1], ttls_ms)
            for numbers in _divided(range(first_copy, keys.filled), per_batch):
                sent.append(_Batch(form, numbers, are_copies=True))
                yield [("COPY", name(number % documents.count), name(number), "REPLACE") for number in numbers]

    def _written(self, batch: _Batch, ttls_ms: Iterator[int | None]) -> list[Command]:
        """Return the commands that write these documents whole."""
        name, documents = self.description.keys.namer(f"{self._prefix}{batch.form}:"), self._documents
        return [
            command
            for number in batch.numbers
            for command in written(batch.form, name(number), documents, number, next(ttls_ms))
        ]


def _divided(numbers: range, most: int) -> Iterator[range]:
    """Yield numbers in their order, so many at once at most."""
    return (numbers[start : start + most] for start in range(0, len(numbers), most))
