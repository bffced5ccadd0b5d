"""Hand: a worker's side of the protocol: what it may give to its users, and what it has to say about it.

It asks long before it runs out: it wants to hold what its users need for `HOLD_S` at their present rate. It claims, in
the same message, what they need for `CLAIM_S`, twice over, so that the claim for the second half is on its way before
that half begins. See `loadtest.feeding.dealer` for the protocol. This class sends nothing and reads no clock.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Any, Final

from loadtest.feeding.dealer import LEASE_S, MOST, Ask, Deal

HOLD_S: Final = 1.0
CLAIM_S: Final = 0.05
_LEAST: Final = 4  # users who wake together find a claim, and send none themselves
_RATE_EVERY_S: Final = 0.05


class Hand:
    """The items of one feed that a worker holds.

    Attributes:
        items: those that no user has got yet; take from the left, when `may_use`.
        alert: as long as there are more items than that, nobody needs to be told.
        leased_until_s: no item may be used after.
        exhausted: there is nothing more for now.
    """

    def __init__(self) -> None:
        self.items: deque[Any] = deque()
        self.alert = 0
        self.leased_until_s = -math.inf
        self.exhausted = False
        self._number = self._seen = 0
        self._have = 0
        self._claimed = 0
        self._margin = _LEAST
        self._rate_per_s = 0.0
        self._rated = (0, -math.inf)  # items used, and when

    @property
    def used(self) -> int:
        """Items that users have got."""
        return self._have - len(self.items)

    def has(self, now_s: float) -> bool:
        """Say whether there is an item that may be used once it is claimed."""
        return bool(self.items) and now_s <= self.leased_until_s

    def may_use(self, now_s: float) -> bool:
        """Say whether the next item may be used."""
        return self.has(now_s) and self.used < self._claimed

    def ask(self, now_s: float) -> Ask:
        """Return what to send now; what it claims is claimed from then on."""
        margin = self._margin = self._margin_at(now_s)
        self._claimed = max(self._claimed, min(self._have, self.used + 2 * margin))
        self._set_alert()
        hold = min(MOST, max(math.ceil(self._rate_per_s * HOLD_S), 4 * margin))
        return Ask(self._number, self.used, self._claimed, self._have, self.used + hold, self._seen)

    def leave(self) -> Ask:
        """Return what to send when no item is used any more, and hold nothing from then on."""
        said = Ask(self._number, self.used, self.used, self._have, self._have, self._seen, leaving=True)
        self.drop()
        return said

    def drop(self) -> None:
        """Hold nothing; only a new hand is taken from then on."""
        self.items.clear()
        self._number = self._have = self._claimed = self.alert = 0
        self.leased_until_s = -math.inf
        self.exhausted = False
        self._rated = (0, -math.inf)

    def take(self, deal: Deal, asked_s: float) -> None:
        """Take what the master dealt in answer to what was asked at an instant."""
        if deal.hand > self._seen:
            self.drop()
            self._number = self._seen = deal.hand
        if deal.hand != self._number or deal.offset > self._have:
            return
        fresh = deal.items[self._have - deal.offset :]
        self.items.extend(fresh)
        self._have += len(fresh)
        self.leased_until_s = max(self.leased_until_s, asked_s + LEASE_S)
        self.exhausted = deal.exhausted
        self._set_alert()

    def _set_alert(self) -> None:
        self.alert = self._have - self._claimed + self._margin

    def _margin_at(self, now_s: float) -> int:
        """Return how many items users need in `CLAIM_S`, at least `_LEAST`."""
        used, rated_s = self._rated
        if now_s - rated_s >= _RATE_EVERY_S:
            rate_per_s = (self.used - used) / (now_s - rated_s)
            self._rate_per_s = max(rate_per_s, 0.7 * self._rate_per_s)
            self._rated = (self.used, now_s)
        return max(_LEAST, math.ceil(self._rate_per_s * CLAIM_S))
