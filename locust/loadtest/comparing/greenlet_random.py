"""GreenletRandom: the generator behind the functions of the module `random`, with separate states for some greenlets.

Two greenlets that seed their own state alike draw the same numbers, whatever other greenlets draw in between.

Tested in tests/unit/comparing/test_duet.py.
"""

from __future__ import annotations

import random
from typing import Any, Final

from greenlet import getcurrent

_ATTRIBUTE: Final = "loadtest_random"


class GreenletRandom(random.Random):
    """The shared generator; in a greenlet with its own state, that one."""

    @staticmethod
    def seed_own(seed: int) -> None:
        """Give the current greenlet its own state, or a new one."""
        setattr(getcurrent(), _ATTRIBUTE, random.Random(seed))  # noqa: S311 - data of a test

    @classmethod
    def install(cls) -> None:
        """Put it behind the functions of `random`. Code that imported one earlier keeps the shared generator."""
        module: Any = random
        if isinstance(module._inst, cls):
            return
        replaced, module._inst = module._inst, cls()
        for name, function in list(vars(module).items()):
            if getattr(function, "__self__", None) is replaced:
                setattr(module, name, getattr(module._inst, name))

    def random(self) -> float:
        """Return a number in the half-open interval [0, 1)."""
        own: random.Random | None = getattr(getcurrent(), _ATTRIBUTE, None)
        return super().random() if own is None else own.random()

    def getrandbits(self, k: int, /) -> int:
        """Return an integer of k random bits."""
        own: random.Random | None = getattr(getcurrent(), _ATTRIBUTE, None)
        return super().getrandbits(k) if own is None else own.getrandbits(k)

    @property
    def gauss_next(self) -> None:
        """The number that `gauss` keeps for its next call: none, because another greenlet may make that call."""
        return

    @gauss_next.setter
    def gauss_next(self, value: float | None) -> None:
        """Keep nothing."""
