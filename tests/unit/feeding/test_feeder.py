"""The feeder, as users see it."""

import time

import gevent
import pytest
from locust.exception import StopUser

from loadtest.feeding.allocator import BatchAllocator, BatchRequest
from loadtest.feeding.feeder import Feeder
from loadtest.feeding.policies import Order


class Master:
    """An allocator that responds on demand."""

    def __init__(self, items: int) -> None:
        """Start without a request."""
        self.allocator = BatchAllocator(Order(range(items), "unique_then_stop"))
        self.requests: list[tuple[BatchRequest, float]] = []
        self.feeder = Feeder(lambda request, now_s: self.requests.append((request, now_s)), lambda: None)

    def answer(self) -> None:
        """Respond to every request."""
        requests, self.requests = self.requests, []
        for request, now_s in requests:
            self.feeder.receive(self.allocator.allocate("worker", request, time.perf_counter()), now_s)


def test_a_user_waits_only_where_no_batch_came_in_time() -> None:
    """Before the first batch a user waits, and the wait is counted; afterwards items are available immediately."""
    master = Master(100)
    began_s = time.perf_counter()
    master.feeder.open()
    waiting = gevent.spawn(master.feeder.next)
    gevent.sleep(0.02)
    assert not waiting.ready()
    master.answer()
    assert waiting.get(timeout=1) == 0
    assert master.feeder.waits.count == 1
    took_s = time.perf_counter() - began_s
    assert 0.01 < master.feeder.waits.longest_s == master.feeder.waits.total_s < took_s
    assert [master.feeder.next() for _ in range(29)] == list(range(1, 30))
    assert master.feeder.waits.count == 1


def test_items_are_claimed_before_they_are_used() -> None:
    """Each item that a user gets was announced in an earlier message."""
    master = Master(200)
    master.feeder.open()
    master.answer()
    claimed = 0
    for number in range(100):
        assert master.feeder.next() == number
        claimed = max([claimed, *(request.claimed for request, _ in master.requests)])
        assert number < claimed <= number + 20


def test_nothing_is_used_after_the_lease() -> None:
    """Although the worker holds items, a user waits if the master has been silent for too long."""
    now_s = [100.0]
    allocator = BatchAllocator(Order(range(100)))
    answers = [True]

    def answer(request: BatchRequest, sent_s: float) -> None:
        if answers[0]:
            feeder.receive(allocator.allocate("worker", request, now_s[0]), sent_s)

    feeder = Feeder(answer, lambda: None, clock=lambda: now_s[0])
    feeder.open()
    assert feeder.next() == 0
    answers[0] = False
    now_s[0] += 3.1
    waiting = gevent.spawn(feeder.next)
    gevent.sleep(0.02)
    assert not waiting.ready()
    answers[0] = True
    feeder.request()
    assert waiting.get(timeout=1) == 1


def test_a_waiting_user_is_stopped_at_the_end() -> None:
    """No user waits for ever for items that will never come."""
    master = Master(1)
    master.feeder.open()
    master.answer()
    assert master.feeder.next() == 0
    waiting = gevent.spawn(master.feeder.next)
    gevent.sleep(0.02)
    master.feeder.close()
    with pytest.raises(StopUser):
        waiting.get(timeout=1)
    assert master.feeder.waits.count == 0
    assert master.requests[-1][0].leaving
