"""Accesses: one user's operations on the keys of a workload, the same in each run.

Tested in tests/unit/scenarios/test_key_value.py.
"""

from __future__ import annotations

import random
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from loadtest.clients.redis import RAW
from loadtest.measuring.users import own_scenario_of
from loadtest.users.steps import check_of
from loadtest.workload.operations import MULTIPLE, OPERATIONS, Form, written

if TYPE_CHECKING:
    from loadtest.clients.redis import RedisJsonUser
    from loadtest.workload.description import Description
    from loadtest.workload.documents import Documents

HIT: Final = "hit"
"""The check that counts whether each read key existed."""


class Encoded:
    """Has documents that are encoded already written as they are."""

    def encode(self, value: Any) -> Any:
        """Return the value."""
        return value


class Accesses:
    """The operations of one user, at random by their weights.

    Args:
        description: the workload's description.
        documents: its documents.
        prefix: the prefix of all keys.
        user: the user whose client executes them, and whose scenario they are recorded under.
        seed: users with the same seed do the same.
    """

    def __init__(
        self, description: Description, documents: Documents, prefix: str, user: RedisJsonUser, seed: str
    ) -> None:
        self._user = user
        keys, shares = description.keys, description.shares
        self._documents = documents
        self._random = random.Random(f"{description.seed}:{seed}")  # noqa: S311 - a load, no secret
        generator = np.random.default_rng(self._random.getrandbits(64))
        self._numbers = keys.numbers(generator)
        self._namers = {form: keys.namer(f"{prefix}{form}:") for form in description.forms}
        self._per_mget = keys.per_mget
        self._ttls_ms = keys.ttls_ms(self._random)
        self._names, self._weights = list(shares), list(accumulate(shares.values()))
        scenario = own_scenario_of(user)
        self._clients: dict[str, Any] = {name: user.client.labelled(f"{scenario}/{name}") for name in shares}
        for name, client in self._clients.items():
            if OPERATIONS[name].form == "json" and OPERATIONS[name].call is not None:
                self._clients[name] = client.json(Encoded(), RAW)

    def next(self) -> None:
        """Run the next operation.

        Raises:
            redis.RedisError: it failed, which is recorded.
        """
        (name,) = self._random.choices(self._names, cum_weights=self._weights)
        operation = OPERATIONS[name]
        client, number = self._clients[name], self._random.randrange(self._documents.count)
        keys = [self.key(operation.form) for _ in range(self._per_mget if name == MULTIPLE else 1)]
        if operation.call is None:
            self._write(client, operation.form, keys[0], number)
            return
        found = operation.call(client, keys if name == MULTIPLE else keys[0], self._documents, number)
        if operation.effect == "read":
            for one in found if name == MULTIPLE else (found,):
                check_of(self._user, HIT, one)

    def key(self, form: Form) -> str:
        """Return the next key."""
        return self._namers[form](next(self._numbers))

    def _write(self, client: Any, form: Form, key: str, number: int) -> None:
        commands = written(form, key, self._documents, number, next(self._ttls_ms))
        if len(commands) == 1:
            client.execute_command(*commands[0])
            return
        pipeline = client.pipeline(transaction=False)
        for command in commands:
            pipeline.execute_command(*command)
        pipeline.execute()
