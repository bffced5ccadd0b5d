"""BatchAllocator: the master's side. It tracks which worker holds which items, and allocates each item once.

A worker holds items under a numbered *lease*: a stream of items, counted from 0. Each `BatchRequest` carries the whole
state of that stream in cumulative numbers, so lost and duplicate messages do no harm:

    used      items that users have taken
    claimed   items that users may take without another message; never less than `used`
    received  items that have arrived
    wanted    items that the worker would like to have been allocated in all

The answer is a `Batch`: the items from `received` on. A worker uses no item later than `LEASE_S` after it sent the last
request that was answered. A master that has heard nothing for longer may therefore allocate the items again, whether
the worker is dead, cut off, or paused and about to come back.

No item may be used twice, so items that a lost worker may have used are *in doubt*: they are counted, and not allocated
again in their round.

- A worker that leaves in order reports the used items: nothing is in doubt.
- A worker whose process was killed had sent every claim before it used the claimed items, and the kernel delivers sent
  data before it closes the connection. Items that were claimed but not reported as used are in doubt: at most twice
  what users took in their busiest `loadtest.feeding.held_batches.CLAIM_S`, or 8 if that is more. The rest is returned
  and allocated next.
- A worker that is silent while its connection is open, because it is paused or cut off, may have used everything that
  it held. All of that, about what users take in a second, is in doubt until the worker comes back.

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
"""The minimum items that a worker holds, whatever its rate; fewer if the swarm would hold over half of a source."""
MAX_ITEMS: Final = 20_000
"""Most items in one message."""
MAX_BYTES: Final = 900_000
"""Most bytes of items in one message. A value takes at least one, so `messages.MAX_VALUES` is not reached either."""


class BatchRequest(NamedTuple):
    """A worker's account of the items it holds, and how many it would like to hold."""

    lease: int
    """0 for none."""
    used: int = 0
    claimed: int = 0
    received: int = 0
    wanted: int = 0
    last_lease: int = 0
    """The highest lease for which a batch has arrived."""
    leaving: bool = False
    """Whether the worker has stopped using items."""


class Batch(NamedTuple):
    """Items for a worker."""

    lease: int
    offset: int
    """The position of the first item in the lease's stream."""
    items: list[Any]
    exhausted: bool = False
    """Whether there is nothing more for now, and perhaps never will be."""


@dataclass
class _Lease:
    number: int
    answered_s: float = 0.0
    items: deque[Any] = field(default_factory=deque)
    """The allocated items that have not been reported as used."""
    used: int = 0
    claimed: int = 0
    is_silent: bool = False
    """Whether it was not renewed in time, and its worker may come back."""

    @property
    def allocated(self) -> int:
        return self.used + len(self.items)

    def report(self, used: int, claimed: int) -> None:
        for _ in range(min(used, self.allocated) - self.used):
            self.items.popleft()
            self.used += 1
        self.claimed = max(self.claimed, self.used, min(claimed, self.allocated))


class BatchAllocator:
    """Allocates the items of an order to workers.

    Args:
        order: the items.
        first_lease: the number before that of the first lease. Numbers only grow, also across runs.
    """

    def __init__(self, order: Order, first_lease: int = 0) -> None:
        self._order = order
        self._most = min(MAX_ITEMS, max(1, MAX_BYTES // order.largest_bytes))
        self.last_lease = first_lease
        self.workers = 1
        """How many workers are expected to send requests."""
        self._leases: dict[str, _Lease] = {}
        self._returned: deque[Any] = deque()
        self._used_before = 0
        self._lost = 0

    @property
    def in_doubt(self) -> int:
        """Items that users of a lost worker may have taken, which are not allocated again."""
        return self._lost + sum(len(lease.items) for lease in self._leases.values() if lease.is_silent)

    @property
    def used(self) -> int:
        """Items that users are known to have taken."""
        return self._used_before + sum(lease.used for lease in self._leases.values())

    @property
    def is_used_up(self) -> bool:
        """Whether no item is left: all are allocated, and no connected worker holds one."""
        return not self._left and not any(lease.items for lease in self._leases.values() if not lease.is_silent)

    @property
    def _left(self) -> float:
        return self._order.left + len(self._returned)

    @property
    def _reserve(self) -> int:
        return min(RESERVE, self._share(self._order.size))

    def _share(self, items: float) -> int:
        """Return one worker's share of half the items."""
        return math.ceil(items / (2 * max(self.workers, len(self._leases))))

    def allocate(self, worker: str, request: BatchRequest, now_s: float) -> Batch:
        """Process a worker's request and answer it; a worker without a known lease gets a new one."""
        lease = self._leases.get(worker)
        if request.leaving:
            return self._leave(worker, request)
        if lease is not None and request.lease != lease.number <= request.last_lease:
            self._give_up(worker, len(lease.items))  # it dropped the lease after it had received some of it
            lease = None
        if lease is None:
            self.last_lease += 1
            lease = self._leases[worker] = _Lease(self.last_lease)
        lease.answered_s, lease.is_silent = now_s, False
        if request.lease != lease.number:
            return self._batch(lease, 0, self._reserve)
        lease.report(request.used, request.claimed)
        return self._batch(lease, request.received, max(request.wanted, request.used + self._reserve))

    def expire_leases(self, now_s: float, is_connected: Callable[[str], bool]) -> list[str]:
        """End the leases that were not renewed in time, and return their workers.

        Call it only after every received message has been handled.

        Args:
            now_s: the instant.
            is_connected: whether a worker's connection stands.
        """
        leases = [(worker, lease) for worker, lease in self._leases.items() if not lease.is_silent]
        lost = [(worker, lease) for worker, lease in leases if now_s - lease.answered_s > LEASE_S]
        for worker, lease in lost:
            if is_connected(worker):
                lease.is_silent = True
            else:
                self._give_up(worker, lease.claimed - lease.used)
        return [worker for worker, _ in lost]

    def _leave(self, worker: str, request: BatchRequest) -> Batch:
        lease = self._leases.get(worker)
        if lease is not None:
            if lease.number == request.lease:
                lease.report(request.used, request.used)
            self._give_up(worker, 0)
        return Batch(request.lease, request.received, [], exhausted=True)

    def _batch(self, lease: _Lease, received: int, wanted: int) -> Batch:
        received = min(max(received, lease.used), lease.allocated)  # whatever the request claims
        lease.items.extend(self._take(min(wanted, received + self._most) - lease.allocated))
        items = list(islice(lease.items, received - lease.used, None))
        return Batch(lease.number, received, items, exhausted=not items and not self._left)

    def _take(self, count: int) -> Iterable[Any]:
        """Return the next items; near the end, at most a fair share, so that no worker waits for items of others."""
        if count <= 0:
            return []
        if self._left < math.inf:
            count = min(count, self._share(self._left))
        returned = [self._returned.popleft() for _ in range(min(count, len(self._returned)))]
        return returned + self._order.take(count - len(returned))

    def _give_up(self, worker: str, in_doubt: int) -> None:
        """Take back what a worker holds, except its first `in_doubt` items."""
        lease = self._leases.pop(worker)
        self._lost += in_doubt
        self._used_before += lease.used
        self._returned.extend(islice(lease.items, in_doubt, None))
