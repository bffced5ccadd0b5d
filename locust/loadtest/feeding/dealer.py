"""Dealer: the master's side. It knows who holds which items, and deals each of them once.

A worker has a *hand*: a stream of items, counted from 0. It asks with the numbers of its hand, all of them cumulative,
so that a message that is lost or comes twice does no harm:

    used      items that users have got
    claimed   items that users may get without another word; never less than `used`
    have      items that have arrived
    want      items that it would like to have been dealt in all

The answer is a `Deal`: the items from `have` on. A hand is *leased*: a worker uses none of it any longer than `LEASE_S`
after it sent the last ask that was answered. A master that has heard nothing for longer may therefore deal the items
anew, whether the worker is dead, cut off or stopped and coming back.

No item may be used twice, so what a lost worker may have used is *in doubt*: counted, and not dealt again in its round.

- A worker that ends in order says what it used: nothing is in doubt.
- One whose process was killed had sent every claim before it used what it claimed, and the kernel delivers what was
  sent before it closes the connection. In doubt is what was claimed and not reported as used: about what users get in
  twice `loadtest.feeding.hand.CLAIM_S`. The rest goes back and is dealt next.
- One that is silent while its connection stands, stopped or cut off, may have used all that it held. In doubt is all
  of that, about what users get in a second, until the worker comes back.

This class sends nothing and reads no clock.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from loadtest.feeding.policies import Order

LEASE_S: Final = 3.0
RESERVE: Final = 512
"""Items that a worker holds, whatever it needs; fewer where the swarm would hold more than half of a source's."""
MOST: Final = 20_000
"""Items in one message at most."""


class Ask(NamedTuple):
    """What a worker says about its hand."""

    hand: int
    """0 for none."""
    used: int = 0
    claimed: int = 0
    have: int = 0
    want: int = 0
    seen: int = 0
    """The last hand of which something arrived."""
    leaving: bool = False
    """The worker uses nothing more."""


class Deal(NamedTuple):
    """What a worker is told."""

    hand: int
    offset: int
    """The place of the first item in the hand."""
    items: list[Any]
    exhausted: bool = False
    """There is nothing more for now, and there may never be."""


@dataclass
class _Hand:
    number: int
    answered_s: float = 0.0
    items: deque[Any] = field(default_factory=deque)
    """Those that are not reported as used."""
    used: int = 0
    claimed: int = 0
    is_silent: bool = False
    """Its lease ended, and it may come back."""

    @property
    def dealt(self) -> int:
        return self.used + len(self.items)

    def report(self, used: int, claimed: int) -> None:
        for _ in range(min(used, self.dealt) - self.used):
            self.items.popleft()
            self.used += 1
        self.claimed = max(self.claimed, self.used, min(claimed, self.dealt))


class Dealer:
    """Deals the items of an order.

    Args:
        order: the items.
        first_hand: the number before the first hand's. Numbers only grow, also from run to run.
    """

    def __init__(self, order: Order, first_hand: int = 0) -> None:
        self._order = order
        self.last_hand = first_hand
        self.workers = 1
        """How many workers are expected to ask."""
        self._hands: dict[str, _Hand] = {}
        self._returned: deque[Any] = deque()
        self._used_before = 0
        self._lost = 0

    @property
    def in_doubt(self) -> int:
        """Items that users may have got from a lost worker, and that are not dealt again."""
        return self._lost + sum(len(hand.items) for hand in self._hands.values() if hand.is_silent)

    @property
    def used(self) -> int:
        """Items that users are known to have got."""
        return self._used_before + sum(hand.used for hand in self._hands.values())

    @property
    def is_used_up(self) -> bool:
        """Whether there is no item to come: all are dealt, and no worker that is heard of holds one."""
        return not self._left and not any(hand.items for hand in self._hands.values() if not hand.is_silent)

    @property
    def _left(self) -> float:
        return self._order.left + len(self._returned)

    @property
    def _reserve(self) -> int:
        return min(RESERVE, self._share(self._order.size))

    def _share(self, items: float) -> int:
        """Return a worker's part of a half."""
        return math.ceil(items / (2 * max(self.workers, len(self._hands))))

    def answer(self, worker: str, ask: Ask, now_s: float) -> Deal:
        """Take note of what a worker says, and answer it; one whose hand is not known gets a new one."""
        hand = self._hands.get(worker)
        if ask.leaving:
            return self._leave(worker, ask)
        if hand is not None and ask.hand != hand.number <= ask.seen:
            self._give_up(worker, len(hand.items))  # it has dropped the hand
            hand = None
        if hand is None:
            self.last_hand += 1
            hand = self._hands[worker] = _Hand(self.last_hand)
        hand.answered_s, hand.is_silent = now_s, False
        if ask.hand != hand.number:
            return self._deal(hand, 0, self._reserve)
        hand.report(ask.used, ask.claimed)
        return self._deal(hand, ask.have, max(ask.want, ask.used + self._reserve))

    def reap(self, now_s: float, is_connected: Callable[[str], bool]) -> list[str]:
        """Look for the hands whose lease has ended, and return whose they are; call it when all that came was heard.

        Args:
            now_s: the instant.
            is_connected: whether a worker's connection stands.
        """
        leases = [(worker, hand) for worker, hand in self._hands.items() if not hand.is_silent]
        lost = [(worker, hand) for worker, hand in leases if now_s - hand.answered_s > LEASE_S]
        for worker, hand in lost:
            if is_connected(worker):
                hand.is_silent = True
            else:
                self._give_up(worker, hand.claimed - hand.used)
        return [worker for worker, _ in lost]

    def _leave(self, worker: str, ask: Ask) -> Deal:
        hand = self._hands.get(worker)
        if hand is not None:
            if hand.number == ask.hand:
                hand.report(ask.used, ask.used)
            self._give_up(worker, 0)
        return Deal(ask.hand, ask.have, [], exhausted=True)

    def _deal(self, hand: _Hand, have: int, want: int) -> Deal:
        have = min(max(have, hand.used), hand.dealt)  # whatever it says
        hand.items.extend(self._take(min(want, have + MOST) - hand.dealt))
        items = list(islice(hand.items, have - hand.used, None))
        return Deal(hand.number, have, items, exhausted=not items and not self._left)

    def _take(self, count: int) -> Iterable[Any]:
        """Return the next items; of the last ones each worker gets a share, so that none waits while others hoard."""
        if count <= 0:
            return []
        if self._left < math.inf:
            count = min(count, self._share(self._left))
        returned = [self._returned.popleft() for _ in range(min(count, len(self._returned)))]
        return returned + self._order.take(count - len(returned))

    def _give_up(self, worker: str, in_doubt: int) -> None:
        """Take back what a worker holds, but for its first so many items."""
        hand = self._hands.pop(worker)
        self._lost += in_doubt
        self._used_before += hand.used
        self._returned.extend(islice(hand.items, in_doubt, None))
