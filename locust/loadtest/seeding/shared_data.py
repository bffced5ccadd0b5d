"""SharedData: what the runs of a scenario load into a Redis, and which runs need it.

Several runs may share a Redis. So it is noted there which keys they made and who uses them, and the last run to end
removes them. Keys that were there before are not noted, and stay. So does everything, once a run keeps its data or its
master was killed: `loadtest seed remove --all` removes that.
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
        user: who uses the data.
    """

    def __init__(self, store: RedisStore, scenario: str, user: str = _USER) -> None:
        self._store = store
        self._made = made_key(scenario)
        self._users = f"{KEY_PREFIX}{PRIVATE}users-of:{scenario}"
        self._user = user

    def claim(self, keys: Sequence[str] = ()) -> None:
        """Note that the data are used, and that those of these keys which are missing are about to be made."""
        self._store.ask(("SADD", self._users, self._user))
        there = self._store.ask(*(("EXISTS", key) for key in keys))
        if missing := [key for key, is_there in zip(keys, there, strict=True) if not is_there]:
            self._store.ask(("SADD", self._made, *missing))

    def release(self, pattern: str = "") -> int:
        """Note that they are used no longer; if nobody else uses them, remove what was made, and return how many.

        Args:
            pattern: what else the data are: too many keys to be noted one by one.
        """
        was_claimed, others = self._store.ask(("SREM", self._users, self._user), ("SCARD", self._users))
        if others or not was_claimed:
            return 0
        (made,) = self._store.ask(("SMEMBERS", self._made))
        removed = self._store.unlink([*made])
        self._store.ask(("DEL", self._made))
        return removed + (self._store.unlink_all(pattern) if pattern else 0)
