"""CapacityRun: a step for which a worker was unfit says so. The search is tested in tests/native/test_capacity.py."""

from loadtest.capacity import capacity_run
from loadtest.judging.generator_health import SUSTAINED


def test_a_worker_that_was_not_fit_is_named_whatever_it_lacked() -> None:
    """Values are averages over the step; the limit whose message is in milliseconds once ended the whole search."""
    healths = {(number, name): [0.0, 2.5 * rule.limit] for number, (name, rule) in enumerate(SUSTAINED.items())}
    (found,) = capacity_run._unfit({(0, "loop_lag_s"): [0.1, 0.3]})
    assert found.startswith("worker 0 ran its event loop 200 ms late (p99) for 2 s: add a worker")
    assert len(capacity_run._unfit(healths)) == len(SUSTAINED)
    assert capacity_run._unfit({key: [0.0, 1.5 * SUSTAINED[key[1]].limit] for key in healths}) == []
