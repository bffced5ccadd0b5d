"""SharedData: the data that runs of a scenario load into a Redis, and the runs that use it.

Several runs may share a Redis. So the keys that they created and the runs that use them are recorded there, and the
last run to end removes them. Keys that existed before are not recorded, and stay. Everything stays if a run keeps its
data or its master was killed: `loadtest seed remove --all` removes that.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Final

from loadtest.seeding.stores import made_key
from target_app.store import KEY_PREFIX, PRIVATE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loadtest.seeding.stores import RedisStore

_USER: Final = secrets.token_hex(8)
"""This process, which makes one run at a time."""


class SharedData:
    """The data of a scenario in a Redis.

    Every method raises a StackError when the Redis is unreachable or refuses access.

    Args:
        store: of that Redis.
        scenario: its name.
        user: the user of the data.
    """

    def __init__(self, store: RedisStore, scenario: str, user: str = _USER) -> None:
        self._store = store
        self._made = made_key(scenario)
        self._users = f"{KEY_PREFIX}{PRIVATE}users-of:{scenario}"
        self._user = user

    def claim(self, keys: Sequence[str] = ()) -> None:
        """Record that the data is in use, and that the missing ones of these keys are about to be created."""
        self._store.ask(("SADD", self._users, self._user))
        there = self._store.ask(*(("EXISTS", key) for key in keys))
        if missing := [key for key, is_there in zip(keys, there, strict=True) if not is_there]:
            self._store.ask(("SADD", self._made, *missing))

    def release(self, pattern: str = "") -> int:
        """Record that it is no longer in use; if it has no other users, remove the created keys, and return their
        number.

        Args:
            pattern: matches further keys of the data that are too many to be recorded one by one.
        """
        was_claimed, others = self._store.ask(("SREM", self._users, self._user), ("SCARD", self._users))
        if others or not was_claimed:
            return 0
        (made,) = self._store.ask(("SMEMBERS", self._made))
        removed = self._store.unlink([*made])
        self._store.ask(("DEL", self._made))
        return removed + (self._store.unlink_all(pattern) if pattern else 0)
