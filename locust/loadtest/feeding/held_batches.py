"""HeldBatches: a worker's side of the protocol: the items that its users may take, and its requests to the master.

A worker requests items long before it runs out: it aims to hold the items that its users need for `HOLD_S` at their
current rate. The same message claims the items for twice `CLAIM_S`, so that the next claim is on its way before the
second half begins. See `loadtest.feeding.allocator` for the protocol. This class sends nothing and reads no clock. It
is tested together with the allocator.

Tested in tests/unit/feeding/test_allocator.py.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Any, Final

from loadtest.feeding.allocator import LEASE_S, MAX_ITEMS, Batch, BatchRequest

HOLD_S: Final = 1.0
CLAIM_S: Final = 0.05
_MIN_ITEMS: Final = 4  # users that wake together find a claim, and need not send one
_RATE_EVERY_S: Final = 0.05


class HeldBatches:
    """The items of one feed that a worker holds.

    Attributes:
        items: those that no user has taken yet; take from the left, if `may_use`.
        alert: a request is due at this many items or fewer.
        leased_until_s: no item may be used after this instant.
        exhausted: the master has nothing more for now.
    """

    def __init__(self) -> None:
        self.items: deque[Any] = deque()
        self.alert = 0
        self.leased_until_s = -math.inf
        self.exhausted = False
        self._lease = self._last_lease = 0
        self._received = 0
        self._claimed = 0
        self._margin = _MIN_ITEMS
        self._rate_per_s = 0.0
        self._rated = (0, -math.inf)  # items used, and when

    @property
    def used(self) -> int:
        """Items that users have taken."""
        return self._received - len(self.items)

    def has(self, now_s: float) -> bool:
        """Return whether there is an item that can be used once it is claimed."""
        return bool(self.items) and now_s <= self.leased_until_s

    def may_use(self, now_s: float) -> bool:
        """Return whether the next item may be used."""
        return self.has(now_s) and self.used < self._claimed

    def request(self, now_s: float) -> BatchRequest:
        """Return the request to send now; its claims take effect at once."""
        margin = self._margin = self._margin_at(now_s)
        self._claimed = max(self._claimed, min(self._received, self.used + 2 * margin))
        self._set_alert()
        hold = min(MAX_ITEMS, max(math.ceil(self._rate_per_s * HOLD_S), 4 * margin))
        return BatchRequest(self._lease, self.used, self._claimed, self._received, self.used + hold, self._last_lease)

    def leave(self) -> BatchRequest:
        """Drop all items, and return the request that reports it."""
        used, received = self.used, self._received
        request = BatchRequest(self._lease, used, used, received, received, self._last_lease, leaving=True)
        self.drop()
        return request

    def drop(self) -> None:
        """Drop all items, and accept only a new lease from now on."""
        self.items.clear()
        self._lease = self._received = self._claimed = self.alert = 0
        self.leased_until_s = -math.inf
        self.exhausted = False
        self._rated = (0, -math.inf)

    def receive(self, batch: Batch, requested_s: float) -> None:
        """Process a batch, the answer to the request of an instant."""
        if batch.lease > self._last_lease:
            self.drop()
            self._lease = self._last_lease = batch.lease
        if batch.lease != self._lease or batch.offset > self._received:
            return
        fresh = batch.items[self._received - batch.offset :]
        self.items.extend(fresh)
        self._received += len(fresh)
        self.leased_until_s = max(self.leased_until_s, requested_s + LEASE_S)
        self.exhausted = batch.exhausted
        self._set_alert()

    def _set_alert(self) -> None:
        self.alert = self._received - self._claimed + self._margin

    def _margin_at(self, now_s: float) -> int:
        """Return how many items users need in `CLAIM_S`, at least `_MIN_ITEMS`."""
        used, rated_s = self._rated
        if now_s - rated_s >= _RATE_EVERY_S:
            rate_per_s = (self.used - used) / (now_s - rated_s)
            self._rate_per_s = max(rate_per_s, 0.7 * self._rate_per_s)
            self._rated = (self.used, now_s)
        return max(_MIN_ITEMS, math.ceil(self._rate_per_s * CLAIM_S))
